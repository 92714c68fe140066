"""Small images or vectors in one tensor, by the interface of the volumes' data set."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fracture_vae.cohort.images import LabelledImages
from fracture_vae.errors import InputError, nearest


def above_middle(images: Tensor) -> Tensor:
    """Return 1 where uint8 images are above the middle of their range, else 0."""
    return (images > 127).to(torch.uint8)


def drawn(images: Tensor) -> Tensor:
    """Return 1 with a uint8 value's share of 255 for probability, else 0: the same for the same images."""
    generator = torch.Generator().manual_seed(0)
    parts = [255 * torch.rand(part.shape, generator=generator) < part for part in images.split(_AT_ONCE)]
    return torch.cat(parts).to(torch.uint8)


_AT_ONCE = 1000  # images drawn at a time, which bounds the memory
BINARISATIONS = {"middle": above_middle, "drawn": drawn}


def require_several(network: nn.Module, batch_size: int) -> None:
    """Require more than one sample a step of a network that normalises its features over them.

    Raises:
        InputError: otherwise, before a run has a folder.
    """
    if batch_size == 1 and any(isinstance(module, nn.BatchNorm1d) for module in network.modules()):
        raise InputError(
            "one sample a step cannot be batch-normalised; raise batch_size and limit, or set norm layer and another "
            "posterior than batch_norm"
        )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class ImageDataset(Dataset[dict[str, Tensor]]):
    """Labelled images, held as uint8 and given as float32 in [0, 1]; or vectors, float32 throughout.

    Args:
        data: images (N, C, H, W) or vectors (N, F), and labels (N,).
        normal: the labels to keep, as for one-class anomaly detection; None keeps all.
        binarize: make each value 0 or 1, once and for all (static binarisation).
        binarize_by: ``middle``, 1 where the value is above ½; or ``drawn``, 1 with the value for probability, by a
            fixed seed (as Salakhutdinov & Murray 2008 drew the bits that most papers on MNIST use; these are others).
        limit: keep the first so many.

    Raises:
        InputError: when nothing is left, ``limit`` is below 1, ``normal`` holds anything but whole numbers, vectors are
            to be binarised, or in an unknown way.
    """

    def __init__(
        self,
        data: LabelledImages,
        normal: Sequence[int] | None = None,
        binarize: bool = False,
        limit: int | None = None,
        binarize_by: str = "middle",
    ) -> None:
        if limit is not None and (not _whole(limit) or limit < 1):
            raise InputError(f"limit is {limit}; it must be a whole number of at least 1, or null")
        if binarize_by not in BINARISATIONS:
            known = ", ".join(BINARISATIONS)
            raise InputError(
                f"binarize_by '{binarize_by}' is not one of {known}{nearest(str(binarize_by), BINARISATIONS)}"
            )
        if binarize and data.images.dtype.kind == "f":
            raise InputError("binarize is for images; the data are vectors")
        images, labels = (torch.from_numpy(np.require(part, requirements="W")) for part in data)
        if normal is not None:
            if not isinstance(normal, list | tuple) or not all(map(_whole, normal)):
                raise InputError(f"normal is {normal!r}; it must be a list of labels, such as [3, 5], or null")
            kept = torch.isin(labels.long(), torch.tensor(list(normal), dtype=torch.int64))
            images, labels = images[kept], labels[kept]
        images, labels = images[:limit], labels[:limit]
        if not len(images):
            raise InputError(f"no image has a label among {normal}; the labels are {sorted(set(data.labels.tolist()))}")
        self.images = BINARISATIONS[binarize_by](images) * 255 if binarize else images
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
