"""MONAI's datalist JSON, to and from a cohort."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fracture_vae.cohort.case import HOLDOUT, Case, absolute, case_fields, parse_case
from fracture_vae.cohort.manifest import Cohort, check_cases
from fracture_vae.cohort.volumes import stem
from fracture_vae.errors import InputError


def to_datalist(cohort: Cohort, folder: str | os.PathLike[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return a cohort as MONAI's datalist, ready for ``json.dump``.

    ``training`` holds the cases with a fold, which counts from 0 as in MONAI; ``testing`` the hold-out; and
    ``unassigned`` the cases in no fold, under a key of their own because MONAI trains on whatever is in
    ``training``. ``label`` is the case's class, 0 or 1, left out where unknown; empty fields are left out.

    Args:
        cohort: the study.
        folder: where the JSON will lie, which paths are relative to; by default the cohort's.
    """
    base = cohort.path.parent if folder is None else absolute(folder)
    lists: dict[str, list[dict[str, Any]]] = {"training": [], "testing": [], "unassigned": []}
    for case in cohort.cases:
        item: dict[str, Any] = {name: value for name, value in case_fields(case, base).items() if value}
        item.pop("fold", None)
        if case.label is not None:
            item["label"] = case.label
        if case.fold == HOLDOUT:
            lists["testing"].append(item)
        elif case.fold:
            lists["training"].append(item | {"fold": int(case.fold) - 1})
        else:
            lists["unassigned"].append(item)
    return lists


def from_datalist(path: str | os.PathLike[str]) -> tuple[Case, ...]:
    """Read the cases of a MONAI datalist JSON: `to_datalist`'s, or any that names an ``image`` an item.

    A ``label`` that is a path, as in segmentation, is taken as the voxel truth. A case without a name is called by
    its image's stem, and is a patient of its own unless the item says otherwise. A fold counts from 0.

    Raises:
        InputError: no such JSON, an item without image or with a value out of range, a case in both training and
            testing or listed twice, a patient in two folds.
    """
    file = absolute(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{file}: not a JSON file; give a MONAI datalist") from error
    if not isinstance(content, dict) or not any(isinstance(content.get(key), list) for key in ("training", "testing")):
        raise InputError(f"{file}: no list 'training' or 'testing'; give a MONAI datalist")
    keys = [key for key in ("training", "testing", "unassigned") if key in content]
    if odd := [key for key in keys if not isinstance(content[key], list)]:
        raise InputError(f"{file}: '{odd[0]}' is no list; give a MONAI datalist")
    cases: list[Case] = []
    for key in keys:
        for number, item in enumerate(content[key]):
            where = f"{file}: {key}[{number}]"
            cases.append(_case(item, key, file.parent, where, len(cases) + 1))
    if not cases:
        raise InputError(f"{file}: no items; a datalist needs at least one")
    check_cases(file, cases)
    return tuple(cases)


def _case(item: Any, key: str, folder: Path, where: str, number: int) -> Case:
    if isinstance(item, str):  # a bare path, as in the "testing" list of the Decathlon
        item = {"image": item}
    if not isinstance(item, Mapping) or not isinstance(item.get("image"), str):
        raise InputError(f"{where}: no image; each item needs one path under 'image'")
    fields = {name: str(value) for name, value in item.items() if value is not None}
    if isinstance(item.get("label"), str):
        fields["mask"] = fields.pop("label")
    fields["case_id"] = fields.get("case_id") or stem(fields["image"])
    fields["patient_id"] = fields.get("patient_id") or fields["case_id"]
    fields["fold"] = {"testing": HOLDOUT, "unassigned": ""}.get(key, _fold(item.get("fold"), where))
    return parse_case(fields, folder, where, number)


def _fold(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, int) or value < 0:
        raise InputError(f"{where}: fold is {value!r}; it must be a whole number from 0")
    return str(value + 1)
