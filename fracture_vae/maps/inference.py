"""Cases through the network: padded, reconstructed, cut back."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from torch import Tensor, nn
from tqdm import tqdm

from fracture_vae.errors import InputError
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.transforms import multiple_of
from fracture_vae.transforms.padding import centred


class Reconstructed(NamedTuple):
    """A case and its reconstruction, (1, 1, H, W, D) float32 on the CPU; None for a case that has an ``error``."""

    case: LoadedCase
    reconstruction: Tensor | None


class PaddedInferer(Inferer):
    """Centres the image in zeros as training did, runs the network, and cuts the result back.

    Args:
        multiple: what the network's size must be a multiple of.
        at_least: the size trained on, or None; a smaller image is centred in it. Convolutions see the end of a grid,
            so a network trained on padded volumes reconstructs worse in a tighter grid.
    """

    def __init__(self, multiple: int, at_least: Sequence[int] | None = None) -> None:
        super().__init__()
        self.multiple = multiple
        self.at_least = at_least

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Return ``network(inputs)`` for (B, C, *spatial) of any size."""
        shape = inputs.shape[2:]
        least = self.at_least or shape
        target = multiple_of([max(sizes) for sizes in zip(shape, least, strict=True)], self.multiple)
        place = centred(shape, target)
        pads = [(p.start, size - p.stop) for p, size in zip(place, target, strict=True)]
        padded = F.pad(inputs, [pad for pair in reversed(pads) for pad in pair])
        return network(padded, *args, **kwargs)[(..., *place)]


def reconstruct_cases(engine: Any, cases: Sequence[LoadedCase]) -> list[Reconstructed]:
    """Return the cases' reconstructions: one iteration of a MONAI evaluator, with its inferer and network.

    On a GPU, cases of one size that follow each other are one batch. On a CPU each case goes by itself and the cores
    share the cases: stacked, they would not fit the caches, and cores that share one case wait for each other at
    every layer. A case for which the network fails gets an ``error``, and the others go on.
    """
    device: torch.device = engine.state.device
    network = engine.network.eval()

    @torch.no_grad()
    def reconstruct(images: Tensor) -> Tensor:
        if device.type == "cuda":
            images = images.pin_memory()
        return engine.inferer(images.to(device, non_blocking=True), network).float().cpu()

    readable = [case for case in cases if not case.error]
    results = iter((on_cores if device.type == "cpu" else stacked)(reconstruct, readable))
    return [Reconstructed(case, None) if case.error else next(results) for case in cases]


def stacked(reconstruct: Callable[[Tensor], Tensor], cases: Sequence[LoadedCase]) -> list[Reconstructed]:
    """Reconstruct cases in batches: those of one size that follow each other."""
    groups = [list(group) for _, group in groupby(cases, lambda case: case.image.shape)]
    return [result for group in groups for result in _batch(reconstruct, group)]


def on_cores(reconstruct: Callable[[Tensor], Tensor], cases: Sequence[LoadedCase]) -> list[Reconstructed]:
    """Reconstruct every case by itself, as many at once as there are cores, which they divide among them."""
    cores = torch.get_num_threads()
    at_once = min(cores, len(cases))
    if at_once < 2:
        return [result for case in cases for result in _batch(reconstruct, [case])]

    def alone(case: LoadedCase) -> Reconstructed:
        torch.set_num_threads(cores // at_once)
        return _batch(reconstruct, [case])[0]

    with ThreadPoolExecutor(at_once, "network") as pool:
        done = list(pool.map(alone, cases))
    torch.set_num_threads(cores)  # what one thread sets counts for threads that start later
    return done


def _batch(reconstruct: Callable[[Tensor], Tensor], cases: Sequence[LoadedCase]) -> list[Reconstructed]:
    """Reconstruct cases of one size together; if that fails each by itself, and name those that fail even so."""
    try:
        images = cases[0].image if len(cases) == 1 else torch.cat([case.image for case in cases])
        return [Reconstructed(*pair) for pair in zip(cases, reconstruct(images).split(1), strict=True)]
    except (InputError, RuntimeError, MemoryError) as error:
        if len(cases) > 1:
            return [result for case in cases for result in _batch(reconstruct, [case])]
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [Reconstructed(cases[0]._replace(error=f"{cases[0].item['image']}: the network failed: {reason}"), None)]


class CaseProgress:
    """A progress bar over the cases of an evaluator."""

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: self.bar.update(len(engine.state.output)))
        engine.add_event_handler(Events.COMPLETED, lambda _: self.bar.close())

    def _open(self, engine: Engine) -> None:
        self.bar = tqdm(total=len(engine.state.dataloader.dataset), desc="error maps", unit="case")
