"""What every quantizer answers to, and the counting of how much of a codebook is in use."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Quantized(NamedTuple):
    """What a quantizer makes of encoder vectors z of shape (B, D, \\*spatial)."""

    quantized: Tensor
    """(B, D, \\*spatial), code vectors that pass gradients on to z."""
    loss: Tensor
    """Scalar: codebook and commitment terms, a mean over all elements of z."""
    codes: Tensor
    """(B, \\*spatial) int64 in [0, num_codes)."""


class CodebookUsage(NamedTuple):
    """How much of a codebook was used since the counters were last reset."""

    perplexity: float
    """exp of the entropy of the code frequencies: 1 when one code takes all, num_codes when all are even."""
    used: float
    """Fraction of the codes used at least once, in [0, 1]."""


class Quantizer(nn.Module):
    """Maps vectors to the entries of a codebook of ``num_codes`` vectors of length ``dim``.

    A subclass implements ``forward``, which calls ``count(codes)``, and ``lookup``. One that starts from data
    overrides ``needs_vectors`` and ``initialise`` too.

    ``counts`` (num_codes, int64) counts code use in training and in evaluation alike. It follows the module from
    device to device but is no buffer, because DistributedDataParallel broadcasts rank 0's buffers and would
    overwrite the other ranks' counts; nor is it part of a checkpoint. Networks being traced or exported count
    nothing.
    """

    counts: Tensor

    def __init__(self, num_codes: int, dim: int) -> None:
        super().__init__()
        self.num_codes = num_codes
        self.dim = dim
        self.counts = torch.zeros(num_codes, dtype=torch.int64)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize z of shape (B, D, \\*spatial)."""
        raise NotImplementedError

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the code vectors (B, D, \\*spatial) of ``codes`` (B, \\*spatial); changes nothing."""
        raise NotImplementedError

    @property
    def needs_vectors(self) -> bool:
        """Whether ``initialise`` should be called with encoder vectors before training starts."""
        return False

    def initialise(self, vectors: Tensor) -> None:
        """Start the codebook from encoder vectors of shape (N, D); nothing to do by default."""

    def count(self, codes: Tensor, weight: Tensor | None = None) -> Tensor:
        """Add ``codes`` (any shape) to the counters and return this call's histogram (num_codes,) int64.

        ``weight``, of the shape of codes, holds 0 for codes that do not count.
        """
        flat = codes.detach().reshape(-1)
        ones = torch.ones_like(flat) if weight is None else weight.reshape(-1).to(torch.int64)
        histogram = torch.zeros_like(self.counts).index_add_(0, flat, ones)
        if not being_exported():
            self.counts.add_(histogram)
        return histogram

    def usage(self, sync: bool = True) -> CodebookUsage:
        """Perplexity and used fraction since ``reset_usage``; ``sync`` sums over all ranks (a collective call)."""
        counts = self.counts.clone()
        if sync and dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        frequency = counts.double() / counts.sum().clamp_min(1)
        perplexity = torch.special.entr(frequency).sum().exp().item()
        return CodebookUsage(perplexity, (counts > 0).double().mean().item())

    def reset_usage(self) -> None:
        """Start counting anew, once an epoch."""
        self.counts.zero_()

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)
        self.counts = fn(self.counts)
        return self


def being_exported() -> bool:
    """Whether ``torch.jit.trace`` or ``torch.export`` is recording: sizes may be symbols, nothing is counted."""
    return torch.jit.is_tracing() or torch.compiler.is_exporting()  # type: ignore[attr-defined]


def to_rows(z: Tensor) -> Tensor:
    """(B, D, \\*spatial) -> (B \\* prod(spatial), D); a view when z is channels-last."""
    return z.movedim(1, -1).reshape(-1, z.shape[1])


def from_rows(rows: Tensor, like: Tensor) -> Tensor:
    """(B \\* prod(spatial), D) -> (B, D, \\*spatial), with B and spatial those of ``like``."""
    return rows.reshape(like.shape[0], *like.shape[2:], rows.shape[-1]).movedim(-1, 1)
