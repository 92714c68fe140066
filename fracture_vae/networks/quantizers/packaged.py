"""Quantizers of the vector-quantize-pytorch package behind this package's interface.

The package takes a second to import, so it is imported when one of them is made.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fracture_vae.networks.quantizers.base import Quantized, Quantizer, from_rows, to_rows
from fracture_vae.registry import QUANTIZERS


class PackagedQuantizer(Quantizer):
    """Calls a module of the package with rows of shape (1, N, D) in float32, outside autocast."""

    example: ClassVar[Any]
    inner: Any

    def __init__(self, num_codes: int, dim: int, inner: nn.Module) -> None:
        super().__init__(num_codes, dim)
        self.inner = inner

    def forward(self, z: Tensor) -> Quantized:
        """Quantize z (B, D, \\*spatial)."""
        with torch.autocast(z.device.type, enabled=False):
            quantized, codes, loss = self.call_inner(to_rows(z).float()[None])
        codes = codes[0].long()
        self.count(codes)
        return Quantized(from_rows(quantized[0], z), loss.sum(), codes.reshape(z.shape[0], *z.shape[2:]))

    def call_inner(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized rows (1, N, D), codes (1, N) and loss of rows (1, N, D)."""
        return self.inner(rows)

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors (B, D, \\*spatial) of ``codes`` (B, \\*spatial)."""
        return self.inner.indices_to_codes(codes.reshape(1, -1))[0].reshape(*codes.shape, self.dim).movedim(-1, 1)


@QUANTIZERS.add_def("fsq", "finite scalar quantization: a fixed grid, nothing to collapse")
class FiniteScalarQuantizer(PackagedQuantizer):
    """Mentzer et al. 2023, arXiv:2309.15505: each of len(levels) channels is rounded to its number of levels.

    ``num_codes`` is the product of ``levels`` and ``dim`` their number; there is no loss and no parameter.
    """

    def __init__(self, levels: Sequence[int] = (8, 8, 8)) -> None:
        from vector_quantize_pytorch import FSQ

        super().__init__(prod(levels), len(levels), FSQ(list(levels)))

    def call_inner(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the package, with a loss of zero."""
        quantized, codes = self.inner(rows)
        return quantized, codes, rows.new_zeros(())


@QUANTIZERS.add_def("rotation_trick", "vector quantization whose gradient is rotated, not copied, to the encoder")
class RotationTrickQuantizer(PackagedQuantizer):
    """Fifty et al. 2024, arXiv:2410.06424, with the package's EMA codebook, k-means start and restarts.

    Args:
        num_codes: number of codes.
        dim: length of a code.
        commitment: weight of the commitment term.
        decay: of the moving average.
        restart_below: a code whose average count a batch falls below this is replaced.
    """

    def __init__(
        self,
        num_codes: int = 512,
        dim: int = 256,
        *,
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.1,
    ) -> None:
        from vector_quantize_pytorch import VectorQuantize

        inner = VectorQuantize(
            dim,
            num_codes,
            rotation_trick=True,
            decay=decay,
            commitment_weight=commitment,
            kmeans_init=True,
            threshold_ema_dead_code=restart_below,
        )
        super().__init__(num_codes, dim, inner)

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors (B, D, \\*spatial) of ``codes`` (B, \\*spatial)."""
        rows = self.inner.get_codes_from_indices(codes.reshape(1, -1))[0]
        return rows.reshape(*codes.shape, self.dim).movedim(-1, 1)


@QUANTIZERS.add_def("sim_vq", "vector quantization whose codebook is one learned linear map of fixed vectors")
class SimVectorQuantizer(PackagedQuantizer):
    """Zhu et al. 2024, arXiv:2411.02038; ``commitment`` weighs the pull of z towards its code."""

    def __init__(self, num_codes: int = 512, dim: int = 256, *, commitment: float = 0.25) -> None:
        from vector_quantize_pytorch import SimVQ

        super().__init__(num_codes, dim, SimVQ(dim, num_codes, input_to_quantize_commit_loss_weight=commitment))


FiniteScalarQuantizer.example = staticmethod(lambda: FiniteScalarQuantizer((4, 4)))
RotationTrickQuantizer.example = staticmethod(lambda: RotationTrickQuantizer(16, 4))
SimVectorQuantizer.example = staticmethod(lambda: SimVectorQuantizer(16, 4))
