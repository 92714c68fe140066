"""A prior over the grid of a VQ-VAE's codes: how likely each code is, given the others."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from monai.networks.blocks import TransformerBlock
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.build import build_network
from fracture_vae.networks.levels import conditions
from fracture_vae.networks.quantizers import Quantized
from fracture_vae.networks.vqvae import VQVAE
from fracture_vae.registry import NETWORKS

STEPS = 4
"""Passes in which `WithPrior.resample` fills in what it draws anew: codes drawn in one pass do not know each other."""
_LONGEST = 128  # tokens; the slowest position wave, longer than any grid's axis


@dataclass(frozen=True)
class TokenPriorConfig:
    """Size of the transformer.

    Raises:
        InputError: for a value out of range.
    """

    layers: int = 4
    """Transformer blocks."""
    width: int = 128
    """Length of a token's vector, a multiple of ``heads``."""
    heads: int = 4
    """Attention heads of each block."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"TokenPriorConfig.{name} is {value!r}; it must be a whole number of at least 1")
        if self.width % self.heads:
            raise InputError(f"TokenPriorConfig.width is {self.width}; it must be a multiple of heads ({self.heads})")


class TokenPrior(nn.Module):
    """A masked transformer over a grid of codes (MaskGIT: Chang et al. 2022, arXiv:2202.04200).

    It sees a grid in which some codes are hidden and gives, for every position, the logits of what is there. A masked
    transformer and not an autoregressive one (MONAI's ``DecoderOnlyTransformer`` with an ``Ordering``), because a grid
    has no order: each code is judged by all its neighbours, not by those before it in a scan; the likelihood of all
    codes takes 2^dims passes, and drawing some of them anew :data:`STEPS`, where the other draws one code a pass.

    Positions are waves of the offset from the grid's centre (Vaswani et al. 2017, by axis), because volumes are
    centred in their padding; so grids may have any size. The blocks are MONAI's, without dropout: their fast attention
    drops in evaluation too.
    """

    def __init__(self, num_codes: int, spatial_dims: int, config: TokenPriorConfig) -> None:
        super().__init__()
        self.hidden = num_codes  # the token that stands for a hidden code
        self.tokens = nn.Embedding(num_codes + 1, config.width)
        self.waves = max(1, config.width // (2 * spatial_dims))
        self.positions = nn.Linear(2 * self.waves * spatial_dims, config.width)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.to_logits = nn.Linear(config.width, num_codes)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, codes: Tensor, hidden: Tensor) -> Tensor:
        """Logits (B, N, num_codes) float32 of codes (B, \\*latent) int64 of N positions, where ``hidden`` (the same
        shape, bool) says which are not shown."""
        seen = torch.where(hidden, self.hidden, codes).flatten(1)
        vectors = self.tokens(seen) + self.positions(self._waves(codes.shape[1:], codes.device))
        for block in self.blocks:
            vectors = block(vectors)
        return self.to_logits(self.norm(vectors)).float()

    def _waves(self, grid: tuple[int, ...], device: torch.device) -> Tensor:
        """Sines and cosines (N, 2 · waves · dims) of each position's offset from the centre, from fast to slow."""
        axes = [torch.arange(size, device=device) - (size - 1) / 2 for size in grid]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
        slower = torch.linspace(0, 1, self.waves, device=device)
        frequency = math.pi / 2 * (2 / _LONGEST) ** slower
        angles = (places[..., None] * frequency).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], 1)


@NETWORKS.add_def("with_prior", "a trained VQ-VAE with a masked transformer that knows which of its codes are likely")
class WithPrior(nn.Module):
    """A VQ-VAE that stays as it is, and a :class:`TokenPrior` over its codes.

    The VQ-VAE is in evaluation mode always: its codebook does not move while the prior learns.

    Images are (B, C, \\*spatial) in [0, 1], sizes multiples of ``downsampling``; codes (B, \\*latent) int64.

    Args:
        reconstructor: the VQ-VAE.
        config: size of the prior.

    Raises:
        InputError: when it is no VQ-VAE.
    """

    example: ClassVar[Callable[[], "WithPrior"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 16, 16, 16)

    def __init__(self, reconstructor: nn.Module, config: TokenPriorConfig) -> None:
        super().__init__()
        if not isinstance(reconstructor, VQVAE):
            raise InputError(f"a {type(reconstructor).__name__} has no grid of codes; with_prior needs a vqvae")
        self.reconstructor = reconstructor.eval()
        self.prior = TokenPrior(reconstructor.quantizer.num_codes, reconstructor.config.spatial_dims, config)
        self.downsampling = reconstructor.downsampling

    @classmethod
    def from_options(cls, reconstructor: Mapping[str, Any], **config: Any) -> "WithPrior":
        """Return it from plain values: a network's ``name`` and options, and fields of :class:`TokenPriorConfig`."""
        return cls(build_network(**reconstructor), TokenPriorConfig(**config))

    @property
    def takes_level(self) -> bool:
        """Whether a level makes a difference to the reconstruction."""
        return self.reconstructor.takes_level

    def train(self, mode: bool = True) -> "WithPrior":
        """Set the prior's mode; the VQ-VAE's stays evaluation."""
        super().train(mode)
        self.reconstructor.eval()
        return self

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) of x (B, C, \\*spatial), the VQ-VAE's."""
        return self.reconstructor(x, *conditions(self.reconstructor, level))

    def encode(self, x: Tensor) -> Tensor:
        """Encoder vectors z (B, D, \\*latent) of x (B, C, \\*spatial)."""
        return self.reconstructor.encode(x)

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of x (B, C, \\*spatial) after each stage of the encoder."""
        return self.reconstructor.features(x)

    def quantize(self, z: Tensor) -> Quantized:
        """The quantizer's answer to z (B, D, \\*latent)."""
        return self.reconstructor.quantize(z)

    def decode(self, z: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) from code vectors (B, D, \\*latent)."""
        return self.reconstructor.decode(z, level)

    def decode_codes(self, codes: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) from codes (B, \\*latent)."""
        return self.decode(self.reconstructor.quantizer.lookup(codes), level)

    def hidden_nll(self, codes: Tensor, hidden: Tensor) -> Tensor:
        """-log p of each code (B, \\*latent) float32, in nats, where those ``hidden`` (B, \\*latent) are not shown."""
        logits = self.prior(codes, hidden)
        return F.cross_entropy(logits.transpose(1, 2), codes.flatten(1), reduction="none").reshape(codes.shape)

    def code_nll(self, codes: Tensor) -> Tensor:
        """-log p(code | all codes that are not hidden with it) of codes (B, \\*latent), in nats, float32.

        Positions are hidden in 2^dims turns, every second along each axis, so that each code is hidden once and all
        its neighbours are shown: the pseudo-likelihood (Besag 1975; Salazar et al. 2020, arXiv:1910.14659, of a masked
        language model), several codes a pass.
        """
        dims = codes.dim() - 1
        nll = torch.zeros(codes.shape, device=codes.device)
        for start in product((0, 1), repeat=dims):
            hidden = torch.zeros_like(codes, dtype=torch.bool)
            hidden[(slice(None), *(slice(first, None, 2) for first in start))] = True
            if hidden.any():
                nll = torch.where(hidden, self.hidden_nll(codes, hidden), nll)
        return nll

    @torch.no_grad()
    def resample(self, codes: Tensor, unlikely: Tensor, generator: torch.Generator, draws: int) -> Tensor:
        """Codes (draws, B, \\*latent) in which those ``unlikely`` (B, \\*latent) are drawn anew, given the others.

        The unlikely codes of an image are hidden together and filled in, in random order, in :data:`STEPS` passes;
        a pass sees what those before it drew. ``generator`` is on the CPU; images of a batch share its numbers, so
        that what is drawn for one does not depend on the others.
        """
        return torch.stack([self._drawn(codes, unlikely, generator) for _ in range(draws)])

    def _drawn(self, codes: Tensor, unlikely: Tensor, generator: torch.Generator) -> Tensor:
        """Return one draw."""
        places = codes[0].numel()
        order, chance = torch.rand(2, places, generator=generator).to(codes.device)
        hidden = unlikely.flatten(1)
        rank = torch.where(hidden, order, math.inf).argsort(1).argsort(1)  # of an unlikely code among its image's
        turn = rank * STEPS // hidden.sum(1, keepdim=True).clamp_min(1)
        drawn = codes.flatten(1)
        for step in range(STEPS):
            now = hidden & (turn == step)
            if now.any():
                open_ = (hidden & (turn >= step)).reshape(codes.shape)
                likelihood = self.prior(drawn.reshape(codes.shape), open_).softmax(-1)
                reached = likelihood.cumsum(-1) < chance[:, None]
                drawn = torch.where(now, reached.sum(-1).clamp_max(likelihood.shape[-1] - 1), drawn)
        return drawn.reshape(codes.shape)


_SMALL: Mapping[str, Any] = {"name": "vqvae", "channels": [4, 8], "quantizer_options": {"num_codes": 16, "dim": 8}}
WithPrior.example = staticmethod(lambda: WithPrior.from_options(_SMALL, layers=2, width=24, heads=2))


def covered(valid: Tensor, codes: Tensor) -> Tensor:
    """Return (B, \\*latent) bool: whether a code of ``codes`` (B, \\*latent) stands for any voxel that is ``valid``
    (B, 1, \\*spatial)."""
    pool = {2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}[codes.dim() - 1]
    pooled: Tensor = pool(valid.float(), codes.shape[1:])
    return pooled[:, 0] > 0


def _block(config: TokenPriorConfig) -> TransformerBlock:
    block = TransformerBlock(config.width, 4 * config.width, config.heads, use_flash_attention=True)
    block.norm_cross_attn = nn.Identity()  # of a cross-attention that is not there: weights no gradient would reach
    return block
