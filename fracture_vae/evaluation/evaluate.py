"""A folder of maps against the truth: every figure with its interval, beside what it must be compared with."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.levels import in_order
from fracture_vae.cohort.manifest import Case, Cohort, read_cohort
from fracture_vae.errors import InputError
from fracture_vae.evaluation.case_measures import CaseTable, measure_cases
from fracture_vae.evaluation.lines import Line, case_lines, voxel_lines
from fracture_vae.evaluation.looking import record_evaluation
from fracture_vae.evaluation.measures import CALIBRATED
from fracture_vae.evaluation.notes import notes_of
from fracture_vae.evaluation.out_of_fold import SPECIFICITIES, at_specificity, level_alone, reference_normals
from fracture_vae.evaluation.resampling import RESAMPLES, Estimate, Resamples, Sampled, draw
from fracture_vae.evaluation.scored import Scored, choose_kind, read_scored, require_kind, require_same_cases
from fracture_vae.evaluation.tallies import Binning, binning, measure_voxels, tally_all, total
from fracture_vae.evaluation.voxels import Asked, Tally

ANOMALY = "anomaly"
"""Extra column of a cohort: what kind of anomaly a case has, where it is no fracture."""


class Group(NamedTuple):
    """Some of the cases, and what was measured on them.

    Attributes:
        by: ``all``, ``level``, ``grade`` or ``type``; of a grade or type are its abnormal cases and all normal ones.
        name: such as ``L1``; empty for all.
        normal, abnormal, patients: how many.
        fewest: patients of its normal or of its abnormal cases, whichever are fewer.
        mapped: cases whose voxels are compared: with a mask, or normal; of a grade or type without normal cases whose
            mask shows a broken neighbour.
        regions: connected regions of their truth.
        anomalous: share of their voxels that is anomalous; the voxel average precision of a map that knows nothing.
        measures: by name (`fracture_vae.evaluation.measures`); what the labels or masks do not allow is missing.
    """

    by: str
    name: str
    normal: int
    abnormal: int
    patients: int
    fewest: int
    mapped: int
    regions: int
    anomalous: float
    measures: Mapping[str, Estimate]

    @property
    def title(self) -> str:
        """The group in words."""
        return "all" if self.by == "all" else f"{self.by} {self.name}"


class Comparison(NamedTuple):
    """These maps minus others of the same cases, on the same resamples: by group's title and measure."""

    other: Path
    kind: str
    differences: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        maps, cohort: what was evaluated.
        kind: of the maps and scores, ``error`` or ``z``.
        models: hashes of the models' files.
        groups: all cases first.
        comparisons: one for each folder compared with.
        binning: how far counting voxels in bins may have moved a figure; None without voxel truth.
        notes: what must be known to read the figures, a sentence each.
        lines: the curves of all cases, to draw, by name (`fracture_vae.evaluation.lines`).
        seed, resamples: of the intervals.
    """

    maps: Path
    cohort: Path
    kind: str
    models: tuple[str, ...]
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    binning: Binning | None
    notes: tuple[str, ...]
    lines: Mapping[str, Line]
    seed: int
    resamples: int

    @property
    def overall(self) -> Mapping[str, Estimate]:
        """The measures on all cases."""
        return self.groups[0].measures


@dataclass(frozen=True)
class _Counted:
    """A folder's cases, and the tallies of those whose voxels are known, in order."""

    scored: Scored
    table: CaseTable
    kind: str
    tallies: tuple[Tally, ...] = ()
    mapped: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def shown(self, by: str, inside: NDArray[np.bool_]) -> "_Shown":
        """Return the tallies of cases ``inside``, and whose they are.

        A normal vertebra's crop may show a broken neighbour, of whatever grade and type: of a grade or type it is none.
        """
        order = np.cumsum(self.mapped) - 1
        kept = [
            place
            for place in np.flatnonzero(inside & self.mapped).tolist()
            if by not in ("grade", "type") or self.table.labels[place] == 1 or not self.tallies[order[place]].regions
        ]
        return _Shown([self.tallies[order[place]] for place in kept], self.table.places[kept])


class _Shown(NamedTuple):
    tallies: list[Tally]
    places: NDArray[np.int_]


def evaluate(
    maps: str | os.PathLike[str],
    cohort: str | os.PathLike[str],
    *,
    against: Sequence[str | os.PathLike[str]] = (),
    kind: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    unrecorded: bool = False,
) -> Evaluation:
    """Evaluate the maps and scores an inference wrote.

    Cases are those of scores.csv whose label the cohort knows. Voxels are compared where a case has a mask or is
    normal without one; an abnormal case without a mask has case measures only. Where hold-out cases are among them,
    the look is recorded beside the cohort first.

    Args:
        maps: the folder, with scores.csv.
        cohort: the cohort.csv the maps were made of.
        against: other such folders, of the same cases, to subtract.
        kind: of maps and scores, ``error`` or ``z``; by default ``z`` where all cases have it.
        seed: of the resamples.
        resamples: of the patients, for the intervals.
        unrecorded: evaluate hold-out cases even where the look cannot be recorded.

    Raises:
        InputError: for anything wrong with what was given; nothing is evaluated then.
    """
    table = read_cohort(cohort)
    scored = [read_scored(folder, table) for folder in (maps, *against)]
    for other in scored[1:]:
        require_same_cases(scored[0], other)
    cases = scored[0].cases
    known = np.array([case.label == 0 or case.mask is not None for case in cases])
    if not any(case.mask for case in cases):
        known[:] = False
    own = [case for case, there in zip(cases, known, strict=True) if there]
    kinds = [_kind(one, own, kind) for one in scored]
    draws = draw([case.patient_id for case in cases], seed, resamples)
    places = draws.places([case.patient_id for case in cases])
    counted = [_count(table, one, places, which, known) for one, which in zip(scored, kinds, strict=True)]
    look = record_evaluation(table, scored, unrecorded)  # after what may fail, before anything is seen
    masks = _groups(cases)
    measured = [[_measure(one, by, inside, draws) for by, _, inside in masks] for one in counted]
    first = counted[0]
    groups = tuple(
        _group(by, name, first, inside, found) for (by, name, inside), found in zip(masks, measured[0], strict=True)
    )
    comparisons = tuple(
        Comparison(one.scored.folder, one.kind, _differences(groups, measured[0], others))
        for one, others in zip(counted[1:], measured[1:], strict=True)
    )
    voxels = total(first.tallies, first.table.places[known]) if groups[0].regions else None
    lines = {**case_lines(first.table), **(voxel_lines(voxels) if voxels else {})}
    notes = (*([look] if look else []), *notes_of(table, scored[0], first.kind, own))
    return Evaluation(
        maps=Path(maps),
        cohort=table.path,
        kind=first.kind,
        models=scored[0].models,
        groups=groups,
        comparisons=comparisons,
        binning=binning(voxels) if voxels else None,
        notes=notes,
        lines=lines,
        seed=seed,
        resamples=resamples,
    )


def _kind(scored: Scored, cases: Sequence[Case], asked: str | None) -> str:
    if asked is None:
        return choose_kind(scored, cases)
    require_kind(scored, cases, asked)
    return asked


def _count(cohort: Cohort, scored: Scored, places: NDArray[np.int_], kind: str, known: NDArray[np.bool_]) -> _Counted:
    """Compare scores with their thresholds, and count the maps."""
    scores, reference = scored.scores(kind), reference_normals(scored.cases)
    flags = {
        f"{specificity:g}": scores > at_specificity(scores, reference, specificity) for specificity in SPECIFICITIES
    }
    thresholds = np.full(len(scores), np.nan)
    if kind == "z" and scored.calibrated:
        flags = {CALIBRATED: scored.calibrated.flagged, **flags}
        thresholds = scored.calibrated.thresholds
    table = CaseTable(
        np.array([case.label for case in scored.cases], np.int_),
        scores,
        places,
        np.array([case.level for case in scored.cases]),
        level_alone(cohort.cases, scored.cases),
        flags,
    )
    own = [case for case, there in zip(scored.cases, known, strict=True) if there]
    tallies = tally_all(
        [
            Asked(scored.map(case, kind), case.image, case.mask, case.crop, threshold)
            for case, threshold in zip(own, thresholds[known].tolist(), strict=True)
        ]
    )
    for case, tally in zip(own, tallies, strict=True):
        if case.label == 1 and not tally.regions:
            raise InputError(
                f"{case.mask}: marks no voxel of an abnormal case; restore it, or leave the column mask empty (row "
                f"{case.row})"
            )
    return _Counted(scored, table, kind, tuple(tallies), known)


def _groups(cases: Sequence[Case]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Return what is measured: all cases; each level, if there are several; each grade and type."""
    levels, normal = np.array([case.level for case in cases]), np.array([case.label == 0 for case in cases])
    grades = np.array([str(case.genant_grade or "") for case in cases])
    types = np.array([case.genant_type or case.extra.get(ANOMALY, "") for case in cases])
    groups = [("all", "", np.ones(len(cases), bool))]
    if len(set(levels.tolist())) > 1:
        groups += [("level", name, levels == name) for name in in_order(set(levels.tolist()))]
    for by, column in (("grade", grades), ("type", types)):
        names = sorted(set(column[~normal].tolist()) - {""})
        groups += [(by, name, normal | (column == name)) for name in names]
    return groups


def _measure(counted: _Counted, by: str, inside: NDArray[np.bool_], resamples: Resamples) -> dict[str, Sampled]:
    """Measure some of the cases; the level says nothing within one level, or where there are none."""
    found = measure_cases(counted.table.some(inside), resamples)
    if by == "level" or len(set(counted.table.levels.tolist())) < 2:
        for name in ("level_alone_auroc", "auroc_over_level_alone", "within_level_auroc"):
            found.pop(name, None)
    shown = counted.shown(by, inside)
    if any(tally.regions for tally in shown.tallies):
        found |= measure_voxels(total(shown.tallies, shown.places), resamples)
    return found


def _group(by: str, name: str, counted: _Counted, inside: NDArray[np.bool_], found: Mapping[str, Sampled]) -> Group:
    labels, places = counted.table.labels[inside], counted.table.places[inside]
    own = counted.shown(by, inside).tallies
    positive = sum(float(tally.positive.counts.sum()) for tally in own)
    voxels = positive + sum(float(tally.negative.counts.sum()) for tally in own)
    return Group(
        by,
        name,
        int((labels == 0).sum()),
        int((labels == 1).sum()),
        len(np.unique(places)),
        min(len(np.unique(places[labels == label])) for label in (0, 1)),
        len(own),
        sum(tally.regions for tally in own),
        positive / voxels if voxels else 0.0,
        {measure: sampled.estimate() for measure, sampled in found.items()},
    )


def _differences(
    groups: Sequence[Group], mine: Sequence[Mapping[str, Sampled]], others: Sequence[Mapping[str, Sampled]]
) -> dict[str, dict[str, Estimate]]:
    """Return the differences of what both were measured by; the level alone is the same for both."""
    return {
        group.title: {
            name: own[name].minus(other[name]).estimate() for name in own if name in other and "level_alone" not in name
        }
        for group, own, other in zip(groups, mine, others, strict=True)
    }
