"""Each corruption does what its name says, where it says, and nothing elsewhere."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.transforms.corruption import CHANGED, Mixture, build_corruption, corrupt, from_options, rows
from fracture_vae.transforms.corruption.blobs import box_of, draw_blobs, weights
from fracture_vae.transforms.corruption.poisson import solve
from fracture_vae.transforms.corruption.spline import field

LOCAL = ("deformation", "foreign_patch", "poisson_patch", "intensity", "texture")
"""Corruptions of one blob."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def textured(shape: tuple[int, ...], batch: int = 4, seed: int = 0) -> Tensor:
    """Smooth images in [0.1, 0.9]."""
    spots = torch.randn(batch, 1, *[8] * len(shape), generator=seeded(seed))
    lines = [torch.linspace(2, 5, size).expand(batch, -1) for size in shape]
    return (0.5 + 0.15 * field(spots, lines)).clamp(0.1, 0.9)


@pytest.mark.parametrize("shape", [(40, 36), (32, 40, 36)], ids=["2d", "3d"])
@pytest.mark.parametrize("name", [*LOCAL, "coarse_noise", "masked_blocks"])
def test_the_truth_is_exactly_where_an_image_was_changed(name: str, shape: tuple[int, ...]) -> None:
    images = textured(shape)
    for seed in range(5):
        image, truth = corrupt(images, build_corruption(name), seeded(seed))
        difference = (image - images).abs()
        assert torch.equal(truth, (difference > CHANGED).float())


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_change_lies_in_a_box_of_the_size_asked_for(name: str) -> None:
    images = textured((40, 40, 40))
    image, _ = corrupt(images, build_corruption(name, size=[0.3, 0.3]), seeded())
    for before, after in zip(images, image, strict=True):
        touched = (after - before)[0].abs()
        places = (touched > 0).nonzero()
        assert (places.amax(0) - places.amin(0)).max() < 0.3 * 40 * 1.5, "bumps reach a little beyond the ellipsoid"


def test_an_offset_fades_out_over_several_voxels() -> None:
    images = torch.full((8, 1, 48, 48, 48), 0.5)
    image, _ = corrupt(images, build_corruption("intensity", size=[0.4, 0.5]), seeded())
    for before, after in zip(images, image, strict=True):
        touched = (after - before)[0].abs()
        steps = [touched.diff(dim=axis).abs().max() for axis in range(3)]
        assert max(steps) < 0.5 * touched.max()


@pytest.mark.parametrize("name", LOCAL)
def test_blobs_lie_in_tissue_and_leave_padding_alone(name: str) -> None:
    images = torch.zeros(4, 1, 32, 32, 32)
    images[..., 4:28, 6:26, 4:20] = textured((24, 20, 16))
    corruption = build_corruption(name, size=[0.15, 0.25])
    params = corruption.draw(images, seeded(3))
    centre = params.blobs.centre.long()
    assert all(images[number, 0][tuple(place)] > 0 for number, place in enumerate(centre.tolist()))
    reach = params.blobs.radii.amax(1, keepdim=True)
    assert (centre >= torch.tensor([4, 6, 4]) + reach.floor() - 2).all()
    assert (centre <= torch.tensor([27, 25, 19]) - reach.floor() + 2).all()
    image, truth = corruption.apply(images, params)
    far = torch.nn.functional.max_pool3d((images > 0).float(), 7, stride=1, padding=3) == 0
    assert not image[far].any()
    assert not truth[far].any()


def test_one_voxel_of_tissue_is_found() -> None:
    images = torch.zeros(2, 1, 30, 30, 30)
    images[0, 0, 3, 28, 11] = 0.5
    blobs = draw_blobs(images, (0.1, 0.1), seeded())
    assert blobs.centre[0].tolist() == [3, 28, 11]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_blob_is_whole_in_its_box_and_soft(seed: int) -> None:
    images = torch.ones(3, 1, 48, 48, 48)
    blobs = draw_blobs(images, (0.1, 0.3), seeded(seed))
    box = box_of(blobs, images.shape[2:])
    weight, _ = weights(blobs, box)
    assert 0 <= weight.min() <= weight.max() <= 1
    for axis in range(3):
        at_image = (box.start[:, axis] == 0) | (box.start[:, axis] + box.shape[axis] == 48)
        for side in (0, -1):
            face = weight.select(2 + axis, side).flatten(1).amax(1)
            assert (face[~at_image] == 0).all()


def test_intensity_adds_its_strength_with_either_sign() -> None:
    images = torch.full((64, 1, 24, 24), 0.5)
    image, truth = corrupt(images, build_corruption("intensity", size=[0.4, 0.5], strength=[0.2, 0.2]), seeded())
    mean = ((image - images) * truth).flatten(1).sum(1) / truth.flatten(1).sum(1)
    assert 20 < (mean > 0).sum() < 44
    assert mean.abs().mean().item() == pytest.approx(0.15, abs=0.04), "soft edges take a quarter of it"


def test_a_swelling_moves_its_surroundings_apart_and_keeps_their_order() -> None:
    """On a ramp, which shows where each voxel was read, a warp that does not fold is a ramp still."""
    ramp = torch.linspace(0, 1, 64)[:, None, None].expand(1, 1, 64, 32, 32).contiguous()
    changed = 0
    for seed in range(8):
        deformation = build_corruption("deformation", size=[0.9, 1.0], strength=[0.95, 0.95], shifts=seed % 2)
        image, truth = corrupt(ramp, deformation, seeded(seed))
        assert (image.diff(dim=2) >= 0).all()
        changed += truth.any().item()
    assert changed >= 5, "all but those pushed across the ramp"


def test_a_foreign_patch_is_another_image_s() -> None:
    images = torch.stack([torch.full((1, 20, 20), value) for value in (0.2, 0.5, 0.8)])
    image, _ = corrupt(images, build_corruption("foreign_patch", size=[0.5, 0.6], share=[1, 1]), seeded(1))
    for number, own in enumerate((0.2, 0.5, 0.8)):
        centre = image[number].flatten()[(image[number].flatten() - own).abs().argmax()].item()
        assert min(abs(centre - value) for value in (0.2, 0.5, 0.8) if value != own) < 0.01


def test_a_poisson_patch_of_an_even_image_is_invisible() -> None:
    images = torch.stack([torch.full((1, 16, 16, 16), value) for value in (0.2, 0.8)])
    image, truth = corrupt(images, build_corruption("poisson_patch", share=[1, 1]), seeded())
    torch.testing.assert_close(image, images, atol=1e-5, rtol=0)
    assert not truth.any()


@pytest.mark.parametrize("shape", [(9, 12), (7, 10, 6)])
def test_the_poisson_equation_is_solved(shape: tuple[int, ...]) -> None:
    source = torch.randn(2, 1, *shape, generator=seeded(), dtype=torch.float64)
    u = solve(source)
    padded = torch.nn.functional.pad(u, [1] * (2 * len(shape)))
    inner = (slice(None), slice(None), *[slice(1, -1)] * len(shape))
    laplacian = sum(padded.roll(s, a)[inner] for s in (1, -1) for a in range(2, 2 + len(shape))) - 2 * len(shape) * u
    torch.testing.assert_close(laplacian, source, atol=1e-10, rtol=0)


def test_texture_keeps_the_mean_and_adds_no_coarse_structure() -> None:
    images = torch.full((32, 1, 48, 48), 0.5)
    texture = build_corruption("texture", size=[0.9, 0.9], std=[0.1, 0.1], scale=[1, 1], smoothed=0)
    params = texture.draw(images, seeded())
    difference = torch.nn.functional.pad(texture.apply(images, params).image - images, [4] * 4)
    places = params.blobs.centre.long().tolist()
    core = torch.stack([one[0, x : x + 9, y : y + 9] for one, (x, y) in zip(difference, places, strict=True)])
    assert core.std().item() == pytest.approx(0.1, rel=0.25)
    assert core.mean((1, 2)).std() < 0.012, "a ninth of it, were each voxel by itself"
    lost = corrupt(images, build_corruption("texture", smoothed=1), seeded())
    assert not lost.truth.any(), "an even image has no texture to lose"


def test_a_field_has_unit_variance_everywhere() -> None:
    coefficients = torch.randn(4000, 1, 8, generator=seeded())
    values = field(coefficients, [torch.linspace(2, 5, 31).expand(4000, -1)])
    torch.testing.assert_close(values.std(0), torch.ones(1, 31), atol=0.05, rtol=0)


def test_coarse_noise_has_its_standard_deviation_and_scale_and_spares_the_background() -> None:
    images = torch.full((6, 1, 48, 48, 48), 0.5)
    images[..., :8] = 0
    noise = corrupt(images, build_corruption("coarse_noise", cell=8, std=[0.1, 0.1]), seeded()).image - images
    assert not noise[..., :8].any()
    inside = noise[..., 8:]
    assert inside.std().item() == pytest.approx(0.1, rel=0.1)
    assert inside.diff(dim=2).std() < 0.03, "it changes little from one voxel to the next"


def test_masked_blocks_hide_the_share_asked_for() -> None:
    images = torch.full((16, 1, 64, 64), 0.5)
    image, truth = corrupt(images, build_corruption("masked_blocks", share=[0.3, 0.3], fill=0.9), seeded())
    torch.testing.assert_close(image.unique(), torch.tensor([0.5, 0.9]))
    assert truth.mean().item() == pytest.approx(0.3, abs=0.05)


def test_a_mixture_gives_each_image_one_part_by_weight() -> None:
    images = textured((16, 16), batch=400)
    parts = [{"name": "intensity", "weight": 3}, {"name": "masked_blocks"}, {"name": "texture", "weight": 0}]
    mixture = build_corruption("mixture", parts=parts, clean=0.2)
    params = mixture.draw(images, seeded())
    share = [(params.part == number).float().mean().item() for number in (-1, 0, 1, 2)]
    assert share == pytest.approx([0.2, 0.6, 0.2, 0], abs=0.07)
    image, truth = mixture.apply(images, params)
    clean = params.part == -1
    assert torch.equal(image[clean], images[clean])
    assert not truth[clean].any()
    first = params.part == 0
    alone = build_corruption("intensity").apply(images[first], rows(params.drawn[0], first))
    torch.testing.assert_close(image[first], alone.image)


def test_a_mixture_of_patches_takes_them_from_the_whole_batch() -> None:
    images = textured((20, 20, 20), batch=3)
    mixture = Mixture([{"name": "foreign_patch", "size": [0.5, 0.6]}, {"name": "intensity"}], clean=0)
    for seed in range(6):
        assert corrupt(images, mixture, seeded(seed)).truth.any()


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("intensity", {"size": [0.3, 0.1]}, r"Intensity: size is \[0.3, 0.1\]; give two numbers \[low, high\]"),
        ("intensity", {"size": 0.3}, "size is 0.3"),
        ("intensity", {"strength": ["a", 1]}, "strength is"),
        ("intensity", {"strength": [0, math.nan]}, "strength is"),
        ("intensity", {"colour": 1}, "corruption 'intensity'.*colour"),
        ("deformation", {"strength": [0.5, 1.0]}, "strength is .* to 0.95"),
        ("deformation", {"shifts": 2}, "shifts is 2"),
        ("foreign_patch", {"shift": -1}, "shift is -1"),
        ("coarse_noise", {"cell": 0}, "cell is 0"),
        ("masked_blocks", {"fill": True}, "fill is True"),
        ("texture", {"scale": [0, 1]}, "scale is"),
        ("collapse", {"loss": [0.1, 0.9]}, "loss is"),
        ("mixture", {"parts": []}, r"parts is \[\]; give a list"),
        ("mixture", {"parts": "intensity"}, "parts is 'intensity'"),
        ("mixture", {"parts": ["intensity"]}, "part 'intensity'; give each part a name"),
        ("mixture", {"parts": [{"name": "intensity", "weight": -1}]}, "weight -1 of part 'intensity'"),
        ("mixture", {"parts": [{"name": "intensity", "weight": 0}]}, "weights of its parts are all 0"),
        ("mixture", {"parts": [{"name": "intensty"}]}, "did you mean 'intensity'"),
        ("mixture", {"parts": [{"name": "intensity"}], "clean": 1.5}, "clean is 1.5"),
    ],
)
def test_impossible_options_are_one_line(name: str, options: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as told:
        build_corruption(name, **options)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("given", ["intensity", {"size": [0.1, 0.2]}, {"name": 3}, ["intensity"]])
def test_a_config_that_names_no_corruption_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="give null, or a name and options"):
        from_options(given)  # type: ignore[arg-type]


def test_null_is_no_corruption() -> None:
    assert from_options(None) is None


def test_vectors_and_flat_images_are_refused_where_they_cannot_be_corrupted() -> None:
    with pytest.raises(InputError, match="Intensity works on 2D or 3D images and was given vectors"):
        corrupt(torch.rand(4, 10), build_corruption("intensity"), seeded())
    with pytest.raises(InputError, match="Collapse works on 3D images and was given 2D images"):
        corrupt(torch.rand(4, 1, 10, 10), build_corruption("collapse"), seeded())
    with pytest.raises(InputError, match="Mixture works on 3D images"):
        corrupt(torch.rand(4, 1, 10, 10), build_corruption("mixture", parts=[{"name": "collapse"}]), seeded())
