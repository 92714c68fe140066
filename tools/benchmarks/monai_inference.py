"""Error maps the plain MONAI way: its ``VQVAE``, loader, inferer and writer, as its tutorials put them together."""

from collections.abc import Sequence
from pathlib import Path

import torch
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import SimpleInferer
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, SaveImaged

from tools.benchmarks import monai_vqvae


def write_residuals(
    images: Sequence[Path], weights: Path, output: Path, channels: tuple[int, ...], device: str, workers: int
) -> None:
    """Write |x - x̂| of every image to ``output``, in float32, one volume at a time.

    Args:
        images: volumes in [0, 1], sizes multiples of the network's downsampling.
        weights: a state dict of :func:`monai_vqvae.build` with ``channels``, 512 codes of the last one's length.
        output: folder for the maps.
        channels: of the network.
        device: where it runs.
        workers: processes that read.
    """
    network = monai_vqvae.build(channels, 512, channels[-1])
    network.load_state_dict(torch.load(weights, weights_only=True))
    network = network.to(device).eval()
    before = Compose([LoadImaged(keys="image"), EnsureChannelFirstd(keys="image")])
    after = SaveImaged(
        keys="residual", output_dir=output, output_postfix="error", separate_folder=False, print_log=False
    )
    dataset = Dataset([{"image": str(image)} for image in images], before)
    inferer = SimpleInferer()
    with torch.no_grad():
        for batch in DataLoader(dataset, batch_size=1, num_workers=workers):
            image = batch["image"].to(device)
            reconstruction, _ = inferer(image, network)
            batch["residual"] = (image - reconstruction).abs()
            for case in decollate_batch(batch):
                after(case)
