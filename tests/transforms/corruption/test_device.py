"""Nothing that corrupts or augments a batch waits for the device the batch is on."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fracture_vae import registry
from fracture_vae.transforms import AugmentConfig, apply, draw
from fracture_vae.transforms.corruption import build_corruption

registry.load_plugins()

LOCAL = ("foreign_patch", "poisson_patch", "deformation", "intensity", "texture", "growth")
"""Parts of a mixture of more than its example holds."""


class _Sent(TorchDispatchMode):
    """Counts what is sent to another device with and without waiting until it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {True: 0, False: 0}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.ops.aten._to_copy.default and given.get("device", args[0].device) != args[0].device:
            self.counts[bool(given.get("non_blocking"))] += 1
        return func(*args, **given)


@pytest.mark.parametrize("name", [*registry.CORRUPTIONS.names, "all"])
def test_no_corruption_reads_back_from_the_images_device(name: str) -> None:
    """The device ``meta`` has shapes and no values: whatever would read one there fails."""
    parts = [{"name": part} for part in LOCAL]
    corruption = build_corruption("mixture", parts=parts) if name == "all" else registry.CORRUPTIONS[name].example()
    images = torch.empty(4, 1, *[32] * max(corruption.dims), device="meta")
    with _Sent() as sent:
        image, truth = corruption.apply(images, corruption.draw(images, torch.Generator().manual_seed(0)))
    assert image.device.type == truth.device.type == "meta"
    assert image.shape == truth.shape == images.shape
    assert sent.counts[True] > 0
    assert sent.counts[False] == 0


def test_augmentation_s_resampling_reads_nothing_back_either() -> None:
    images = torch.empty(4, 1, 16, 16, 16, device="meta")
    with _Sent() as sent:
        out = apply(images, draw(AugmentConfig(noise_prob=0), 4, torch.Generator().manual_seed(0)))
    assert out.shape == images.shape
    assert sent.counts[True] > 0
    assert sent.counts[False] == 0
