"""Which voxels of healthy maps are of one kind: the same place of the same level, or tissue of the same intensity.

A layout says to which group and cell of a table a voxel belongs, and brings a table back to the voxels of a map.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.cohort.levels import ANATOMICAL, in_order
from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.moments import PRIOR_CASES, Moments

CELL = 4.0
"""Edge of a cell of registered crops in mm."""


class Voxels(NamedTuple):
    """What a layout goes by: a map (1, 1, *spatial), its image, its valid voxels (bool), level and voxel size in mm."""

    map: Tensor
    image: Tensor
    valid: Tensor
    level: str
    spacing: tuple[float, ...]


class Layout(Protocol):
    """How the voxels of maps fall into groups and cells."""

    @property
    def places(self) -> Sequence[float]:
        """Where each group lies among its neighbours."""

    @property
    def cells(self) -> tuple[int, ...]:
        """The shape of a group's cells."""

    def why_not(self, voxels: Voxels) -> str:
        """Return why a map has no place in the table, or an empty string."""

    def moments(self, voxels: Voxels) -> Moments:
        """Return the moments of one map."""

    def prior(self, moments: Moments) -> float:
        """Return how many voxels of a cell `PRIOR_CASES` cases have."""

    def at(self, table: Tensor, voxels: Voxels) -> Tensor:
        """Return the values of a table (G, *cells) at each voxel of the map, of the map's shape."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values; `layout_from` takes it back."""


@dataclass(frozen=True)
class Registered:
    """Crops of one size in which a place is the same anatomy: groups are levels, cells those of a coarse grid.

    A table is interpolated linearly between the cells' centres.

    Args:
        levels: by name; of anatomical ones those next to each other are neighbours, of others none.
        size: of the maps, in voxels.
        cell: edges of a cell, in voxels.
        spacing: edges of a voxel, in mm; empty for a calibration written before they were kept.
    """

    levels: tuple[str, ...]
    size: tuple[int, ...]
    cell: tuple[int, ...]
    spacing: tuple[float, ...] = ()

    @property
    def places(self) -> list[float]:
        """The levels' ranks from head to foot."""
        return [float(ANATOMICAL.index(level)) if level in ANATOMICAL else math.inf for level in self.levels]

    @property
    def cells(self) -> tuple[int, ...]:
        """How many cells lie along each axis."""
        return tuple(math.ceil(size / cell) for size, cell in zip(self.size, self.cell, strict=True))

    def why_not(self, voxels: Voxels) -> str:
        """Return why a map has no place in the table: another size or voxel size, or a level unknown."""
        if tuple(voxels.map.shape[2:]) != self.size:
            shape = "×".join(map(str, voxels.map.shape[2:]))
            return f"its size {shape} is not the {'×'.join(map(str, self.size))} that was calibrated"
        if self.spacing and not _alike(voxels.spacing, self.spacing):
            shown, own = ("×".join(f"{edge:g}" for edge in edges) for edges in (voxels.spacing, self.spacing))
            return f"its voxels of {shown} mm are not of the {own} mm that was calibrated"
        if voxels.level not in self.levels:
            known = ", ".join(self.levels)
            return f"level '{voxels.level}' is not among those calibrated ({known})"
        return ""

    def moments(self, voxels: Voxels) -> Moments:
        """Return the moments of one map: sums over each cell of its level."""
        valid, values = voxels.valid.double(), voxels.map.double()
        parts = torch.cat([valid, valid * values, valid * values**2])
        pads = [pad for size, n, c in zip(self.size, self.cells, self.cell, strict=True) for pad in (n * c - size, 0)]
        padded = F.pad(parts, pads[::-1])
        blocks = [edge for n, c in zip(self.cells, self.cell, strict=True) for edge in (n, c)]
        sums = padded.reshape(3, *blocks).sum(dim=tuple(range(2, 2 + len(blocks), 2)))
        found = Moments.zeros(len(self.levels), *self.cells)
        for table, own in zip((found.count, found.total, found.squares), sums, strict=True):
            table[self.levels.index(voxels.level)] = own
        return Moments(found.count, found.total, found.squares, cases=1)

    def prior(self, moments: Moments) -> float:
        """Return the voxels of `PRIOR_CASES` whole cells."""
        del moments
        return PRIOR_CASES * math.prod(self.cell)

    def at(self, table: Tensor, voxels: Voxels) -> Tensor:
        """Return the level's values, interpolated linearly between the cells' centres."""
        own = table[self.levels.index(voxels.level)][None, None]
        whole = [n * c for n, c in zip(self.cells, self.cell, strict=True)]
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(self.size)]
        fine = F.interpolate(own, size=whole, mode=mode, align_corners=False)
        place: tuple[Any, ...] = (..., *(slice(size) for size in self.size))
        return fine[place]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        listed = {name: list(getattr(self, name)) for name in ("levels", "size", "cell", "spacing")}
        return {"kind": "registered", **listed}


@dataclass(frozen=True)
class Tissue:
    """Images of any size: groups are bins of the image's own intensity, cells are shells from its centre to its border.

    Bins are narrower at low intensities, where most tissue of windowed CT lies: bin i starts at (i / bins)².

    Args:
        bins: of the intensity in [0, 1].
        shells: of the largest distance to the centre along an axis, relative to the image.
    """

    bins: int = 24
    shells: int = 4

    @property
    def places(self) -> list[float]:
        """The bins in order."""
        return [float(index) for index in range(self.bins)]

    @property
    def cells(self) -> tuple[int, ...]:
        """The shells."""
        return (self.shells,)

    def why_not(self, voxels: Voxels) -> str:
        """Return an empty string: every image has a place."""
        del voxels
        return ""

    def moments(self, voxels: Voxels) -> Moments:
        """Return the moments of one map: sums over each bin and shell."""
        place = self._place(voxels.image)[voxels.valid]
        values = voxels.map[voxels.valid].double()
        size = self.bins * self.shells

        def sums(weights: Tensor) -> Tensor:
            return torch.bincount(place, weights, size).reshape(self.bins, self.shells)

        return Moments(sums(torch.ones_like(values)), sums(values), sums(values**2), cases=1)

    def prior(self, moments: Moments) -> float:
        """Return the voxels that `PRIOR_CASES` cases have in a bin and shell on average."""
        return float(PRIOR_CASES * moments.count.sum() / (moments.cases * self.bins * self.shells))

    def at(self, table: Tensor, voxels: Voxels) -> Tensor:
        """Return the value of each voxel's bin and shell."""
        return table.flatten()[self._place(voxels.image)]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": "tissue", "bins": self.bins, "shells": self.shells}

    def _place(self, image: Tensor) -> Tensor:
        """Return each voxel's index into a flattened table; channels count by their mean."""
        intensity = image.mean(1, keepdim=True).clamp(0, 1)
        bin_ = (self.bins * intensity.sqrt()).long().clamp(max=self.bins - 1)
        distance = torch.zeros(image.shape[2:])
        for axis, size in enumerate(image.shape[2:]):
            along = ((torch.arange(size) + 0.5) * 2 / size - 1).abs()
            distance = torch.maximum(distance, along.reshape([-1 if a == axis else 1 for a in range(distance.ndim)]))
        shell = (self.shells * distance).long().clamp(max=self.shells - 1)
        return bin_ * self.shells + shell


def choose_layout(
    levels: Sequence[str], sizes: Sequence[tuple[int, ...]], spacings: Sequence[Sequence[float]]
) -> Layout:
    """Return the layout for healthy cases: registered where all have a level, one size and one voxel size.

    Args:
        levels: of the cases.
        sizes: of their images, in voxels.
        spacings: of their images, in mm.
    """
    first = tuple(spacings[0])
    if not (all(levels) and len(set(sizes)) == 1 and all(_alike(own, first) for own in spacings)):
        return Tissue()
    cell = tuple(max(1, round(CELL / edge)) for edge in first)
    return Registered(tuple(in_order(set(levels))), sizes[0], cell, first)


def _alike(spacing: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether voxels have one size, up to what rounding in a header changes."""
    return len(spacing) == len(other) and np.allclose(spacing, other, rtol=1e-3, atol=0)


def layout_from(plain: Mapping[str, Any], where: str) -> Layout:
    """Return the layout that ``plain`` says; ``where`` names the file.

    Raises:
        InputError: when it says none.
    """
    try:
        if plain["kind"] == "registered":
            levels, size, cell = (tuple(plain[name]) for name in ("levels", "size", "cell"))
            spacing = tuple(map(float, plain.get("spacing", ())))
            return Registered(tuple(map(str, levels)), tuple(map(int, size)), tuple(map(int, cell)), spacing)
        if plain["kind"] == "tissue":
            return Tissue(int(plain["bins"]), int(plain["shells"]))
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError(f"{where}: its calibration is damaged; run fracture-vae calibrate again")
