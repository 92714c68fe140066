"""The vector quantizer of the VQ-VAE: nearest code, straight-through gradient, a codebook that stays alive."""

from typing import Any, ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.quantizers.base import Quantized, Quantizer, from_rows, to_rows
from fracture_vae.networks.quantizers.seeding import INITIALISATIONS
from fracture_vae.registry import QUANTIZERS

_RESTART_FRACTION = 4  # at most one in so many of a batch's vectors becomes a code in one step
_RESTART_BATCHES = 4  # a code that one batch happens to miss is not dead
_NEVER_USED = 2**40  # vectors; more than any training sees


@QUANTIZERS.add_def("vq", "vector quantization with a learned codebook (EMA or gradient) and dead-code restart")
class VectorQuantizer(Quantizer):
    """Vector quantization (van den Oord et al. 2017, arXiv:1711.00937).

    Each vector z is replaced by its nearest code e; the gradient passes straight through to z. The loss is the
    second and third term of the paper's eq. 3, each a mean over all elements of z (sg is stop-gradient)::

        mean((sg[z] - e)^2) + commitment * mean((z - sg[e])^2)

    With ``codebook="ema"`` the first term is dropped and each code is the moving average of the vectors it won
    (the paper's appendix A.1), written as a step so that a code that won nothing does not move at all::

        n_i <- decay * n_i + (1 - decay) * h_i
        e_i <- e_i + (1 - decay) * (sum of its vectors - h_i * e_i) / n_i        h_i: vectors won in this batch

    A code that has won nothing while ``restart_after`` vectors, and at least four batches, went by is moved onto a
    vector of the current batch, drawn with probability proportional to its squared distance from its own code
    (the k-means++ rule: an even draw would land in the background), never more than a quarter of the batch at a
    time. Until ``initialise`` is called on a quantizer that asks for data, all codes count as overdue, so training
    without it is safe: the codebook fills itself in the first steps.

    Vectors with NaN or Inf get code 0, count nowhere and never reach the codebook; the loss and the output show
    them, so that training can stop. The codebook changes in training forwards and in ``initialise`` only. Codes,
    distances and averages are float32 under autocast too. Across ranks the statistics are summed, so that all
    hold the same codebook.

    Args:
        num_codes: number of codes, at least 2.
        dim: length of a code.
        commitment: weight of the commitment term, >= 0.
        codebook: "ema" or "gradient".
        decay: of the moving average, in (0, 1).
        init: "kmeans" or "sample" (of vectors given to ``initialise``), or "normal" (needs no data).
        restart_after: vectors seen without use before a code restarts; 0 never; None means 16 * num_codes.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(
        self,
        num_codes: int = 512,
        dim: int = 256,
        *,
        commitment: float = 0.25,
        codebook: str = "ema",
        decay: float = 0.99,
        init: str = "kmeans",
        restart_after: int | None = None,
    ) -> None:
        _require(num_codes >= 2, "num_codes", num_codes, "at least 2")
        _require(dim >= 1, "dim", dim, "at least 1")
        _require(commitment >= 0, "commitment", commitment, "0 or more")
        _require(codebook in ("ema", "gradient"), "codebook", codebook, "'ema' or 'gradient'")
        _require(0 < decay < 1, "decay", decay, "between 0 and 1")
        known = ("normal", *INITIALISATIONS)
        _require(init in known, "init", init, f"one of {', '.join(known)}")
        _require(restart_after is None or restart_after >= 0, "restart_after", restart_after, "0 or more")
        super().__init__(num_codes, dim)
        self.commitment = commitment
        self.ema = codebook == "ema"
        self.decay = decay
        self.init = init
        self.restart_after = 16 * num_codes if restart_after is None else restart_after
        start = torch.randn(num_codes, dim) / dim**0.5
        unused_for = 0 if init == "normal" else _NEVER_USED
        self.codebook: Tensor
        self.size: Tensor
        self.unused_for: Tensor
        self.initialised: Tensor
        if self.ema:
            self.register_buffer("codebook", start)
            self.register_buffer("size", torch.ones(num_codes))
        else:
            self.codebook = nn.Parameter(start)
        self.register_buffer("unused_for", torch.full((num_codes,), unused_for, dtype=torch.int64))
        self.register_buffer("initialised", torch.tensor(init == "normal"))

    example: ClassVar[Any]

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        kind = "ema" if self.ema else "gradient"
        return f"{self.num_codes} codes x {self.dim}, {kind}, init={self.init}"

    @property
    def needs_vectors(self) -> bool:
        """True until ``initialise`` was called, if the codebook is to start from data."""
        return not bool(self.initialised)

    @torch.no_grad()
    def initialise(self, vectors: Tensor) -> None:
        """Start the codebook from encoder vectors (N, D); rank 0's vectors serve all ranks.

        Raises:
            InputError: when no vector is finite, or their length is not ``dim``.
        """
        rows = vectors.detach().float()
        rows = rows[rows.isfinite().all(1)]
        if rows.ndim != 2 or rows.shape[1] != self.dim or not len(rows):
            raise InputError(
                f"cannot initialise a codebook of dim {self.dim} from vectors of shape {tuple(vectors.shape)}, "
                f"{len(rows)} of them finite; give finite encoder vectors of shape (N, {self.dim})"
            )
        seed = INITIALISATIONS.get(self.init, INITIALISATIONS["sample"])
        self.codebook.copy_(seed(rows, self.num_codes))
        if dist.is_available() and dist.is_initialized():
            dist.broadcast(self.codebook, src=0)
        if self.ema:
            self.size.fill_(1)
        self.unused_for.zero_()
        self.initialised.fill_(True)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize z (B, D, \\*spatial); in training also update the codebook (EMA, restarts)."""
        with torch.autocast(z.device.type, enabled=False):
            rows = to_rows(z).float()
            finite = rows.detach().isfinite().all(1)
            clean = torch.where(finite[:, None], rows.detach(), 0)
            codes, distance = self._nearest(clean)
            chosen = F.embedding(codes, self.codebook)
            loss = self.commitment * (rows - chosen.detach()).square().mean()
            if not self.ema:
                loss = loss + torch.where(finite[:, None], chosen - clean, 0).square().mean()
            histogram = self.count(codes, finite)
            if self.training:
                self._learn(clean, codes, torch.where(finite, distance, 0), histogram)
            quantized = chosen.detach() + (rows - rows.detach())  # value: the code, bit for bit; gradient: to z
        return Quantized(from_rows(quantized, z), loss, codes.reshape(z.shape[0], *z.shape[2:]))

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors (B, D, \\*spatial) of ``codes`` (B, \\*spatial)."""
        return F.embedding(codes, self.codebook).movedim(-1, 1)

    @torch.no_grad()
    def _nearest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the nearest code of each row, and the squared distance to it (both of length N)."""
        book = self.codebook.detach()
        # |z - e|^2 without |z|^2, which is the same for every code
        relative = torch.addmm(book.square().sum(1), rows, book.T, alpha=-2)
        nearest, codes = relative.min(1)
        return codes, (nearest + rows.square().sum(1)).clamp_min(0)

    @torch.no_grad()
    def _learn(self, rows: Tensor, codes: Tensor, distance: Tensor, histogram: Tensor) -> None:
        """Move the codebook: moving averages, then restarts."""
        sums = torch.zeros_like(self.codebook)
        if self.ema:
            sums.index_add_(0, codes, rows)
        # one tensor, so that ranks exchange once; float32 counts are exact below 2^24 vectors a batch
        totals = _sum_over_ranks(torch.cat([sums, histogram[:, None].float()], 1))
        sums, won = totals[:, :-1], totals[:, -1]
        book = self.codebook.detach()
        if self.ema:
            self.size.lerp_(won, 1 - self.decay)
            step = (1 - self.decay) * (sums - won[:, None] * book) / self.size.clamp_min(1e-12)[:, None]
            book = torch.where(won[:, None] > 0, book + step, book)
        seen = won.sum().to(torch.int64)
        self.unused_for.copy_(torch.where(won > 0, 0, self.unused_for + seen))
        if self.restart_after:
            overdue = (_RESTART_BATCHES * seen).clamp_min(self.restart_after)
            book = self._restarted(book, rows, distance, overdue)
        self.codebook.copy_(book)

    def _restarted(self, book: Tensor, rows: Tensor, distance: Tensor, overdue: Tensor) -> Tensor:
        """The codebook with codes unused for ``overdue`` vectors moved onto vectors of this batch.

        The draw is a race of exponential clocks: the largest distance / Exp(1) are a sample without replacement
        with probability proportional to distance (Efraimidis and Spirakis 2006).
        """
        at_most = min(self.num_codes, max(1, rows.shape[0] // _RESTART_FRACTION), rows.shape[0])
        slots = self.unused_for.topk(at_most).indices
        clock = torch.empty_like(distance).exponential_().clamp_min(1e-12)
        race, winners = (distance / clock).topk(at_most)
        accepted = (self.unused_for[slots] >= overdue) & (race > 0) & _own_turn(at_most, race.device)
        fresh = torch.cat([rows[winners], torch.ones_like(race)[:, None]], 1) * accepted[:, None]
        target = rows.new_zeros(self.num_codes, self.dim + 1).index_add_(0, slots, fresh)
        target = _sum_over_ranks(target)
        moved = target[:, -1]
        self.unused_for.mul_(moved == 0)
        if self.ema:
            self.size.copy_(torch.where(moved > 0, 1, self.size))
        return torch.where(moved[:, None] > 0, target[:, :-1] / moved.clamp_min(1)[:, None], book)


VectorQuantizer.example = staticmethod(lambda: VectorQuantizer(16, 4))


def _sum_over_ranks(values: Tensor) -> Tensor:
    """Sum ``values`` over all ranks, in place; itself without distributed training."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
    return values


def _own_turn(slots: int, device: torch.device) -> Tensor:
    """Which of ``slots`` restarts this rank fills: ranks take turns, so that each slot is filled once."""
    if not (dist.is_available() and dist.is_initialized()):
        return torch.ones(slots, dtype=torch.bool, device=device)
    return torch.arange(slots, device=device) % dist.get_world_size() == dist.get_rank()


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a one-line InputError about a quantizer's option unless ``holds``."""
    if not holds:
        raise InputError(f"quantizer option {name} is {value!r}; it must be {expected}")
