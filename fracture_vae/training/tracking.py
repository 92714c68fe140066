"""MLflow and Weights & Biases, through Ignite's loggers, when switched on."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from fracture_vae.errors import InputError


def track(trainer: Engine, evaluator: Engine, run_dir: str, mlflow: bool, wandb: bool) -> None:
    """Send each epoch's ``train/…`` and ``val/…`` metrics to MLflow or Weights & Biases as well.

    MLflow goes to ``MLFLOW_TRACKING_URI`` if set, else to a SQLite file in the run folder; Weights & Biases to the
    project ``fracture_vae`` (``WANDB_MODE=offline`` keeps it local).
    """
    loggers = []
    first = idist.get_rank() == 0
    if mlflow and first:
        from ignite.handlers.mlflow_logger import MLflowLogger

        loggers.append(MLflowLogger(tracking_uri=_mlflow_uri(run_dir)))
    if wandb and first:
        from ignite.handlers.wandb_logger import WandBLogger

        loggers.append(WandBLogger(project="fracture_vae", name=Path(run_dir).name, dir=run_dir))
    for logger in loggers:
        for engine, tag in ((trainer, "train"), (evaluator, "val")):
            logger.attach_output_handler(
                engine,
                Events.EPOCH_COMPLETED,
                tag=tag,
                metric_names="all",
                global_step_transform=lambda *_: trainer.state.epoch,
            )
        trainer.add_event_handler(Events.COMPLETED, _close, logger)


def require_tracking(mlflow: bool, wandb: bool) -> None:
    """Require the packages behind the switches that are on.

    Raises:
        InputError: when one is not installed.
    """
    for package, on in (("mlflow", mlflow), ("wandb", wandb)):
        if on and find_spec(package) is None:
            raise InputError(f"{package} is switched on but not installed: pip install fracture-vae[tracking]")


def _close(engine: Engine, logger: Any) -> None:  # noqa: ARG001
    logger.close()


def _mlflow_uri(run_dir: str) -> str | None:
    return None if "MLFLOW_TRACKING_URI" in os.environ else f"sqlite:///{Path(run_dir) / 'mlflow.db'}"
