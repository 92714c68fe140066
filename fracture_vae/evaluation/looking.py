"""The record an evaluation of hold-out cases leaves."""

from collections.abc import Sequence
from typing import Any

from fracture_vae.cohort.looks import record_look
from fracture_vae.cohort.manifest import HOLDOUT, Case, Cohort
from fracture_vae.evaluation.scored import Scored
from fracture_vae.files import read_json


def record_evaluation(cohort: Cohort, folders: Sequence[Scored], unrecorded: bool) -> str:
    """Record that the hold-out's cases among those scored are compared with their truth; see `record_look`.

    Args:
        cohort: theirs.
        folders: the maps evaluated, and those compared with.
        unrecorded: evaluate even where nothing can be recorded.

    Raises:
        InputError: it cannot be recorded, and ``unrecorded`` is not set.
    """
    held = [case for case in folders[0].cases if case.fold == HOLDOUT]
    said = [_model(folder, case) for folder in folders for case in held]
    models = dict.fromkeys(str(model["sha256"]) for model in said if model.get("sha256"))
    configs = dict.fromkeys(str(model["config_sha256"]) for model in said if model.get("config_sha256"))
    told = f"{len(held)} of {len(folders[0].cases)} cases evaluated"
    return record_look(
        cohort.path,
        "evaluate",
        told if len(folders) == 1 else f"{told}, of {len(folders)} folders of maps",
        [case.patient_id for case in held],
        model=" ".join(models) or " ".join(folders[0].models),
        config=" ".join(configs),
        output=folders[0].folder,
        unrecorded=unrecorded,
    )


def _model(scored: Scored, case: Case) -> dict[str, Any]:
    """Return what a map's sidecar says of its model."""
    sidecar = scored.folder / f"{case.case_id}.json"
    model = read_json(sidecar).get("model") if sidecar.is_file() else None
    return model if isinstance(model, dict) else {}
