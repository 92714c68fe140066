"""Cases through the network: padded, looked at, cut back."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm

from fracture_vae.cohort.levels import level_index
from fracture_vae.errors import InputError
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.transforms import multiple_of
from fracture_vae.transforms.padding import centred


class Viewed(NamedTuple):
    """A case and what the network's views show of it; None for a case that has an ``error``."""

    case: LoadedCase
    shown: Tensor | None
    """(1, V + S, H, W, D) float32 on the CPU: V reconstructions, if any, and S maps of scores that need a network."""


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

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return ``network(inputs)`` for (B, C, *spatial) of any size."""
        shape = inputs.shape[2:]
        least = self.at_least or shape
        target = multiple_of([max(sizes) for sizes in zip(shape, least, strict=True)], self.multiple)
        place = centred(shape, target)
        pads = [(p.start, size - p.stop) for p, size in zip(place, target, strict=True)]
        padded = F.pad(inputs, [pad for pair in reversed(pads) for pad in pair])
        inside: tuple[Any, ...] = (..., *place)
        return network(padded, *args, **kwargs)[inside]


def view_cases(engine: Any, cases: Sequence[LoadedCase]) -> list[Viewed]:
    """Return what the network shows of the cases: one iteration of a MONAI evaluator, with its inferer and network.

    The network takes a dictionary, as :class:`~fracture_vae.maps.views.Views` does.

    On a GPU, cases of one size that follow each other are one batch. On a CPU each case goes by itself and the cores
    share the cases: stacked, they would not fit the caches, and cores that share one case wait for each other at
    every layer. A case for which the network fails gets an ``error``, and the others go on.
    """
    device: torch.device = engine.state.device
    network = engine.network.eval()

    @torch.no_grad()
    def look(chosen: Sequence[LoadedCase]) -> Tensor:
        images = torch.cat([torch.cat([case.image, case.valid], 1) for case in chosen])
        level = torch.tensor([level_index(case.item.get("level", "")) for case in chosen], device=device)
        if device.type == "cuda":
            images = images.pin_memory()

        def seen(padded: Tensor) -> Tensor:
            shown: Tensor = network({"image": padded[:, :1], "valid": padded[:, 1:], "level": level})
            return shown

        return engine.inferer(images.to(device, non_blocking=True), seen).float().cpu()

    readable = [case for case in cases if not case.error]
    results = iter((on_cores if device.type == "cpu" else stacked)(look, readable))
    return [Viewed(case, None) if case.error else next(results) for case in cases]


Look = Callable[[Sequence[LoadedCase]], Tensor]
"""From cases of one size, N of them, to what is shown of them, (N, V + S, H, W, D)."""


def stacked(look: Look, cases: Sequence[LoadedCase]) -> list[Viewed]:
    """Look at cases in batches: those of one size that follow each other."""
    groups = [list(group) for _, group in groupby(cases, lambda case: case.image.shape)]
    return [result for group in groups for result in _batch(look, group)]


def on_cores(look: Look, cases: Sequence[LoadedCase]) -> list[Viewed]:
    """Look at every case by itself, at as many at once as there are cores, which they divide among them."""
    cores = torch.get_num_threads()
    at_once = min(cores, len(cases))
    if at_once < 2:
        return [result for case in cases for result in _batch(look, [case])]

    def alone(case: LoadedCase) -> Viewed:
        torch.set_num_threads(cores // at_once)
        return _batch(look, [case])[0]

    with ThreadPoolExecutor(at_once, "network") as pool:
        done = list(pool.map(alone, cases))
    torch.set_num_threads(cores)  # what one thread sets counts for threads that start later
    return done


def _batch(look: Look, cases: Sequence[LoadedCase]) -> list[Viewed]:
    """Look at cases of one size together; if that fails at each by itself, and name those that fail even so."""
    try:
        return [Viewed(*pair) for pair in zip(cases, look(cases).split(1), strict=True)]
    except (InputError, RuntimeError, MemoryError) as error:
        if len(cases) > 1:
            return [result for case in cases for result in _batch(look, [case])]
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [Viewed(cases[0]._replace(error=f"{cases[0].item['image']}: the network failed: {reason}"), None)]


class CaseProgress:
    """A progress bar over the cases of an evaluator."""

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: self.bar.update(len(engine.state.output)))
        engine.add_event_handler(Events.COMPLETED, lambda _: self.bar.close())

    def _open(self, engine: Engine) -> None:
        self.bar = tqdm(total=len(engine.state.dataloader.dataset), desc="error maps", unit="case")
