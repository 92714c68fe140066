"""Which of a bundle's settings hold for a cohort."""

import logging
from collections.abc import Mapping
from typing import Any

from fracture_vae.cohort.manifest import Cohort

logger = logging.getLogger(__name__)


def suited(suits: Mapping[str, Mapping[str, Any]], cohort: Cohort) -> Mapping[str, Any]:
    """Return the settings that suit ``cohort``, and log which they are.

    Args:
        suits: those of crops around a vertebra each under ``vertebra``, those of any other scans under ``any``.
        cohort: of crops where every case says its level and how it was cropped.
    """
    if cohort.of_vertebrae:
        logger.info("settings that are not given suit crops of vertebrae")
        return suits["vertebra"]
    without = sum(not (case.level and case.crop) for case in cohort.cases)
    logger.info(
        "settings that are not given suit any scans, not crops of vertebrae: %d of %d cases have no level or no crop",
        without, len(cohort.cases),
    )  # fmt: skip
    return suits["any"]
