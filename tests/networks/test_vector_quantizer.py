"""The vector quantizer: formulas by hand, restarts, and what must never enter the codebook."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.errors import InputError
from fracture_vae.networks.quantizers import VectorQuantizer, build_quantizer
from fracture_vae.networks.quantizers.seeding import kmeans, sample

KINDS = ("ema", "gradient")


def quantizer_of(codes: list[list[float]], **options: object) -> VectorQuantizer:
    """A quantizer with the given codebook that never restarts."""
    book = torch.tensor(codes)
    options = {"init": "normal", "restart_after": 0, **options}
    quantizer = VectorQuantizer(*book.shape, **options)
    with torch.no_grad():
        quantizer.codebook.copy_(book)
    return quantizer


def grid_of(vectors: list[list[float]]) -> torch.Tensor:
    """(1, D, N, 1, 1) from a list of N vectors."""
    return torch.tensor(vectors).T[None, :, :, None, None].contiguous()


def blobs(centres: torch.Tensor, batch: int, generator: torch.Generator) -> torch.Tensor:
    """Vectors (batch, D, 1, 1, 1) around randomly chosen centres (K, D)."""
    pick = torch.randint(len(centres), (batch,), generator=generator)
    noise = 0.05 * torch.randn(batch, centres.shape[1], generator=generator)
    return (centres[pick] + noise)[..., None, None, None]


def test_loss_is_codebook_plus_commitment_term() -> None:
    # z = (1,0) -> e0 = (0,0): squared differences 1, 0; z = (3,4) -> e1 = (3,2): 0, 4. Mean (1+4)/4 = 1.25
    z = grid_of([[1.0, 0.0], [3.0, 4.0]])
    codes = [[0.0, 0.0], [3.0, 2.0]]
    assert quantizer_of(codes, codebook="gradient")(z).loss.item() == pytest.approx(1.25 * 1.25)
    assert quantizer_of(codes, codebook="ema")(z).loss.item() == pytest.approx(0.25 * 1.25)


def test_gradients_are_straight_through_and_to_the_codebook() -> None:
    z = grid_of([[1.0, 0.0], [3.0, 4.0]]).requires_grad_()
    quantizer = quantizer_of([[0.0, 0.0], [3.0, 2.0], [9.0, 9.0]], codebook="gradient")
    out = quantizer(z)
    weight = torch.arange(4.0).reshape(1, 2, 2, 1, 1)
    (through,) = torch.autograd.grad((out.quantized * weight).sum(), z, retain_graph=True)
    assert torch.equal(through, weight)
    out.loss.backward()
    # d/dz of 0.25 * mean((z - e)^2) = 0.25 * 2 (z - e) / 4; d/de of mean((z - e)^2) = -2 (z - e) / 4
    assert torch.allclose(z.grad, grid_of([[0.125, 0.0], [0.0, 0.25]]))
    assert torch.allclose(quantizer.codebook.grad, torch.tensor([[-0.5, 0.0], [0.0, -1.0], [0.0, 0.0]]))


def test_ema_step_by_hand() -> None:
    quantizer = quantizer_of([[0.0, 0.0], [8.0, 8.0], [-9.0, 5.0]], decay=0.75)
    quantizer.train()(grid_of([[1.0, 0.0], [2.0, 1.0], [8.0, 12.0]]))
    # sizes start at 1: n0 = 0.75 + 0.25 * 2 = 1.25; e0 += 0.25 * ((3,1) - 2 * (0,0)) / 1.25 = (0.6, 0.2)
    # n1 = 1: e1 += 0.25 * ((8,12) - (8,8)) / 1 = (0, 1); e2 won nothing and stays
    assert torch.allclose(quantizer.size, torch.tensor([1.25, 1.0, 0.75]))
    assert torch.allclose(quantizer.codebook, torch.tensor([[0.6, 0.2], [8.0, 9.0], [-9.0, 5.0]]))


def test_ema_leaves_unused_codes_bitwise_alone_for_a_thousand_steps() -> None:
    # counts that start at zero make unused codes explode after one step and die
    quantizer = quantizer_of([[0.0, 0.0], [50.0, 50.0]])
    before = quantizer.codebook[1].clone()
    z = torch.randn(1, 2, 4, 4, 4)
    for _ in range(1000):
        quantizer(z)
    assert torch.equal(quantizer.codebook[1], before)
    quantizer(torch.full((1, 2, 1, 1, 1), 49.0))  # its size has decayed to 4e-5: one vector takes it over
    assert torch.allclose(quantizer.codebook[1], torch.tensor([49.0, 49.0]), atol=0.01)


def test_perplexity_is_exp_entropy_of_all_calls_since_reset() -> None:
    quantizer = quantizer_of([[0.0], [1.0], [2.0], [3.0]])
    quantizer.eval()(grid_of([[0.0], [0.1], [1.0]]))
    quantizer.train()(grid_of([[0.1]]))
    usage = quantizer.usage()  # frequencies 3/4, 1/4
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert usage.perplexity == pytest.approx(expected)
    assert usage.used == 0.5
    quantizer.reset_usage()
    assert quantizer.usage().used == 0
    assert "counts" not in quantizer.state_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_codebook_changes_in_training_forwards_only(kind: str) -> None:
    quantizer = VectorQuantizer(512, 3, codebook=kind, init="sample").eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    for _ in range(3):
        out = quantizer(torch.randn(2, 3, 4, 4, 4))
        assert torch.equal(quantizer.lookup(out.codes), out.quantized)
    quantizer.train()
    quantizer.lookup(out.codes)
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())
    quantizer(torch.randn(2, 3, 4, 4, 4))
    assert not torch.equal(quantizer.codebook, before["codebook"])


@pytest.mark.parametrize("kind", KINDS)
def test_recovers_from_collapse(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    centres = torch.randn(64, 8, generator=generator)
    quantizer = quantizer_of((100 + torch.randn(64, 8)).tolist(), codebook=kind, restart_after=None)
    with torch.no_grad():
        quantizer.codebook[0] = 0
    assert len(quantizer.eval()(blobs(centres, 512, generator)).codes.unique()) == 1
    quantizer.train()
    optimiser = torch.optim.Adam(quantizer.parameters(), lr=1e-3) if kind == "gradient" else None
    for _ in range(20):
        if optimiser is None:
            quantizer(blobs(centres, 512, generator))
            continue
        optimiser.zero_grad()
        quantizer(blobs(centres, 512, generator)).loss.backward()
        optimiser.step()
    quantizer.reset_usage()
    quantizer.eval()(blobs(centres, 2048, generator))
    assert quantizer.usage().used > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_training_without_initialise_fills_the_codebook(kind: str) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(64, 8, codebook=kind, init="kmeans")
    assert quantizer.needs_vectors
    for _ in range(10):
        quantizer(5 + torch.randn(2, 8, 4, 4, 4))
    quantizer.reset_usage()
    quantizer(5 + torch.randn(8, 8, 8, 8, 8))
    assert quantizer.usage().used > 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [1, 2])
def test_fewer_vectors_than_codes_stays_finite(kind: str, side: int) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(512, 16, codebook=kind, restart_after=8)
    moved = []
    for _ in range(200):
        before = quantizer.codebook.detach().clone()
        out = quantizer(torch.randn(1, 16, side, side, side))
        assert out.loss.isfinite()
        moved.append((quantizer.codebook.detach() != before).any(1).sum().item())
    assert quantizer.codebook.isfinite().all()
    winners = side**3 if kind == "ema" else 0
    assert max(moved) <= max(1, side**3 // 4) + winners  # never more than a quarter of the vectors restart


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_vectors_never_reach_the_codebook(kind: str, bad: float) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4, codebook=kind, restart_after=1)
    quantizer.initialise(torch.randn(100, 4))
    before = quantizer.codebook.detach().clone()
    out = quantizer(torch.full((2, 4, 2, 2, 2), bad, requires_grad=True))
    assert torch.equal(quantizer.codebook, before)
    assert quantizer.usage().used == 0
    assert not out.loss.isfinite()  # not hidden: training can stop
    z = torch.randn(2, 4, 2, 2, 2)
    z[0, 1, 0, 0, 0] = bad
    for _ in range(5):
        quantizer(z)
        assert quantizer.codebook.isfinite().all()
    z.requires_grad_()
    quantizer(z).loss.backward()
    if kind == "gradient":
        assert quantizer.codebook.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_that_are_not_finite_do_not_refill_an_empty_codebook(kind: str) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4, codebook=kind)
    before = quantizer.codebook.detach().clone()
    quantizer(torch.full((2, 4, 2, 2, 2), math.nan))
    assert torch.equal(quantizer.codebook, before)
    z = torch.full((1, 4, 2, 2, 2), math.nan)
    z[0, :, 0, 0, 0] = 7.0
    quantizer(z)
    moved = quantizer.codebook[(quantizer.codebook != before).any(1)]
    assert len(moved) >= 1
    assert not (moved == 0).all(1).any()  # what stands in for NaN inside is no vector of the batch


@pytest.mark.parametrize("kind", KINDS)
def test_rare_structures_keep_codes_of_their_own_beside_a_large_background(kind: str) -> None:
    # 97 % of the vectors are one background; drawn evenly, restarts would land there (16 of 64 centres served)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    centres = torch.randn(64, 16, generator=generator)
    quantizer = VectorQuantizer(64, 16, codebook=kind, init="sample")
    for _ in range(60):
        z = blobs(centres, 2048, generator)
        z[torch.rand(2048, generator=generator) < 0.97] = centres[0].reshape(-1, 1, 1, 1)
        quantizer(z)
    codes = quantizer.eval()(centres[..., None, None, None]).codes
    assert len(codes.unique()) > 0.85 * 64


def test_initialise_ignores_non_finite_vectors_and_says_when_none_is_left() -> None:
    quantizer = VectorQuantizer(4, 2)
    vectors = torch.tensor([[0.0, 0.0], [math.nan, 1.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0], [math.inf, 0.0]])
    quantizer.initialise(vectors)
    assert not quantizer.needs_vectors
    expected = torch.tensor([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0]])
    assert torch.allclose(torch.stack(sorted(quantizer.codebook, key=lambda row: row.tolist())), expected)
    with pytest.raises(InputError, match="0 of them finite"):
        quantizer.initialise(torch.full((5, 2), math.nan))


@pytest.mark.parametrize("seed_codebook", [sample, kmeans])
def test_first_codebook_from_too_few_vectors_has_distinct_rows(seed_codebook) -> None:
    torch.manual_seed(0)
    book = seed_codebook(torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]), 16)
    assert book.shape == (16, 2)
    assert book.isfinite().all()
    assert len(book.unique(dim=0)) >= 3
    assert seed_codebook(torch.zeros(1, 2), 4).isfinite().all()


def test_kmeans_finds_well_separated_clusters() -> None:
    torch.manual_seed(0)
    centres = 10 * torch.eye(6)
    book = kmeans((centres[torch.arange(600) % 6] + 0.1 * torch.randn(600, 6)), 6)
    assert torch.cdist(centres, book).min(1).values.max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_gives_the_codes_of_float32(kind: str) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(32, 16, codebook=kind, init="normal").eval()
    with torch.no_grad():
        quantizer.codebook.copy_(100 + torch.randn(32, 16))  # far from the origin, where bfloat16 steps are 0.5
    z = quantizer.lookup(torch.arange(32).reshape(1, 32, 1, 1)) + 0.01
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(z)
    assert torch.equal(out.codes.flatten(), torch.arange(32))
    assert out.loss.dtype == torch.float32
    assert torch.equal(out.codes, quantizer(z).codes)


@pytest.mark.parametrize("kind", KINDS)
def test_no_tensor_of_vectors_by_codes_is_kept_for_backward(kind: str) -> None:
    quantizer = VectorQuantizer(256, 4, codebook=kind)
    z = torch.randn(2, 4, 4, 4, 4, requires_grad=True)
    saved: list[int] = []

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        out = quantizer(z)
        (out.quantized.sum() + out.loss).backward()
    assert max(saved) <= max(z.numel(), quantizer.codebook.numel()) < 128 * 256


@pytest.mark.parametrize("kind", KINDS)
def test_compiles_to_one_graph_without_breaks_or_recompilation(kind: str) -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    quantizer = VectorQuantizer(16, 4, codebook=kind)
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    for _ in range(4):
        compiled(torch.randn(2, 4, 4, 4, 4, requires_grad=True)).loss.backward()
    assert counters["stats"]["unique_graphs"] == 1
    assert quantizer.usage().used > 0.5


def test_codes_far_more_numerous_than_restarts_are_each_refilled_once() -> None:
    torch.manual_seed(0)
    quantizer = quantizer_of((1e3 + torch.randn(32, 4)).tolist(), restart_after=1)
    z = torch.randn(1, 4, 4, 4, 4)
    for _ in range(3):
        quantizer(z)
        assert (quantizer.codebook > 500).all(1).sum() >= 31  # not before four batches, whatever restart_after
    quantizer(z)
    rows = quantizer.codebook[(quantizer.codebook < 500).all(1)]
    near = torch.cdist(rows, z.flatten(2)[0].T, compute_mode="donot_use_mm_for_euclid_dist").min(1).values
    assert len(rows) >= 16  # a quarter of 64 vectors
    assert (near < 1e-4).sum() >= 16
    assert len(rows.unique(dim=0)) == len(rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 24), st.integers(1, 6), st.sampled_from([(3,), (2, 3), (2, 1, 3)]))
def test_codes_are_nearest_neighbours_and_values_are_rows(seed: int, num: int, dim: int, spatial: tuple) -> None:
    generator = torch.Generator().manual_seed(seed)
    quantizer = VectorQuantizer(num, dim, init="normal").eval()
    quantizer.codebook.copy_(torch.randn(num, dim, generator=generator))
    z = torch.randn(2, dim, *spatial, generator=generator)
    out = quantizer(z)
    assert out.codes.shape == (2, *spatial)
    rows = z.movedim(1, -1).reshape(-1, dim).double()
    distances = (rows[:, None] - quantizer.codebook.double()[None]).square().sum(-1)
    own = distances.gather(1, out.codes.reshape(-1, 1))[:, 0]
    assert torch.allclose(own, distances.min(1).values, atol=1e-5)
    assert torch.equal(out.quantized.movedim(1, -1), quantizer.codebook[out.codes])
    again = quantizer(out.quantized)
    assert torch.allclose((again.quantized - out.quantized).square().sum(1), torch.zeros(()), atol=1e-5)
    between = (
        torch.cdist(quantizer.codebook.double(), quantizer.codebook.double()).fill_diagonal_(math.inf).min(1).values
    )
    told_apart = (between.square() > 1e-5)[out.codes]  # float32 cannot tell others apart: either may be found
    assert torch.equal(again.codes[told_apart], out.codes[told_apart])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_codes": 1}, "num_codes is 1"),
        ({"codebook": "emma"}, "codebook is 'emma'"),
        ({"decay": 1.0}, "decay is 1.0"),
        ({"init": "k-means"}, "init is 'k-means'"),
        ({"commitment": -1}, "commitment is -1"),
        ({"restart_after": -1}, "restart_after is -1"),
        ({"codes": 5}, "unexpected keyword argument 'codes'; its options are num_codes, dim"),
    ],
)
def test_wrong_options_are_named(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        build_quantizer("vq", **options)
    assert "\n" not in str(caught.value)


def test_unknown_and_uninstalled_quantizers_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from fracture_vae.registry import QUANTIZERS

    with pytest.raises(InputError, match="did you mean 'vq'"):
        build_quantizer("vqq")
    monkeypatch.delitem(QUANTIZERS.components, "fsq", raising=False)
    with pytest.raises(InputError, match=r"pip install fracture-vae\[quantizers\]"):
        build_quantizer("fsq")
