"""The shape of an encoder and its mirrored decoder."""

from dataclasses import dataclass

from fracture_vae.errors import InputError, nearest
from fracture_vae.networks.coders.activations import ACTIVATIONS, SWIGLU

ARCHITECTURES = ("mlp", "conv")
DECODERS = ("plain", "modulated")
NORMS = ("none", "batch", "layer")
WIDEST = 2**16
"""Numbers in a layer, at most: more is a slip, and the machine's memory would be gone before anything could say so."""


@dataclass(frozen=True)
class CoderConfig:
    """Sizes and layers of an encoder and decoder; lists from JSON are taken for tuples.

    Raises:
        InputError: for a value out of range.
    """

    shape: tuple[int, ...] = (1, 28, 28)
    """Of one sample: (C, H, W) or (C, H, W, D) for images, (F,) for vectors."""
    architecture: str = "mlp"
    """mlp, or conv (images only)."""
    latent: int = 16
    """Numbers in the latent vector."""
    hidden: tuple[int, ...] = (512,)
    """mlp: widths from the sample to the latent vector; the decoder mirrors them; none makes it linear."""
    channels: tuple[int, ...] = (32, 64)
    """conv: channels of the stages; every stage halves the size."""
    extra_stage: bool = False
    """conv: the decoder begins with a stride-1 transposed convolution."""
    decoder: str = "plain"
    """conv: plain, or modulated (the latent vector sets the style of every stage, as in StyleGAN; norm is for the
    encoder only then)."""
    activation: str = "relu"
    """relu, leakyrelu (slope 0.2), gelu, silu or swiglu (which brings layer norm)."""
    norm: str = "none"
    """none, batch or layer, before each activation."""
    dropout: float = 0.0
    """Probability that an activation is dropped, in [0, 1); convolutions drop whole channels."""

    def __post_init__(self) -> None:
        for name in ("shape", "hidden", "channels"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._require_one_of("architecture", ARCHITECTURES)
        self._require_one_of("decoder", DECODERS)
        self._require_one_of("activation", ACTIVATIONS)
        self._require_one_of("norm", NORMS)
        _require(_whole(self.shape) and len(self.shape) in (1, 3, 4), "shape", self.shape, "[F], [C,H,W] or [C,H,W,D]")
        _require(_width((self.latent,)), "latent", self.latent, f"a whole number from 1 to {WIDEST}")
        _require(_width(self.hidden), "hidden", self.hidden, f"whole numbers from 1 to {WIDEST}")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")
        if self.architecture == "conv":
            smallest = 2 ** len(self.channels)
            told = f"one or more, each from 1 to {WIDEST}"
            _require(_width(self.channels) and bool(self.channels), "channels", self.channels, told)
            _require(len(self.shape) > 1, "shape", self.shape, "[C,H,W] or [C,H,W,D] for architecture conv")
            _require(
                min(self.shape[1:]) >= smallest, "shape", self.shape,
                f"at least {smallest} along every axis for {len(self.channels)} stages",
            )  # fmt: skip
        elif self.decoder != "plain":
            raise InputError(f"decoder '{self.decoder}' is of convolutions; set architecture conv")
        if self.activation == SWIGLU:
            object.__setattr__(self, "norm", "layer")

    def _require_one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise InputError(f"{name} '{value}' is not one of {', '.join(known)}{nearest(str(value), known)}")


def _whole(values: object) -> bool:
    return isinstance(values, tuple) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 1 for value in values
    )


def _width(values: tuple[int, ...]) -> bool:
    return _whole(values) and max(values, default=1) <= WIDEST


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value!r}; it must be {expected}")
