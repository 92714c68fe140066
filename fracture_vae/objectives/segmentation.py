"""How badly a head's logits mark what was changed on purpose."""

import torch
from monai.losses import DiceLoss, FocalLoss
from torch import Tensor, nn

from fracture_vae.errors import InputError, nearest

LOSSES = ("focal", "dice", "dice_focal")


class SegmentationLoss(nn.Module):
    """Focal loss, Dice loss or their sum, over the valid voxels of each image, then a mean over the images.

    Focal with γ = 2, a mean over voxels (Lin et al. 2017, arXiv:1708.02002, eq. 4). Dice (Milletari et al. 2016) with
    one voxel added above and below the line, so that an image without anomaly costs nothing where none is marked.
    Both are MONAI's.

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
        self._dice = DiceLoss(smooth_nr=1, smooth_dr=1) if "dice" in loss else None

    def forward(self, logits: Tensor, truth: Tensor, valid: Tensor | None) -> Tensor:
        """Return a scalar for logits and truth of shape (B, 1, \\*spatial); ``valid`` is 0 where nothing counts."""
        with torch.autocast(logits.device.type, enabled=False):
            logits, truth = logits.float(), truth.float()
            counts = torch.ones_like(truth) if valid is None else valid[:, :1].float()
            parts = []
            if self._focal is not None:
                values = self._focal(logits, truth)
                axes = tuple(range(1, values.dim()))
                parts.append(((values * counts).sum(axes) / counts.sum(axes)).mean())
            if self._dice is not None:
                parts.append(self._dice(logits.sigmoid() * counts, truth * counts))
            return torch.stack(parts).sum()
