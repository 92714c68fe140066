"""The bundle is a complete one: MONAI's own checks pass, offline, and what is exported computes the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from fracture_vae import bundle
from fracture_vae.cohort.case import Case
from fracture_vae.cohort.manifest import Cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.jobs import infer_cases, train_bundle
from fracture_vae.networks import build_network
from fracture_vae.transforms.corruption.collapse import Collapse
from fracture_vae.transforms.corruption.repeated import Repeated
from tools.benchmarks.keeping import settled

SMALL_NET = {
    "network_def#reconstructor#channels": [4, 4, 8, 8],
    "network_def#reconstructor#quantizer_options": {"num_codes": 16, "dim": 8},
}


@pytest.fixture(scope="module")
def default_run(vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the bundle as it ships: fold 1, two epochs."""
    project = tmp_path_factory.mktemp("default")
    train_bundle(vq3d, "1", [], {"cohort": str(tiny_cohort), "project_dir": str(project), **tiny})
    return (project / "vq3d" / "latest").resolve()


def config(bundle: Path, name: str) -> dict[str, Any]:
    return json.loads((bundle / "configs" / name).read_text(encoding="utf-8"))


def test_the_training_config_has_every_property_monai_asks_for(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path
) -> None:
    settings = {"cohort": str(tiny_cohort), "project_dir": str(tmp_path), **tiny}
    workflow = ConfigWorkflow(str(vq3d / "configs" / "train.json"), workflow_type="train", **settings)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.bundle_root == str(vq3d)
    assert workflow.max_epochs == 2


def test_the_inference_config_has_every_property_monai_asks_for(
    vq3d: Path, tiny_cohort: Path, default_run: Path, tmp_path: Path
) -> None:
    settings = {
        "cohort": str(tiny_cohort),
        "output_dir": str(tmp_path),
        "checkpoint": str(default_run / "checkpoints" / "last.pt"),
    }
    workflow = ConfigWorkflow(str(vq3d / "configs" / "inference.json"), workflow_type="infer", **settings)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("name", ["train.json", "inference.json"])
def test_every_setting_is_explained_and_everything_explained_is_a_setting(vq3d: Path, name: str) -> None:
    content = config(vq3d, name)
    help_ = content["_help_"]
    settings = [key for key, value in content.items() if value is None or isinstance(value, str | int | float | bool)]
    derived = {
        "resolved_config",
        "cohort_table",
        "suited",
        "dataset_dir",
        "run_dir",
        "network",
        "networks",
        "model",
        "datalist",
        "composition",
    }
    assert set(help_) <= set(content)
    assert set(settings) - derived <= set(help_)
    assert list(help_) == [key for key in content if key in help_], "in the order of the settings"
    assert list(content)[2 : 2 + len(help_)] == list(help_), "settings come first"


@pytest.mark.parametrize(
    ("levels", "crop", "learns", "looks_at", "flips", "batch"),
    [
        ({"T4", "L5"}, "{}", Collapse, [[0.3125, 0.6875], [0.40625, 0.90625], [0, 1]], (0,), 8),
        ({"T4", ""}, "{}", Repeated, None, (), 4),
        ({"T4", "L5"}, "", Repeated, None, (), 4),
    ],
    ids=["crops of vertebrae", "one is of no level", "whole scans"],
)
def test_the_default_learns_to_mark_what_suits_the_cohort(
    vq3d: Path,
    tmp_path: Path,
    levels: set[str],
    crop: str,
    learns: type,
    looks_at: list[list[float]] | None,
    flips: tuple[int, ...],
    batch: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    cases = tuple(
        Case(case_id=level, patient_id=level, image=tmp_path / "x.nii.gz", level=level, crop=crop) for level in levels
    )
    parser = ConfigParser()
    parser.read_config(str(vq3d / "configs" / "train.json"))
    parser["cohort_table"] = Cohort(tmp_path / "cohort.csv", cases)
    assert isinstance(parser.get_parsed_content("corruption_def"), learns)
    assert parser.get_parsed_content("network_def").window == looks_at
    assert parser.get_parsed_content("composition").flips == flips
    assert parser.get_parsed_content("batch_size") == batch
    lacking = sum(not (level and crop) for level in levels)
    (told,) = [record.getMessage() for record in caplog.records if "settings that are not given" in record.message]
    assert told.endswith("suit crops of vertebrae" if not lacking else f"{lacking} of 2 cases have no level or no crop")


def test_both_kinds_of_cohort_decide_the_same_settings_and_each_is_one(vq3d: Path) -> None:
    shipped = config(vq3d, "train.json")
    vertebra, any_ = (shipped["suits"][kind] for kind in ("vertebra", "any"))
    assert vertebra.keys() == any_.keys()
    for name in any_:
        assert {**shipped, **shipped["augmentation"]}[name] == f"$@suited['{name}']"


def test_settings_that_are_given_stand_over_those_that_suit(vq3d: Path, tiny_cohort: Path) -> None:
    given = {"cohort": str(tiny_cohort), "max_epochs": 3, "augmentation#rotate_degrees": 7}
    read = settled([vq3d / "configs" / "train.json"], given)["settings"]
    assert (read["max_epochs"], read["augmentation"]["rotate_degrees"]) == (3, 7)
    assert (read["patience"], read["augmentation"]["translate_fraction"]) == (20, 0.05)


def test_a_large_batch_learns_as_far_a_volume_and_forgets_as_much(vq3d: Path, tiny_cohort: Path) -> None:
    def settings(batch: int, *overlays: str) -> dict[str, Any]:
        files = [vq3d / "configs" / name for name in ("train.json", "variants/reconstruction.json", *overlays)]
        return settled(files, {"cohort": str(tiny_cohort), "batch_size": batch})["settings"]

    own, same, large = settings(4), settings(4, "large_batch.json"), settings(12, "large_batch.json")
    assert own == {**same, "optimizer_options": {}}
    assert same["optimizer_options"] == {"momentum": 0.95}, "Muon's own"
    for name in ("learning_rate", "final_learning_rate"):
        assert large[name] == pytest.approx(3 * same[name])
    assert large["optimizer_options"]["momentum"] == pytest.approx(0.95**3)
    assert large["quantizer_options"]["decay"] == pytest.approx(0.99**3)


def test_nothing_in_the_configs_is_a_lambda(vq3d: Path) -> None:
    for path in (vq3d / "configs").glob("*.json"):
        assert "lambda" not in path.read_text(encoding="utf-8"), path


def test_slicer_finds_the_keys_it_sets(vq3d: Path) -> None:
    parser = ConfigParser(config(vq3d, "inference.json"))
    for key in ("bundle_root", "dataset_dir", "output_dir", "datalist", "device", "inferer", "evaluator"):
        assert key in parser.config
    assert parser["dataloader#num_workers"] == 0


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_metadata_is_valid_without_a_network(vq3d: Path) -> None:
    verify_metadata(
        meta_file=str(vq3d / "configs" / "metadata.json"), filepath=str(vq3d / "configs" / "metadata.schema.json")
    )


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("version"),
        lambda m: m.pop("network_data_format"),
        lambda m: m["network_data_format"].pop("outputs"),
        lambda m: m["network_data_format"]["inputs"]["image"].pop("value_range"),
        lambda m: m["network_data_format"]["inputs"]["image"].update(num_channels="one"),
        lambda m: m.update(authors=["a", "b"]),
    ],
)
def test_faulty_metadata_is_refused(vq3d: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    metadata = config(vq3d, "metadata.json")
    change(metadata)
    (tmp_path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(
            meta_file=str(tmp_path / "metadata.json"), filepath=str(vq3d / "configs" / "metadata.schema.json")
        )


def test_metadata_speaks_of_this_package_and_its_network(vq3d: Path) -> None:
    metadata = config(vq3d, "metadata.json")
    assert metadata["version"] in metadata["changelog"]
    assert metadata["monai_version"] == "1.6.1"
    shape = metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
    stages = len(config(vq3d, "inference.json")["network_def"]["reconstructor"]["channels"])
    assert shape == [f"{2**stages}*n"] * 3


@pytest.mark.parametrize(("name", "n"), [("inference.json", 1), ("inference.json", 2), ("train.json", 2)])
def test_the_network_takes_and_gives_what_the_metadata_says(vq3d: Path, tiny_cohort: Path, name: str, n: int) -> None:
    small = {"channels": [4, 4, 8, 8], "quantizer_options": {"num_codes": 16, "dim": 8}}
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(vq3d / "configs" / "metadata.json"),
        config_file=str(vq3d / "configs" / name),
        device="cpu",
        n=n,
        **({**small, "cohort": str(tiny_cohort)} if name == "train.json" else SMALL_NET),
    )


def test_a_network_of_two_channels_is_found_out(vq3d: Path) -> None:
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(
            net_id="network_def",
            meta_file=str(vq3d / "configs" / "metadata.json"),
            config_file=str(vq3d / "configs" / "inference.json"),
            device="cpu",
            **SMALL_NET,
            **{"_meta_#network_data_format#outputs#pred#num_channels": 2},
        )


def test_an_exported_torchscript_loads_and_agrees(vq3d: Path, default_run: Path, tmp_path: Path) -> None:
    best = default_run / "checkpoints" / "last.pt"
    ckpt_export(
        net_id="trained_network",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(best),
        key_in_ckpt="network",
        meta_file=str(vq3d / "configs" / "metadata.json"),
        config_file=str(vq3d / "configs" / "inference.json"),
        use_trace=True,
        input_shape=[1, 1, 16, 16, 16],
        checkpoint=str(best),
    )
    network = trained(default_run)
    image = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(image), network(image), atol=1e-5, rtol=0)


def test_an_exported_program_loads_and_agrees(default_run: Path, tmp_path: Path) -> None:
    network, image = trained(default_run), torch.rand(1, 1, 16, 16, 16)
    torch.export.save(torch.export.export(network, (image,)), tmp_path / "model.pt2")
    with torch.no_grad():
        out = torch.export.load(tmp_path / "model.pt2").module()(image)
        torch.testing.assert_close(out, network(image), atol=1e-5, rtol=0)


def trained(run: Path) -> torch.nn.Module:
    """The network of a run, in evaluation mode."""
    content = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    network = build_network(**json.loads(content["about"])["network"])
    network.load_state_dict(content["network"])
    return network.eval()


def test_evaluation_of_a_bundle_s_own_model_repeats_the_training_s_last_validation(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, default_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(default_run / "checkpoints" / "last.pt", tmp_path / "models" / "model.pt")
    shutil.copytree(vq3d / "configs", tmp_path / "configs")
    workflow = ConfigWorkflow(
        [str(tmp_path / "configs" / name) for name in ("train.json", "evaluate.json")],
        run_id="evaluating",
        **{"cohort": str(tiny_cohort), **tiny},
    )
    workflow.initialize()
    workflow.run()
    metrics = workflow.parser.get_parsed_content("validate#evaluator").state.metrics
    last = (default_run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    logged = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    for name in ("segmentation_loss", "recon_loss", "vq_loss", "perplexity"):
        assert metrics[name] == pytest.approx(float(logged[f"val/{name}"]), rel=1e-6)
    assert not (tmp_path / "runs").exists()


def test_maps_of_the_bundle_as_it_ships_are_its_head_s_probabilities(
    default_run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    last = default_run / "checkpoints" / "last.pt"
    infer_cases(last, tmp_path, {"cohort": str(tiny_cohort), "device": "cpu", "precision": "fp32"})
    network = trained(default_run)
    image = torch.from_numpy(read_volume(tiny_cohort.parent / "p10.nii.gz").array)[None, None]
    with torch.no_grad():
        restored = network(image)
        probability = network.locate(image).sigmoid()
    for name, expected in (("error", probability), ("recon", restored)):
        written = torch.from_numpy(read_volume(tmp_path / f"p10_{name}.nii.gz").array)
        torch.testing.assert_close(written, expected[0, 0], atol=1e-4, rtol=0)
    assert "probability" in json.loads((tmp_path / "p10.json").read_text(encoding="utf-8"))["units"]["error"]


def test_maps_are_not_written_beside_the_images_they_are_of(
    vq3d: Path, default_run: Path, blob: Callable[..., Path], tmp_path: Path
) -> None:
    image = blob(tmp_path / "a.nii.gz")
    given = {"checkpoint": str(default_run / "checkpoints" / "last.pt"), "images": [str(image)], "device": "cpu"}
    with pytest.raises(InputError, match=r"holds a\.nii\.gz, an input; give another folder"):
        bundle.run([vq3d / "configs" / "inference.json"], "run", {**given, "output_dir": str(tmp_path)})
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize("score", ["l1", "ssim", "feature", "code_distance"])
def test_scores_of_the_vqvae_inside_are_there_by_name(
    default_run: Path, tiny_cohort: Path, tmp_path: Path, score: str
) -> None:
    settings = {"cohort": str(tiny_cohort), "device": "cpu", "score": score, "maps": ["error"]}
    infer_cases(default_run, tmp_path, settings)
    assert read_volume(tmp_path / "p10_error.nii.gz").array.std() > 0
