"""Calibration as a job: the normal cases of each fold through the model that has not seen them, and what follows."""

import hashlib
import json
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fracture_vae import bundle as bundles
from fracture_vae.alone import alone_in, hold, let_go
from fracture_vae.cohort.levels import ANATOMICAL, in_order
from fracture_vae.cohort.manifest import Cohort, pseudonym
from fracture_vae.cohort.synthetic import open_cohort
from fracture_vae.errors import InputError
from fracture_vae.jobs import BUNDLES, as_trained_network, bundle_config
from fracture_vae.maps.calibration.collect import KeptMaps
from fracture_vae.maps.calibration.conformal import joined, require_rate, threshold
from fracture_vae.maps.calibration.fit import Terms, fit_folds, fit_split
from fracture_vae.maps.calibration.layouts import Layout, Registered, choose_layout
from fracture_vae.maps.calibration.stored import KEY, Calibration
from fracture_vae.maps.cases import datalist
from fracture_vae.maps.model import ModelFile, find_bundle, find_models
from fracture_vae.training.checkpoints import digest, load, save, weights_of
from fracture_vae.training.run_folder import RESOLVED_CONFIG, followed

logger = logging.getLogger(__name__)

_MAPS = ".calibrating-"
"""How the folder of maps that a calibration goes through begins, beside the first checkpoint."""
_FEW = 6
"""Normal cases of a level up to which it is said that it stands on its neighbours."""


class Calibrated(NamedTuple):
    """What a calibration rests on; the threshold of each model by its fold, and that of all of them together."""

    alpha: float
    design: str
    cases: int
    patients: int
    thresholds: Mapping[int, float]
    together: float

    def __str__(self) -> str:
        told = ", ".join(f"fold {fold} {_told(own)}" for fold, own in self.thresholds.items())
        if len(self.thresholds) > 1:
            about = "about " if math.isfinite(self.together) else ""
            told = f"new cases, which all folds rank, {about}{_told(self.together)}; the cohort's own by {told}"
        return (
            f"calibrated on {self.cases} normal cases of {self.patients} patients ({self.design}); at alpha "
            f"{self.alpha:g} a case is flagged above z: {told}"
        )


def _told(threshold: float) -> str:
    return f"{threshold:.2f}" if math.isfinite(threshold) else "never (too few patients for this alpha)"


def calibrate_run(
    run: Path, cohort: Path | None, alpha: float, settings: Mapping[str, Any], bundle: Path | None = None
) -> Calibrated:
    """Write a calibration into the checkpoint of each fold of ``run``, in place of the one it may have.

    Args:
        run: a run folder (of one fold, or of all), a checkpoint or a bundle.
        cohort: that it was trained on; None for the one its run folder names.
        alpha: the rate of false alarms among healthy cases.
        settings: ids of inference.json, for maps of another score than the model was trained for.
        bundle: whose inference.json runs the model, if it is not found.

    Raises:
        InputError: for anything wrong with what was given; no checkpoint is changed then.
    """
    require_rate(alpha)
    models = find_models(run)
    for model in models:
        if model.about.fold is None or not model.about.trained_on:
            raise InputError(f"{model.path}: trained without folds, so no normal case is known that it has not seen")
    table = open_cohort(cohort or _trained_on(run, models[0]))
    with ExitStack() as held:
        for folder in dict.fromkeys(model.path.parent for model in models):
            hold(folder.parent)
            held.callback(let_go, folder.parent)
            held.enter_context(alone_in(folder, leftovers=[f"{_MAPS}*", ".writing-*"]))
        fitted = _calibrated(models, table, alpha, settings, bundle)
    together = joined([calibration.reference for calibration in fitted.values()])
    return Calibrated(
        alpha,
        next(iter(fitted.values())).design,
        len(together.scores),
        len(set(together.patients)),
        {fold: calibration.threshold for fold, calibration in fitted.items()},
        threshold(together, alpha),
    )


def _calibrated(
    models: Sequence[ModelFile], table: Cohort, alpha: float, settings: Mapping[str, Any], bundle: Path | None
) -> dict[int, Calibration]:
    """Calibrate models together and write it into their checkpoints."""
    with tempfile.TemporaryDirectory(prefix=_MAPS, dir=models[0].path.parent) as place:
        maps = {}
        for model in models:
            assert model.about.fold is not None
            folder = Path(place) / str(model.about.fold)
            folder.mkdir()
            maps[model.about.fold] = _collected(model, table, folder, settings, bundle)
        fitted = _fitted(models, table, maps, alpha)
    for model in models:
        assert model.about.fold is not None
        content = load(model.path)
        save(model.path, {**content, KEY: fitted[model.about.fold].content(content["network"])})
    return fitted


def _trained_on(run: Path, model: ModelFile) -> str | None:
    """Return the cohort that the run's config names; None is the small synthetic one."""
    config = model.path.resolve().parent.parent / RESOLVED_CONFIG
    if not config.is_file():
        raise InputError(f"{followed(run)}: does not say which cohort it was trained on; give it with --cohort")
    return bundles.load([config]).get("cohort")


def _collected(
    model: ModelFile, table: Cohort, folder: Path, settings: Mapping[str, Any], bundle: Path | None
) -> KeptMaps:
    """Run a model over its fold's normal cases and keep their maps in ``folder``."""
    _require_trained_on(model, table)
    items = datalist(None, table.path, (), "validation", None, model.about.plain())
    normal = [item for item in items if item["label"] == 0]
    if not normal:
        table.validation(model.about.fold or 0)
    writer = {
        "_target_": "fracture_vae.maps.calibration.HealthyMaps",
        "folder": str(folder),
        "maker": "@maker",
        "score_margin": "@score_margin",
    }
    overrides = {
        "checkpoint": str(model.path),
        **as_trained_network(model),
        **settings,
        "maps": ["error"],
        "datalist": normal,
        "writer": writer,
    }
    bundles.run([bundle_config(bundle or find_bundle(model, BUNDLES), "inference.json")], "run", overrides)
    return KeptMaps(folder)


def _require_trained_on(model: ModelFile, table: Cohort) -> None:
    """Require that the model was trained on this cohort: on its patients, and on none of the fold to be ranked."""
    seen = set(model.about.trained_on)
    fold = str(model.about.fold)
    for case in table.cases:
        if case.fold == fold and pseudonym(case.patient_id) in seen:
            raise InputError(
                f"{table.path}: row {case.row}: {model.path} was trained on patient '{case.patient_id}', who is in "
                f"fold {fold} now; restore the folds it was trained with"
            )
    if {pseudonym(case.patient_id) for case in table.training(fold)} != seen:
        raise InputError(
            f"{table.path}: is not the cohort that {model.path} was trained on: outside fold {fold} it has normal "
            "cases of other patients; give that cohort"
        )


def _fitted(
    models: Sequence[ModelFile], table: Cohort, maps: Mapping[int, KeptMaps], alpha: float
) -> dict[int, Calibration]:
    kept = [case for own in maps.values() for case in own.cases]
    layout = _with_rare_levels(
        choose_layout([c.level for c in kept], [c.size for c in kept], [c.spacing for c in kept]), table
    )
    first = next(iter(maps.values()))
    what = [
        alpha,
        first.settings,
        [own.cases for own in maps.values()],
        [digest(weights_of(load(model.path), str(model.path))) for model in models],
    ]
    study = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    terms = Terms(layout, first.settings["top_fraction"], alpha, first.settings, study)
    if len(maps) > 1:
        return fit_folds(maps, terms)
    return {fold: fit_split(own, terms, str(models[0].path)) for fold, own in maps.items()}


def _with_rare_levels(layout: Layout, table: Cohort) -> Layout:
    """Return the layout with the cohort's levels that have no normal case: they take their neighbours' moments.

    Raises:
        InputError: for a level that has no neighbours either.
    """
    if not isinstance(layout, Registered):
        logger.info(
            "what is usual is taken by tissue and position: normal cases lack a level, or differ in size or voxel size"
        )
        return layout
    normals = [case.level for case in table.cases if case.label == 0 and case.fold in map(str, table.folds)]
    levels = {case.level for case in table.cases if case.level}
    for level in sorted(levels):
        if normals.count(level):
            if normals.count(level) <= _FEW and level in ANATOMICAL:
                logger.info("level %s: %d normal cases; neighbouring levels count too", level, normals.count(level))
        elif level in ANATOMICAL:
            logger.warning("level %s: no normal case; what is usual there is taken from its neighbours", level)
        else:
            raise InputError(
                f"{table.path}: no normal case at level '{level}', and no neighbouring level to learn from; leave its "
                "cases out"
            )
    return replace(layout, levels=tuple(in_order({*layout.levels, *levels})))
