"""A ``cohort.csv`` from a folder of volumes: any study, not only spines."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fracture_vae.cohort.case import Case, absolute, parse_case
from fracture_vae.cohort.manifest import check_cases, read_table, write_cohort
from fracture_vae.cohort.split import assign_folds
from fracture_vae.cohort.volumes import is_volume, stem
from fracture_vae.errors import InputError, nearest

_MASK_NAME = re.compile(r"_(label|seg|mask|msk)", re.IGNORECASE)
_MASK_FOLDER = re.compile(r"(labels|masks|segmentations)", re.IGNORECASE)
_PATHS = ("mask", "vertebra_mask", "source_image")


def cohort_from_folder(
    folder: str | os.PathLike[str],
    labels_csv: str | os.PathLike[str] | None = None,
    *,
    masks: str | os.PathLike[str] | None = None,
    k: int = 5,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a ``cohort.csv`` over all volumes below a folder and return its path.

    A volume's case is its file's stem and, unless the labels say otherwise, a patient of its own. Files that name
    themselves masks (``_label``, ``_seg``, ``_mask``) and folders of such (``labels…``, ``masks…``) are passed over:
    a mask is taken as truth only where ``masks`` says so. Patients without a fold are dealt out over k folds.

    Args:
        folder: with ``.nii``, ``.nii.gz`` or ``.npy`` volumes, in any depth; links are followed.
        labels_csv: columns ``case_id`` or ``image`` (only its file name counts), ``label`` and any other of a
            cohort; paths are relative to it. A volume it does not list is of unknown label. Without it all
            volumes are normal.
        masks: folder of voxel truth of the anomaly, files named as the images.
        k: number of folds.
        seed: of the shuffle that deals patients out.
        out: the table to write, by default ``cohort.csv`` in the folder.

    Raises:
        InputError: no such folder or no volumes in it, a loop of links, two files of one stem, a labels row that
            names no volume, values a cohort cannot hold, too few patients, or a table that is already there.
            Nothing is written then.
    """
    top = absolute(folder)
    table = absolute(out) if out is not None else top / "cohort.csv"
    if not top.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    if table.exists():
        raise InputError(f"{table}: is there already; remove it or name another with --out")
    truth = _truth(masks)
    inside = set(truth.values())
    images = _by_stem(
        path for path in _volumes(top, frozenset()) if path not in inside and not _MASK_NAME.search(path.name)
    )
    if not images:
        raise InputError(f"{folder}: holds no volumes; put .nii.gz, .nii or .npy files there")
    if masks is not None and not truth.keys() & images.keys():
        raise InputError(f"{masks}: no mask there is named as an image; give both the same file names")
    labels = _labels(absolute(labels_csv), images) if labels_csv is not None else {}
    cases = [
        _case(image, truth.get(name), labels.get(name, (str(image), 0, {})), "0" if labels_csv is None else "")
        for name, image in images.items()
    ]
    check_cases(absolute(labels_csv) if labels_csv is not None else top, cases)
    if any(not case.fold for case in cases):
        cases = assign_folds(cases, k, seed)
    write_cohort(table, cases)
    return table


def _case(image: Path, mask: Path | None, labels: tuple[str, int, Mapping[str, str]], label: str) -> Case:
    """Return an image's case from its (place, row, fields) in the labels table; paths in it are absolute."""
    where, row, given = labels
    filled = {name: value.strip() for name, value in given.items() if value.strip()}
    case_id = filled.get("case_id", stem(image))
    fields = {
        **given,
        "case_id": case_id,
        "patient_id": filled.get("patient_id", case_id),
        "label": filled.get("label", label),
        "image": str(image),
    }
    if mask is not None:
        fields["mask"] = str(mask)
    return parse_case(fields, image.parent, where, row)


def _labels(file: Path, images: Mapping[str, Path]) -> dict[str, tuple[str, int, Mapping[str, str]]]:
    """Return each labels row as (place, row, fields) by the stem of the image it speaks of."""
    records = read_table(file, ("label",))
    found: dict[str, tuple[str, int, Mapping[str, str]]] = {}
    for row, fields in records:
        name = stem(fields.get("image", "").strip()) or fields.get("case_id", "").strip()
        if not name:
            raise InputError(f"{file}: row {row} names neither 'case_id' nor 'image'; fill one of these columns")
        if name not in images:
            raise InputError(f"{file}: row {row} names '{name}', which is no volume there{nearest(name, images)}")
        if name in found:
            raise InputError(f"{file}: rows {found[name][1]} and {row} both name '{name}'; keep one")
        paths = {key: str(file.parent / fields[key].strip()) for key in _PATHS if fields.get(key, "").strip()}
        found[name] = (f"{file}: row {row}", row, fields | paths)
    return found


def _truth(masks: str | os.PathLike[str] | None) -> dict[str, Path]:
    if masks is None:
        return {}
    if not Path(masks).is_dir():
        raise InputError(f"{masks}: no such folder of masks; check the path")
    return _by_stem(_volumes(absolute(masks), frozenset()))


def _by_stem(paths: Iterator[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if stem(path) in found:
            raise InputError(f"{found[stem(path)]} and {path} both make the case '{stem(path)}'; rename one")
        found[stem(path)] = path
    return found


def _volumes(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yield the volumes below a folder by name; ``above`` holds the real paths of the folders it lies in."""
    real = os.path.realpath(folder)
    if real in above:
        raise InputError(f"{folder}: a link back to a folder above it; remove the link")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); check the link or its permissions") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not _MASK_FOLDER.match(entry.name):
            yield from _volumes(entry, above | {real})
        elif is_volume(entry) and entry.is_file():
            yield entry
