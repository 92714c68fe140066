"""Whether the mask's labels, and the centroids beside it, can be true of a spine."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from fracture_vae.cohort.levels import ANATOMICAL, SACRAL
from fracture_vae.cohort.volumes import Volume
from fracture_vae.preparation.vertebra import Vertebra

ORDER_MM = 5.0
"""How far a lower level's centroid must lie above an upper one's to count: neighbours lie 15 to 40 mm apart."""
GAP_MM = 20.0
"""Neighbours' masks touch at the facets or lie a disc apart (up to 15 mm); further means another level between."""
PIECE_MM = 10.0
PIECE_MM3 = 100.0
"""A second piece this far off and this large is no speck or detached osteophyte: it moves the centroid or is part of
another vertebra."""
CENTROID_MM = 10.0
"""A centroid marks the body, which may be up to some millimetres off the mask in the canal, but not more."""
_THINNED = 5000  # points a vertebra for distances: under 2 mm apart

_ALWAYS = [level for level in ANATOMICAL if level not in ("T13", "L6", *SACRAL)]


def order(vertebrae: Sequence[Vertebra]) -> dict[str, str]:
    """Tell which labels are not in order from head to foot, by level; under "" where it cannot be put on a few."""
    known = [vertebra for vertebra in vertebrae if vertebra.level in ANATOMICAL]
    heights = [float(vertebra.centroid[2]) for vertebra in known]
    if _descends(heights):
        return {}
    names = [vertebra.level for vertebra in known]
    if len(names) > 2 and _descends(heights[::-1]):
        return {"": f"{names[0]} lies lowest and {names[-1]} highest: the mask is numbered from foot to head, or the"
                    " wrong label map was named"}  # fmt: skip
    for i, j in combinations(range(len(known)), 2):
        exchanged = heights[:]
        exchanged[i], exchanged[j] = heights[j], heights[i]
        if _descends(exchanged):
            apart = abs(heights[i] - heights[j])
            return {
                names[i]: f"lies {apart:.0f} mm below {names[j]}: swap the labels {names[i]} and {names[j]}",
                names[j]: f"lies {apart:.0f} mm above {names[i]}: swap the labels {names[i]} and {names[j]}",
            }
    found = ", ".join(names[i] for i in np.argsort(heights)[::-1])
    return {"": f"from head to foot the labels run {found}: correct the mask"}


def _descends(heights: Sequence[float]) -> bool:
    return all(below <= above + ORDER_MM for above, below in pairwise(heights))


def missing(vertebrae: Sequence[Vertebra]) -> dict[str, str]:
    """Tell which levels are missing between the uppermost and the lowest one, and whether there is room for them."""
    present = [vertebra for vertebra in vertebrae if vertebra.level in _ALWAYS]
    ranks = [_ALWAYS.index(vertebra.level) for vertebra in present]
    steps = [_distance(a, b) for (a, b), (r, s) in zip(pairwise(present), pairwise(ranks), strict=True) if s == r + 1]
    found = {}
    for (above, below), (upper, lower) in zip(pairwise(present), pairwise(ranks), strict=True):
        apart = _distance(above, below)
        room = f"{above.level} and {below.level} lie {apart:.0f} mm apart"
        if steps:
            full = apart > 1.5 * float(np.median(steps))
            room += f", neighbours here {np.median(steps):.0f} mm: "
            room += "it is there but has no label; label it" if full else "no room for it; are the numbers one off?"
        else:
            room += ": label it, or correct the numbers"
        found.update(dict.fromkeys(_ALWAYS[upper + 1 : lower], room))
    return found


def apart(vertebrae: Sequence[Vertebra], affine: NDArray[np.float64]) -> dict[str, str]:
    """Tell which levels that follow each other by name do not lie next to each other."""
    found = {}
    known = [vertebra for vertebra in vertebrae if vertebra.level in _ALWAYS]
    for above, below in pairwise(known):
        if _ALWAYS.index(below.level) != _ALWAYS.index(above.level) + 1:
            continue
        tree = cKDTree(above.points(affine, _THINNED))
        gap = float(tree.query(below.points(affine, _THINNED))[0].min())
        if gap > GAP_MM:
            found[below.level] = (
                f"its mask begins {gap:.0f} mm from {above.level}'s: a vertebra between has no label, or the mask of"
                " one is incomplete"
            )
    return found


def pieces(vertebrae: Sequence[Vertebra], affine: NDArray[np.float64]) -> dict[str, str]:
    """Tell which labels lie in several places."""
    voxel = abs(float(np.linalg.det(affine[:3, :3])))
    found = {}
    for vertebra in vertebrae:
        parts, count = ndimage.label(vertebra.own, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:] * voxel
        large = [index for index in range(count) if sizes[index] >= PIECE_MM3]
        if len(large) < 2:
            continue
        main = int(np.argmax(sizes))
        tree = cKDTree(vertebra._replace(own=parts == main + 1).points(affine))
        far = []
        for index in large:
            gap = float(tree.query(vertebra._replace(own=parts == index + 1).points(affine))[0].min())
            if index != main and gap > PIECE_MM:
                far.append((sizes[index], gap))
        if far:
            told = " and ".join(f"{size / 1000:.1f} ml {gap:.0f} mm away" for size, gap in far)
            found[vertebra.level] = (
                f"besides the main piece of {sizes[main] / 1000:.1f} ml there lie {told}: erase them"
            )
    return found


def stray_centroids(
    vertebrae: Sequence[Vertebra], mask: Volume, given: Mapping[str, tuple[float, float, float]]
) -> dict[str, str]:
    """Tell which given centroids (world mm, RAS) are not where their mask is; under "" where none is."""
    by_number = {vertebra.number: vertebra.level for vertebra in vertebrae}
    inverse = np.linalg.inv(mask.affine)
    checked = [vertebra for vertebra in vertebrae if vertebra.level in given]
    found, distances = {}, []
    for vertebra in checked:
        point = np.asarray(given[vertebra.level], dtype=np.float64)
        gap = float(cKDTree(vertebra.points(mask.affine)).query(point)[0])
        voxel = np.rint(inverse[:3, :3] @ point + inverse[:3, 3]).astype(int)
        inside = bool((voxel >= 0).all() and (voxel < mask.array.shape).all())
        there = by_number.get(int(mask.array[tuple(voxel)])) if inside else None
        if there not in (None, vertebra.level):
            found[vertebra.level] = f"the given centroid lies in {there}'s mask: one of the two files is misnumbered"
        elif gap > CENTROID_MM:
            found[vertebra.level] = f"the given centroid lies {gap:.0f} mm off its mask: check the file's axes and unit"
        if vertebra.level in found:
            distances.append(gap)
    if len(found) == len(checked) > 1:
        middle = float(np.median(distances))
        return {"": f"all {len(checked)} given centroids are off their masks (by {middle:.0f} mm in the median): they"
                    " belong to another scan, or the file's axes, unit or numbers are not what it says"}  # fmt: skip
    return found


def _distance(a: Vertebra, b: Vertebra) -> float:
    return float(np.linalg.norm(a.centroid - b.centroid))
