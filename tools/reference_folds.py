"""Compare the splitter with the reference study's own folds and with chance: ``python -m tools.reference_folds``.

Prints what `docs/cohorts.md` quotes. It knows the study's make-up only (`fracture_vae.cohort.reference`), no image.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fracture_vae.cohort.balance import gaps, level_auroc, table_text
from fracture_vae.cohort.case import HOLDOUT, Case
from fracture_vae.cohort.reference import reference_study
from fracture_vae.cohort.split import assign_folds, draw_holdout
from fracture_vae.cohort.stratify import Bins, Content, imbalance

FOLDS, HELD, SEED, DRAWS = 5, 8, 0, 1000
BINS = Bins((1,) * FOLDS, (1,) * FOLDS)


def study() -> list[Case]:
    """Return the study's vertebrae as cases without images, in its own folds."""
    return [
        Case(
            case_id=f"{vertebra.patient_id}_{vertebra.level}",
            patient_id=vertebra.patient_id,
            level=vertebra.level,
            label=int(vertebra.fractured),
            fold=vertebra.fold,
            image=Path("none"),
        )
        for vertebra in reference_study()
    ]


def squares(cases: Sequence[Case], folds: Mapping[str, int]) -> float:
    """Return the imbalance of the patients in ``folds``, in cases²."""
    contents: dict[str, list[Content]] = {patient: [] for patient in folds}
    for case in cases:
        if case.patient_id in contents:
            contents[case.patient_id].append((case.level, case.label))
    return imbalance(contents, BINS, folds).squares / 10_000


def in_folds(cases: Sequence[Case]) -> dict[str, int]:
    return {case.patient_id: int(case.fold) - 1 for case in cases if case.fold != HOLDOUT}


def main() -> None:
    own = study()
    bare = [replace(case, fold="") for case in own]
    dealt = assign_folds(draw_holdout(bare, HELD, FOLDS, SEED), FOLDS, SEED)
    refolded = assign_folds([c if c.fold == HOLDOUT else replace(c, fold="") for c in own], FOLDS, SEED)
    for title, cases in (("the study's own", own), (f"dealt anew, seed {SEED}", dealt)):
        print(f"{title}: imbalance of the folds {squares(cases, in_folds(cases)):.1f} cases²")
        print(table_text(cases))
        print("\n".join(f"warning: {gap}" for gap in gaps(cases)) or "normals of every level in every fold")
        print()
    print(f"the study's 30 patients dealt anew: imbalance {squares(own, in_folds(refolded)):.1f} cases²")
    names = sorted(in_folds(own))
    rng = random.Random(SEED)
    chance = sorted(
        squares(own, {name: place % FOLDS for place, name in enumerate(rng.sample(names, len(names)))})
        for _ in range(DRAWS)
    )
    print(f"by chance, {DRAWS} draws: median {chance[DRAWS // 2]:.1f}, best {chance[0]:.1f}")
    print(f"level-only AUROC of all {len(own)} vertebrae: {level_auroc(own):.3f}")


if __name__ == "__main__":
    main()
