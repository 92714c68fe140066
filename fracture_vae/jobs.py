"""Training and inference as jobs: which configs of which bundle run, with which overrides."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fracture_vae import bundle as bundles
from fracture_vae.alone import alone_in
from fracture_vae.cohort.manifest import pseudonym, read_cohort
from fracture_vae.cohort.synthetic import open_cohort
from fracture_vae.errors import InputError, PartialFailure, nearest
from fracture_vae.files import read_json, require_folder
from fracture_vae.maps.calibration.apply import drift_of_normals, read_calibrations
from fracture_vae.maps.cases import datalist, require_apart
from fracture_vae.maps.in_source import paste_error_maps, require_sources
from fracture_vae.maps.model import ModelFile, describe, find_bundle, find_models
from fracture_vae.maps.scores import compose
from fracture_vae.maps.writer import OTHER_FOLDER, told_as
from fracture_vae.training.checkpoints import FOLDER, LAST
from fracture_vae.training.fitting import BASELINES, fit_baseline
from fracture_vae.training.run_folder import RESOLVED_CONFIG, discard_empty, finished, new_run
from fracture_vae.transforms import Preprocessing

logger = logging.getLogger(__name__)

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
"""The bundles of the checkout this package runs from."""
VARIANTS = "variants"
"""Folder below a bundle's configs that holds its variants, overlays of train.json."""


def train_bundle(bundle: Path, fold: str | None, overlays: Sequence[Path], overrides: Mapping[str, Any]) -> None:
    """Train one fold of ``bundle``, or ``all`` of the cohort's in turn, in one run folder with a folder a fold.

    A bundle that has no folds takes None for ``fold``, which is fold 1 of the others. ``overrides`` are ids of the
    config.

    Raises:
        InputError: for anything wrong with what was given, before training starts.
    """
    configs = [training_config(bundle), *overlays]
    config = bundles.load(configs)
    bundles.check_overrides(config, overrides)
    if "fold" in overrides:
        raise InputError("--set fold: the fold is given by --fold")
    if "fold" not in config:
        if fold is not None:
            raise InputError(f"--fold {fold}: {bundle} has no folds; leave it out")
        bundles.run(configs, "training", overrides)
    elif fold == "all":
        settings = {**config, **overrides}
        folds = _folds(settings["cohort"])
        project = _plain(settings["project_dir"], str(bundle / "runs"))
        run = Path(new_run(project, settings["group"], _plain(settings["run_name"], "all_folds")))
        try:
            for number in folds:
                placed = {"fold": number, "run_dir": str(run / f"fold_{number}")}
                bundles.run(configs, "training", {**overrides, **placed})
        finally:
            discard_empty(run)
    elif (fold or "1").isdecimal():
        bundles.run(configs, "training", {**overrides, "fold": int(fold or "1")})
    else:
        raise InputError(f"fold '{fold}': give a number, or all")


def fit_baselines(name: str, cohort: Path, fold: str, project: Path, settings: Mapping[str, Any]) -> Path:
    """Fit the baseline ``name`` to one fold of a cohort, or to ``all`` in one run folder, and return the run folder.

    It is what training gives: `infer_cases` runs it, with the configs of the bundle vq3d.

    Args:
        name: of ``training.fitting.BASELINES``.
        cohort: path of a cohort.csv.
        fold: the fold that is left out, or ``all`` in turn.
        project: where run folders go, below the group ``baselines``.
        settings: ``intensity``, ``hu_window`` and ``percentiles`` as in train.json, ``score`` likewise, and options of
            the baseline's network.

    Raises:
        InputError: for anything wrong with what was given.
    """
    if name not in BASELINES:
        hint = nearest(name, BASELINES) or "."
        raise InputError(f"no baseline is called '{name}'{hint} Known: {', '.join(BASELINES)}")
    baseline = BASELINES[name]
    known = ("intensity", "hu_window", "percentiles", "score", *baseline.options)
    for key in settings:
        if key not in known:
            raise InputError(f"--set {key}: {name} has no such setting{nearest(key, known)}; it has {', '.join(known)}")
    options = {**baseline.options, **{key: settings[key] for key in baseline.options if key in settings}}
    composition = compose(settings.get("score", baseline.score)).plain()
    preprocessing = Preprocessing(
        **{key: settings[key] for key in ("intensity", "hu_window", "percentiles") if key in settings}
    )
    table = open_cohort(cohort)
    if fold != "all" and not fold.isdecimal():
        raise InputError(f"fold '{fold}': give a number, or all")
    folds = _folds(cohort) if fold == "all" else (int(fold),)
    run = Path(new_run(project, "baselines", name if fold == "all" else f"{name}-fold{fold}"))
    try:
        for number in folds:
            place = run / f"fold_{number}" if fold == "all" else run
            own = replace(baseline, options=options)
            fit_baseline(place, BUNDLES / "vq3d", own, composition, table, number, preprocessing)
    finally:
        discard_empty(run)
    return run


def resume_run(run: Path, overrides: Mapping[str, Any]) -> None:
    """Go on with a run that stopped, with the configuration it was started with.

    Of a run of all folds, those done are left alone, the one that stopped goes on, and those missing are trained.

    Raises:
        InputError: when ``run`` is no run folder, or has nothing left to do.
    """
    for key in ("fold", "cohort"):
        if key in overrides:
            raise InputError(f"--set {key}: a run goes on with the {key} it was started with")
    folds = sorted(run.glob(f"fold_*/{RESOLVED_CONFIG}"))
    if folds:
        cohort = bundles.load([folds[0]])["cohort"]
        for number in _folds(cohort):
            folder = run / f"fold_{number}"
            if finished(folder) and not overrides:
                logger.info("fold %d is done: %s", number, folder)
                continue
            own = folder / RESOLVED_CONFIG
            _go_on(own if own.is_file() else folds[0], folder, {**overrides, "fold": number})
    elif (run / RESOLVED_CONFIG).is_file():
        if finished(run) and not overrides:
            raise InputError(f"resume {run}: it is done; to train on, raise max_epochs or patience with --set")
        _go_on(run / RESOLVED_CONFIG, run, overrides)
    else:
        raise InputError(f"resume {run}: no run folder, it has no {RESOLVED_CONFIG}")


def _go_on(config: Path, folder: Path, overrides: Mapping[str, Any]) -> None:
    """Train in ``folder``: on from its last checkpoint, or from the start where it has none."""
    has_checkpoint = (folder / FOLDER / LAST).is_file()
    if not has_checkpoint:
        logger.warning("%s: no %s/%s yet; training begins anew", folder, FOLDER, LAST)
    placed = {"run_dir": str(folder), **({"resume": str(folder)} if has_checkpoint else {})}
    bundles.run([config], "training", {**overrides, **placed})


def _plain(value: str, otherwise: str) -> str:
    """Return a setting's value, or ``otherwise`` where it is an expression (the bundle's default)."""
    return otherwise if value.startswith("$") else value


def _folds(cohort: str | Path | None) -> tuple[int, ...]:
    """Return the folds of a cohort all of which can train."""
    table = open_cohort(cohort)
    for fold in table.folds:
        table.training(fold), table.validation(fold)
    return table.folds


class _Inference(NamedTuple):
    """A model, the config that runs it with which overrides, the entries of its datalist, and whom it has seen.

    Attributes:
        trained_on: pseudonyms of patients, those of an ensemble's members among them.
    """

    model: ModelFile
    config: Path
    overrides: dict[str, Any]
    items: list[dict[str, Any]]
    trained_on: frozenset[str]


def infer_cases(
    model: Path, output: Path, settings: Mapping[str, Any], *, in_source: bool = False, bundle: Path | None = None
) -> None:
    """Write the maps of ``model`` (a run folder, a checkpoint or a bundle) to ``output``.

    A run of all folds gives each case of its cohort to the model that did not see its patient, and cases that none of
    its models has seen to all of them: their maps are means. The network is the checkpoint's own where it names one;
    preprocessing too, unless ``settings`` (ids of inference.json) say otherwise.

    Raises:
        InputError: for anything wrong with what was given.
        PartialFailure: when some cases failed; the others are written.
    """
    if "output_dir" in settings:
        raise InputError("--set output_dir: the folder is given by --output")
    models = find_models(model)
    if len(models) > 1 and settings.get("ensemble"):
        raise InputError(f"--set ensemble: {model} is a run of {len(models)} folds already; give one fold's checkpoint")
    planned = [_planned(found, output, settings, bundle) for found in models]
    read_calibrations([plan.model.path for plan in planned])
    jobs = _joined(planned)
    items = [item for job in jobs for item in job.items]
    if len(jobs) > 1 and settings.get("cohort"):
        _warn_of_missing_folds(settings["cohort"], items)
    require_apart(items, output)
    if in_source:
        require_sources(items)
    require_folder(output)
    with alone_in(output, OTHER_FOLDER):
        _infer(jobs, output, items if in_source else [])


def _infer(jobs: Sequence[_Inference], output: Path, pasted: Sequence[dict[str, Any]]) -> None:
    """Run inferences into one folder, and paste the maps of crops into their source's, if any.

    Raises:
        PartialFailure: when some cases failed.
    """
    failed: dict[str, str] = {}
    for job in jobs:
        try:
            bundles.run([job.config], "run", job.overrides)
        except PartialFailure as failure:
            failed |= failure.failed
        _warn_of_seen(job)
        _warn_of_drift(output, job, failed)
    written = sum(len(job.items) for job in jobs) - len(failed)
    if pasted and written:
        paste_error_maps(output, pasted)
    if failed:
        raise PartialFailure(failed, written)


def _planned(model: ModelFile, output: Path, settings: Mapping[str, Any], bundle: Path | None) -> _Inference:
    config = bundle_config(bundle or find_bundle(model, BUNDLES), "inference.json")
    built = [setting for setting in settings if setting.partition("#")[0] == "network_def"]
    if built and model.about.network:
        raise InputError(f"--set {built[0]}: {model.path} says which network it holds; leave it out")
    overrides = {"checkpoint": str(model.path), "output_dir": str(output), **as_trained_network(model), **settings}
    own = bundles.load([config])
    bundles.check_overrides(own, overrides)
    members = _members(overrides)
    said = describe(model.path, members) if members else model.about.plain()
    return _Inference(model, config, overrides, _items({**own, **overrides}, said), frozenset(said["trained_on"]))


def _members(overrides: Mapping[str, Any]) -> Sequence[str]:
    """Return the further checkpoints of the ensemble that was asked for, if any."""
    given = overrides.get("ensemble") or ()
    if not isinstance(given, str) and not all(isinstance(file, str) for file in given):
        raise InputError(f"--set ensemble: {given} is no list of files; give paths of checkpoints")
    return () if isinstance(given, str) else given  # an expression is the bundle's to evaluate


def _warn_of_seen(job: _Inference) -> None:
    """Say so where a model runs over the patients it was trained on."""
    seen = sum(pseudonym(item.get("patient_id", "")) in job.trained_on for item in job.items)
    if seen:
        logger.warning(
            "%d of %d cases are of patients that the model was trained on: they score lower than a new patient's would",
            seen,
            len(job.items),
        )


def _warn_of_drift(output: Path, job: _Inference, failed: Collection[str]) -> None:
    """Say so where normal cases of new patients score otherwise than those that the model is calibrated on.

    What lies there of a case that this inference refused (``failed``) is an earlier one's.
    """
    calibrations = read_calibrations([job.model.path, *_members(job.overrides)])
    if calibrations:
        written = [item for item in job.items if item.get("label") == 0 and told_as(item) not in failed]
        sidecars = {item["case_id"]: output / f"{item['case_id']}.json" for item in written}
        told = {case: read_json(path)["calibration"] for case, path in sidecars.items() if path.is_file()}
        found = drift_of_normals(told, written, calibrations, job.trained_on)
        if found is not None and found.surprising:
            logger.warning("%s", found)


def _warn_of_missing_folds(cohort: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Say which folds of the cohort no model has validated, because training stopped before them."""
    covered = {item["fold"] for item in items}
    missing = [str(fold) for fold in read_cohort(cohort).folds if str(fold) not in covered]
    if missing:
        logger.warning(
            "no model for fold %s yet: its cases get no maps (fracture-vae train --resume)", ", ".join(missing)
        )


def _joined(planned: Sequence[_Inference]) -> list[_Inference]:
    """Return the inferences to run: one of an ensemble, where all models would run over the same cases.

    Raises:
        InputError: for a case of several models of which some have seen its patient, or that do not share all cases.
    """
    first, *others = planned
    if others and all(other.items == first.items for other in others):
        trained_on = first.trained_on.union(*(other.trained_on for other in others))
        for item in first.items:
            if pseudonym(item.get("patient_id", "")) in trained_on:
                raise _several(item, first)
        logger.info("maps are means over the models of %d folds", len(planned))
        overrides = {**first.overrides, "ensemble": [str(job.model.path) for job in others]}
        return [first._replace(overrides=overrides, trained_on=trained_on)]
    images: set[str] = set()
    for job in planned:
        for item in job.items:
            if item["image"] in images:
                raise _several(item, job)
        images |= {item["image"] for item in job.items}
    return list(planned)


def _several(item: Mapping[str, Any], job: _Inference) -> InputError:
    return InputError(
        f"{item['image']}: a model of each fold would run over it, and some were trained on its patient; give one "
        f"fold's, such as {job.model.path.parent.parent}"
    )


def as_trained_network(model: ModelFile) -> dict[str, Any]:
    """Return the override that makes a bundle's network the one that ``model`` says it is.

    The bundle here reads it from the checkpoint itself; copies in the folders of earlier runs do not.
    """
    definition = model.about.network
    return {"network_def": {"_target_": "fracture_vae.networks.build_network", **definition}} if definition else {}


def _items(config: Mapping[str, Any], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    keys = ("dataset_dir", "cohort", "images", "split", "fold")
    return datalist(**{key: config[key] for key in keys}, model=model)


def variant_config(bundle: Path, name: str) -> Path:
    """Return the overlay config of the variant ``name`` of ``bundle``.

    Raises:
        InputError: when it has none of that name, with those it has.
    """
    known = sorted(path.stem for path in (bundle / "configs" / VARIANTS).glob("*.json"))
    if name not in known:
        listed = f"it has {', '.join(known)}" if known else "it has none"
        raise InputError(f"{bundle}: no variant '{name}'; {listed}{nearest(name, known)}")
    return bundle / "configs" / VARIANTS / f"{name}.json"


def variant_configs(bundle: Path, name: str) -> tuple[Path, ...]:
    """Return what is merged over train.json for the variant ``name`` of ``bundle``: those it builds on, then its own.

    Raises:
        InputError: for a variant that the bundle does not have.
    """
    own = variant_config(bundle, name)
    base = bundles.built_on(own)
    return (own,) if base is None else (*variant_configs(bundle, base), own)


def training_config(bundle: Path) -> Path:
    """Return the config that trains ``bundle``.

    Raises:
        InputError: when the folder is no bundle.
    """
    return bundle_config(bundle, "train.json")


def bundle_config(bundle: Path, name: str) -> Path:
    """Return the config ``name`` of ``bundle``.

    Raises:
        InputError: when the folder is no bundle, or has no such config.
    """
    path = bundle / "configs" / name
    if not path.is_file():
        raise InputError(f"{bundle}: not a bundle, it has no configs/{name}; give a folder such as bundles/vq3d")
    return path
