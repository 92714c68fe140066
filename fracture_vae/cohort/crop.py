"""One crop a vertebra from a CT and its vertebra mask, gathered in a ``cohort.csv``."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.case import Case, absolute
from fracture_vae.cohort.geometry import CropGeometry, centred_affine, resample, resample_mask
from fracture_vae.cohort.levels import choose
from fracture_vae.cohort.manifest import read_cohort, write_cohort
from fracture_vae.cohort.volumes import Volume, read_volume, stem, write_nifti
from fracture_vae.errors import InputError

__all__ = ["CUT_OFF", "IMAGE_STEP", "CropGeometry", "crop_vertebrae"]

IMAGE_STEP = 2.0**-15
"""Step of a stored crop, in units of [0, 1]: uint16 with this slope is exact at 0 and 1, 0.06 HU fine for a window
of 1900 HU, and half the size of float32."""

CUT_OFF = "cut_off"
"""Extra column: 1 where the vertebra reaches the scan's upper or lower border, so that part of it may be missing."""

_GRID_TOLERANCE = 1e-3  # of an affine's entries, as masks written by other programs differ in float32


def crop_vertebrae(
    ct_path: str | os.PathLike[str],
    mask_path: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    labels: str = "verse",
    levels: Sequence[str] | None = None,
    size: tuple[int, int, int] = (128, 128, 128),
    spacing: float = 1.0,
    hu_window: tuple[float, float] = (0.0, 1900.0),
    patient_id: str | None = None,
    truth_path: str | os.PathLike[str] | None = None,
    note: str = "",
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> list[Case]:
    """Write one crop a vertebra, centred on the centroid of its mask, and its row in ``out_dir/cohort.csv``.

    A crop lies along the world's R, A and S, zero where it reaches beyond the scan, in [0, 1] after the HU window:
    ``<case>.nii.gz``. Beside it lie the vertebra's own mask, ``<case>_label.nii.gz``, and, with ``truth_path``,
    all anomalies within the crop, ``<case>_truth_label.nii.gz``; the row's label is then 1 where truth and the
    vertebra's own mask overlap and 0 elsewhere. Without truth the label stays empty (unknown). The extra column
    ``cut_off`` is 1 where the vertebra reaches the scan's upper or lower border.

    An existing ``cohort.csv`` keeps the rows of other scans. Rows of the same scan are replaced; what people filled
    in (patient, label, fold, grade, other columns, and the box while the crop has not moved) is carried over.

    Args:
        ct_path: the CT, in HU.
        mask_path: vertebra numbers on the CT's grid (in any storage order).
        out_dir: folder of the cohort.
        labels: ``verse``, ``totalsegmentator`` or a file, see `levels.label_map`.
        levels: the levels to crop; by default all vertebrae in the mask, not the sacrum.
        size: voxels of a crop along R, A and S.
        spacing: of a crop, mm.
        hu_window: the HU mapped to 0 and 1.
        patient_id: by default taken from the CT's name: ``sub-X`` of a BIDS name, or the whole stem.
        truth_path: mask of anomalies on the CT's grid, anything above 0.
        note: what every written header's ``descrip`` opens with, such as that nothing of it was ever a patient.
        progress: wraps the sequence of levels, as tqdm does.

    Returns:
        The cases written, from head to foot.

    Raises:
        InputError: an unreadable file, a mask or truth on another grid, an empty mask, a window or size that cannot
            be, a CT not in HU, a case name another scan already uses. Nothing is written then.
    """
    _check_settings(size, spacing, hu_window)
    ct, mask = read_volume(ct_path), read_volume(mask_path, allow_constant=True)
    _check_same_grid(ct, mask)
    truth = None if truth_path is None else read_volume(truth_path, allow_constant=True)
    if truth is not None:
        _check_same_grid(ct, truth)
    low, high = hu_window
    if ct.array.max() < low + 0.05 * (high - low):
        raise InputError(f"{ct_path}: its brightest voxel is {ct.array.max():g}; give a CT in HU, not a rescaled image")
    chosen = choose(_numbers(mask), labels, levels, str(mask_path))
    table = absolute(out_dir) / "cohort.csv"
    source = absolute(ct_path)
    kept, replaced = _existing_rows(table, source)
    prefix = _prefix(source, patient_id)
    _check_names(table, [f"{prefix}_{level}" for level in chosen], kept)

    cases = []
    for level in progress(list(chosen)):
        own = mask.array == chosen[level]
        geometry = _geometry(ct, own, chosen[level], size, spacing, hu_window)
        case = Case(
            case_id=f"{prefix}_{level}",
            patient_id=patient_id or _patient(source),
            level=level,
            image=table.parent / f"{prefix}_{level}.nii.gz",
            source_image=source,
            crop=geometry.to_json(),
            extra={CUT_OFF: str(int(_cut_off(own)))},
        )
        case = _write_crop(case, geometry, ct, own, truth, note)
        cases.append(_carried_over(case, replaced.get(case.case_id), patient_id))
    write_cohort(table, [*kept, *cases])
    return cases


def _write_crop(
    case: Case, geometry: CropGeometry, ct: Volume, own: NDArray[np.bool_], truth: Volume | None, note: str
) -> Case:
    """Write image and masks of a crop; return the case with the paths and the label they bring."""
    affine = np.asarray(geometry.affine)
    hu = resample(ct.array, ct.affine, affine, geometry.shape, outside=geometry.hu_window[0])
    low, high = geometry.hu_window
    opening = f"{note}; {case.level}" if note else case.level
    write_nifti(
        case.image,
        geometry.window(hu),
        affine,
        descrip=f"{opening} CT, {low:g}..{high:g} HU as 0..1",
        cal_max=1,
        dtype=np.uint16,
        slope=IMAGE_STEP,
    )
    vertebra = case.image.with_name(f"{case.case_id}_label.nii.gz")
    _write_mask(vertebra, resample_mask(own, ct.affine, affine, geometry.shape), affine, f"{opening} vertebra")
    case = replace(case, vertebra_mask=vertebra)
    if truth is None:
        return case
    anomaly = truth.array > 0
    path = case.image.with_name(f"{case.case_id}_truth_label.nii.gz")
    _write_mask(path, resample_mask(anomaly, ct.affine, affine, geometry.shape), affine, f"{opening} anomaly, truth")
    return replace(case, mask=path, label=int((anomaly & own).any()))


def _write_mask(path: Path, mask: NDArray[np.bool_], affine: NDArray[np.float64], descrip: str) -> None:
    write_nifti(path, mask, affine, descrip=descrip, cal_max=1, dtype=np.uint8)


def _geometry(
    ct: Volume,
    own: NDArray[np.bool_],
    number: int,
    size: tuple[int, int, int],
    spacing: float,
    hu_window: tuple[float, float],
) -> CropGeometry:
    voxel = np.array([axis.mean() for axis in np.nonzero(own)])
    centre = ct.affine[:3, :3] @ voxel + ct.affine[:3, 3]
    return CropGeometry(
        label=number,
        shape=size,
        affine=tuple(map(tuple, centred_affine(centre, size, spacing).tolist())),
        source_shape=ct.stored.shape,
        source_affine=tuple(map(tuple, ct.stored.affine.tolist())),
        hu_window=(float(hu_window[0]), float(hu_window[1])),
    )


def _numbers(mask: Volume) -> list[int]:
    values = np.unique(mask.array)
    if (values != np.rint(values)).any() or values[0] < 0:
        raise InputError(f"{mask.stored.path}: holds values that are no labels; give whole numbers from 0, one a level")
    return [int(value) for value in values if value]


def _cut_off(own: NDArray[np.bool_]) -> bool:
    return bool(own[:, :, [0, -1]].any())


def _check_settings(size: tuple[int, int, int], spacing: float, hu_window: tuple[float, float]) -> None:
    if min(size) < 1 or not spacing > 0:
        raise InputError(f"size {size} and spacing {spacing} mm must be above 0")
    if max(size) > 1024 or not 0.05 <= spacing <= 50 or not np.isfinite(hu_window).all():
        raise InputError(f"size {size}, spacing {spacing} mm, HU window {hu_window}: no such crop; try 128 at 1 mm")
    if not hu_window[0] < hu_window[1]:
        raise InputError(f"HU window {hu_window[0]:g} to {hu_window[1]:g} is empty; give the lower end first")


def _check_same_grid(ct: Volume, mask: Volume) -> None:
    same_shape = ct.array.shape == mask.array.shape
    if not same_shape or np.abs(ct.affine - mask.affine).max() > _GRID_TOLERANCE:
        what = "affine" if same_shape else f"size {mask.stored.shape}, not {ct.stored.shape}"
        raise InputError(
            f"{mask.stored.path}: mask on another grid than {ct.stored.path} ({what}); resample it onto the CT"
        )


def _existing_rows(table: Path, source: Path) -> tuple[list[Case], dict[str, Case]]:
    """Return the rows of other scans, and this scan's by case_id."""
    if not table.exists():
        return [], {}
    kept, replaced = [], {}
    for case in read_cohort(table).cases:
        if case.source_image is not None and os.path.realpath(case.source_image) == os.path.realpath(source):
            replaced[case.case_id] = case
        else:
            kept.append(case)
    return kept, replaced


def _check_names(table: Path, names: Sequence[str], kept: Sequence[Case]) -> None:
    for case in kept:
        if case.case_id in names:
            raise InputError(
                f"{table}: row {case.row} is a case '{case.case_id}' of another scan; give this scan a patient id "
                "or a file name of its own"
            )


def _carried_over(case: Case, old: Case | None, patient_id: str | None) -> Case:
    if old is None:
        return case
    return replace(
        case,
        patient_id=patient_id or old.patient_id,
        label=old.label if case.label is None else case.label,
        fold=old.fold,
        box=old.box if old.crop == case.crop else None,
        mask=case.mask or (old.mask if old.crop == case.crop else None),
        genant_grade=old.genant_grade,
        genant_type=old.genant_type,
        extra={**old.extra, **case.extra},
    )


def _prefix(source: Path, patient_id: str | None) -> str:
    """Return what a scan's case names start with: its file's stem, preceded by a patient id it lacks."""
    name = stem(source)
    if patient_id is not None and not name.startswith(patient_id):
        name = f"{patient_id}_{name}"
    return re.sub(r"[^\w.+-]", "_", name).lstrip(".")


def _patient(source: Path) -> str:
    """Return ``sub-X`` of a BIDS name, so that a patient's scans share a fold, else the file's stem."""
    match = re.match(r"sub-[A-Za-z0-9]+(?=_)", source.name)
    return match.group() if match else stem(source)
