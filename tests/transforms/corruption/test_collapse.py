"""A collapse takes height from the body in the middle alone, folds nothing, and leaves no other trace to learn."""

import pytest
import torch
from torch import Tensor

from fracture_vae.transforms.corruption import build_corruption
from fracture_vae.transforms.corruption.collapse import Bone, Collapse, CollapseParams, Wobble
from fracture_vae.transforms.corruption.endplates import MIDDLE, find_endplates

SIZE, HEIGHT, DISC = 64, 12, 4
PLATE, SPONGE, GRISTLE = 0.5, 0.1, 0.05


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spine(lower: float, slope: float = 0.0, batch: int = 1) -> Tensor:
    """Bodies 12 voxels high between bright plates, 4 apart, one of them with its lower plate at ``lower``."""
    y = torch.arange(SIZE)[:, None] - MIDDLE[1] * (SIZE - 1)
    place = (torch.arange(SIZE) - slope * y - lower) % (HEIGHT + DISC)
    plate = torch.minimum((place).abs(), (place - HEIGHT).abs()).minimum((place - HEIGHT - DISC).abs()) < 0.75
    column = torch.where(plate, PLATE, torch.where(place < HEIGHT, SPONGE, GRISTLE))
    return column.expand(batch, 1, SIZE, SIZE, SIZE).contiguous()


def plain(images: Tensor, collapse: Collapse, **own: Tensor) -> CollapseParams:
    """Draw a collapse that is even, and does nothing but lose height."""
    params = collapse.draw(images, seeded())
    batch = len(images)
    zero = torch.zeros(batch)
    sinking = params.own._replace(
        kind=torch.full((batch,), 2), lean=zero, share=zero + 1, ripples=torch.zeros_like(params.own.ripples)
    )
    wobble = Wobble(zero, zero, torch.zeros_like(params.wobble.waves))
    return params._replace(
        own=sinking._replace(**own),
        next=params.next._replace(loss=zero),
        bone=Bone(zero, zero, zero + 0.1),
        wobble=wobble,
    )


@pytest.mark.parametrize(("lower", "slope"), [(25.0, 0.0), (23.0, 0.1), (27.0, -0.25)])
def test_endplates_are_found_in_noise(lower: float, slope: float) -> None:
    images = spine(lower, slope, batch=8)
    images = images + 0.1 * torch.randn(images.shape, generator=seeded())
    plates = find_endplates(images)
    torch.testing.assert_close(plates.lower, torch.full((8,), lower), atol=1.1, rtol=0)
    torch.testing.assert_close(plates.upper, torch.full((8,), lower + HEIGHT), atol=1.1, rtol=0)
    torch.testing.assert_close(plates.slope, torch.full((8,), slope), atol=0.16, rtol=0)


def test_a_crush_lowers_the_upper_endplate_by_the_share_lost_and_marks_what_is_left() -> None:
    images, collapse = spine(25.0), Collapse(clean=0, neighbours=0)
    params = plain(images, collapse, loss=torch.tensor([0.5]))
    image, truth = collapse.apply(images, params)
    x, y = params.body.middle[0].round().long().tolist()
    before, after = images[0, 0, x, y], image[0, 0, x, y]
    plates = params.body.plates
    now = round((plates.upper - 0.5 * (plates.upper - plates.lower)).item())
    assert before[now] == pytest.approx(SPONGE)
    assert after[now] == pytest.approx(PLATE, abs=0.21)
    marked = truth[0, 0, x, y].nonzero().flatten()
    assert marked.min() >= plates.lower
    assert marked.max() <= now + 1
    assert len(marked) == pytest.approx(0.5 * HEIGHT, abs=1)
    assert not truth[0, 0, 0].any()


def test_nothing_folds() -> None:
    """On a ramp along z, which shows where each voxel was read, a map that keeps the order is a ramp still."""
    ramp = torch.linspace(0, 1, SIZE).expand(24, 1, 40, 40, SIZE).contiguous()
    collapse = Collapse(loss=(0.5, 0.7), clean=0, neighbours=1)
    params = collapse.draw(ramp, seeded())
    zero = torch.zeros(24)
    image, _ = collapse.apply(ramp, params._replace(bone=Bone(zero, zero, zero + 0.1)))
    assert image.diff(dim=4).min() > -1e-6


def test_whole_bodies_are_resampled_as_broken_ones_are_and_marked_nowhere() -> None:
    images, collapse = spine(25.0, batch=200), Collapse(clean=0.4, neighbours=0.3)
    params = collapse.draw(images[:, :, :8, :8], seeded())
    whole = params.own.loss == 0
    assert whole.float().mean().item() == pytest.approx(0.4, abs=0.1)
    assert (params.next.loss > 0)[whole].float().mean().item() == pytest.approx(0.3, abs=0.15)
    assert params.wobble.stretch[whole].std().item() == pytest.approx(
        params.wobble.stretch[~whole].std().item(), rel=0.3
    )
    images = images[:8]
    params = collapse.draw(images, seeded(1))
    image, truth = collapse.apply(images, params)
    whole = params.own.loss == 0
    assert 0 < whole.sum() < 8
    assert not truth[whole].any()
    assert truth[~whole].flatten(1).any(1).all()
    assert (image - images).abs().flatten(1).amax(1).min() > 0.05


def test_a_neighbour_that_breaks_is_not_marked() -> None:
    images, collapse = spine(25.0), build_corruption("collapse", clean=1, neighbours=1)
    params = collapse.draw(images, seeded())
    assert params.next.loss.item() > 0
    image, truth = collapse.apply(images, params)
    assert not truth.any()
    assert (image - images).abs().max() > 0.05
