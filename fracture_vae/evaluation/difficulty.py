"""How far a study can be solved without learning anatomy: simple baselines, out of fold, beside a cohort.

A fracture study is too easy when a fixed intensity threshold or a mean template finds its fractures, and misleading
when the level alone does. Each is scored on the crops themselves and compared overall, by grade and within levels.
"""

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.geometry import CropGeometry, within_reach
from fracture_vae.cohort.levels import in_order
from fracture_vae.cohort.manifest import HOLDOUT, Case, Cohort, read_cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.evaluation.auroc import Auroc
from fracture_vae.evaluation.baselines import (
    Side,
    Volumes,
    best_side,
    level_scores,
    mean_template,
    residuals,
    shares_above,
    top_mean,
)
from fracture_vae.evaluation.stratified import stratified_auroc
from fracture_vae.files import write_text

MARGIN = 5.0
"""Voxels within this many mm of the vertebra's mask count."""
THRESHOLDS = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 800.0)
"""HU; the grid that the threshold is chosen from."""
TOP_FRACTION = 0.005
"""Share of the crop whose largest residuals are averaged, as in the package's case score."""
EASY = 0.85
"""An AUROC from here on says that a baseline solves what it should not."""
FILE = "difficulty.json"

THRESHOLD, HINDSIGHT, TEMPLATE, LEVEL = "threshold", "threshold, best in hindsight", "mean template", "level alone"


class CaseScores(NamedTuple):
    """What the pixels of one case say: shares above each of `THRESHOLDS`, and the mean template's score (or NaN)."""

    shares: NDArray[np.float64]
    template: float


class Row(NamedTuple):
    """One baseline on the normals and the fractures of one grade (0: of all), plain and within levels."""

    baseline: str
    grade: int
    plain: Auroc
    within_levels: Auroc | None
    """None where no level has both labels."""

    @property
    def what(self) -> str:
        """The row's name."""
        return f"{self.baseline}, {f'grade {self.grade}' if self.grade else 'all grades'}"


class Difficulty(NamedTuple):
    """What `measure_difficulty` found.

    Attributes:
        rows: by baseline and grade.
        chosen: by fold, the threshold (HU) and which side of it speaks for a fracture.
        hindsight: the same, chosen on all cases at once: no single threshold of the grid does better. Empty without
            rows.
        left_out: cases without a normal one of their level in other folds, which the mean template cannot score.
    """

    rows: tuple[Row, ...]
    chosen: Mapping[str, str]
    hindsight: str
    left_out: int

    @property
    def too_easy(self) -> tuple[Row, ...]:
        """The rows in which a threshold or the template reaches `EASY`."""
        return tuple(row for row in self.rows if row.baseline != LEVEL and row.plain.value >= EASY)

    def __str__(self) -> str:
        if not self.rows:
            return "nothing to compare: all vertebrae are whole, or all are broken"
        lines = [f"{'AUROC (95 % interval over patients)':41} {'all levels':>20} {'within a level':>20}"]
        for row in self.rows:
            lines.append(f"{row.what:41} {_short(row.plain):>20} {_short(row.within_levels):>20}")
        sides = ", ".join(f"{fold}: {side}" for fold, side in self.chosen.items()) or "none could be chosen"
        lines.append(f"threshold by fold {sides}; in hindsight {self.hindsight}")
        if self.left_out:
            lines.append(f"{self.left_out} cases have no normal one of their level in other folds: no template")
        easy = [f"{row.what} ({row.plain.value:.2f})" for row in self.too_easy]
        lines.append(f"too easy for {', '.join(easy)}" if easy else f"no threshold and no template reaches {EASY}")
        return "\n".join(lines)


def measure_difficulty(path: str | os.PathLike[str]) -> Difficulty:
    """Score a cohort of vertebra crops with the baselines and write ``difficulty.json`` beside it.

    A case is scored by what the other folds hold; the hold-out by all folds.

    Raises:
        InputError: a cohort without crops and vertebra masks of one grid, or too small to compare anything.
    """
    cohort = read_cohort(path)
    cases = [case for case in cohort.cases if case.label is not None and case.fold]
    _check(cohort, cases)
    levels = in_order({case.level for case in cases})
    groups = [[case for case in cases if case.level == level] for level in levels]
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        scored = {
            case.case_id: scores
            for group, found in zip(groups, pool.map(score_level, groups), strict=True)
            for case, scores in zip(group, found, strict=True)
        }
    found = compare(cases, [scored[case.case_id] for case in cases])
    write_text(cohort.path.with_name(FILE), json.dumps(_as_json(found), indent=1) + "\n")
    return found


def _check(cohort: Cohort, cases: Sequence[Case]) -> None:
    for case in cases:
        if case.vertebra_mask is None or not case.crop:
            raise InputError(f"{cohort.path}: row {case.row} is no crop with a vertebra_mask; make it with crop")
    if not cases:
        raise InputError(f"{cohort.path}: no case has a label and a fold; fill these columns")


def score_level(cases: Sequence[Case]) -> list[CaseScores]:
    """Score all cases of one level; their crops are of one size."""
    images, regions = zip(*(_read(case) for case in cases), strict=True)
    if len({image.shape for image in images}) > 1:
        raise InputError(f"{cases[0].image}: crops of {cases[0].level} differ in size; crop them alike")
    size = images[0].size
    shares = []
    for case, image, region in zip(cases, images, regions, strict=True):
        low, high = CropGeometry.from_json(case.crop, str(case.image)).hu_window
        shares.append(shares_above(image[region] * (high - low) + low, THRESHOLDS))
    used = ndimage.find_objects(np.logical_or.reduce(regions).astype(np.uint8))[0]
    stack = np.stack([image[used].ravel() for image in images])
    near = np.stack([region[used].ravel() for region in regions])
    templates = np.full(len(cases), np.nan)
    for fold in {case.fold for case in cases}:
        train = [i for i, case in enumerate(cases) if case.label == 0 and case.fold not in (fold, HOLDOUT)]
        own = [i for i, case in enumerate(cases) if case.fold == fold]
        if train:
            template = mean_template(Volumes(stack[train], np.ones_like(near[train])))
            away = residuals(Volumes(stack[own], near[own]), template)
            templates[own] = [top_mean(residual, round(TOP_FRACTION * size)) for residual in away]
    return [CaseScores(share, float(template)) for share, template in zip(shares, templates, strict=True)]


def _read(case: Case) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a crop, and where it lies within `MARGIN` of its vertebra."""
    volume = read_volume(case.image)
    if case.vertebra_mask is None:
        raise InputError(f"{case.image}: no vertebra_mask; make it with crop")
    own = read_volume(case.vertebra_mask).array > 0
    return volume.array, within_reach(own, voxel_sizes(volume.affine), MARGIN)


def compare(cases: Sequence[Case], scores: Sequence[CaseScores]) -> Difficulty:
    """Turn what each case's pixels say into case scores, out of fold, and compare them.

    What the labels do not allow is left out: a threshold where a fold's others lack one of them, everything where
    all cases do.
    """
    shares, template = np.stack([score.shares for score in scores]), np.array([score.template for score in scores])
    labels = np.array([case.label for case in cases], dtype=np.int_)
    folds = np.array([case.fold for case in cases])
    levels = np.array([case.level for case in cases])
    threshold, level = np.full((2, len(cases)), np.nan)
    chosen: dict[str, str] = {}
    for fold in sorted(set(folds.tolist())):
        own, others = folds == fold, (folds != fold) & (folds != HOLDOUT)
        if others.any():
            level[own] = level_scores(levels[own].tolist(), levels[others].tolist(), labels[others].tolist())
        if _both(labels[others]):
            side = best_side(shares[others], labels[others])
            chosen[fold] = _told(side)
            threshold[own] = side.score(shares[own])
    left_out = int(np.isnan(template).sum())
    if not _both(labels):
        return Difficulty((), chosen, "", left_out)
    best = best_side(shares, labels)
    by_baseline = {HINDSIGHT: best.score(shares), TEMPLATE: template, LEVEL: level}
    if len(chosen) == len(set(folds.tolist())):
        by_baseline = {THRESHOLD: threshold, **by_baseline}
    rows = [row for name, values in by_baseline.items() for row in _rows(name, cases, values)]
    return Difficulty(tuple(rows), chosen, _told(best), left_out)


def _both(labels: NDArray[np.int_]) -> bool:
    return 0 < int(labels.sum()) < len(labels)


def _rows(baseline: str, cases: Sequence[Case], values: NDArray[np.float64]) -> list[Row]:
    rows = []
    for grade in (0, 1, 2, 3):
        kept = [
            i
            for i, case in enumerate(cases)
            if not np.isnan(values[i]) and (case.label == 0 or grade in (0, case.genant_grade))
        ]
        labels, patients = [cases[i].label or 0 for i in kept], [cases[i].patient_id for i in kept]
        if not 0 < sum(labels) < len(labels):
            continue
        levels = [cases[i].level for i in kept]
        plain = stratified_auroc(labels, values[kept].tolist(), patients)
        mixed = {level for level, label in zip(levels, labels, strict=True) if label}
        within = any(label == 0 and level in mixed for level, label in zip(levels, labels, strict=True))
        stratified = stratified_auroc(labels, values[kept].tolist(), patients, levels) if within else None
        rows.append(Row(baseline, grade, plain, stratified))
    return rows


def _told(side: Side) -> str:
    return f"{'more' if side.above else 'less'} above {THRESHOLDS[side.place]:g} HU"


def _short(area: Auroc | None) -> str:
    return "-" if area is None else f"{area.value:.2f} ({area.low:.2f} to {area.high:.2f})"


def _as_json(found: Difficulty) -> dict[str, Any]:
    return {
        "what": "baselines without a network, out of fold; AUROC with 95 % intervals over patients",
        "margin_mm": MARGIN,
        "thresholds_hu": list(THRESHOLDS),
        "top_fraction": TOP_FRACTION,
        "threshold_by_fold": dict(found.chosen),
        "threshold_in_hindsight": found.hindsight,
        "without_template": found.left_out,
        "too_easy": [row.what for row in found.too_easy],
        "rows": [
            {
                "baseline": row.baseline,
                "grade": row.grade or "any",
                "all_levels": row.plain._asdict(),
                "within_levels": None if row.within_levels is None else row.within_levels._asdict(),
            }
            for row in found.rows
        ],
    }
