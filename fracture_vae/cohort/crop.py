"""One crop a vertebra from a CT and its vertebra mask, gathered in a ``cohort.csv``."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.alone import in_turn
from fracture_vae.cohort.boxes import SLICES, belonging, box_of, slices_of
from fracture_vae.cohort.case import Case, absolute
from fracture_vae.cohort.earlier import carried_over, check_names, existing_rows
from fracture_vae.cohort.geometry import CropGeometry, centred_affine, resample, resample_mask
from fracture_vae.cohort.inputs import check_volumes, label_numbers
from fracture_vae.cohort.levels import choose, label_map
from fracture_vae.cohort.manifest import write_cohort
from fracture_vae.cohort.naming import Naming
from fracture_vae.cohort.nifti import description
from fracture_vae.cohort.volumes import Volume, read_volume, write_nifti
from fracture_vae.errors import InputError

__all__ = [
    "CUT_OFF", "IMAGE_STEP", "CropGeometry", "CropSettings", "Vertebrae", "crop_scan", "crop_vertebrae",
]  # fmt: skip

IMAGE_STEP = 2.0**-15
"""Step of a stored crop, in units of [0, 1]: uint16 with this slope is exact at 0 and 1, 0.06 HU fine for a window
of 1900 HU, and half the size of float32."""

CUT_OFF = "cut_off"
"""Extra column: 1 where the vertebra reaches the scan's upper or lower border, so that part of it may be missing."""


@dataclass(frozen=True)
class CropSettings:
    """How crops are cut.

    Args:
        size: voxels of a crop along R, A and S.
        spacing: of a crop, mm.
        hu_window: the HU mapped to 0 and 1.

    Raises:
        InputError: a size, spacing or window that cannot be.
    """

    size: tuple[int, int, int] = (128, 128, 128)
    spacing: float = 1.0
    hu_window: tuple[float, float] = (0.0, 1900.0)

    def __post_init__(self) -> None:
        size, spacing, window = self.size, self.spacing, self.hu_window
        if min(size) < 1 or not spacing > 0:
            raise InputError(f"size {size} and spacing {spacing} mm must be above 0")
        if max(size) > 1024 or not 0.05 <= spacing <= 50 or not np.isfinite(window).all():
            raise InputError(f"size {size}, spacing {spacing} mm, HU window {window}: no such crop; try 128 at 1 mm")
        if not window[0] < window[1]:
            raise InputError(f"HU window {window[0]:g} to {window[1]:g} is empty; give the lower end first")


class Vertebrae(NamedTuple):
    """A vertebra mask on the CT's grid, the levels it holds with their numbers, and those to crop, head to foot."""

    mask: Volume
    present: Mapping[str, int]
    wanted: tuple[str, ...]

    @classmethod
    def of(cls, mask: Volume, labels: str, wanted: Sequence[str] | None = None) -> "Vertebrae":
        """Read the levels of a mask; ``labels`` and ``wanted`` as for `levels.choose`, which raises InputError."""
        numbers = label_numbers(mask)
        chosen = choose(numbers, labels, wanted, str(mask.stored.path))
        levels = label_map(labels)
        return cls(mask, {levels[number]: number for number in numbers if number in levels}, tuple(chosen))


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
    """Write the crops of one scan, see `crop_scan`, and their rows in ``out_dir/cohort.csv``.

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
    settings = CropSettings(size, spacing, hu_window)
    ct, mask = read_volume(ct_path), read_volume(mask_path, allow_constant=True)
    truth = None if truth_path is None else read_volume(truth_path, allow_constant=True)
    check_volumes(ct, mask, truth, settings.hu_window)
    vertebrae = Vertebrae.of(mask, labels, levels)
    table = absolute(out_dir) / "cohort.csv"
    naming = Naming.of(absolute(ct_path), patient_id, note)
    names = [f"{naming.prefix}_{level}" for level in vertebrae.wanted]
    check_names(table, names, existing_rows(table, naming.source)[0])
    written = crop_scan(ct, vertebrae, truth, table.parent, naming, settings, progress)
    with in_turn(table.parent):
        kept, replaced = existing_rows(table, naming.source)  # another scan may have been cropped meanwhile
        check_names(table, names, kept)
        cases = [carried_over(case, replaced.get(case.case_id), patient_id) for case in written]
        write_cohort(table, [*kept, *cases])
    return cases


def crop_scan(
    ct: Volume,
    vertebrae: Vertebrae,
    truth: Volume | None,
    folder: Path,
    naming: Naming,
    settings: CropSettings,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> list[Case]:
    """Write one crop a vertebra, centred on the centroid of its mask; no table is touched.

    A crop lies along the world's R, A and S, zero where it reaches beyond the scan, in [0, 1] after the HU window:
    ``<case>.nii.gz``. Beside it lie the vertebra's own mask, ``<case>_label.nii.gz``, and, with ``truth``,
    all anomalies within the crop, ``<case>_truth_label.nii.gz``; the row's label is then 1 where truth and the
    vertebra's own mask overlap and 0 elsewhere, and an abnormal vertebra's row has the box of the truth that belongs
    to it (`boxes.belonging`) and its axial slices. Without truth the label stays empty (unknown). The extra column
    ``cut_off`` is 1 where the vertebra reaches the scan's upper or lower border. A simulated scan's crops say in their
    headers that they are no patient's, as the scan's does.

    Args:
        ct: in HU.
        vertebrae: the mask, what it holds and what to crop.
        truth: anomalies (above 0) on the CT's grid, or None.
        folder: where the files go.
        naming: how they are called.
        settings: size, spacing, window.
        progress: wraps the sequence of levels, as tqdm does.
    """
    cases = []
    array, numbers = vertebrae.mask.array, vertebrae.present
    note = naming.note or _no_patients(ct)
    for level in progress(vertebrae.wanted):
        own = array == numbers[level]
        geometry = _geometry(ct, own, numbers[level], settings)
        case = Case(
            case_id=f"{naming.prefix}_{level}",
            patient_id=naming.patient_id,
            level=level,
            image=folder / f"{naming.prefix}_{level}.nii.gz",
            source_image=naming.source,
            crop=geometry.to_json(),
            extra={CUT_OFF: str(int(_cut_off(own)))},
        )
        opening = f"{note}; {level}" if note else level
        case = _write_crop(case, geometry, ct, own, opening)
        if truth is not None:
            others = np.isin(array, [number for name, number in numbers.items() if name != level])
            case = _write_truth(case, geometry, truth, own, others, opening)
        cases.append(case)
    return cases


def _write_crop(case: Case, geometry: CropGeometry, ct: Volume, own: NDArray[np.bool_], opening: str) -> Case:
    """Write image and own mask of a crop; return the case with the mask's path.

    A sliver at the scan's border may have no voxel in a coarse crop; it then has no mask.
    """
    affine = np.asarray(geometry.affine)
    hu = resample(ct.array, ct.affine, affine, geometry.shape, outside=geometry.hu_window[0])
    low, high = geometry.hu_window
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
    mask = resample_mask(own, ct.affine, affine, geometry.shape)
    if not mask.any():
        return case
    _write_mask(vertebra, mask, affine, f"{opening} vertebra")
    return replace(case, vertebra_mask=vertebra)


def _write_truth(
    case: Case,
    geometry: CropGeometry,
    truth: Volume,
    own: NDArray[np.bool_],
    others: NDArray[np.bool_],
    opening: str,
) -> Case:
    """Write the anomalies within a crop; return the case with their path, its label and its weak box."""
    affine = np.asarray(geometry.affine)
    anomaly = truth.array > 0
    truth_here, own_here, others_here = (
        resample_mask(mask, truth.affine, affine, geometry.shape) for mask in (anomaly, own, others)
    )
    path = case.image.with_name(f"{case.case_id}_truth_label.nii.gz")
    _write_mask(path, truth_here, affine, f"{opening} anomaly, truth")
    case = replace(case, mask=path, label=int((anomaly & own).any()))
    box = box_of(belonging(truth_here, own_here, others_here, np.diag(affine)[:3])) if case.label else None
    return case if box is None else replace(case, box=box, extra={**case.extra, SLICES: slices_of(box)})


def _write_mask(path: Path, mask: NDArray[np.bool_], affine: NDArray[np.float64], descrip: str) -> None:
    write_nifti(path, mask, affine, descrip=descrip, cal_max=1, dtype=np.uint8)


def _no_patients(ct: Volume) -> str:
    """Return what the scan's header says of not being a patient's, as simulated ones do, so that crops say it too."""
    parts = description(ct.stored.path).split("; ")
    return next((part for part in parts if "not a patient" in part), "")


def _geometry(ct: Volume, own: NDArray[np.bool_], number: int, settings: CropSettings) -> CropGeometry:
    voxel = np.array([axis.mean() for axis in np.nonzero(own)])
    centre = ct.affine[:3, :3] @ voxel + ct.affine[:3, 3]
    low, high = settings.hu_window
    return CropGeometry(
        label=number,
        shape=settings.size,
        affine=tuple(map(tuple, centred_affine(centre, settings.size, settings.spacing).tolist())),
        source_shape=ct.stored.shape,
        source_affine=tuple(map(tuple, ct.stored.affine.tolist())),
        hu_window=(float(low), float(high)),
    )


def _cut_off(own: NDArray[np.bool_]) -> bool:
    return bool(own[:, :, [0, -1]].any())
