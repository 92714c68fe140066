"""The interface of a corruption, and corruptions by registered name and plain options."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from fracture_vae import registry
from fracture_vae.errors import InputError
from fracture_vae.transforms.corruption.filters import strongest

CHANGED = 0.02
"""The least difference, in units of the normalised intensity, that makes a voxel one that was changed."""


class Corrupted(NamedTuple):
    """What a network is shown, and where it was changed."""

    image: Tensor
    """(B, C, *spatial) in [0, 1]."""
    truth: Tensor
    """(B, 1, *spatial) float: 1 where a voxel was changed on purpose, by more than :data:`CHANGED`."""


class Corruption(Protocol):
    """Draws what to do to each image of a batch, and does it.

    A registered corruption is a frozen dataclass of plain options (JSON values) that raises
    :class:`fracture_vae.errors.InputError` for bad ones. What it draws is a NamedTuple of tensors whose first axis is
    the batch (or of such tuples), so that it can be kept, replayed, and taken apart by :func:`rows`: an image's
    corruption depends on its own row alone. What comes from the generator alone may be on the CPU and is sent to the
    images' device; what is read from the images stays there. Nothing comes back, so that no step waits for a device.
    """

    @property
    def dims(self) -> tuple[int, ...]:
        """Numbers of spatial axes it can work on."""

    def draw(self, images: Tensor, generator: torch.Generator) -> Any:
        """Return the parameters for (B, C, *spatial) ``images``, drawn from ``generator`` (CPU)."""

    def apply(self, images: Tensor, params: Any) -> Corrupted:
        """Return the corrupted images and the truth, on the images' device; the same for the same parameters."""


def build_corruption(name: str, **options: Any) -> Corruption:
    """Return the registered corruption ``name`` with these options.

    Raises:
        InputError: for a name nobody registered, or options the corruption does not take.
    """
    component = registry.get(registry.CORRUPTIONS, name)
    try:
        made: Corruption = component(**options)
    except TypeError as error:
        raise InputError(f"corruption '{name}': {error}") from error
    return made


def from_options(options: Mapping[str, Any] | None) -> Corruption | None:
    """Return what a config's ``corruption`` describes: null, or a name with that corruption's options.

    Raises:
        InputError: when it is neither.
    """
    if options is None:
        return None
    if not isinstance(options, Mapping) or not isinstance(options.get("name"), str):
        raise InputError(
            f"corruption {options!r}: give null, or a name and options, such as "
            '{"name": "intensity", "size": [0.03, 0.3]}'
        )
    return build_corruption(**options)


def corrupt(images: Tensor, corruption: Corruption, generator: torch.Generator) -> Corrupted:
    """Draw a corruption of (B, C, *spatial) ``images`` from ``generator`` (CPU), and apply it.

    Raises:
        InputError: when the corruption does not work on images of so many axes.
    """
    dims = images.dim() - 2
    if dims not in corruption.dims:
        known = " or ".join(f"{count}D" for count in corruption.dims)
        given = f"{dims}D images" if dims else "vectors"
        raise InputError(f"corruption {type(corruption).__name__} works on {known} images and was given {given}")
    return corruption.apply(images, corruption.draw(images, generator))


def rows(params: Any, chosen: Tensor) -> Any:
    """Return the parameters of the samples ``chosen`` (indices or a mask)."""
    if isinstance(params, Tensor):
        return params[chosen.to(params.device, non_blocking=True)]
    parts = [rows(part, chosen) for part in params]
    return type(params)(*parts) if hasattr(params, "_fields") else tuple(parts)


def changed(before: Tensor, after: Tensor, inside: Tensor) -> Tensor:
    """Return (B, 1, *spatial) 1 where ``inside`` is positive and (B, C, *spatial) ``after`` differs from ``before``."""
    return (strongest((after - before).abs_()) > CHANGED).logical_and_(inside > 0).to(before.dtype)
