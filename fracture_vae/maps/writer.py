"""What an inference leaves behind: maps in the grid of their image, a sidecar, and one table of scores."""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from fracture_vae import registry
from fracture_vae.alone import alone_in
from fracture_vae.cohort.nifti import description
from fracture_vae.cohort.volumes import Stored, write_map
from fracture_vae.errors import InputError, PartialFailure, nearest
from fracture_vae.files import replacing, require_folder, sha256, write_text
from fracture_vae.maps.calibration.apply import CalibratedMaker
from fracture_vae.maps.calibration.stored import Judged
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.maps.inference import Viewed
from fracture_vae.maps.loading import BATCH_VOXELS
from fracture_vae.maps.maker import Made, MapMaker
from fracture_vae.maps.table import SCORE_COLUMNS, SCORES_FILE, ScoreTable
from fracture_vae.maps.threads import BoundedThreads
from fracture_vae.training.run_folder import now, versions
from fracture_vae.transforms import Preprocessing

logger = logging.getLogger(__name__)

KINDS = ("error", "signed", "recon", "valid")
CALIBRATED_KINDS = ("z", "p")
"""Maps that a calibrated model gives besides."""
ALL_KINDS = (*KINDS, *CALIBRATED_KINDS)
CAVEAT = "research use only"
OTHER_FOLDER = "give another folder for the maps"
DISPLAY_MAX = 0.3
"""Upper end of the display range of residual maps, in units of the normalised intensity."""
_Z_DISPLAY = (0.0, 10.0)
_P_DISPLAY = (0.0, 0.1)
_THREADS = min(8, max(2, os.cpu_count() or 1))
_WAITING = 2 * BATCH_VOXELS  # cases that may wait to be written, in voxels


class MapWriter:
    """Writes ``_error``, ``_signed``, ``_recon`` and ``_valid`` maps and a JSON sidecar per case, and scores.csv; of a
    calibrated model ``_z`` and ``_p`` maps too.

    Attach it to an evaluator whose iterations return lists of :class:`Viewed`. Threads make and write maps while the
    network goes on; it waits when too much is unwritten. Cases that could not be read, reconstructed or written are
    told by :meth:`report`; all others are written, whatever ends the evaluator. Rows of other cases in an existing
    scores.csv stay. While the evaluator runs no other writes there.

    Args:
        output_dir: where everything goes.
        maker: makes the error map and the case score.
        model: what the sidecars say of the model.
        preprocessing: what they say of the preprocessing.
        npy: also write each map as ``.npy``, in RAS order.
        maps: which maps to write; ``error`` must be among them. Without a calibration there is no z and p.
        calibrated: judges the cases, of a calibrated model.

    Raises:
        InputError: for a folder that cannot be written to, or a map there is not.
    """

    def __init__(
        self,
        output_dir: str | Path,
        maker: MapMaker,
        model: Mapping[str, Any],
        preprocessing: Preprocessing,
        npy: bool = False,
        maps: Sequence[str] = ALL_KINDS,
        calibrated: CalibratedMaker | None = None,
    ) -> None:
        require_folder(output_dir)
        _require_maps(maps)
        self.output_dir = Path(output_dir)
        self.maker = maker
        self.npy = npy
        self.maps = tuple(maps)
        self.calibrated = calibrated
        self.about = {"model": dict(model), "preprocessing": asdict(preprocessing), "versions": versions()}
        self.arrived = 0
        self.accepted: set[str] = set()
        self.written = 0
        self.failed: dict[int, tuple[str, str]] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._cases)
        engine.add_event_handler(Events.COMPLETED, self._end)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._stop)

    def _open(self, _: Engine) -> None:
        self.held = ExitStack()
        self.held.enter_context(alone_in(self.output_dir, OTHER_FOLDER, held_before=True))
        self.table = ScoreTable(self.output_dir / SCORES_FILE)
        self.changing = threading.Lock()
        self.threads = BoundedThreads(_THREADS, _WAITING, when_idle=self._save)

    def _end(self, _: Engine) -> None:
        with self.held:
            if hasattr(self, "threads"):
                self.threads.drain()

    def _stop(self, engine: Engine, error: BaseException) -> None:
        """Write what is reconstructed already before the evaluator ends for another reason, such as Ctrl-C."""
        if hasattr(self, "held"):
            self._end(engine)
        raise error

    def _cases(self, engine: Engine) -> None:
        results: list[Viewed] = engine.state.output
        for result in results:
            size = max(one.numel() for one in (result.case.image, result.shown) if one is not None)
            self.threads.submit(size, self._case, self.arrived, result, self._refusal(result))
            self.arrived += 1

    def _refusal(self, result: Viewed) -> str:
        """Return why a case may not be written, or an empty string."""
        case_id, image = result.case.item["case_id"], result.case.item["image"]
        if case_id in self.accepted:
            return f"{image}: a second case called {case_id}; rename one"
        if not result.case.error:
            self.accepted.add(case_id)
        return ""

    def _case(self, place: int, result: Viewed, refusal: str) -> None:
        case_id, image = result.case.item["case_id"], result.case.item["image"]
        refusal = refusal or self.table.refusal(case_id, image)
        try:
            if refusal:
                raise InputError(refusal)
            row = self._write(result)
        except (InputError, OSError) as error:
            with self.changing:
                self.failed[place] = (told_as(result.case.item), str(error))
                if not refusal:
                    self._forget(case_id)
        else:
            with self.changing:
                self.written += 1
                self.table.add(place, row)

    def _save(self) -> None:
        with self.changing:
            self.table.save()

    def _forget(self, case_id: str) -> None:
        """Remove what this or an earlier inference left of a case that failed: it would pass for the whole of it."""
        self._remove(case_id, ALL_KINDS)
        (self.output_dir / f"{case_id}.json").unlink(missing_ok=True)
        self.table.forget(case_id)

    def _remove(self, case_id: str, kinds: Sequence[str]) -> None:
        for kind in kinds:
            for suffix in (".nii.gz", ".npy"):
                (self.output_dir / f"{case_id}_{kind}{suffix}").unlink(missing_ok=True)

    def _write(self, result: Viewed) -> dict[str, Any]:
        case, given = result
        if given is None or case.stored is None:
            raise InputError(case.error)
        if not given.sum().isfinite():
            raise InputError(f"{case.stored.path}: the model's reconstruction is not finite; its training diverged")
        made = self.maker(case, given)
        error, reconstruction, score, _ = made
        judged = self._judged(case, given, made)
        name = case.item["case_id"]
        unit = "normalised intensity"
        shown: dict[str, tuple[Tensor, str, tuple[float, float], type]] = {
            "error": (error, f"{self.maker.composition.name} score", self.maker.display, np.float32),
            "valid": (case.valid, "1 where the maps mean anything", (0.0, 1.0), np.uint8),
        }
        if reconstruction is not None:
            signed = case.image - reconstruction
            shown["signed"] = (signed, f"x - x^, {unit}", (-DISPLAY_MAX, DISPLAY_MAX), np.float32)
            shown["recon"] = (reconstruction, f"reconstruction, {unit}", (0.0, 1.0), np.float32)
        if judged is not None:
            shown["z"] = (judged.z, "healthy spreads above usual", _Z_DISPLAY, np.float32)
            shown["p"] = (judged.p, "share of healthy voxels with such a z", _P_DISPLAY, np.float32)
        kinds = [kind for kind in self.maps if kind in shown]
        calibration = self.calibrated.told(judged) if self.calibrated and judged else None
        # Before the maps: of a case whose writing was stopped, the sidecar says that the row is an earlier one's
        self._sidecar(case.item, case.stored, score, kinds, calibration)
        for kind in kinds:
            map_, said, (low, high), dtype = shown[kind]
            array = map_[0, 0].numpy()
            path = self.output_dir / f"{name}_{kind}.nii.gz"
            write_map(path, array, case.stored, descrip=f"{said}; {CAVEAT}", cal_min=low, cal_max=high, dtype=dtype)
            if self.npy:
                _write_npy(self.output_dir / f"{name}_{kind}.npy", array.astype(dtype))
        self._remove(name, [kind for kind in ALL_KINDS if kind not in kinds])  # an earlier inference's
        listed = {key: case.item.get(key, "") for key in SCORE_COLUMNS}
        return {
            **listed,
            **(self.calibrated.columns(judged) if self.calibrated and judged else {}),
            "score": f"{score:.6g}",
            "error_map": f"{name}_error.nii.gz",
            "model": self.about["model"].get("sha256", "")[:12],
        }

    def _judged(self, case: LoadedCase, shown: Tensor, made: Made) -> Judged | None:
        if self.calibrated is None:
            return None
        if reason := self.calibrated.why_not(case, made):
            logger.warning("%s: no z and p maps: %s", case.item["case_id"], reason)
            return None
        return self.calibrated(case, shown, made)

    def _sidecar(
        self,
        item: Mapping[str, Any],
        stored: Stored,
        score: float,
        kinds: Sequence[str],
        calibration: Mapping[str, Any] | None,
    ) -> None:
        composition = self.maker.composition
        names = dict.fromkeys(part.name for part in composition.parts)
        units = {
            "error": "; ".join(registry.SCORES.components[name].description for name in names),
            "signed": "x - x̂ of the normalised intensity",
            "recon": "normalised intensity",
            "valid": "1 inside the source's field of view, else 0",
            "z": "spreads of healthy maps above their location; 0 outside the field of view",
            "p": "share of a new healthy map's voxels expected to have this z or more; 1 outside the field of view",
        }
        content = {
            "case_id": item["case_id"],
            "fold": item.get("fold", ""),
            "written": now(),
            "source": {
                "path": str(stored.path),
                "sha256": sha256(stored.path),
                "description": description(stored.path),
            },
            "crop": json.loads(item["crop"]) if item.get("crop") else None,
            **self.about,
            "scores": {f"{composition.name}_top": score, **composition.plain()},
            "calibration": calibration,
            "units": {kind: units[kind] for kind in kinds},
            "notice": CAVEAT,
        }
        write_text(
            self.output_dir / f"{item['case_id']}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        )

    def report(self) -> None:
        """Raise what went wrong.

        Raises:
            PartialFailure: when some cases could not be written; the others are.
        """
        if self.failed:
            raise PartialFailure(dict(self.failed[place] for place in sorted(self.failed)), self.written)


def told_as(item: Mapping[str, Any]) -> str:
    """Return how a failure names a case, by its entry in the datalist."""
    return f"{item['case_id']} ({item['image']})"


def _require_maps(maps: Sequence[str]) -> None:
    for kind in maps:
        if kind not in ALL_KINDS:
            raise InputError(f"maps: '{kind}' is not one of {', '.join(ALL_KINDS)}{nearest(kind, ALL_KINDS)}")
    if "error" not in maps:
        raise InputError("maps: error, the primary output, must be among them")


def _write_npy(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
