"""The table of case scores an inference leaves, scores.csv."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fracture_vae.errors import InputError
from fracture_vae.files import write_csv
from fracture_vae.maps.calibration.conformal import COLUMNS, q_values

SCORES_FILE = "scores.csv"
SCORE_COLUMNS = (
    "case_id", "patient_id", "level", "label", "fold", "score", *COLUMNS, "image", "error_map", "model",
)  # fmt: skip


class ScoreTable:
    """Rows by case; those an earlier inference left stay, at their place, until their case is added or forgotten.

    New rows follow in the order of the places they are given, whenever they come.

    Args:
        path: the scores.csv; read if it is there.

    Raises:
        InputError: when it is another table, or a p-value is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = read_scores(path) if path.is_file() else []
        for row in rows:
            _require_p(path, row)
        self.on_disk: dict[str, Mapping[str, Any]] = {row["case_id"]: row for row in rows}
        self.kept = dict(self.on_disk)
        self.new: dict[int, Mapping[str, Any]] = {}

    def refusal(self, case_id: str, image: str) -> str:
        """Return why a case may not be written, or an empty string: it would replace another image's of its name."""
        other = self.on_disk.get(case_id, {}).get("image", image)
        if Path(other).absolute() == Path(image).absolute():
            return ""
        return f"{image}: {self.path} has a case {case_id} of {other}; give another output folder"

    def add(self, place: int, row: Mapping[str, Any]) -> None:
        """Add or replace the row of ``row["case_id"]``."""
        if row["case_id"] in self.kept:
            self.kept[row["case_id"]] = row
        else:
            self.new[place] = row

    def forget(self, case_id: str) -> None:
        """Remove what an earlier inference said of a case."""
        self.kept.pop(case_id, None)

    def save(self) -> None:
        """Write the table, if anything changed."""
        listed = _with_q_values([*self.kept.values(), *(self.new[n] for n in sorted(self.new))])
        rows = {str(row["case_id"]): row for row in listed}
        if rows == self.on_disk:
            return
        write_csv(self.path, SCORE_COLUMNS, rows.values())
        self.on_disk = rows


def _with_q_values(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows with the false-discovery rate at which each case is found among its patient's of the same model.

    It goes by ``p_case``: p-values by patient are too coarse to find one of many. Rows that another model left, or the
    same one under another calibration, were ranked among other healthy cases; nothing is known of how their p-values
    depend on these, so they are a family of their own. A case without a patient is by itself; one without a p-value
    has none.
    """
    groups: dict[tuple[object, str], list[int]] = {}
    for place, row in enumerate(rows):
        if row.get("p_case"):
            groups.setdefault((row.get("patient_id") or place, row.get("model", "")), []).append(place)
    given = [dict(row) for row in rows]
    for places in groups.values():
        for place, q in zip(places, q_values([float(rows[place]["p_case"]) for place in places]), strict=True):
            given[place]["q_value"] = f"{q:.6g}"
    return list(given)


def _require_p(path: Path, row: Mapping[str, str]) -> None:
    try:
        if row.get("p_case") and not 0 <= float(row["p_case"]) <= 1:
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"{path}: p_case of '{row['case_id']}' is '{row['p_case']}', no p-value; run fracture-vae infer into an "
            "empty folder"
        ) from error


def read_scores(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a scores.csv.

    Raises:
        InputError: when it is missing, has other columns, or a row is shorter than they are or longer.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; run fracture-vae infer first")
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: damaged ({error}); run fracture-vae infer again, into an empty folder") from error
    missing = {"case_id", "score"} - set(columns)
    if missing:
        raise InputError(f"{path}: no column {', '.join(sorted(missing))}; is it a scores.csv of fracture-vae infer?")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise InputError(
                f"{path}: row {number} has not as many values as the table has columns; run fracture-vae infer again, "
                "into an empty folder"
            )
    return rows
