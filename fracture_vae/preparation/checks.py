"""What looks wrong with a scan before it enters a study.

A clean scan gives an empty list: each check would rather say nothing than cry wolf. The thresholds are constants
with their reasons in `extent`, `labels`, `intensity` and `side`; the kinds' names are in `kinds`.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from fracture_vae.cohort.volumes import Volume
from fracture_vae.preparation import kinds
from fracture_vae.preparation.extent import field_of_view, missing_parts
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.intensity import NOISE_HU, metal, noise, not_hu
from fracture_vae.preparation.labels import apart, missing, order, pieces, stray_centroids
from fracture_vae.preparation.side import aorta_on_right, liver_on_left
from fracture_vae.preparation.vertebra import measure

SPACING_MM = 3.0
"""A vertebra is 20 to 30 mm high: with slices further apart, the loss of a quarter of it, Genant's grade 1, is under
two slices."""

_AXES = ("left to right", "back to front", "foot to head")


def check_scan(
    patient_id: str,
    scan: str,
    ct: Volume,
    mask: Volume,
    levels: Mapping[str, int],
    centroids: Mapping[str, tuple[float, float, float]] | None = None,
) -> list[Finding]:
    """Return what a person should look at, serious kinds first.

    Args:
        patient_id: whose scan it is.
        scan: the CT's stem.
        ct: in HU.
        mask: vertebra numbers on the CT's grid.
        levels: by level, its number in the mask; all levels the mask holds, or those left out count as missing.
        centroids: by level, the centroid another file gives, world mm (RAS).
    """
    vertebrae = measure(mask, levels)
    if not vertebrae:
        return []
    spacing = voxel_sizes(ct.affine)
    told: list[tuple[str, Mapping[str, str]]] = []
    extent = missing_parts(vertebrae, field_of_view(ct.array), spacing)
    swapped = order(vertebrae)
    told.append((kinds.ORDER, swapped))
    told.append((kinds.CUT, extent.cut))
    told.append((kinds.SIDE, _whole(liver_on_left(ct, mask, vertebrae) or aorta_on_right(ct, mask, vertebrae))))
    wrong_scale = not_hu(ct.array, vertebrae)
    told.append((kinds.INTENSITY, _whole(wrong_scale)))
    if not swapped:
        told.append((kinds.APART, apart(vertebrae, mask.affine)))
        told.append((kinds.MISSING, missing(vertebrae)))
    told.append((kinds.CENTROID, stray_centroids(vertebrae, mask, centroids or {})))
    whole = [vertebra for vertebra in vertebrae if vertebra.level not in extent.cut]  # a cut one falls into pieces
    told.append((kinds.PIECES, pieces(whole, mask.affine)))
    told.append((kinds.SMALL, extent.small))
    told.append((kinds.PROCESSES, _whole(extent.processes)))
    told.append((kinds.SPACING, _whole(coarse(spacing))))
    if not wrong_scale:
        told.append((kinds.METAL, metal(ct.array, vertebrae, ct.affine)))
        told.append((kinds.NOISE, _whole(_noisy(noise(ct.array, vertebrae)))))
    findings = [
        Finding(patient_id, scan, level, kind, detail) for kind, found in told for level, detail in found.items()
    ]
    return sorted(findings, key=lambda finding: not kinds.is_serious(finding.kind))


def coarse(spacing: NDArray[np.float64]) -> str:
    """Tell along which axes voxels are further apart than `SPACING_MM`, or return an empty text."""
    wide = [f"{spacing[axis]:.2f} mm {_AXES[axis]}" for axis in range(3) if spacing[axis] > SPACING_MM + 1e-3]
    if not wide:
        return ""
    return (
        f"voxels are {' and '.join(wide)}, above {SPACING_MM:g} mm: low fractures vanish; take a thinner reconstruction"
    )


def content_hash(ct: Volume) -> str:
    """Return a hash of what an image shows: its size and its voxels in RAS order, rounded to whole HU.

    One image gives one hash as ``.nii``, ``.nii.gz`` or ``.npy``, under any name and in any storage order.
    """
    digest = hashlib.sha256(repr(ct.array.shape).encode())
    for plane in ct.array:
        digest.update(np.rint(plane).astype("<i4").tobytes())
    return digest.hexdigest()


def duplicates(hashes: Mapping[tuple[str, str], str]) -> list[Finding]:
    """Return a finding for every scan whose image an earlier one already shows.

    Args:
        hashes: by patient and scan, the image's `content_hash`.
    """
    first: dict[str, tuple[str, str]] = {}
    findings = []
    for (patient_id, scan), content in sorted(hashes.items()):
        if content not in first:
            first[content] = (patient_id, scan)
            continue
        other_patient, other_scan = first[content]
        if other_patient == patient_id:
            detail = f"the same image as {other_scan} of this patient: remove one"
        else:
            detail = (
                f"the same image as {other_scan} of patient {other_patient}: one of the two names is wrong, and folds"
                " would share an image; find out whose it is"
            )
        findings.append(Finding(patient_id, scan, "", kinds.DUPLICATE, detail))
    return findings


def _noisy(sigma: float | None) -> str:
    if sigma is None or sigma <= NOISE_HU:
        return ""
    return f"noise of {sigma:.0f} HU in soft tissue (standard deviation): take a softer kernel or thicker slices"


def _whole(detail: str) -> dict[str, str]:
    return {"": detail} if detail else {}
