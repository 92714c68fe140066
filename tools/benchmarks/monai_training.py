"""The yardstick: MONAI's VQVAE trained as its tutorials train it, on the same volumes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from monai.data import CacheDataset, DataLoader
from monai.networks.nets import VQVAE
from monai.transforms import Compose, RandomizableTransform
from torch import Tensor

from tools.benchmarks.study import Bundle, volume, write_study


def monai_epoch(cohort: Path, project: Path, size: int, batch_size: int, device: str) -> Callable[[], None]:
    """Return what trains one epoch (see :class:`MonaiTraining`)."""
    return MonaiTraining(cohort, project, size, batch_size, torch.device(device)).epoch


def monai_augmentation(project: Path, size: int, batch: int, always: bool) -> Callable[[], None]:
    """Return what augments ``batch`` made-up volumes with the random transforms of the bundle's ``monai_data.json``.

    ``always`` applies every one of them to every volume.
    """
    study = write_study(project / f"study-{always}", 1, 1, 16)
    transforms = Bundle(study, project, ("monai_data.json",), size=[size] * 3, fold=1)["random"]
    for transform in transforms if always else ():
        for part in (transform, getattr(transform, "rand_affine", None)):
            if isinstance(part, RandomizableTransform):
                part.prob = 1.0
    chain = Compose(transforms).set_random_state(0)
    volumes = torch.from_numpy(volume(size, 0)).expand(batch, 1, size, size, size).contiguous()

    def augment() -> None:
        for one in volumes:
            chain({"image": one})

    return augment


class MonaiTraining:
    """``CacheDataset`` and ``DataLoader`` over MONAI's transforms, ``VQVAE``, L1 + quantizer loss, Adam; float32.

    Channels, codes and strides are the bundle's own, without residual units and dropout, which would make it slower
    still. The transforms are those of the bundle's ``monai_data.json``, computed in the training process: workers
    would take the cores the network needs.
    """

    def __init__(self, cohort: Path, project: Path, size: int, batch_size: int, device: torch.device) -> None:
        bundle = Bundle(cohort, project, ("monai_data.json",), size=[size] * 3, fold=1)
        self.chain = bundle["chain"].set_random_state(0)
        cases = bundle["cohort_table"].training(1)
        dataset = CacheDataset([{"image": str(case.image)} for case in cases], self.chain, progress=False)
        self.loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True, num_workers=0)
        channels = tuple(bundle["channels"])
        self.device = device
        self.network = VQVAE(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            channels=channels,
            num_res_layers=0,
            num_res_channels=channels,
            downsample_parameters=((2, 4, 1, 1),) * len(channels),
            upsample_parameters=((2, 4, 1, 1, 0),) * len(channels),
            num_embeddings=bundle["quantizer_options"]["num_codes"],
            embedding_dim=bundle["quantizer_options"]["dim"],
            ddp_sync=False,
        ).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)

    def batches(self) -> Iterator[Tensor]:
        """Yield one epoch's augmented batches (B, 1, H, W, D) on the device."""
        for batch in self.loader:
            yield batch["image"].to(self.device)

    def step(self, images: Tensor) -> None:
        """Take one step on images (B, 1, H, W, D)."""
        self.optimizer.zero_grad(set_to_none=True)
        reconstruction, quantization_loss = self.network(images)
        (torch.nn.functional.l1_loss(reconstruction, images) + quantization_loss).backward()
        self.optimizer.step()

    def epoch(self) -> None:
        """Train one epoch."""
        self.network.train()
        for images in self.batches():
            self.step(images)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
