"""What every fold holds: normals and abnormal cases by level, and how much the level alone gives away."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.stats import mannwhitneyu

from fracture_vae.cohort.case import HOLDOUT, Case
from fracture_vae.cohort.levels import in_order

_TELLING = 0.55  # a level-only AUROC from which scores must be compared with it


def folds_of(cases: Sequence[Case]) -> list[str]:
    """Return the folds in use: numbers in order, then ``test``, then ``""`` where cases are in none."""
    used = {case.fold for case in cases}
    numbers = sorted((fold for fold in used if fold not in ("", HOLDOUT)), key=int)
    return numbers + [fold for fold in (HOLDOUT, "") if fold in used]


def normals_to_train(cases: Sequence[Case]) -> dict[str, int]:
    """Return for each fold k how many normals train its model: those of the other folds, never the hold-out's."""
    numbers = [fold for fold in folds_of(cases) if fold not in ("", HOLDOUT)]
    normals = Counter(case.fold for case in cases if case.label == 0)
    return {fold: sum(normals[other] for other in numbers if other != fold) for fold in numbers}


def by_level(cases: Sequence[Case]) -> list[dict[str, str | int]]:
    """Return one record for each level and fold: level, fold, normal, abnormal, unknown."""
    counts = Counter((case.fold, case.level, case.label) for case in cases)
    return [
        {
            "level": level,
            "fold": fold,
            "normal": counts[fold, level, 0],
            "abnormal": counts[fold, level, 1],
            "unknown": counts[fold, level, None],
        }
        for level in in_order({case.level for case in cases})
        for fold in folds_of(cases)
    ]


def table_text(cases: Sequence[Case]) -> str:
    """Return the table for people: a row a level, a column a fold, ``normal / abnormal``; then totals."""
    folds = folds_of(cases)
    head = ["normal / abnormal", *(_title(fold) for fold in folds), "all"]
    lines = [head]
    levels = in_order({case.level for case in cases})
    for level in levels if len(levels) > 1 else []:
        own = [case for case in cases if case.level == level]
        lines.append([level or "no level", *(_pair(own, fold) for fold in folds), _pair(own, None)])
    lines.append(["all levels", *(_pair(cases, fold) for fold in folds), _pair(cases, None)])
    if unknown := Counter(case.fold for case in cases if case.label is None):
        lines.append(["label unknown", *(str(unknown[fold]) for fold in folds), str(unknown.total())])
    patients = {fold: len({case.patient_id for case in cases if case.fold == fold}) for fold in folds}
    lines.append(["patients", *(str(patients[fold]) for fold in folds), str(len({c.patient_id for c in cases}))])
    if train := normals_to_train(cases):
        lines.append(["normals to train on", *(str(train.get(fold, "")) for fold in folds), ""])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    )


def gaps(cases: Sequence[Case]) -> list[str]:
    """Return, a line each, which fold lacks a level or normals of it, and whether the data would permit it.

    A level with normals in fewer patients than folds cannot have one in each; where there are enough, another split
    could.
    """
    numbers = [fold for fold in folds_of(cases) if fold not in ("", HOLDOUT)]
    in_folds = [case for case in cases if case.fold in numbers]
    told = []
    for level in in_order({case.level for case in in_folds}):
        own = [case for case in in_folds if case.level == level]
        for what, chosen in (("case", own), ("normal case", [case for case in own if case.label == 0])):
            lacking = [fold for fold in numbers if not any(case.fold == fold for case in chosen)]
            if lacking:
                having = len({case.patient_id for case in chosen})
                why = f"{having} patient(s) have one" + ("" if having < len(numbers) else ", another split could do")
                told.append(f"{level or 'no level'}: no {what} in fold {', '.join(lacking)} ({why})")
                break
        trained = {case.fold for case in own if case.label == 0}
        if len(trained) == 1:
            told.append(f"{level or 'no level'}: all normal cases are in fold {min(trained)}, whose model sees none")
    return told


def summary(cases: Sequence[Case], warnings: Sequence[str]) -> str:
    """Return `table_text`, the warnings, and the trap of `level_auroc` in words."""
    lines = [table_text(cases), *(f"warning: {warning}" for warning in warnings)]
    value = level_auroc(cases)
    if value is not None:
        knows = f"A classifier that knows nothing but the level has an AUROC of {value:.2f} (rates leave a patient out)"
        trap = ": abnormal cases gather at levels where normal ones are rare. Compare scores with that."
        lines.append(knows + (trap if value > _TELLING else "."))
    return "\n".join(lines)


def level_auroc(cases: Sequence[Case]) -> float | None:
    """Return the AUROC of a classifier that knows nothing but a case's level; None where it says nothing.

    A case's score is the share of abnormal cases at its level among all *other* patients' cases of known label (at a
    level nobody else has: among all levels). The AUROC is the Mann-Whitney statistic U / (n₀ n₁), ties half. Leaving
    out the own patient makes it a little too low rather than too high, as an abnormal case lowers its own score.
    """
    known = [case for case in cases if case.label is not None]
    labels = np.array([case.label for case in known], dtype=np.int64)
    n1 = int(labels.sum())
    n0 = len(labels) - n1
    if n0 == 0 or n1 == 0 or len({case.level for case in known}) < 2:
        return None
    seen: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])  # (patient or all, level or all): 0 and 1
    for case in known:
        for key in ((p, level) for p in ("", case.patient_id) for level in ("all levels", f"={case.level}")):
            seen[key][case.label or 0] += 1

    def rate(case: Case) -> float:
        for level in (f"={case.level}", "all levels"):
            normal, abnormal = (a - b for a, b in zip(seen["", level], seen[case.patient_id, level], strict=True))
            if normal + abnormal:
                return abnormal / (normal + abnormal)
        return 0.5

    rates = np.array([rate(case) for case in known])
    return float(mannwhitneyu(rates[labels == 1], rates[labels == 0], method="asymptotic").statistic / (n0 * n1))


def _title(fold: str) -> str:
    return {HOLDOUT: "hold-out", "": "no fold"}.get(fold, f"fold {fold}")


def _pair(cases: Sequence[Case], fold: str | None) -> str:
    own = [case for case in cases if fold is None or case.fold == fold]
    return f"{sum(case.label == 0 for case in own)} / {sum(case.label == 1 for case in own)}"
