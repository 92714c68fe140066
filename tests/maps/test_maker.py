"""Maps and case scores of a composition, from what views show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from fracture_vae.cohort.volumes import Stored
from fracture_vae.errors import InputError
from fracture_vae.maps.body import body
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.maps.maker import MapMaker
from fracture_vae.maps.scores import compose
from fracture_vae.maps.views import Views


def case(image: Tensor, spacing: tuple[float, ...] = (1, 1, 1), valid: Tensor | None = None) -> LoadedCase:
    there = torch.ones_like(image, dtype=torch.bool) if valid is None else valid
    orientation = np.array([[0.0, 1], [1, 1], [2, 1]])
    size = image.shape[2:]
    stored = Stored(
        Path("a.nii.gz"), (size[0], size[1], size[2]), np.diag([*spacing, 1.0]), orientation, np.dtype("f4")
    )
    return LoadedCase({"case_id": "a", "image": "a.nii.gz"}, image, there, there, stored, "")


def error(said: Any, image: Tensor, shown: Tensor, **about: Any) -> Tensor:
    return MapMaker(compose(said))(case(image, **about), shown).error


def test_the_map_is_the_weighted_sum_of_scores() -> None:
    image, shown = torch.rand(2, 1, 1, 6, 5, 4).unbind()
    said = [{"name": "l1", "weight": 2}, {"name": "l2", "weight": -0.5}]
    difference = (image - shown).abs()
    torch.testing.assert_close(error(said, image, shown), 2 * difference - 0.5 * difference.square())


def test_maps_of_scores_that_need_the_network_take_their_place_in_the_sum() -> None:
    image, shown, first, second = torch.rand(4, 1, 1, 6, 5, 4).unbind()
    said = [{"name": "head", "weight": 3}, "l1", "code_distance"]
    made = error(said, image, torch.cat([shown, first, second], 1))
    torch.testing.assert_close(made, 3 * first + (image - shown).abs() + second)


def test_maps_of_several_views_are_the_mean_of_their_maps_not_the_map_of_their_mean() -> None:
    image = torch.full((1, 1, 4, 4, 4), 0.5)
    shown = torch.cat([image + 0.1, image - 0.3], 1)
    made = MapMaker(compose("l1"))(case(image), shown)
    torch.testing.assert_close(made.error, torch.full_like(image, 0.2))
    torch.testing.assert_close(made.reconstruction, image - 0.1)


def test_smoothing_is_in_millimetres() -> None:
    image, shown = torch.rand(2, 1, 1, 12, 10, 8).unbind()
    spacing = (0.5, 1.0, 2.0)
    made = error({"score": "l1", "smoothing_mm": 1.5}, image, shown, spacing=spacing)
    sigmas = [1.5 / size for size in spacing]
    expected = ndimage.gaussian_filter((image - shown).abs()[0, 0].numpy(), sigmas, truncate=3.5)
    np.testing.assert_allclose(made[0, 0], expected, atol=1e-5)


def test_smoothing_takes_nothing_from_outside_the_field_of_view() -> None:
    image = torch.full((1, 1, 8, 8, 8), 0.25)
    valid = torch.zeros_like(image, dtype=torch.bool)
    valid[..., :4] = True
    image[~valid] = 9
    made = error({"score": "l1", "smoothing_mm": 2}, image, torch.zeros_like(image), valid=valid)
    torch.testing.assert_close(made[valid], torch.full((256,), 0.25))
    assert not made[~valid].any()


def test_positive_only_keeps_what_is_brighter_than_healthy() -> None:
    image, shown = torch.rand(2, 1, 1, 4, 4, 4).unbind()
    made = error({"score": "signed", "positive_only": True}, image, shown)
    assert torch.equal(made, (image - shown).clamp_min(0))
    assert MapMaker(compose({"score": "signed", "positive_only": True})).display == (0, pytest.approx(0.3))
    assert MapMaker(compose("signed")).display == (pytest.approx(-0.3), pytest.approx(0.3))


def test_outside_the_body_the_map_is_zero_and_no_score_is_taken() -> None:
    image = torch.zeros(1, 1, 20, 20, 20)
    image[..., 4:16, 4:16, 4:16] = 0.5
    shown = torch.full_like(image, 0.4)
    said = {"score": "l1", "body_mask": True, "top_fraction": 1.0}
    made = MapMaker(compose(said))(case(image), shown)
    assert made.error.count_nonzero() == 12**3
    assert made.score == pytest.approx(0.1)


def test_the_body_is_the_largest_piece_without_gaps_and_holes() -> None:
    image = torch.zeros(1, 1, 24, 24, 24)
    image[..., 2:14, 2:14, 0:24] = 0.5
    image[..., 7:9, 7:9, 7:9] = 0  # a hole
    image[..., 5, 2:14, 0:24] = 0  # a gap through and through
    image[..., 20:22, 20:22, 20:22] = 1  # something else on the table
    found = body(image)
    assert found[..., 3:13, 3:13, 1:23].all()
    assert not found[..., 16:, :, :].any()
    assert found[..., 5:8, 5:8, 0].all(), "the end of the grid is no end of the body"
    assert body(torch.zeros_like(image)).all()


def test_a_map_that_is_not_finite_is_told() -> None:
    image, shown = torch.rand(2, 1, 1, 4, 4, 4).unbind()
    with pytest.raises(InputError, match="code_distance map is not finite"):
        error("code_distance", image, torch.cat([shown, shown / 0], 1))


class Ramp(nn.Module):
    """Adds to each voxel its place along the first axis: no mirror image of itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(float(x.shape[2]))[:, None, None]

    def locate(self, x: Tensor, _: Tensor) -> Tensor:
        return torch.logit(self(x * 0) / 8 + 0.25)


def test_flips_are_undone_and_their_maps_averaged() -> None:
    maker = MapMaker(compose({"score": ["head"], "flips": [0, 2]}))
    views = Views([Ramp()], maker.network_scores, maker.composition.flips)
    x = torch.rand(1, 1, 4, 3, 2)
    shown = views(x)
    assert shown.shape == (1, 4 + 1, 4, 3, 2)
    forth = torch.arange(4.0)[:, None, None]
    for place, ramp in enumerate((forth, forth.flip(0), forth, forth.flip(0))):
        torch.testing.assert_close(shown[:, place : place + 1], x + ramp)
    torch.testing.assert_close(maker(case(x), shown).error, torch.full_like(x, 1.5 / 8 + 0.25))


def test_a_plain_view_is_the_network_s_reconstruction_itself() -> None:
    x = torch.rand(2, 1, 4, 4, 4)
    assert torch.equal(Views([Ramp()])({"image": x, "valid": x > 0}), Ramp()(x))
