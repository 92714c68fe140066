"""Whether the scan shows each vertebra whole."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.levels import ANATOMICAL, SACRAL
from fracture_vae.preparation.vertebra import Vertebra

BORDER_MM = 3.0
"""A vertebra that ends this near the border may be cut: programs often leave the outermost slice unlabelled."""
BODY_MM2 = 300.0
"""A face on the border larger than this goes through the body, whose sections measure 400 mm² (T1) to 1500 mm² (L5);
a process measures below 200 mm²."""
CORNER_MM2 = 50.0
"""As much of a face on the upper or lower border in front of the vertebra's centroid is a corner of a tilted body: the
processes lie behind it."""
SLIVER = 0.5
"""Share of its neighbours' volume below which a vertebra is a fragment: healthy neighbours differ by a fifth, and a
body crushed to half its height still leaves the vertebra two thirds of its volume."""
SLIVER_BORDER_MM = 10.0
"""A fragment this near the border was cut by it."""

EMPTY_HU = -500.0
"""A plane with nothing above this holds no tissue."""

_SIDES = (("left", "right"), ("back", "front"), ("lower", "upper"))

Bounds = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class Face(NamedTuple):
    """Where a vertebra ends towards one border.

    Attributes:
        side: which border.
        distance: how far from it, mm.
        mm2: the vertebra's section there.
        front_mm2: what of it lies in front of the vertebra's centroid.
    """

    side: str
    distance: float
    mm2: float
    front_mm2: float

    @property
    def through_body(self) -> bool:
        """Whether the border goes through the vertebra's body here."""
        corner = self.side in _SIDES[2] and self.front_mm2 > CORNER_MM2
        return self.distance <= BORDER_MM and (self.mm2 > BODY_MM2 or corner)


def field_of_view(ct: NDArray[np.float32]) -> Bounds:
    """Return first and last plane of each axis that hold some of the patient; others are air or padding."""
    bounds = []
    for axis in range(3):
        planes = np.moveaxis(ct, axis, 0)
        first, last = 0, len(planes) - 1
        while first < last and planes[first].max() <= EMPTY_HU:
            first += 1
        while last > first and planes[last].max() <= EMPTY_HU:
            last -= 1
        bounds.append((first, last))
    return bounds[0], bounds[1], bounds[2]


def faces(vertebra: Vertebra, bounds: Bounds, spacing: NDArray[np.float64]) -> list[Face]:
    """Return how the vertebra ends towards each of the six borders."""
    in_front = np.zeros_like(vertebra.own)
    in_front[:, int(np.nonzero(vertebra.own)[1].mean()) + 1 :] = True
    found = []
    for axis, (names, (first, last), box) in enumerate(zip(_SIDES, bounds, vertebra.box, strict=True)):
        area = float(np.prod(np.delete(spacing, axis)))
        for name, plane, gap in ((names[0], 0, box.start - first), (names[1], -1, last - (box.stop - 1))):
            section = np.take(vertebra.own, plane, axis=axis)
            front = section & np.take(in_front, plane, axis=axis)
            found.append(
                Face(name, max(gap, 0) * float(spacing[axis]), int(section.sum()) * area, int(front.sum()) * area)
            )
    return found


def share_of_neighbours(vertebrae: Sequence[Vertebra], vertebra: Vertebra) -> float | None:
    """Return a vertebra's volume over the median of up to two levels above and two below it, or None without any."""
    if vertebra.level not in ANATOMICAL:
        return None
    rank = ANATOMICAL.index(vertebra.level)
    near = {*ANATOMICAL[max(rank - 2, 0) : rank], *ANATOMICAL[rank + 1 : rank + 3]} - set(SACRAL)
    around = [other.mm3 for other in vertebrae if other.level in near]
    return vertebra.mm3 / float(np.median(around)) if around else None


class Extent(NamedTuple):
    """What of the vertebrae is missing: by level a sentence, and one on processes for the whole scan (or empty)."""

    cut: dict[str, str]
    small: dict[str, str]
    processes: str


def missing_parts(vertebrae: Sequence[Vertebra], bounds: Bounds, spacing: NDArray[np.float64]) -> Extent:
    """Tell which vertebrae are cut through, which are too small to be whole, and which only lose processes.

    The sacrum is passed over: scans often end in it.
    """
    cut, small = {}, {}
    touching: dict[str, float] = {}
    borders: set[str] = set()
    for vertebra in vertebrae:
        if vertebra.level in SACRAL:
            continue
        ends = faces(vertebra, bounds, spacing)
        share = share_of_neighbours(vertebrae, vertebra)
        sliver = share is not None and share < SLIVER
        through = [face for face in ends if face.through_body]
        nearest = min(ends, key=lambda face: (face.distance, -face.mm2))
        part = f"; it has {share:.0%} of its neighbours' volume" if share is not None and sliver else ""
        if through:
            where = " and ".join(_reach(face) for face in through)
            cut[vertebra.level] = f"{where}{part}: leave this level out, or take a scan that shows it whole"
        elif sliver and nearest.distance <= SLIVER_BORDER_MM:
            cut[vertebra.level] = f"{_reach(nearest)}{part}: leave this level out, or take a scan that shows it whole"
        elif sliver:
            small[vertebra.level] = (
                f"{vertebra.mm3 / 1000:.1f} ml, {share:.0%} of its neighbours' volume: look whether the mask is"
                " complete; if it is, the vertebra is collapsed"
            )
        elif at_border := [face for face in ends if face.distance == 0]:
            touching[vertebra.level] = max(face.mm2 for face in at_border)
            borders |= {face.side for face in at_border}
    if not touching:
        return Extent(cut, small, "")
    named = " and ".join(name for pair in _SIDES for name in pair if name in borders)
    border = "borders" if len(borders) > 1 else "border"
    processes = (
        f"{', '.join(touching)}: processes reach the {named} {border} (at most {max(touching.values()):.0f} mm²); the"
        " bodies are whole. Such crops are blank there: fine where all scans are alike, else take a wider field of view"
    )
    return Extent(cut, small, processes)


def _reach(face: Face) -> str:
    if face.distance == 0:
        return f"reaches the scan's {face.side} border over {face.mm2:.0f} mm²"
    return f"ends {face.distance:.1f} mm from the scan's {face.side} border in a face of {face.mm2:.0f} mm²"
