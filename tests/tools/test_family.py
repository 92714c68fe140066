"""The family's tables: their arithmetic by hand, and that a table broken off goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.files import read_json
from fracture_vae.networks import VAE, Autoencoder, CoderConfig
from tools.benchmarks.family import DETECTORS, MATRIX_VARIANTS, PARTS, Budget, jobs, work_off
from tools.benchmarks.family_features import frechet
from tools.benchmarks.family_page import PAGE, SCORES, detection, papers, variants, write_page
from tools.benchmarks.family_papers import PAPERS
from tools.benchmarks.family_runs import BUNDLES, anomaly_scores, figures
from tools.benchmarks.novelty import Novelties

BUDGET = Budget(100, 1, 2, 5, 10)
Counted = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def counted() -> Counted:
    """A measurement that counts its calls, and breaks off at the third."""

    class Measure:
        calls = 0
        breaks = True

        def __call__(self, _: dict[str, Any]) -> dict[str, Any]:
            if self.breaks and self.calls == 2:
                raise KeyboardInterrupt
            self.calls += 1
            return {"epochs": 1, "seconds_an_epoch": 0.5, "squared_error": 0.25 * self.calls}

    return Measure()


def test_every_variant_of_every_bundle_has_its_runs_seed_by_seed() -> None:
    wanted = jobs("variants", 3)
    bundles = ("mnist_ae", "mnist_vae", "mnist_vq")
    there = {(b, path.stem) for b in bundles for path in (BUNDLES / b / "configs" / "variants").glob("*.json")}
    images = {(b, variant) for b, variant in there if variant not in MATRIX_VARIANTS}
    assert {(job["bundle"], job["variant"]) for job in wanted} == images | {(b, None) for b in bundles}
    assert [job["seed"] for job in wanted] == sorted(job["seed"] for job in wanted)
    assert len(jobs("detection", 3)) == 10 * len(DETECTORS) * 3
    assert [job["model"] for job in jobs("papers", 3)] == [*PAPERS] * 3
    assert all(budget.seeds >= 3 for budgets in PARTS.values() for budget in budgets)


def test_a_table_broken_off_goes_on_and_another_budget_is_refused(tmp_path: Path, counted: Any) -> None:
    path, wanted = tmp_path / "results.json", jobs("variants", 1)[:4]
    with pytest.raises(KeyboardInterrupt):
        work_off(path, wanted, BUDGET, "digits", counted)
    assert len(read_json(path)["rows"]) == 2, "each row is kept as it comes"
    counted.breaks = False
    result = work_off(path, wanted, BUDGET, "digits", counted)
    assert counted.calls == 4, "no run is made twice"
    assert [{k: row[k] for k in ("bundle", "variant", "seed")} for row in result["rows"]] == wanted
    with pytest.raises(InputError, match="made with another budget"):
        work_off(path, wanted, BUDGET._replace(epochs=2), "digits", counted)
    with pytest.raises(InputError, match=r"made with another data \(digits\)"):
        work_off(path, wanted, BUDGET, "mnist", counted)


def result(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"data": "digits", "budget": BUDGET._asdict(), "machine": {"cpu": "a CPU"}, "torch": "2", "rows": rows}


def test_means_and_spreads_by_hand(tmp_path: Path) -> None:
    cost = {"epochs": 1, "seconds_an_epoch": 0.5}
    rows = [
        {"bundle": "mnist_vae", "variant": None, "seed": s, "recon": r, "kl": 2.0, "squared_error": 0.1, **cost}
        for s, r in enumerate((100.0, 104.0))
    ]
    shown = variants(result(rows))
    assert "| `mnist_vae` | 102.0 ± 2.8 | 2.00 ± 0.00 |  |" in shown[2]
    assert "100 training images, 1 epochs, 2 seeds" in shown[-1]
    others = [f"auroc_{score}" for score in SCORES[1:]]
    found = [
        {
            "bundle": "mnist_ae",
            "variant": "conv",
            "normal": n,
            "seed": s,
            "auroc_l1": a,
            **dict.fromkeys(others, a / 2),
            **cost,
        }
        for n, s, a in ((0, 0, 0.9), (0, 1, 0.7), (1, 0, 0.5), (1, 1, 0.5))
    ]
    assert detection(result(found))[2].startswith("| `mnist_ae` `conv` | l1 | 0.650 ± 0.071 | 0.80 | 0.50 |")
    page = "a\n<!-- table: family_variants -->\nold\n<!-- end -->\n<!-- table: family_detection -->\n<!-- end -->\n"
    (tmp_path / PAGE).write_text(page, encoding="utf-8")
    write_page(tmp_path)
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == page, "no results, no change"


def test_a_paper_s_figure_stands_beside_ours() -> None:
    row = {
        "model": "VAE",
        "epochs": 1,
        "seconds_an_epoch": 0.5,
        "feature_accuracy": 0.985,
        "sample_distance_floor": 0.2,
    }
    rows = [{**row, "seed": seed, "nll": nll, "sample_distance": 3.0} for seed, nll in enumerate((100.0, 104.0))]
    lines = papers(result(rows))
    assert lines[2].startswith("| VAE | 102.00 ± 2.83 | 89.9 (arXiv:1505.05770) | 89.78 (k = 200) |")
    assert "knows 98.5 % of the test digits" in lines[-1]


def test_frechet_s_distance_of_gaussians_by_hand() -> None:
    torch.manual_seed(0)
    a = torch.randn(20_000, 2, dtype=torch.float64)
    a = (a - a.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(a.T))).T  # covariance 1, mean 0
    b = a * torch.tensor([2.0, 1.0]) + torch.tensor([3.0, 0.0])
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, b) == pytest.approx(3**2 + (2 - 1) ** 2), "|μ|² and (σ_a - σ_b)² along the first axis"


def test_the_figures_belong_together() -> None:
    torch.manual_seed(0)
    images = (torch.rand(300, 1, 6, 6) > 0.5).float()
    found = figures(
        VAE(CoderConfig(shape=(1, 6, 6), latent=2, hidden=(8,))).eval(), images, "bernoulli_logits", 20, 300
    )
    assert found["elbo"] == pytest.approx(-found["recon"] - found["kl"])
    assert found["nll"] <= -found["elbo"] + 0.1, "the bound of 20 samples is tighter than that of one"
    assert found["recon"] == pytest.approx(36 * 0.693, rel=0.05)
    assert set(figures(Autoencoder(CoderConfig(shape=(1, 6, 6), latent=2)).eval(), images, "", 0, 0)) == {
        "squared_error"
    }


def test_anomaly_scores_are_means_over_the_image_and_what_novelty_says() -> None:
    class Blank(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    def novelty(images: torch.Tensor) -> Novelties:
        return Novelties(*images.flatten(1).sum(1).expand(3, -1))

    images = torch.tensor([[[[0.0, 1.0]]], [[[0.5, 0.5]]]])
    scores = anomaly_scores(Blank(), images, novelty)
    assert scores["l1"].tolist() == [0.5, 0.5]
    assert scores["l2"].tolist() == [0.5, 0.25]
    assert set(scores) == {*SCORES}
    assert scores["both"].tolist() == [1, 1]
