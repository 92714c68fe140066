"""Models, maps and figures of one task of the detection benchmark, each made once and kept."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fracture_vae.cohort.manifest import Cohort
from fracture_vae.evaluation.evaluate import Evaluation, evaluate
from fracture_vae.jobs import BUNDLES, fit_baselines, infer_cases, train_bundle, training_config, variant_configs
from fracture_vae.training.fitting import BASELINES
from tools.benchmarks import detection_monai
from tools.benchmarks.detection_rows import COMMON, MONAI, SEEDED, TASKS, TRAININGS, Row, Training, settings_of
from tools.benchmarks.keeping import Keeper, rounded, settled

MEASURES = ("auroc", "average_precision", "voxel_average_precision", "aupro", "dice@oracle")


@dataclass(frozen=True)
class Bench:
    """One task on one fold; what it makes is kept below ``work``, under a hash of the settings it was made with.

    Attributes:
        task: of `TASKS`.
        cohort, fold: what is held out.
        parts: tables of the cohort's cases with the labels of those that a part of the figures is of.
        seeds: trainings of each of the models `SEEDED`.
        work: the folder.
        trainings: those that rows name.
    """

    task: str
    cohort: Cohort
    fold: int
    parts: Mapping[str, Path]
    seeds: int
    work: Path
    trainings: Mapping[str, Training] = field(default_factory=lambda: TRAININGS)

    def seeds_of(self, row: Row) -> range:
        """Return the seeds the row is measured with."""
        return range(self.seeds if row.model in SEEDED and not row.ensemble else 1)

    def measured(self, row: Row, seed: int) -> dict[str, Any]:
        """Return the row's figures with one seed."""
        folder = self.maps(row, seed)

        def measure() -> dict[str, Any]:
            found = {part: evaluate(folder, table) for part, table in self.parts.items()}
            figures = {part: rounded(one.overall, MEASURES) for part, one in found.items()}
            types = _by_type(found["all"])
            return {"seed": seed, **figures, **types, "cases": {part: _about(one) for part, one in found.items()}}

        kept = self._kept("figures", row.name, {"maps": str(folder), "parts": self._tables}, measure)
        return {**kept, "cpu_seconds": self._cpu_seconds(row, seed)}

    def compared(self, row: Row, other: Row) -> dict[str, dict[str, list[float]]]:
        """Return what ``row`` measures more than ``other`` in each part, with the first seed, on the same resamples."""
        mine, others = self.maps(row, 0), self.maps(other, 0)

        def compare() -> dict[str, Any]:
            both = {part: evaluate(mine, table, against=[others]) for part, table in self.parts.items()}
            return {part: rounded(one.comparisons[0].differences["all"], MEASURES) for part, one in both.items()}

        return self._kept("compared", other.name, {"maps": [str(mine), str(others)], "parts": self._tables}, compare)

    def maps(self, row: Row, seed: int) -> Path:
        """Return the folder of the row's maps of the held-out fold, made if need be."""
        if row.model == MONAI:
            return Path(self._monai(seed)["path"])
        seeds = range(self.seeds) if row.ensemble else (seed,)
        models = [self._model(row.model, one)["path"] for one in seeds]
        settings = {"score": dict(row.score), "models": models, "cohort": str(self.cohort.path)}

        def infer() -> dict[str, Any]:
            folder = self._place("maps", row.name, settings)
            where = {"cohort": str(self.cohort.path), "split": "validation", "fold": self.fold, "device": "cpu"}
            together = {"ensemble": models[1:]} if len(models) > 1 else {}
            infer_cases(Path(models[0]), folder, {**where, "maps": ["error", "valid"], **row.score, **together})
            return {"path": str(folder)}

        return Path(self._kept("maps", row.name, settings, infer)["path"])

    @property
    def _tables(self) -> dict[str, str]:
        return {part: str(table) for part, table in self.parts.items()}

    def _cpu_seconds(self, row: Row, seed: int) -> float:
        if row.model == MONAI:
            return float(self._monai(seed)["cpu_seconds"])
        seeds = range(self.seeds) if row.ensemble else (seed,)
        return sum(float(self._model(row.model, one)["cpu_seconds"]) for one in seeds)

    def _model(self, name: str, seed: int) -> dict[str, Any]:
        return self._fitted(name) if name in BASELINES else self._trained(name, seed)

    def _fitted(self, name: str) -> dict[str, Any]:
        settings = {"intensity": TASKS[self.task]["intensity"]}

        def fit() -> dict[str, Any]:
            began = time.process_time()
            run = fit_baselines(name, self.cohort.path, str(self.fold), self._place("models", name, settings), settings)
            return {"path": str(run), "cpu_seconds": round(time.process_time() - began, 1)}

        return self._kept("models", name, settings, fit)

    def _trained(self, name: str, seed: int) -> dict[str, Any]:
        training = self.trainings[name]
        variants = variant_configs(BUNDLES / "vq3d", training.variant) if training.variant else ()
        below = self._trained(training.over, seed) if training.over else {}
        own = {"seed": seed, "cohort": str(self.cohort.path)} | ({"vqvae_checkpoint": below["path"]} if below else {})
        settings = {**settings_of(training, self.task), **own}

        given = {key: value for key, value in settings.items() if key not in training.idle}

        def train() -> dict[str, Any]:
            place = self._place("models", name, settings)
            began = time.process_time()
            train_bundle(BUNDLES / "vq3d", str(self.fold), variants, {**given, "project_dir": str(place)})
            took = time.process_time() - began + below.get("cpu_seconds", 0)
            path = (place / "vq3d" / "latest" / "checkpoints" / "last.pt").resolve()
            return {"path": str(path), "cpu_seconds": round(took, 1)}

        read = settled([training_config(BUNDLES / "vq3d"), *variants], given)
        return self._kept("models", name, settings | read, train)

    def _monai(self, seed: int) -> dict[str, Any]:
        plain = self._model("plain", seed)
        settings = {**COMMON, **TASKS[self.task], "seed": seed}

        def both() -> dict[str, Any]:
            folder = self._place("maps", MONAI, settings)
            trained, took = detection_monai.train(self.cohort, self.fold, settings, plain["cpu_seconds"], seed)
            cases = detection_monai.cases_of(self.cohort, "validation", self.fold, settings)
            detection_monai.write_scores(folder, detection_monai.write_maps([trained], cases, folder))
            return {"path": str(folder), "cpu_seconds": took}

        return self._kept("models", MONAI, {**settings, "cohort": str(self.cohort.path)}, both)

    def _place(self, kind: str, name: str, settings: Mapping[str, Any]) -> Path:
        return Keeper(self.work).place(kind, name, [self.fold, settings])

    def _kept(
        self, kind: str, name: str, settings: Mapping[str, Any], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        return Keeper(self.work).kept(kind, name, [self.fold, settings], make)


def _about(found: Evaluation) -> dict[str, Any]:
    everything = found.groups[0]
    return {name: getattr(everything, name) for name in ("normal", "abnormal", "patients", "anomalous")}


def _by_type(found: Evaluation) -> dict[str, Any]:
    types = {group.name: rounded(group.measures, MEASURES) for group in found.groups if group.by == "type"}
    return {"by_type": types} if types else {}
