"""What an inference leaves behind: maps in the grid of their image, a sidecar, and one table of scores."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from fracture_vae import registry
from fracture_vae.cohort.volumes import Stored, write_map
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.files import replacing, require_folder, sha256, write_text
from fracture_vae.maps.inference import Reconstructed
from fracture_vae.maps.scores import TOP_FRACTION, case_score, require_fraction
from fracture_vae.training.run_folder import now, versions
from fracture_vae.transforms import Preprocessing

SCORES_FILE = "scores.csv"
SCORE_COLUMNS = ("case_id", "patient_id", "level", "label", "fold", "score", "image", "error_map", "model")
KINDS = ("error", "signed", "recon", "valid")
CAVEAT = "research use only"
DISPLAY_MAX = 0.3
"""Upper end of the display range of residual maps, in units of the normalised intensity."""


class MapWriter:
    """Writes ``_error``, ``_signed``, ``_recon`` and ``_valid`` maps and a JSON sidecar per case, and scores.csv.

    Attach it to an evaluator whose iterations return :class:`Reconstructed`. Cases that could not be read are kept
    in ``failed`` (case_id to reason) and told by :meth:`report`. Rows of other cases in an existing scores.csv stay.

    Args:
        output_dir: where everything goes.
        score: name of the registered residual score the error map holds.
        model: what the sidecars say of the model.
        preprocessing: what they say of the preprocessing.
        npy: also write each map as ``.npy``, in RAS order.
        top_fraction: share of the voxels that make the case score.
    """

    def __init__(
        self,
        output_dir: str | Path,
        score: str,
        model: Mapping[str, Any],
        preprocessing: Preprocessing,
        npy: bool = False,
        top_fraction: float = TOP_FRACTION,
    ) -> None:
        require_folder(output_dir)
        require_fraction(top_fraction)
        self.output_dir = Path(output_dir)
        self.score_name = score
        self.score = registry.get(registry.SCORES, score)
        self.model = dict(model)
        self.preprocessing = asdict(preprocessing)
        self.npy = npy
        self.top_fraction = top_fraction
        self.written: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.forgotten: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._case)

    def _case(self, engine: Engine) -> None:
        result: Reconstructed = engine.state.output
        case_id = result.case.item["case_id"]
        try:
            if case_id in self.written:
                raise InputError(f"{result.case.item['image']}: a second case called {case_id}; rename one")
            self._refuse_another(case_id, result.case.item["image"])
            try:
                self.written[case_id] = self._write(result)
            except InputError:
                self._forget(case_id)
                raise
        except InputError as error:
            self.failed[f"{case_id} ({result.case.item['image']})"] = str(error)
        self._table()

    def _refuse_another(self, case_id: str, image: str) -> None:
        """Refuse to replace the maps of another image of the same name."""
        path = self.output_dir / SCORES_FILE
        for row in read_scores(path) if path.is_file() else []:
            other = row.get("image", image)
            if row["case_id"] == case_id and Path(other).absolute() != Path(image).absolute():
                raise InputError(f"{image}: {path} has a case {case_id} of {row['image']}; give another output folder")

    def _forget(self, case_id: str) -> None:
        """Remove what this or an earlier inference left of a case that failed: it would pass for the whole of it."""
        for kind in KINDS:
            for suffix in (".nii.gz", ".npy"):
                (self.output_dir / f"{case_id}_{kind}{suffix}").unlink(missing_ok=True)
        (self.output_dir / f"{case_id}.json").unlink(missing_ok=True)
        self.forgotten.add(case_id)

    def _write(self, result: Reconstructed) -> dict[str, Any]:
        case, reconstruction = result
        if reconstruction is None or case.stored is None:
            raise InputError(case.error)
        if not torch.isfinite(reconstruction).all():
            raise InputError(f"{case.stored.path}: the model's reconstruction is not finite; its training diverged")
        error = self.score(case.image, reconstruction)
        score = case_score(error, case.valid, case.region, self.top_fraction)
        name = case.item["case_id"]
        unit = "normalised intensity"
        shown: dict[str, tuple[Tensor, str, float, float, type]] = {
            "error": (error, f"{self.score_name} residual of the {unit}", 0.0, DISPLAY_MAX, np.float32),
            "signed": (case.image - reconstruction, f"x - x^, {unit}", -DISPLAY_MAX, DISPLAY_MAX, np.float32),
            "recon": (reconstruction, f"reconstruction, {unit}", 0.0, 1.0, np.float32),
            "valid": (case.valid, "1 where the maps mean anything", 0.0, 1.0, np.uint8),
        }
        for kind, (map_, descrip, low, high, dtype) in shown.items():
            array = map_[0, 0].numpy()
            path = self.output_dir / f"{name}_{kind}.nii.gz"
            write_map(path, array, case.stored, descrip=f"{descrip}; {CAVEAT}", cal_min=low, cal_max=high, dtype=dtype)
            if self.npy:
                _write_npy(self.output_dir / f"{name}_{kind}.npy", array.astype(dtype))
        self._sidecar(case.item, case.stored, score)
        listed = {key: case.item.get(key, "") for key in SCORE_COLUMNS}
        return {
            **listed,
            "score": f"{score:.6g}",
            "error_map": f"{name}_error.nii.gz",
            "model": self.model.get("sha256", "")[:12],
        }

    def _sidecar(self, item: Mapping[str, Any], stored: Stored, score: float) -> None:
        content = {
            "case_id": item["case_id"],
            "fold": item.get("fold", ""),
            "written": now(),
            "source": {"path": str(stored.path), "sha256": sha256(stored.path)},
            "crop": json.loads(item["crop"]) if item.get("crop") else None,
            "model": self.model,
            "preprocessing": self.preprocessing,
            "scores": {f"{self.score_name}_top": score, "top_fraction": self.top_fraction},
            "units": {
                "error": registry.SCORES.components[self.score_name].description,
                "signed": "x - x̂ of the normalised intensity",
                "recon": "normalised intensity",
                "valid": "1 inside the source's field of view, else 0",
            },
            "versions": versions(),
            "notice": CAVEAT,
        }
        write_text(
            self.output_dir / f"{item['case_id']}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        )

    def _table(self) -> None:
        """Write scores.csv after every case, so that nothing is lost when a job dies."""
        path = self.output_dir / SCORES_FILE
        rows = {row["case_id"]: row for row in read_scores(path)} if path.is_file() else {}
        kept = {case_id: row for case_id, row in rows.items() if case_id not in self.forgotten} | self.written
        if kept == rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, SCORE_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept.values())
        write_text(path, text.getvalue())

    def report(self) -> None:
        """Raise what went wrong.

        Raises:
            PartialFailure: when some cases could not be written; the others are.
        """
        if self.failed:
            raise PartialFailure(self.failed, len(self.written))


def read_scores(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a scores.csv.

    Raises:
        InputError: when it is missing or has other columns.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; run fracture-vae infer first")
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            rows, columns = list(reader), reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: damaged ({error}); run fracture-vae infer again, into an empty folder") from error
    missing = {"case_id", "score"} - set(columns)
    if missing:
        raise InputError(f"{path}: no column {', '.join(sorted(missing))}; is it a scores.csv of fracture-vae infer?")
    return rows


def _write_npy(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
