"""How badly a head's logits mark what was changed on purpose."""

import torch
from monai.losses import FocalLoss
from torch import Tensor, nn

from fracture_vae.errors import InputError, nearest

LOSSES = ("focal", "dice", "dice_focal")


class SegmentationLoss(nn.Module):
    """Focal loss, Dice loss or their sum, over the valid voxels of each image, then a mean over the images.

    Focal with γ = 2, a mean over voxels (Lin et al. 2017, arXiv:1708.02002, eq. 4), is MONAI's. Dice (Milletari et al.
    2016), with one voxel added above and below the line so that an image without anomaly costs nothing where none is
    marked, is what MONAI's ``DiceLoss(smooth_nr=1, smooth_dr=1)`` gives, which cannot be compiled.

    Args:
        loss: ``focal``, ``dice`` or ``dice_focal``.

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
            if "dice" in self.loss:
                probability, truth = logits.sigmoid() * counts, truth * counts
                parts.append(1 - (2 * _sums(probability * truth) + 1) / (_sums(probability) + _sums(truth) + 1))
            return torch.stack(parts).sum(0).mean()


def _sums(values: Tensor) -> Tensor:
    """Return the sum over each image (B,)."""
    return values.flatten(1).sum(1)
