"""Finding a model in a run folder, a checkpoint or a bundle, and the bundle that runs it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.files import sha256
from fracture_vae.maps.model import describe, find_bundle, find_models, load_network, load_networks
from fracture_vae.networks import build_network
from fracture_vae.training.about import About


def test_a_run_folder_gives_its_best_model(tiny_run: Path) -> None:
    best = json.loads((tiny_run / "checkpoints" / "best.json").read_text(encoding="utf-8"))[0]["file"]
    for run in (tiny_run, tiny_run.parent / "latest"):
        found = find_models(run)
        assert [model.path.resolve() for model in found] == [tiny_run / "checkpoints" / best]
        assert found[0].about.fold == 1


def test_a_run_of_all_folds_gives_a_model_a_fold(tiny_folds: Path) -> None:
    found = find_models(tiny_folds)
    assert [model.about.fold for model in found] == [1, 2, 3]
    assert [model.path.parent.parent.name for model in found] == ["fold_1", "fold_2", "fold_3"]


def test_a_checkpoint_and_a_plain_state_dict_are_models(tiny_run: Path, tmp_path: Path) -> None:
    last = tiny_run / "checkpoints" / "last.pt"
    assert find_models(last)[0].about.epoch == 2
    torch.save(torch.load(last, weights_only=True)["network"], tmp_path / "plain.pt")
    assert find_models(tmp_path / "plain.pt")[0].about == About()


def test_a_bundle_gives_its_own_model(tiny_run: Path, vq3d: Path, tmp_path: Path) -> None:
    shutil.copytree(vq3d / "configs", tmp_path / "configs")
    with pytest.raises(InputError, match=r"this bundle has no models/model\.pt; train it"):
        find_models(tmp_path)
    (tmp_path / "models").mkdir()
    shutil.copy(tiny_run / "checkpoints" / "last.pt", tmp_path / "models" / "model.pt")
    found = find_models(tmp_path)[0]
    assert found.path == tmp_path / "models" / "model.pt"
    assert find_bundle(found, Path("none")) == tmp_path.resolve()


def test_the_bundle_of_a_run_is_the_copy_in_it_and_else_the_checkout_s(
    tiny_run: Path, vq3d: Path, tmp_path: Path
) -> None:
    assert find_bundle(find_models(tiny_run)[0], vq3d.parent) == tiny_run / "bundle"
    shutil.copy(tiny_run / "checkpoints" / "last.pt", tmp_path / "alone.pt")
    alone = find_models(tmp_path / "alone.pt")[0]
    assert find_bundle(alone, vq3d.parent) == vq3d
    with pytest.raises(InputError, match=r"alone\.pt: no bundle found that runs it; pass --bundle"):
        find_bundle(alone, tmp_path)


def test_where_there_is_no_model_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder, checkpoint or bundle"):
        find_models(tmp_path / "none")
    with pytest.raises(InputError, match="give a run folder, a checkpoint or a bundle"):
        find_models(tmp_path)


def test_a_loaded_network_is_the_one_saved_and_in_evaluation(tiny_run: Path) -> None:
    last = tiny_run / "checkpoints" / "last.pt"
    network = load_network(build_network(**find_models(last)[0].about.network), last, "cpu")
    assert not network.training
    saved = torch.load(last, weights_only=True)["network"]
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


def test_what_is_said_of_a_model(tiny_run: Path, tmp_path: Path) -> None:
    last = tiny_run / "checkpoints" / "last.pt"
    said = describe(last)
    assert said["checkpoint"] == str(last.resolve())
    assert said["sha256"] == sha256(last)
    (tmp_path / "latest").symlink_to(tiny_run)
    assert describe(tmp_path / "latest" / "checkpoints" / "last.pt") == said
    assert said["bundle"] == "vq3d"
    with pytest.raises(InputError, match="no such checkpoint"):
        describe(tmp_path / "none.pt")


def test_a_model_is_known_by_its_weights_and_several_in_any_order(tiny_folds: Path, tmp_path: Path) -> None:
    first, second = (model.path for model in find_models(tiny_folds)[:2])
    content = torch.load(first, weights_only=True)
    torch.save({**content, "calibration": {"about": "{}"}}, tmp_path / "calibrated.pt")
    torch.save(content["network"], tmp_path / "bare.pt")
    alone, calibrated, bare, other = map(describe, (first, tmp_path / "calibrated.pt", tmp_path / "bare.pt", second))
    assert alone["weights"] == calibrated["weights"] == bare["weights"] != other["weights"]
    assert alone["sha256"] != calibrated["sha256"]
    both, turned = describe(first, [second]), describe(second, [first])
    assert both["weights"] == turned["weights"] == sorted([*alone["weights"], *other["weights"]])
    assert both["sha256"] == turned["sha256"] not in (alone["sha256"], other["sha256"])


def test_a_network_without_weights_is_known_by_what_its_checkpoint_says(tmp_path: Path) -> None:
    for name, score in (("a", "l1"), ("b", "l2")):
        about = json.dumps({"network": {"name": "blank", "size": [8, 8, 8]}, "score": {"score": score}})
        torch.save({"network": {}, "about": about}, tmp_path / f"{name}.pt")
        torch.save({"network": {}, "about": about, "calibration": {}}, tmp_path / f"{name}_calibrated.pt")
    names = ("a", "a_calibrated", "b")
    one, calibrated, other = (describe(tmp_path / f"{name}.pt")["weights"] for name in names)
    assert one == calibrated != other


def test_half_precision_weights_have_a_digest_too(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3, dtype=torch.bfloat16)}, tmp_path / "half.pt")
    torch.save({"w": torch.zeros(3, dtype=torch.bfloat16)}, tmp_path / "other.pt")
    assert describe(tmp_path / "half.pt")["weights"] != describe(tmp_path / "other.pt")["weights"]


def test_what_holds_no_weights_is_told(tmp_path: Path) -> None:
    torch.save({"network": {"w": 1}}, tmp_path / "none.pt")
    with pytest.raises(InputError, match=r"none\.pt: holds no state dict"):
        describe(tmp_path / "none.pt")


def test_another_architecture_is_refused(tiny_run: Path, blob: Callable[..., Path]) -> None:
    network = build_network("vqvae", channels=[4, 12], quantizer_options={"num_codes": 8, "dim": 8})
    with pytest.raises(InputError, match=r"last\.pt: weights of another architecture"):
        load_network(network, tiny_run / "checkpoints" / "last.pt", "cpu")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": {"name": "vqvae", "channels": [4, 8], "dropout": 0.5}}, "is another network than"),
        ({"preprocessing": {"intensity": "percentile"}}, "was trained with another preprocessing than"),
        ({"network": None, "preprocessing": None}, ""),
    ],
)
def test_an_ensemble_is_of_one_network_and_one_preprocessing(
    tiny_run: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    last = tiny_run / "checkpoints" / "last.pt"
    content = torch.load(last, weights_only=True)
    torch.save({**content, "about": json.dumps({**json.loads(content["about"]), **changes})}, tmp_path / "other.pt")
    network = build_network(**find_models(last)[0].about.network)
    if says:
        with pytest.raises(InputError, match=rf"other\.pt: {says} .*last\.pt; give an ensemble of one network"):
            load_networks(network, last, [tmp_path / "other.pt"], "cpu")
    else:  # it says nothing of itself
        assert len(load_networks(network, last, [tmp_path / "other.pt"], "cpu")) == 2


@pytest.mark.parametrize(
    "about",
    [
        {"network": {"name": "vqvae", "norm": "$print(1)"}},
        {"network": {"name": "vqvae", "_target_": "os.getcwd"}},
        {"preprocessing": {"hu_window": ["@fold", 1]}},
        {"preprocessing": {"intensity": "%other.json"}},
    ],
)
def test_a_checkpoint_cannot_bring_code(tiny_run: Path, tmp_path: Path, about: dict[str, Any]) -> None:
    content = torch.load(tiny_run / "checkpoints" / "last.pt", weights_only=True)
    torch.save({**content, "about": json.dumps(about)}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="holds code"):
        find_models(tmp_path / "evil.pt")


def test_a_flipped_bit_is_found(tiny_run: Path, tmp_path: Path) -> None:
    damaged = bytearray((tiny_run / "checkpoints" / "last.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "a.pt").write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.pt: damaged"):
        find_models(tmp_path / "a.pt")


def test_latest_is_followed_where_links_cannot_be_made(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "20260101-001-a")
    (tmp_path / "latest.txt").write_text("20260101-001-a\n", encoding="utf-8")
    assert find_models(tmp_path / "latest")[0].path.parent.parent == tmp_path / "20260101-001-a"
