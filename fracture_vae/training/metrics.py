"""Epoch means of an objective's terms, as Ignite metrics, and which way they get better."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.utils.enums import CommonKeys
from torch import Tensor

from fracture_vae.errors import InputError, nearest

KEY_TERM = "recon"


class MeanTerm(Metric):
    """Mean of one loss term over the images of an epoch; batches count by their size.

    Args:
        term: the field of the objective's NamedTuple.
        device: where to accumulate, so that no step waits for the device.
    """

    required_output_keys = None

    def __init__(self, term: str, device: torch.device | str = "cpu") -> None:
        self.term = term
        without_float64 = torch.device(device).type == "mps"
        super().__init__(output_transform=_terms_and_size, device="cpu" if without_float64 else device)

    @reinit__is_reduced
    def reset(self) -> None:
        """Start an epoch."""
        self._sum = torch.zeros((), dtype=torch.float64, device=self._device)
        self._images = torch.zeros((), dtype=torch.float64, device=self._device)

    @reinit__is_reduced
    def update(self, output: tuple[Any, int]) -> None:
        """Take one batch's terms and its number of images."""
        terms, size = output
        self._sum += getattr(terms, self.term).detach().to(self._device).double() * size
        self._images += size

    @sync_all_reduce("_sum", "_images")
    def compute(self) -> float:
        """Return the mean over all images of all processes."""
        return (self._sum / self._images.clamp(min=1)).item()


def _terms_and_size(output: dict[str, Any]) -> tuple[Any, int]:
    return output[CommonKeys.PRED], len(output[CommonKeys.IMAGE]["image"])


def mean_terms(terms: Sequence[str], device: torch.device | str = "cpu", key: str = KEY_TERM) -> dict[str, MeanTerm]:
    """Return one :class:`MeanTerm` for each term but the key metric's, called ``<term>_loss``.

    Raises:
        InputError: when ``key`` is none of the terms.
    """
    if key not in terms:
        raise InputError(f"key_term '{key}' is not one of {', '.join(terms)}{nearest(key, terms)}")
    return {f"{term}_loss": MeanTerm(term, device) for term in terms if term != key}


def key_metric(device: torch.device | str = "cpu", key: str = KEY_TERM) -> dict[str, MeanTerm]:
    """Return the metric models are chosen by: the mean of the term ``key``, by default the reconstruction loss."""
    return {f"{key}_loss": MeanTerm(key, device)}


def lower_is_better(current: float, best: float) -> bool:
    """Return whether ``current`` improves on ``best``."""
    return current < best


def total_loss(terms: Any, target: None) -> Tensor:
    """Return what is minimised; the objective has done the rest (there is no target)."""
    del target
    return terms.total


def prepare_batch(
    batch: dict[str, Tensor], device: torch.device, non_blocking: bool = False, **kwargs: Any
) -> tuple[dict[str, Tensor], None]:
    """Return the batch on ``device`` as the objective's input, without a target."""
    return {key: value.to(device, non_blocking=non_blocking, **kwargs) for key, value in batch.items()}, None


def key_value(evaluator: Any) -> float:
    """Return the key metric of an evaluator's last run, infinity where it is not a number."""
    value = float(evaluator.state.metrics[evaluator.state.key_metric_name])
    return math.inf if math.isnan(value) else value
