"""What a study is made of: its table of cases, its volumes and crops, and the synthetic spine.

Nothing here imports torch, so that the command line answers at once.
"""

from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.datalist import from_datalist, to_datalist
from fracture_vae.cohort.folder import cohort_from_folder
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.levels import parse_levels
from fracture_vae.cohort.manifest import Box, Case, Cohort, check_content, read_cohort, write_cohort
from fracture_vae.cohort.split import assign_folds
from fracture_vae.cohort.volumes import Stored, Volume, read_stored, read_volume, to_stored, write_map

__all__ = [
    "Box",
    "Case",
    "Cohort",
    "CropGeometry",
    "Stored",
    "Volume",
    "assign_folds",
    "check_content",
    "cohort_from_folder",
    "crop_vertebrae",
    "from_datalist",
    "parse_levels",
    "read_cohort",
    "read_stored",
    "read_volume",
    "to_datalist",
    "to_stored",
    "write_cohort",
    "write_map",
]
