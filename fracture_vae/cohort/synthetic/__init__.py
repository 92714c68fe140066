"""Studies of synthetic spines: planned by a seed, made patient by patient, cropped as a real study would be."""

from fracture_vae.cohort.synthetic.making import make_cohort
from fracture_vae.cohort.synthetic.plan import (
    PHANTOM_VERSION,
    Plan,
    PlannedPatient,
    SyntheticCohort,
    asked_levels,
    plan_cohort,
    plan_reference,
)
from fracture_vae.cohort.synthetic.small import SMALL, cache_folder, open_cohort

__all__ = [
    "PHANTOM_VERSION",
    "SMALL",
    "Plan",
    "PlannedPatient",
    "SyntheticCohort",
    "asked_levels",
    "cache_folder",
    "make_cohort",
    "open_cohort",
    "plan_cohort",
    "plan_reference",
]
