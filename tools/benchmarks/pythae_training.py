"""The yardstick of the 2D family: pythae's own trainer and default VAE, as its TrainingPipeline runs them."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch


def pythae_epoch(images: Path, folder: Path, latent: int, batch_size: int, learning_rate: float) -> Callable[[], float]:
    """Return what trains one epoch and returns its loss: what the pipeline does but writing checkpoints.

    The loss is the negative evidence lower bound in nats an image, a mean over the epoch's batches as they are trained.

    Args:
        images: a tensor (N, C, H, W) uint8 that `torch.save` wrote.
        folder: where pythae puts its run.
        latent, batch_size, learning_rate: as the bundle's.
    """
    from pythae.data.preprocessors import DataProcessor
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    data = torch.load(images, weights_only=True).float() / 255
    processor = DataProcessor()
    model = VAE(VAEConfig(input_dim=tuple(data.shape[1:]), latent_dim=latent, reconstruction_loss="bce"))
    config = BaseTrainerConfig(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer_cls="Adam",
        no_cuda=True,
    )
    trainer = BaseTrainer(model, processor.to_dataset(processor.process_data(data)), training_config=config)
    trainer.prepare_training()
    epochs = count(1)
    return lambda: float(trainer.train_step(next(epochs)))
