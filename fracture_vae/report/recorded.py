"""What the record of a 2D run says: the settings it was trained with, and the very data it was trained on."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from fracture_vae.cohort.images import images_folder
from fracture_vae.cohort.images.load import DIGITS
from fracture_vae.cohort.vectors import is_matrix
from fracture_vae.errors import InputError
from fracture_vae.training.about import is_plain
from fracture_vae.training.session import PLACES
from fracture_vae.training.study import Study
from fracture_vae.training.vectors import VectorPlan

UNTOLD = {*PLACES, "device", "compile", "memory_format", "progress", "save_weights", "mlflow", "wandb"}
"""Settings that change nothing in what a run learns."""

OpenStudy = Callable[[str, str, VectorPlan | None], Study]


def settings(config: Mapping[str, Any], data: Any = None) -> dict[str, Any]:
    """Return what a run was trained with: plain values of its config, its network and its objective by name.

    Args:
        config: as it ran.
        data: the record's entry of that name; what was trained on may not be what was asked for.
    """
    told = {
        key: value for key, value in config.items() if key not in UNTOLD and not key.startswith("_") and is_plain(value)
    }
    if isinstance(data, Mapping) and isinstance(data.get("name"), str):
        told["data"] = data["name"]
    network, objective = (config.get(name) for name in ("network_def", "objective"))
    if isinstance(network, Mapping) and "name" in network:
        told["network"] = network["name"]
    if isinstance(objective, Mapping) and "_target_" in objective:
        told["objective"] = str(objective["_target_"]).rpartition(".")[2]
    return told


def differing(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings of which runs have different values, in the order of the configs.

    One that some runs do not have at all, and the others at one value, goes with their network or objective.
    """
    values: dict[str, set[str]] = {}
    for own in told:
        for key, value in own.items():
            values.setdefault(key, set()).add(json.dumps(value))
    return [key for key, held in values.items() if len(held) > 1]


def recorded_study(config: Mapping[str, Any], data: Mapping[str, Any], open_study: OpenStudy) -> Study:
    """Return the very data that a run was trained on.

    Args:
        config: as it ran, which says where the data were.
        data: the record's or the checkpoint's entry of that name, which says what they were.
        open_study: gives the data set by name and folder, vectors by a plan as well.

    Raises:
        InputError: when they are not there, or are others.
    """
    name, place = (DIGITS if data.get("name") == DIGITS else config.get("data")), config.get("data_dir")
    if not isinstance(name, str):
        raise InputError("the run's record does not name its data")
    if not isinstance(place, str) or place.startswith("$"):
        place = str(images_folder())
    keys = (field.name for field in fields(VectorPlan))
    plan = VectorPlan(**{key: config[key] for key in keys if key in config}) if is_matrix(name) else None
    study = open_study(name, place, plan)
    if study.sha256 != data.get("sha256"):
        raise InputError(
            f"was trained on {data.get('name')}, and {place} does not hold that; fetch it there "
            f"(fracture-vae data {data.get('name')} --out {place})"
        )
    return study
