"""One case through the network: padded, reconstructed, cut back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from torch import Tensor, nn
from tqdm import tqdm

from fracture_vae.maps.cases import LoadedCase
from fracture_vae.transforms import multiple_of
from fracture_vae.transforms.padding import centred


class Reconstructed(NamedTuple):
    """A case and its reconstruction, (1, 1, H, W, D) float32 on the CPU; None for a case that could not be read."""

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


@torch.no_grad()
def reconstruct_case(engine: Any, case: LoadedCase) -> Reconstructed:
    """Return the case's reconstruction: one iteration of a MONAI evaluator, with its inferer and network."""
    if case.error:
        return Reconstructed(case, None)
    engine.network.eval()
    image = case.image.to(engine.state.device)
    return Reconstructed(case, engine.inferer(image, engine.network).float().cpu())


class CaseProgress:
    """A progress bar over the cases of an evaluator."""

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: self.bar.update())
        engine.add_event_handler(Events.COMPLETED, lambda _: self.bar.close())

    def _open(self, engine: Engine) -> None:
        self.bar = tqdm(total=engine.state.epoch_length, desc="error maps", unit="case")
