"""Small images or vectors in one tensor, by the interface of the volumes' data set."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fracture_vae.cohort.images import LabelledImages
from fracture_vae.errors import InputError


class ImageDataset(Dataset[dict[str, Tensor]]):
    """Labelled images, held as uint8 and given as float32 in [0, 1]; or vectors, float32 throughout.

    Args:
        data: images (N, C, H, W) or vectors (N, F), and labels (N,).
        normal: the labels to keep, as for one-class anomaly detection; None keeps all.
        binarize: 1 where the value is above ½, else 0 (static binarisation at the middle).
        limit: keep the first so many.

    Raises:
        InputError: when nothing is left, ``limit`` is below 1, or vectors are to be binarised.
    """

    def __init__(
        self,
        data: LabelledImages,
        normal: Sequence[int] | None = None,
        binarize: bool = False,
        limit: int | None = None,
    ) -> None:
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise InputError(f"limit is {limit}; it must be a whole number of at least 1, or null")
        if binarize and data.images.dtype.kind == "f":
            raise InputError("binarize is for images; the data are vectors")
        images, labels = (torch.from_numpy(np.require(part, requirements="W")) for part in data)
        if normal is not None:
            kept = torch.isin(labels, torch.tensor(list(normal), dtype=labels.dtype))
            images, labels = images[kept], labels[kept]
        images, labels = images[:limit], labels[:limit]
        if not len(images):
            raise InputError(f"no image has a label among {normal}; the labels are {sorted(set(data.labels.tolist()))}")
        self.images = (images > 127).to(torch.uint8) * 255 if binarize else images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.batch([index]).items()}

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), or vector, (F,)."""
        return tuple(self.images.shape[1:])

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Return on ``device`` ``image`` float32, (B, C, H, W) in [0, 1] or (B, F), and ``label`` (B,)."""
        chosen = torch.as_tensor(indices)
        images, labels = self.images[chosen].to(device), self.labels[chosen].to(device)
        return {"image": images if images.is_floating_point() else images.float() / 255, "label": labels}
