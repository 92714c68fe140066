"""Training: how fast, on what data, and the handlers that log, save, stop and resume."""

from fracture_vae.training.acceleration import Accelerated, Acceleration, best_device, choose, usable
from fracture_vae.training.checkpoints import Checkpoints
from fracture_vae.training.clipping import GradientClipping
from fracture_vae.training.codebook import CodebookInitialiser, CodebookUse
from fracture_vae.training.collapse import LatentWatch
from fracture_vae.training.curves import RunCurves
from fracture_vae.training.data import BatchLoader, VolumeDataset
from fracture_vae.training.dictionaries import DictionaryDataset, Preprocessd
from fracture_vae.training.distributed import device_ids, join_processes, leave_processes, rank, world_size
from fracture_vae.training.early_stopping import EarlyStopping
from fracture_vae.training.final_bound import FinalBound, require_bound
from fracture_vae.training.images import ImageDataset, require_several
from fracture_vae.training.learning_rate import learning_rate_schedule
from fracture_vae.training.metrics import key_metric, lower_is_better, mean_terms, prepare_batch, total_loss
from fracture_vae.training.objective_schedule import KLPlan, kl_control
from fracture_vae.training.perceptual import perceptual_distance
from fracture_vae.training.pictures import RunPictures
from fracture_vae.training.progress import ProgressBar
from fracture_vae.training.run_folder import run_folder, write_meta
from fracture_vae.training.run_log import RunLog
from fracture_vae.training.session import (
    about_model,
    announce,
    build_optimizer,
    finish,
    load_checkpoint,
    named,
    require_corruption,
    require_counts,
    say_metrics,
    seed,
    size_trained_on,
    voxels_seen,
)
from fracture_vae.training.slices import ValidationSlices
from fracture_vae.training.study import about_study_model, announce_study, open_study, write_study_meta
from fracture_vae.training.suits import suited
from fracture_vae.training.token_prior import with_prior
from fracture_vae.training.tracking import require_tracking, track
from fracture_vae.training.vectors import VectorPlan

__all__ = [
    "Accelerated",
    "Acceleration",
    "BatchLoader",
    "Checkpoints",
    "CodebookInitialiser",
    "CodebookUse",
    "DictionaryDataset",
    "EarlyStopping",
    "FinalBound",
    "GradientClipping",
    "ImageDataset",
    "KLPlan",
    "LatentWatch",
    "Preprocessd",
    "ProgressBar",
    "RunCurves",
    "RunLog",
    "RunPictures",
    "ValidationSlices",
    "VectorPlan",
    "VolumeDataset",
    "about_model",
    "about_study_model",
    "announce",
    "announce_study",
    "best_device",
    "build_optimizer",
    "choose",
    "device_ids",
    "finish",
    "join_processes",
    "key_metric",
    "kl_control",
    "learning_rate_schedule",
    "leave_processes",
    "load_checkpoint",
    "lower_is_better",
    "mean_terms",
    "named",
    "open_study",
    "perceptual_distance",
    "prepare_batch",
    "rank",
    "require_bound",
    "require_corruption",
    "require_counts",
    "require_several",
    "require_tracking",
    "run_folder",
    "say_metrics",
    "seed",
    "size_trained_on",
    "suited",
    "total_loss",
    "track",
    "usable",
    "voxels_seen",
    "with_prior",
    "world_size",
    "write_meta",
    "write_study_meta",
]
