"""The head's loss, by hand."""

import math

import pytest
import torch
from monai.losses import DiceLoss
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.objectives.segmentation import SegmentationLoss

LOGITS = torch.tensor([[[[0.0, math.log(3)]]]])  # probabilities 1/2 and 3/4
TRUTH = torch.tensor([[[[1.0, 0.0]]]])


def loss(name: str, logits: Tensor = LOGITS, truth: Tensor = TRUTH, valid: Tensor | None = None) -> float:
    return float(SegmentationLoss(name)(logits, truth, valid))


def test_focal_is_the_mean_over_voxels_of_squared_doubt_times_surprise() -> None:
    first, second = 0.5**2 * -math.log(0.5), 0.75**2 * -math.log(0.25)
    assert loss("focal") == pytest.approx((first + second) / 2)


def test_cross_entropy_weighs_anomalous_voxels_three_times() -> None:
    assert loss("bce") == pytest.approx((3 * math.log(2) + math.log(4)) / 2)


def test_dice_compares_twice_the_overlap_with_the_sum_one_voxel_added_to_both() -> None:
    assert loss("dice") == pytest.approx(1 - (2 * 0.5 + 1) / (0.5 + 0.75 + 1 + 1))


def test_dice_is_monai_s() -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(3, 1, 4, 5, 6), (torch.rand(3, 1, 4, 5, 6) < 0.2).float()
    expected = DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1)(logits, truth)
    assert loss("dice", logits, truth) == pytest.approx(expected.item())


def test_dice_focal_is_their_sum() -> None:
    assert loss("dice_focal") == pytest.approx(loss("dice") + loss("focal"))


@pytest.mark.parametrize("name", ["focal", "dice", "dice_focal", "bce"])
def test_an_image_without_anomaly_costs_nothing_where_none_is_marked(name: str) -> None:
    nothing = torch.zeros(1, 1, 4, 4, 4)
    assert loss(name, torch.full_like(nothing, -20), nothing) < 1e-5
    assert loss(name, torch.full_like(nothing, 2), nothing) > 0.5


@pytest.mark.parametrize("name", ["focal", "dice", "dice_focal", "bce"])
def test_every_image_counts_alike_whatever_the_batch(name: str) -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(3, 1, 4, 4), (torch.rand(3, 1, 4, 4) < 0.3).float()
    valid = torch.ones_like(truth)
    valid[1, :, 2:] = 0
    alone = [loss(name, *(value[[i]] for value in (logits, truth, valid))) for i in range(3)]
    assert loss(name, logits, truth, valid) == pytest.approx(sum(alone) / 3, rel=1e-5)


@pytest.mark.parametrize("name", ["focal", "dice", "dice_focal", "bce"])
def test_padding_is_as_if_it_were_cut_off(name: str) -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 1, 4, 6), (torch.rand(2, 1, 4, 6) < 0.3).float()
    valid = torch.zeros_like(truth)
    valid[..., :4] = 1
    assert loss(name, logits, truth, valid) == pytest.approx(loss(name, logits[..., :4], truth[..., :4]), rel=1e-5)


def test_an_unknown_loss_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'focal'"):
        SegmentationLoss("focale")


def test_dice_over_a_batch_with_cross_entropy_by_hand() -> None:
    truth = torch.zeros(2, 1, 4, 4)
    truth[0, 0, 0] = 1
    logits = torch.zeros(2, 1, 4, 4)
    valid = torch.ones(2, 1, 4, 4)
    valid[1, 0, 2:] = 0  # of 24 valid voxels 4 are anomalous, all have probability 1/2
    expected = 5 * math.log(2) + 1 - (2 * 4 / 2 + 10) / (24 / 2 + 4 + 10)
    found = SegmentationLoss("batch_dice_bce")(logits, truth, valid)
    torch.testing.assert_close(found, torch.tensor(expected))
