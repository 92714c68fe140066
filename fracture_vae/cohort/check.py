"""Whether a cohort is sound: no patient, image or scan in two folds, the hold-out as locked, geometry that fits.

`read_cohort` stops at the first mistake and opens no image. This reads every image and lists every mistake.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from fracture_vae.cohort.balance import by_level, gaps, level_auroc, normals_to_train, summary
from fracture_vae.cohort.case import HOLDOUT, REQUIRED, Case, absolute, parse_case, rows_of
from fracture_vae.cohort.content import image_hash, turned, value_key, voxel_hash
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.holdout import content_problems, patient_problems, read_lock
from fracture_vae.cohort.manifest import read_table
from fracture_vae.cohort.origin import original
from fracture_vae.cohort.problems import (
    case_problems,
    in_two_folds,
    rows_and_folds,
    scan_problems,
    spelling_problems,
)
from fracture_vae.cohort.volumes import Stored, read_stored, read_volume
from fracture_vae.errors import InputError

A = TypeVar("A")
B = TypeVar("B")

_GRID_TOLERANCE = 1e-3  # mm, of an affine's entries: headers hold float32
_SOURCES_AT_ONCE = 2  # a whole CT takes a gigabyte or two while it is read


@dataclass(frozen=True)
class Report:
    """What `check_table` found.

    Args:
        path: the table.
        cases: rows that could be read.
        problems: mistakes, a line each; none means that the cohort is sound.
        warnings: what is not wrong but limits what can be said.
    """

    path: Path
    cases: tuple[Case, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Return what each fold holds, and the verdict."""
        count = len(self.problems)
        verdict = f"{count} problem{'s' if count > 1 else ''}" if count else f"{len(self.cases)} cases, no problem"
        return f"{summary(self.cases, self.warnings)}\n{self.path}: {verdict}"

    def as_dict(self) -> dict[str, Any]:
        """Return the report ready for ``json.dump``."""
        return {
            "table": str(self.path),
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "counts": by_level(self.cases),
            "normals_to_train": normals_to_train(self.cases),
            "level_auroc": level_auroc(self.cases),
        }


class _Looked(NamedTuple):
    """What one row's files gave: `voxel_hash` and `value_key` of the image, if readable, and what is wrong."""

    content: str | None
    values: str | None
    problems: tuple[str, ...]


def check_table(path: str | os.PathLike[str]) -> Report:
    """Read a table and every image, mask header and source scan it names, several at once, and list what is wrong.

    Raises:
        InputError: the file is no table at all, or its hold-out's lock cannot be read.
    """
    file = absolute(path)
    cases, problems = _rows(file)
    lock = read_lock(file)
    problems += case_problems(cases)
    problems += spelling_problems(cases)
    problems += scan_problems(cases)
    if lock is not None:
        problems += patient_problems(lock, cases)
    looked = list(_map(_look, cases, "images", os.cpu_count() or 1))
    problems += chain.from_iterable(one.problems for one in looked)
    hashes = {case.image: one.content for case, one in zip(cases, looked, strict=True) if one.content}
    problems += _one_image(cases, hashes)
    problems += _turned_images(cases, {c.image: one.values for c, one in zip(cases, looked, strict=True)}, hashes)
    problems += _copied_sources(cases)
    if lock is not None:
        problems += content_problems(lock, cases, hashes)
    warnings = gaps(cases)
    if lock is None and any(case.fold == HOLDOUT for case in cases):
        warnings.append(f"the hold-out is not locked; fracture-vae cohort split {file.name} locks it")
    return Report(file, tuple(cases), tuple(problems), tuple(warnings))


def _rows(file: Path) -> tuple[list[Case], list[str]]:
    cases, problems = [], []
    for row, fields in read_table(file, REQUIRED):
        try:
            cases.append(parse_case(fields, file.parent, f"row {row}", row))
        except InputError as error:
            problems.append(str(error))
    return cases, problems


def _look(case: Case) -> _Looked:
    where = f"row {case.row}"
    try:
        volume = read_volume(case.image)
    except InputError as error:
        return _Looked(None, None, (f"{where}: {error}",))
    problems = chain(_masks(case, volume.stored, where), _box(case, volume.stored, where), _crop(case, volume.stored))
    return _Looked(voxel_hash(volume), value_key(volume), tuple(problems))


def _masks(case: Case, image: Stored, where: str) -> Iterator[str]:
    for column, path in (("mask", case.mask), ("vertebra_mask", case.vertebra_mask)):
        if path is None:
            continue
        try:
            mask = read_stored(path)
        except InputError as error:
            yield f"{where}: {column}: {error}"
            continue
        if mask.ras_shape != image.ras_shape:
            yield f"{where}: {column} {path.name} is {mask.ras_shape}, the image {image.ras_shape}; make it anew"


def _box(case: Case, image: Stored, where: str) -> Iterator[str]:
    if case.box and any(end > size for end, size in zip(case.box.upper, image.shape, strict=True)):
        yield f"{where}: box {case.box} reaches beyond the image's {image.shape} voxels; correct it"


def _crop(case: Case, image: Stored) -> Iterator[str]:
    """Yield where the crop column does not lead from the image to its source."""
    where = f"row {case.row}"
    if not case.crop:
        return
    try:
        geometry = CropGeometry.from_json(case.crop, where)
        source = read_stored(case.source_image) if case.source_image and case.source_image.is_file() else None
    except InputError as error:
        yield str(error) if str(error).startswith(where) else f"{where}: source_image: {error}"
        return
    own_grid = _alike(geometry.affine, image.ras_affine) or image.path.name.lower().endswith(".npy")
    if geometry.shape != image.ras_shape or not own_grid:
        yield f"{where}: crop describes another grid than {image.path.name} has; crop again"
    if source is not None and not (
        geometry.source_shape == source.shape and _alike(geometry.source_affine, source.affine)
    ):
        yield f"{where}: crop was not taken from {source.path.name}: its size or place differs; crop again"


def _alike(affine: object, other: object) -> bool:
    return bool(np.allclose(np.asarray(affine), np.asarray(other), rtol=0, atol=_GRID_TOLERANCE))


def _one_image(cases: Sequence[Case], hashes: Mapping[Path, str]) -> Iterator[str]:
    """Yield rows whose files hold the same image; one file under two names is told already."""
    for own in _groups(cases, lambda case: hashes.get(case.image)):
        if len({os.path.realpath(case.image) for case in own}) > 1:
            yield f"{rows_and_folds(own)} hold the same image ({_names(own)}); keep one row"


def _turned_images(cases: Sequence[Case], values: Mapping[Path, str | None], hashes: Mapping[Path, str]) -> list[str]:
    """Return rows that hold the same image turned or mirrored, found by their values and then compared."""
    problems = []
    for own in _groups(cases, lambda case: values[case.image]):
        distinct = list({hashes[case.image]: case for case in reversed(own)}.values())[::-1]
        arrays = [read_volume(case.image).array for case in distinct] if len(distinct) > 1 else []
        for (one, first), (other, second) in combinations(zip(distinct, arrays, strict=False), 2):
            if turned(first, second):
                pair = sorted((one, other), key=lambda case: case.row)
                problems.append(
                    f"{rows_and_folds(pair)} hold the same image, turned or mirrored ({_names(pair)}); keep one row"
                )
    return problems


def _copied_sources(cases: Sequence[Case]) -> list[str]:
    """Return which scans are one, in two files or broken by simulation, in two folds; absent ones are passed over."""
    by_path: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.source_image is not None and case.source_image.is_file():
            by_path[os.path.realpath(case.source_image)].append(case)
    problems = []
    by_content: dict[str, list[str]] = defaultdict(list)
    looked = _map(_hash, list(by_path), "source scans", _SOURCES_AT_ONCE)
    for path, (content, problem) in zip(by_path, looked, strict=True):
        if content is None:
            problems.append(f"{rows_of(by_path[path])}: source_image: {problem}")
        else:
            by_content[content].append(path)
    for paths in by_content.values():
        own = [case for path in paths for case in by_path[path]]
        if len(paths) > 1 and in_two_folds(own):
            names = ", ".join(Path(path).name for path in paths)
            copies = f"were cropped from copies of one scan, whole or broken ({names})"
            problems.append(f"{rows_and_folds(own)} {copies}; keep one fold")
    return problems


def _hash(path: str) -> tuple[str | None, str]:
    try:
        return original(path) or image_hash(path), ""
    except InputError as error:
        return None, str(error)


def _map(function: Callable[[A], B], items: Sequence[A], what: str, workers: int) -> Iterator[B]:
    with ThreadPoolExecutor(workers) as pool:
        yield from tqdm(pool.map(function, items), what, len(items), leave=False, unit="file", disable=not items)


def _groups(cases: Iterable[Case], key: Callable[[Case], Hashable]) -> list[list[Case]]:
    """Return the groups, of two cases or more, of which ``key`` says the same; None is no group."""
    groups: dict[Hashable, list[Case]] = defaultdict(list)
    for case in cases:
        groups[key(case)].append(case)
    return [own for name, own in groups.items() if name is not None and len(own) > 1]


def _names(cases: Sequence[Case]) -> str:
    return ", ".join(dict.fromkeys(case.image.name for case in cases))
