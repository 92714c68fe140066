"""The record an inference of hold-out cases leaves."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fracture_vae.cohort.looks import record_look
from fracture_vae.cohort.manifest import HOLDOUT

logger = logging.getLogger(__name__)


def record_inference(
    items: Sequence[Mapping[str, Any]],
    cohort: str | Path | None,
    split: str,
    model: Mapping[str, Any],
    output_dir: str | Path,
    unrecorded: bool = False,
) -> None:
    """Record beside the cohort that hold-out cases are among those inferred, if they are, and say which look it is.

    Args:
        items: the datalist.
        cohort: the cohort.csv it is of, or None.
        split: asked for.
        model: what the model says of itself.
        output_dir: where the maps go.
        unrecorded: go on where nothing can be recorded.

    Raises:
        InputError: it cannot be recorded, and ``unrecorded`` is not set.
    """
    if cohort is None:
        return
    told = record_look(
        cohort,
        "infer",
        f"split {split}",
        [item["patient_id"] for item in items if item.get("fold") == HOLDOUT],
        model=" ".join(model.get("weights", ())),
        config=str(model.get("config_sha256", "")),
        output=output_dir,
        unrecorded=unrecorded,
    )
    if told:
        logger.warning(told)
