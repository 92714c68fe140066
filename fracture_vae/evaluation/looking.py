"""The record an evaluation of hold-out cases leaves."""

from collections.abc import Sequence

from fracture_vae.cohort.looks import FILE, record_look
from fracture_vae.cohort.manifest import HOLDOUT, Cohort
from fracture_vae.evaluation.scored import Scored


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
    said = [folder.said(case, "model") for folder in folders for case in held]
    listed = [model["weights"] for model in said if isinstance(model.get("weights"), list)]
    weights = {str(one) for model in listed for one in model}
    files = set() if len(listed) == len(said) else {f"{FILE}{name}" for name in folders[0].models}
    configs = dict.fromkeys(str(model["config_sha256"]) for model in said if model.get("config_sha256"))
    told = f"{len(held)} of {len(folders[0].cases)} cases evaluated"
    return record_look(
        cohort.path,
        "evaluate",
        told if len(folders) == 1 else f"{told}, of {len(folders)} folders of maps",
        [case.patient_id for case in held],
        model=" ".join(sorted(weights | files)),
        config=" ".join(configs),
        output=folders[0].folder,
        unrecorded=unrecorded,
    )
