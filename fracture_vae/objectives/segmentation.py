"""How badly a head's logits mark what was changed on purpose."""

import torch
import torch.nn.functional as F
from monai.losses import FocalLoss
from torch import Tensor, nn

from fracture_vae.errors import InputError, nearest

LOSSES = ("focal", "dice", "dice_focal", "bce", "batch_dice_bce")
POSITIVE = 3.0
"""How many healthy voxels an anomalous one weighs as much as, in ``bce``."""

CROSS = 5.0
"""Weight of the cross-entropy in ``batch_dice_bce``."""
SMOOTH = 10.0
"""Voxels above and below the line of Dice over a batch."""


class SegmentationLoss(nn.Module):
    """Focal loss, Dice loss, their sum or cross-entropy, over each image's valid voxels, then a mean over the images.

    Focal with γ = 2, a mean over voxels (Lin et al. 2017, arXiv:1708.02002, eq. 4), is MONAI's. Dice (Milletari et al.
    2016), with one voxel added above and below the line so that an image without anomaly costs nothing where none is
    marked, is what MONAI's ``DiceLoss(smooth_nr=1, smooth_dr=1)`` gives, which cannot be compiled.
    Cross-entropy, a mean over voxels too, weighs anomalous ones three times. It teaches where Dice gives a head that
    marks nothing yet, and truths of a few voxels, too small a gradient.

    Dice of each image pushes an image without anomaly to nothing or to anything, hardly between. Over the whole batch
    (``batch_dice_bce``, with five times the plain cross-entropy) it does not, so that probabilities stay comparable.

    Args:
        loss: one of `LOSSES`.

    Raises:
        InputError: for another.
    """

    def __init__(self, loss: str = "dice_focal") -> None:
        super().__init__()
        if loss not in LOSSES:
            raise InputError(f"segmentation loss '{loss}' is not one of {', '.join(LOSSES)}{nearest(loss, LOSSES)}")
        self.loss = loss
        self._focal = FocalLoss(gamma=2, reduction="none") if "focal" in loss else None

    def forward(self, logits: Tensor, truth: Tensor, valid: Tensor | None) -> Tensor:
        """Return a scalar for logits and truth of shape (B, 1, \\*spatial); ``valid`` is 0 where nothing counts."""
        with torch.autocast(logits.device.type, enabled=False):
            logits, truth = logits.float(), truth.float()
            counts = torch.ones_like(truth) if valid is None else valid[:, :1].float()
            parts = []
            if self._focal is not None:
                parts.append(_sums(self._focal(logits, truth) * counts) / _sums(counts))
            if self.loss == "bce":
                surprise = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
                parts.append(_sums(surprise * (1 + (POSITIVE - 1) * truth) * counts) / _sums(counts))
            if self.loss == "batch_dice_bce":
                return _batch_dice_bce(logits, truth, counts)
            if "dice" in self.loss:
                probability, truth = logits.sigmoid() * counts, truth * counts
                parts.append(1 - (2 * _sums(probability * truth) + 1) / (_sums(probability) + _sums(truth) + 1))
            return torch.stack(parts).sum(0).mean()


def _batch_dice_bce(logits: Tensor, truth: Tensor, counts: Tensor) -> Tensor:
    surprise = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability, truth = logits.sigmoid() * counts, truth * counts
    both = 2 * (probability * truth).sum() + SMOOTH
    return CROSS * (surprise * counts).sum() / counts.sum() + 1 - both / (probability.sum() + truth.sum() + SMOOTH)


def _sums(values: Tensor) -> Tensor:
    """Return the sum over each image (B,)."""
    return values.flatten(1).sum(1)
