"""Healthy maps on disk, and which of a network's maps go there."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fracture_vae.cohort.case import pseudonym
from fracture_vae.cohort.volumes import read_stored
from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.collect import HealthyMaps, KeptMaps
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.maps.inference import Viewed
from fracture_vae.maps.maker import MapMaker
from fracture_vae.maps.scores import compose
from fracture_vae.maps.views import Views
from fracture_vae.networks import build_network


class Scaled(nn.Module):
    """Reconstructs a share of the image."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, image: Tensor) -> Tensor:
        return self.share * image


def case(path: Path, **item: Any) -> LoadedCase:
    stored = read_stored(path)
    image = torch.rand(1, 1, *stored.shape, generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(image, dtype=torch.bool)
    entry = {"case_id": "c", "patient_id": "p", "level": "L1", "label": 0, "image": str(path), **item}
    return LoadedCase(entry, image, valid, image > 0.5, stored, "")


def keep(folder: Path, *results: Viewed) -> None:
    collector = HealthyMaps(folder, MapMaker(compose("l1")), 5.0)
    collector._cases(SimpleNamespace(state=SimpleNamespace(output=results)))
    collector.report()


@pytest.fixture
def path(tmp_path: Path, blob: Callable[..., Path]) -> Path:
    return blob(tmp_path / "c.nii.gz", (4, 6, 5), torch.diag(torch.tensor([1.0, 2, 3, 1])).numpy())


def test_a_map_comes_back_as_it_was_with_pseudonym_size_and_spacing(path: Path, tmp_path: Path) -> None:
    one = case(path)
    (tmp_path / "kept").mkdir()
    keep(tmp_path / "kept", Viewed(one, one.image / 2), Viewed(one, one.image * 0))
    kept = KeptMaps(tmp_path / "kept")
    assert len(kept) == 2
    assert kept.cases[0] == ("c", pseudonym("p"), "L1", (4, 6, 5), (1, 2, 3))
    torch.testing.assert_close(kept[0].voxels.map, one.image / 2)
    torch.testing.assert_close(kept[1].voxels.map, one.image)
    assert torch.equal(kept[1].region, one.region)
    assert kept.settings["score_margin"] == 5
    assert [len(found.voxels.level) for found in kept] == [2, 2], "it ends"


@pytest.mark.parametrize("label", [1, ""])
def test_a_case_that_is_not_normal_is_refused_by_name(path: Path, tmp_path: Path, label: Any) -> None:
    one = case(path, case_id="broken", label=label)
    with pytest.raises(InputError, match="case broken is not normal"):
        keep(tmp_path, Viewed(one, one.image))


def test_a_case_that_cannot_be_read_ends_it(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        keep(tmp_path, Viewed(case(path)._replace(error="a: no such file"), None))


@pytest.mark.parametrize("score", ["l1", ["l1", {"name": "l2", "weight": 2.0}]])
@pytest.mark.parametrize("flips", [(), (0, 1)])
def test_of_several_networks_each_s_map_is_the_one_it_makes_alone(path: Path, score: Any, flips: Any) -> None:
    one = case(path)
    networks = [Scaled(0.5), Scaled(0.9), Scaled(0.2)]
    maker = MapMaker(compose(score, flips=flips), len(networks))
    shown = Views(networks, maker.network_scores, flips)(one.image)
    together = maker.each(one, shown)
    for network, made in zip(networks, together, strict=True):
        alone = MapMaker(compose(score, flips=flips))
        expected = alone(one, Views([network], alone.network_scores, flips)(one.image))
        torch.testing.assert_close(made.error, expected.error)
        assert made.score == pytest.approx(expected.score)
    mean = torch.stack([made.error for made in together]).mean(0)
    torch.testing.assert_close(maker(one, shown).error, mean)


def test_scores_that_need_the_network_are_told_apart_too(tmp_path: Path, blob: Callable[..., Path]) -> None:
    one = case(blob(tmp_path / "c.nii.gz", (8, 8, 8)))
    torch.manual_seed(0)
    options = {"channels": [4, 8], "quantizer": "vq", "quantizer_options": {"num_codes": 8, "dim": 8}}
    networks = [build_network("vqvae", **options).eval() for _ in range(2)]
    composition = compose(["l1", {"name": "code_distance", "weight": 0.5}], flips=(0,))
    maker = MapMaker(composition, len(networks))
    with torch.no_grad():
        together = maker.each(one, Views(networks, maker.network_scores, (0,))(one.image))
        for network, made in zip(networks, together, strict=True):
            alone = MapMaker(composition)
            expected = alone(one, Views([network], alone.network_scores, (0,))(one.image))
            torch.testing.assert_close(made.error, expected.error)
    assert not torch.equal(together[0].error, together[1].error)
