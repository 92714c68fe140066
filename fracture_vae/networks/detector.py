"""A reconstructor and a head that learns where reconstruction and image differ for a reason."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import lcm
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.build import build_network
from fracture_vae.networks.levels import conditions
from fracture_vae.networks.unet import FoldedUNet, UNetConfig
from fracture_vae.registry import NETWORKS

SEES = ("difference", "image")
_RARE = -4.0
"""Added to the head's logits, so that it starts from a probability of 0.02: anomalies are rare (Lin et al. 2017)."""
_OUTSIDE = -20.0
"""Logits where the head does not look: a probability of 2e-9."""


@NETWORKS.add_def("detector", "any registered reconstructor with a U-Net head that marks what is anomalous")
class Detector(nn.Module):
    """A reconstructor and a discriminative head (DRAEM: Zavrtanik et al. 2021, arXiv:2108.07610).

    The head sees the image x, its reconstruction x̂ and \\|x - x̂\\|, or x alone, and is trained on corruptions of
    healthy images. Unlike DRAEM's it learns from x̂ as it is: its loss does not reach the reconstructor, which could
    otherwise use x̂ to leave it messages. Images are (B, C, \\*spatial) in [0, 1], sizes multiples of ``downsampling``.
    The head's first weights follow from PyTorch's seed, whatever was drawn since: two detectors have the same.

    Args:
        reconstructor: its ``forward`` returns the reconstruction. None for the head alone; what ``forward`` returns is
            then the image.
        head: shape of the head.
        sees: ``difference`` for x, x̂ and \\|x - x̂\\|, or ``image`` for x alone, as a head alone does.
        in_channels: C.
        window: the part of each axis the head looks at, as shares from and to, [0, 1] for all of it; None for the whole
            image. Nothing is marked elsewhere. Where crops are centred on what may be ill, the rest costs time.

    Raises:
        InputError: for something else to see, or shares that are no part of an axis.
    """

    example: ClassVar[Callable[[], "Detector"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 16, 16, 16)

    def __init__(
        self,
        reconstructor: nn.Module | None,
        head: UNetConfig,
        in_channels: int = 1,
        sees: str = "difference",
        window: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if sees not in SEES:
            raise InputError(f"a detector's head sees {', '.join(SEES)}; not '{sees}'")
        if window is not None:
            _require_shares(window, head.spatial_dims)
        self.reconstructor = reconstructor
        self.sees_difference = sees == "difference" and reconstructor is not None
        self.window = window
        with _from_the_seed():  # so that a head that sees the image is the same whatever stands beside it
            self.head = FoldedUNet(head, 3 * in_channels if self.sees_difference else in_channels, 1)
        self.downsampling = lcm(getattr(reconstructor, "downsampling", 1), head.downsampling)

    @classmethod
    def from_options(
        cls,
        reconstructor: Mapping[str, Any] | None,
        head: Mapping[str, Any] | None = None,
        in_channels: int = 1,
        sees: str = "difference",
        window: Sequence[Sequence[float]] | None = None,
    ) -> "Detector":
        """Return the detector of plain values: a network's ``name`` and options, and fields of :class:`UNetConfig`."""
        restores = None if reconstructor is None else build_network(**reconstructor)
        return cls(restores, UNetConfig(**(head or {})), in_channels, sees, window)

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """What learns by a loss of its own: the head, and the reconstructor where there is one."""
        return (self.head,) if self.reconstructor is None else (self.reconstructor, self.head)

    @property
    def takes_level(self) -> bool:
        """Whether a level makes a difference to the reconstruction."""
        return bool(getattr(self.reconstructor, "takes_level", False))

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) of x (B, C, \\*spatial), which may be of a known ``level`` (B,)."""
        return x if self.reconstructor is None else self.reconstructor(x, *conditions(self.reconstructor, level))

    def looked_at(self, x: Tensor) -> Tensor | None:
        """Return where the head looks at images x (B, C, \\*spatial): (B, 1, \\*spatial), 1 or 0; None: everywhere."""
        if self.window is None:
            return None
        inside = torch.zeros_like(x[:, :1])
        inside[(..., *_places(self.window, x.shape[2:], self.head.config.downsampling))] = 1
        return inside

    def locate(self, x: Tensor, reconstruction: Tensor | None = None) -> Tensor:
        """Anomaly logits (B, 1, \\*spatial) from x and its reconstruction, both (B, C, \\*spatial).

        A head that does not see the difference needs no reconstruction.

        Raises:
            ValueError: when one that does is given none.
        """
        if self.sees_difference:
            if reconstruction is None:
                raise ValueError("a head that sees the difference needs the reconstruction")
            made = reconstruction.detach().to(x.dtype)
            x = torch.cat([x, made, (x - made).abs()], 1)
        if self.window is None:
            return self.head(x).float() + _RARE
        cut = _places(self.window, x.shape[2:], self.head.config.downsampling)
        around = [
            room for place, size in zip(cut, x.shape[2:], strict=True) for room in (size - place.stop, place.start)
        ]
        return F.pad(self.head(x[(..., *cut)]).float() + _RARE, around[::-1], value=_OUTSIDE)


@contextmanager
def _from_the_seed() -> Iterator[None]:
    """Draw as if nothing had been drawn since PyTorch was seeded, and go on behind it as if nothing was drawn here."""
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(generator.initial_seed())
    try:
        yield
    finally:
        generator.set_state(state)


def _places(window: Sequence[Sequence[float]], sizes: Sequence[int], multiple: int) -> tuple[Any, ...]:
    """Return the slices of an image of these ``sizes`` that are its ``window``, each a multiple of voxels long."""
    places = []
    for (first, last), size in zip(window, sizes, strict=True):
        length = min(max(round((last - first) * size / multiple), 1) * multiple, size)
        start = min(round(first * size), size - length)
        places.append(slice(start, start + length))
    return tuple(places)


def _require_shares(window: Sequence[Sequence[float]], dims: int) -> None:
    if not (isinstance(window, list | tuple) and len(window) == dims and all(map(_is_share, window))):
        raise InputError(f"window {window}: give from and to, shares between 0 and 1, for each of the {dims} axes")


def _is_share(part: object) -> bool:
    numbers = isinstance(part, list | tuple) and len(part) == 2 and all(type(end) in (int, float) for end in part)
    return numbers and 0 <= part[0] < part[1] <= 1  # type: ignore[index]


_SMALL: Mapping[str, Any] = {"name": "vqvae", "channels": [4, 8], "quantizer_options": {"num_codes": 16, "dim": 8}}
Detector.example = staticmethod(lambda: Detector.from_options(_SMALL, {"channels": [4, 8]}))
