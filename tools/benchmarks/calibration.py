"""Show the rate of false alarms that a calibration promises, on new healthy patients of many studies.

    python -m tools.benchmarks.calibration --out docs/results_calibration.json
    python -m tools.benchmarks.calibration --cohort study/cohort.csv --seeds 50 --out …

A study has 30 patients in five folds and new ones, all healthy; the model of a fold is PCA of the other folds' normal
cases, the map its residual. Every seed draws another study, or, with a cohort, deals its patients anew. The designs:

- ``cross``: what ``fracture-vae calibrate`` does with a run of all folds;
- ``one fold``: one checkpoint of that run alone; ``split``: what it does with a run of a single fold;
- ``nested``: as ``cross``, with moments from models that have not seen the fold ranked: strictly exchangeable, at the
  price of a training for every pair of folds;
- ``used twice``: moments from the very cases that are ranked: what must not be done.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.decomposition import PCA

from fracture_vae.files import write_text
from fracture_vae.maps.calibration.conformal import exceeds, q_values
from fracture_vae.maps.calibration.fit import HealthyCase, Terms, calibrated, fit_folds, fit_split, moments_of
from fracture_vae.maps.calibration.layouts import Voxels, choose_layout
from fracture_vae.maps.calibration.stored import Calibration, judge
from fracture_vae.maps.scores import TOP_FRACTION
from tools.benchmarks.calibration_study import FOLDS, Normal, dealt_study, drawn_study, read_normals
from tools.benchmarks.timing import machine

ALPHAS = (0.05, 0.1, 0.2)
COMPONENTS = 8
SPACING = (4.0,) * 3
"""In mm."""
Model = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Alarm(NamedTuple):
    """A p-value of one new healthy case."""

    design: str
    by: str
    patient: str
    p: float


def fitted(cases: Sequence[Normal]) -> Model:
    """Return PCA of the cases' volumes, as a function from a volume to its reconstruction."""
    shape = cases[0].volume.shape
    pca = PCA(COMPONENTS, svd_solver="randomized", random_state=0).fit(np.stack([c.volume.ravel() for c in cases]))

    def reconstruct(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return pca.inverse_transform(pca.transform(volume.reshape(1, -1))).reshape(shape).astype(np.float32)

    return reconstruct


def mapped(model: Model, case: Normal) -> HealthyCase:
    """Return the residual map of a case under a model."""
    image = torch.from_numpy(case.volume)[None, None]
    map_ = (image - torch.from_numpy(model(case.volume))[None, None]).abs()
    everywhere = torch.ones_like(map_, dtype=torch.bool)
    return HealthyCase(Voxels(map_, image, everywhere, case.level, SPACING), everywhere, case.patient)


def study_alarms(study: Sequence[Normal]) -> tuple[list[Alarm], dict[float, float]]:
    """Return p-values of a study's new cases under every design, and the share of their voxels with p ≤ α (cross)."""
    new = [case for case in study if not case.fold]
    folds = range(1, FOLDS + 1)
    models = {k: fitted([case for case in study if case.fold not in (0, k)]) for k in folds}
    healthy = {k: [mapped(models[k], case) for case in study if case.fold == k] for k in folds}
    levels = [case.level for case in study]
    size = study[0].volume.shape
    layout = choose_layout(levels, [size] * len(levels), [SPACING] * len(levels))
    terms = Terms(layout, TOP_FRACTION, 0.05, {}, "benchmark")
    cross = fit_folds(healthy, terms)
    designs: dict[str, dict[int, Calibration]] = {
        "cross": cross,
        "one fold": {1: cross[1]},
        "split": {1: fit_split(healthy[1], terms, "benchmark")},
        "nested": {k: _nested(study, healthy[k], k, terms) for k in folds},
        "used twice": _used_twice(healthy, terms),
    }
    alarms = []
    marked = dict.fromkeys(ALPHAS, 0.0)
    for case in new:
        seen = {k: mapped(models[k], case) for k in folds}
        for design, calibrations in designs.items():
            found = [(calibration, seen[k].voxels) for k, calibration in calibrations.items()]
            judged = judge(found, seen[1].region, TOP_FRACTION)
            alarms += [Alarm(design, by, case.patient, p) for by, p in judged.p_values._asdict().items()]
            if design == "cross":
                for alpha in ALPHAS:
                    marked[alpha] += float((judged.p <= alpha).double().mean()) / len(new)
    return alarms, marked


def _nested(study: Sequence[Normal], cases: Sequence[HealthyCase], fold: int, terms: Terms) -> Calibration:
    """Return a fold's calibration whose moments come from models that have not seen it."""
    maps = []
    for other in range(1, FOLDS + 1):
        if other != fold:
            model = fitted([case for case in study if case.fold not in (0, fold, other)])
            maps += [mapped(model, case) for case in study if case.fold == other]
    return calibrated(moments_of(terms.layout, maps), cases, terms, "nested")


def _used_twice(healthy: dict[int, list[HealthyCase]], terms: Terms) -> dict[int, Calibration]:
    """Return calibrations whose moments come from the fold's own cases."""
    own = {k: moments_of(terms.layout, cases) for k, cases in healthy.items()}
    return {k: calibrated(own[k], cases, terms, "used twice") for k, cases in healthy.items()}


def rates(alarms: Sequence[Sequence[Alarm]]) -> list[dict[str, Any]]:
    """Return rows of false-alarm rates over all studies, with 95 % intervals, and of false discoveries by patient.

    The Clopper-Pearson interval takes all new cases for independent, which patients' cases are not; the interval over
    studies is that of the mean of their rates.
    """
    rows = []
    for design, by in dict.fromkeys((alarm.design, alarm.by) for alarm in alarms[0]):
        own = [[a for a in study if (a.design, a.by) == (design, by)] for study in alarms]
        for alpha in ALPHAS:
            flags = [[exceeds(alarm.p, alpha) for alarm in study] for study in own]
            count, of = sum(map(sum, flags)), sum(map(len, flags))
            interval = binomtest(count, of).proportion_ci(method="exact")
            each = np.array([np.mean(study) for study in flags])
            error = 1.96 * each.std(ddof=1) / np.sqrt(len(each))
            found = [discovered([a for a in study if a.patient == p], alpha) for study in own for p in patients(study)]
            rows.append(
                {
                    "design": design,
                    "by": by,
                    "alpha": alpha,
                    "false_alarms": count,
                    "cases": of,
                    "rate": round(count / of, 4),
                    "clopper_pearson": [round(float(end), 4) for end in interval],
                    "over_studies": [round(float(end), 4) for end in (each.mean() - error, each.mean() + error)],
                    "patients_with_a_discovery": round(float(np.mean(found)), 4),
                    "patients": len(found),
                }
            )
    return rows


def patients(study: Sequence[Alarm]) -> list[str]:
    """Return a study's new patients."""
    return list(dict.fromkeys(alarm.patient for alarm in study))


def discovered(cases: Sequence[Alarm], rate: float) -> bool:
    """Return whether any of a healthy patient's cases is found at a false-discovery rate: all are false."""
    return min(q_values([alarm.p for alarm in cases])) <= rate


def described(study: Sequence[Normal]) -> dict[str, float]:
    """Return how many cases and patients a study has."""
    cases = Counter(bool(case.fold) for case in study)
    return {
        "calibration_cases": cases[True],
        "calibration_patients": len({case.patient for case in study if case.fold}),
        "new_cases": cases[False],
        "new_patients": len({case.patient for case in study if not case.fold}),
    }


@click.command()
@click.option("--seeds", default=24, type=click.IntRange(min=2), show_default=True, help="Studies.")
@click.option("--patients", default=30, show_default=True, help="In the folds of a drawn study.")
@click.option("--new", default=20, show_default=True, help="New patients of a study.")
@click.option("--cohort", type=click.Path(path_type=Path), default=None, help="Deal this cohort's patients instead.")
@click.option("--size", default=32, show_default=True, help="Edge that its crops are reduced to, in voxels.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Where to write the figures, as JSON.")
def main(seeds: int, patients: int, new: int, cohort: Path | None, size: int, out: Path | None) -> None:
    """Print false-alarm rates by design and α."""
    known = read_normals(cohort, size) if cohort else []
    make: Callable[[int], list[Normal]] = (
        partial(dealt_study, known, new=new) if cohort else partial(drawn_study, patients=patients, new=new)
    )
    alarms, marked, shapes = [], [], []
    for seed in range(seeds):
        study = make(seed)
        found, share = study_alarms(study)
        alarms.append(found)
        marked.append(share)
        shapes.append(described(study))
        click.echo(f"study {seed}: {len(found)} p-values", err=True)
    rows = rates(alarms)
    for row in rows:
        click.echo(
            "{design:11} by {by:8} alpha {alpha:<5} rate {rate:.4f}  of {cases} cases {clopper_pearson}  "
            "over studies {over_studies}; discoveries in {patients_with_a_discovery} of {patients} patients".format(
                **row
            )
        )
    voxels = {str(alpha): round(float(np.mean([share[alpha] for share in marked])), 5) for alpha in ALPHAS}
    click.echo(f"share of new healthy voxels with p at most alpha (cross): {voxels}")
    if out is not None:
        shape = {name: round(float(np.mean([s[name] for s in shapes])), 1) for name in shapes[0]}
        figures = {
            "study": cohort.parent.name if cohort else "drawn",
            "seeds": seeds,
            "a_study_has": shape,
            "model": f"PCA, {COMPONENTS} components",
            "rows": rows,
            "voxels": voxels,
            "machine": machine(),
        }
        write_text(out, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
