"""Healthy maps out of fold: kept on disk while a calibration goes through them twice."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ignite.engine import Engine, Events
from nibabel.affines import voxel_sizes

from fracture_vae.cohort.case import pseudonym
from fracture_vae.errors import InputError
from fracture_vae.files import read_json, replacing, write_text
from fracture_vae.maps.calibration.fit import HealthyCase
from fracture_vae.maps.calibration.layouts import Voxels
from fracture_vae.maps.inference import Viewed
from fracture_vae.maps.maker import MapMaker

_INDEX = "maps.json"


def settings_of(maker: MapMaker, score_margin: float | None) -> dict[str, Any]:
    """Return what maps and scores are made with, as JSON values: with others a calibration means nothing."""
    return dict(json.loads(json.dumps({**maker.composition.plain(), "score_margin": score_margin})))


class Kept(NamedTuple):
    """What is known of a healthy map without reading it."""

    case_id: str
    patient: str
    level: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]


class HealthyMaps:
    """Stands in for the writer of an inference over normal cases: keeps their maps in a folder for `KeptMaps`.

    Args:
        folder: is there, and empty.
        maker: makes the maps.
        score_margin: of the data set.
    """

    def __init__(self, folder: str | Path, maker: MapMaker, score_margin: float | None) -> None:
        self.folder = Path(folder)
        self.maker = maker
        self.settings = settings_of(maker, score_margin)
        self.kept: list[Kept] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._cases)

    def _cases(self, engine: Engine) -> None:
        for result in engine.state.output:
            self._keep(result)

    def _keep(self, result: Viewed) -> None:
        case, shown = result
        item = case.item
        if shown is None or case.stored is None:
            raise InputError(case.error)
        if item["label"] != 0:
            raise InputError(f"{item['image']}: case {item['case_id']} is not normal (label 0); it can't calibrate")
        made = self.maker(case, shown)
        parts = (made.error, case.image, case.valid, made.region)
        with replacing(self.folder / f"{len(self.kept)}.npz") as temporary:
            np.savez(temporary, *(part.numpy() for part in parts))
        spacing = tuple(float(edge) for edge in voxel_sizes(case.stored.ras_affine))
        size = tuple(made.error.shape[2:])
        self.kept.append(Kept(item["case_id"], pseudonym(item["patient_id"]), item["level"], size, spacing))

    def report(self) -> None:
        """Write what `KeptMaps` needs to read the maps."""
        content = {"settings": self.settings, "cases": [kept._asdict() for kept in self.kept]}
        write_text(self.folder / _INDEX, json.dumps(content))


class KeptMaps(Sequence[HealthyCase]):
    """The maps in a folder that `HealthyMaps` filled, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = read_json(folder / _INDEX)
        self.settings: Mapping[str, Any] = content["settings"]
        self.cases = [
            Kept(**{**case, "size": tuple(case["size"]), "spacing": tuple(case["spacing"])})
            for case in content["cases"]
        ]

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> HealthyCase:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        kept = self.cases[index]
        with np.load(self.folder / f"{index}.npz", allow_pickle=False) as file:
            map_, image, valid, region = (torch.from_numpy(file[f"arr_{place}"]) for place in range(4))
        return HealthyCase(Voxels(map_, image, valid, kept.level, kept.spacing), region, kept.patient)
