"""Compare quantizers: what a training step costs, and what a short training reaches.

    python -m tools.benchmarks.quantizers --data DATA/hippocampus --seconds 75 --out quantizers.json

Cost: forward and backward of 2048 vectors of length 256 against 512 codes, float32, median of the repeats.
Quality: a 3-level VQ-VAE on the hippocampus volumes (Medical Segmentation Decathlon, Task04), each padded to
48 x 64 x 48 and scaled from its 1st and 99th percentile to [0, 1]; 4 in 5 train, the rest validate. Each quantizer
gets the same seconds of training, the same start and the same order of volumes.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import monai
import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
import vector_quantize_pytorch
from torch import Tensor

from fracture_vae.files import write_text
from fracture_vae.networks import VQVAE, Quantizer, VQVAEConfig, build_quantizer
from fracture_vae.networks.quantizers.packaged import PackagedQuantizer
from tools.benchmarks.timing import machine

SIZE = (48, 64, 48)
CHANNELS = (16, 32, 64)
CODES = 512
BATCH = 8
LEARNING_RATE = 1e-3


class Quality(NamedTuple):
    """What a short training reached; validation figures are over all validation volumes."""

    steps: int
    val_l1: float
    val_perplexity: float
    val_used: float
    train_used: float
    """Fraction of the codes used in the last whole epoch of training, or so far if there was none."""


def packaged(dim: int) -> Quantizer:
    """VectorQuantize of the package as its users set it up: k-means start, dead-code threshold, EMA."""
    inner = vector_quantize_pytorch.VectorQuantize(
        dim, CODES, decay=0.99, commitment_weight=0.25, kmeans_init=True, threshold_ema_dead_code=2
    )
    return PackagedQuantizer(CODES, dim, inner)


CANDIDATES: dict[str, Callable[[int], Quantizer]] = {
    "vq ema": lambda dim: build_quantizer("vq", num_codes=CODES, dim=dim, codebook="ema"),
    "vq gradient": lambda dim: build_quantizer("vq", num_codes=CODES, dim=dim, codebook="gradient"),
    "package VectorQuantize": packaged,
    "rotation_trick": lambda dim: build_quantizer("rotation_trick", num_codes=CODES, dim=dim, restart_below=2),
    "fsq": lambda _: build_quantizer("fsq", levels=(8, 8, 8)),
    "sim_vq": lambda dim: build_quantizer("sim_vq", num_codes=CODES, dim=dim),
}


def cost(make: Callable[[int], Quantizer], repeats: int) -> float:
    """Median seconds of one forward and backward in training."""
    torch.manual_seed(0)
    quantizer = make(256).train()
    start = torch.randn(4, quantizer.dim, 8, 8, 8).to(memory_format=torch.channels_last_3d)
    if quantizer.needs_vectors:
        quantizer.initialise(torch.randn(4096, quantizer.dim))
    times = []
    for _ in range(repeats + 3):  # the first ones initialise and warm up
        z = start.clone().requires_grad_()
        began = time.perf_counter()
        out = quantizer(z)
        (out.quantized.sum() + out.loss).backward()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def load(folder: Path) -> Tensor:
    """All volumes (N, 1, *SIZE) in [0, 1]."""
    return torch.stack([_volume(path) for path in sorted((folder / "images").glob("*.nii*"))])


def _volume(path: Path) -> Tensor:
    array = np.asarray(nib.load(path).dataobj, dtype=np.float32)
    low, high = np.percentile(array, (1, 99))
    scaled = np.clip((array - low) / (high - low), 0, 1)[tuple(slice(0, n) for n in SIZE)]
    padding = [((n - have) // 2, n - have - (n - have) // 2) for n, have in zip(SIZE, scaled.shape, strict=True)]
    return torch.from_numpy(np.pad(scaled, padding).astype(np.float32))[None]


def quality(make: Callable[[int], Quantizer], volumes: Tensor, seconds: float, seed: int) -> Quality:
    """Train for ``seconds`` and validate."""
    order = torch.randperm(len(volumes), generator=torch.Generator().manual_seed(seed))
    split = len(volumes) * 4 // 5
    train, val = volumes[order[:split]], volumes[order[split:]]
    torch.manual_seed(seed)
    quantizer = make(CHANNELS[-1])
    torch.manual_seed(seed)  # the same network whatever the quantizer drew
    network = VQVAE(VQVAEConfig(channels=CHANNELS), quantizer).train()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    shuffle = torch.Generator().manual_seed(seed)
    if quantizer.needs_vectors:
        with torch.no_grad(), _autocast():
            vectors = network.encode(train[torch.randperm(split, generator=shuffle)[: 4 * BATCH]])
        quantizer.initialise(vectors.movedim(1, -1).reshape(-1, quantizer.dim))
    steps, used, deadline = 0, 0.0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        quantizer.reset_usage()
        for batch in torch.randperm(split, generator=shuffle).split(BATCH):
            if time.perf_counter() >= deadline:
                break
            image = train[batch].to(memory_format=torch.channels_last_3d)
            with _autocast():
                out = network.reconstruct(image)
            optimiser.zero_grad()
            (F.l1_loss(out.reconstruction, image) + out.vq_loss).backward()
            optimiser.step()
            steps += 1
        else:
            used = quantizer.usage().used
    return Quality(steps, *validate(network.eval(), val), used or quantizer.usage().used)


def validate(network: VQVAE, volumes: Tensor) -> tuple[float, float, float]:
    """Mean |x - reconstruction|, perplexity and fraction of codes used over ``volumes``."""
    network.quantizer.reset_usage()
    with torch.no_grad(), _autocast():
        errors = [F.l1_loss(network(batch), batch).item() * len(batch) for batch in volumes.split(BATCH)]
    return sum(errors) / len(volumes), *network.quantizer.usage()


def _autocast() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _context(seed: int) -> dict[str, Any]:
    """Machine, versions and settings, for the record."""
    return {
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "monai": monai.__version__,
        },
        "seed": seed,
    }


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Folder with images/; none: cost only.")
@click.option("--seconds", default=75.0, show_default=True, help="Training time of each quantizer.")
@click.option("--repeats", default=15, show_default=True, help="Timed steps of the cost.")
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(CANDIDATES)), help="Some of the quantizers.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file to write.")
def main(
    data: Path | None, seconds: float, repeats: int, threads: int, seed: int, only: tuple[str, ...], out: Path
) -> None:
    torch.set_num_threads(threads)
    candidates = {name: make for name, make in CANDIDATES.items() if not only or name in only}
    volumes = load(data) if data else None
    rows: dict[str, dict[str, float]] = {}
    for name, make in candidates.items():
        rows[name] = {"milliseconds": 1000 * cost(make, repeats)}
        if volumes is not None:
            rows[name] |= quality(make, volumes, seconds, seed)._asdict()
        click.echo(f"{name:24}" + "  ".join(f"{key} {value:.4g}" for key, value in rows[name].items()))
    settings = {"repeats": repeats, "seconds": seconds, "volumes": 0 if volumes is None else len(volumes)}
    write_text(out, json.dumps({**_context(seed), **settings, "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
