"""The small cohort that bundles fall back on, made once and kept in a cache folder."""

import logging
import os
from pathlib import Path

from fracture_vae.cohort.manifest import Cohort, check_content, read_cohort
from fracture_vae.cohort.synthetic.making import make_cohort
from fracture_vae.cohort.synthetic.plan import SyntheticCohort, plan_cohort

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "FRACTURE_VAE_CACHE"
SMALL = SyntheticCohort()
"""What bundles train on when no cohort is given."""


def open_cohort(path: str | os.PathLike[str] | None) -> Cohort:
    """Return the cohort at ``path``, or the small synthetic one, made on first use in the cache folder.

    Raises:
        InputError: when the cohort is not sound, or holds one image under two names.
    """
    if path is not None:
        cohort = read_cohort(path)
        check_content(cohort)
        return cohort
    plan = plan_cohort(SMALL)
    folder = cache_folder() / f"synthetic-{plan.digest()}"
    if not (folder / "cohort.csv").is_file():
        logger.info("no cohort given: making a small synthetic one, once, in %s", folder)
        make_cohort(folder, plan)
    else:
        logger.info("no cohort given: taking the synthetic one in %s", folder)
    return read_cohort(folder / "cohort.csv")


def cache_folder() -> Path:
    """Return ``$FRACTURE_VAE_CACHE``, else ``fracture_vae`` in the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):  # empty is unset, as the XDG specification has it for its own
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fracture_vae"
