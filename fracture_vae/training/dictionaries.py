"""MONAI's own way to feed a training, for whoever prefers dictionary transforms: see a bundle's monai_data.json."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import CacheDataset
from monai.transforms import MapTransform

from fracture_vae.cohort.holdout import guard_holdout
from fracture_vae.cohort.manifest import Case
from fracture_vae.errors import InputError
from fracture_vae.transforms import Preprocessing


class DictionaryDataset(CacheDataset):
    """MONAI's ``CacheDataset`` over a fold's cases, as dictionaries whose ``image`` is the path of a volume.

    Args:
        data: the cases, in order.
        transform: dictionary transforms that end in ``image`` of shape (1, H, W, D); those before the first random
            one are computed once.
        size: the (H, W, D) they end in.
        **options: of ``CacheDataset``.

    Raises:
        InputError: for cases of the hold-out; when no size is given, or the transforms end in another.
    """

    def __init__(
        self,
        data: Sequence[Case],
        transform: Callable[[Any], Any],
        size: Sequence[int] | None,
        **options: Any,
    ) -> None:
        guard_holdout(data, allowed=False)
        if size is None:
            raise InputError("size is null; dictionary transforms need a size [H, W, D]")
        super().__init__([{"image": str(case.image)} for case in data], transform, **options)
        self.size = tuple(size)
        shape = tuple(self[0]["image"].shape[1:])
        if shape != self.size:
            raise InputError(f"the transforms end in volumes of {shape}, not of size {self.size}; make them agree")


class Preprocessd(MapTransform):
    """Dictionary transform that maps stored values to [0, 1] as ``preprocessing`` says, so that inference can too."""

    def __init__(self, keys: KeysCollection, preprocessing: Preprocessing) -> None:
        super().__init__(keys)
        self.preprocessing = preprocessing

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Preprocess the volumes under the keys."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume = out[key]
            out[key] = torch.as_tensor(self.preprocessing(volume.float().numpy(), volume.meta["filename_or_obj"]))
        return out
