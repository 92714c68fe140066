"""Quantizers: modules that replace encoder vectors by entries of a codebook."""

import inspect
from importlib.util import find_spec
from typing import Any

from fracture_vae.errors import InputError
from fracture_vae.networks.quantizers.base import CodebookUsage, Quantized, Quantizer
from fracture_vae.networks.quantizers.vector import VectorQuantizer
from fracture_vae.registry import QUANTIZERS, get

__all__ = ["CodebookUsage", "Quantized", "Quantizer", "VectorQuantizer", "build_quantizer"]

_PACKAGED = ("fsq", "rotation_trick", "sim_vq")

if find_spec("vector_quantize_pytorch") is not None:
    from fracture_vae.networks.quantizers import packaged as _packaged  # noqa: F401  registers its quantizers


def build_quantizer(name: str = "vq", **options: Any) -> Quantizer:
    """Return the registered quantizer called ``name`` made with ``options``.

    Raises:
        InputError: for an unknown name, a quantizer whose package is not installed, or an unknown option.
    """
    if name in _PACKAGED and name not in QUANTIZERS:
        raise InputError(
            f"quantizer '{name}' needs the package vector-quantize-pytorch: pip install fracture-vae[quantizers]"
        )
    component = get(QUANTIZERS, name)
    try:
        inspect.signature(component).bind(**options)
    except TypeError as error:
        known = ", ".join(inspect.signature(component).parameters)
        raise InputError(f"quantizer '{name}': {error}; its options are {known}") from None
    return component(**options)
