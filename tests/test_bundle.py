"""How a bundle is started: strict overrides, overlays, and paths that do not depend on the current folder."""

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_vae import bundle
from fracture_vae.configs import require_effect
from fracture_vae.errors import InputError

CONFIG = {"a": 1, "train": {"trainer": {"max_epochs": 5}, "handlers": [{"x": 1}, {"y": 2}]}, "_meta_": {"b": 1}}


@pytest.fixture
def copied(vq3d: Path, tmp_path: Path) -> Path:
    """A copy of the bundle."""
    shutil.copytree(vq3d / "configs", tmp_path / "copy" / "configs")
    return tmp_path / "copy"


def monai(
    bundle_folder: Path, *arguments: str, cwd: Path, config: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """``python -m monai.bundle run training`` as a user types it."""
    file = config or os.path.relpath(bundle_folder / "configs" / "train.json", cwd)
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", file, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def given(settings: dict[str, Any]) -> list[str]:
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("fodl", "2", "override --fodl: the config has no key 'fodl'; did you mean 'fold'?"),
        (
            "train#trainer#max_epoch",
            "5",
            "override --train#trainer#max_epoch: the config has no key 'train#trainer#max_epoch'; "
            "did you mean 'train#trainer#max_epochs'?",
        ),
    ],
)
def test_a_misspelt_override_stops_before_anything_runs(copied: Path, key: str, value: str, complaint: str) -> None:
    done = monai(copied, f"--{key}", value, cwd=copied.parent)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [f"Error: {complaint}"]
    assert "Traceback" not in done.stderr
    assert not (copied / "runs").exists()


def test_nested_overrides_overlays_and_any_current_folder_work_alike(
    copied: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "deeper"
    elsewhere.mkdir(parents=True)
    settings = {"cohort": tiny_cohort, "device": "cpu", "precision": "fp32", "progress": False}
    inside = monai(
        copied, *given({**settings, "channels": tiny["channels"], "quantizer_options": "{'num_codes':16,'dim':16}",
                        "batch_size": 2, "compile": False, "train#trainer#max_epochs": 1}), cwd=copied.parent
    )  # fmt: skip
    configs = str([os.path.relpath(copied / "configs" / name, elsewhere) for name in ("train.json", "debug.json")])
    outside = monai(copied, *given({**settings, "channels": [4, 8], "max_epochs": 1}), cwd=elsewhere, config=configs)
    for done in (inside, outside):
        assert done.returncode == 0, done.stderr[-3000:]
    runs = sorted(path for path in (copied / "runs" / "vq3d").iterdir() if not path.is_symlink())
    assert len(runs) == 2, "both in the bundle's own folder"
    assert not list(elsewhere.iterdir())
    rows = [(run / "metrics.csv").read_text(encoding="utf-8").splitlines() for run in runs]
    assert [len(lines) for lines in rows] == [2, 2], "one epoch each"
    weights = [torch.load(run / "checkpoints" / "last.pt", weights_only=True)["network"] for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    meta = json.loads((runs[0] / "run_meta.json").read_text(encoding="utf-8"))
    assert meta["config"]["train"]["trainer"]["max_epochs"] == 1, "the config as it ran"
    assert "--train#trainer#max_epochs" in meta["arguments"]


@pytest.mark.parametrize(
    "key", ["a", "train", "train#trainer#max_epochs", "train::trainer::max_epochs", "train#handlers#1#y"]
)
def test_what_the_config_has_can_be_overridden(key: str) -> None:
    bundle.check_overrides(CONFIG, {key: None})


KINDS = {"number": 1, "switch": True, "either": "auto", "word": "a", "numbers": [1, 2], "list": [], "section": {"a": 1},
         "free": None, "expression": "$1"}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("number", 0.5), ("switch", False), ("either", True), ("either", "x"), ("word", "b"), ("numbers", (3,)),
     ("list", ["a"]), ("section", {"b": 2}), ("free", 3), ("expression", 3), ("number", "$1"), ("number", None),
     ("switch", "auto")],
)  # fmt: skip
def test_a_value_of_the_same_kind_can_take_its_place(key: str, value: Any) -> None:
    bundle.check_overrides(KINDS, {key: value})


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [("number", "1", "a number"), ("number", True, "a number"), ("switch", 1, "True or False"), ("word", 3, "text"),
     ("switch", "false", "True or False"), ("numbers", 3, "a list of numbers"), ("numbers", ["a"], "a list of numbers"),
     ("list", "a", "a list"), ("section", [1], "a section with keys of its own")],
)  # fmt: skip
def test_a_value_of_another_kind_cannot(key: str, value: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"override --{key}: .* is not {kind}; the config has "):
        bundle.check_overrides(KINDS, {key: value})


@pytest.mark.parametrize(
    "key", ["b", "train#trainr", "a#b", "train#handlers#2", "train#handlers#x", "_meta_", "train#trainer#max_epochs#1"]
)
def test_what_it_has_not_cannot(key: str) -> None:
    with pytest.raises(InputError, match=f"override --{key}: the config has no key"):
        bundle.check_overrides(CONFIG, {key: 0})


PROGRAM = {"a": 1, "b": "@a", "c": "@d", "d": 2, "objective": {"_target_": "x.IWAE", "w": "@b"}, "run": ["$@objective"]}


@pytest.mark.parametrize(("key", "used"), [("a", True), ("b", True), ("objective#w", True), ("c", False), ("d", False)])
def test_a_setting_that_no_program_comes_by_is_refused(key: str, used: bool) -> None:
    if used:
        bundle.check_overrides(PROGRAM, {key: None})
    else:
        with pytest.raises(InputError, match=f"override --{key}: would have no effect, IWAE does not use it; leave it"):
            bundle.check_overrides(PROGRAM, {key: None})


@pytest.mark.parametrize(
    ("variant", "idle"),
    [("iwae", ["perceptual", "beta", "beta_schedule", "free_bits", "capacity", "kl_target"]),
     ("info_vae", ["beta", "free_bits", "capacity"])],
)  # fmt: skip
def test_what_an_objective_does_not_use_is_refused_beside_its_variant(
    vq3d: Path, variant: str, idle: list[str]
) -> None:
    folder = vq3d.parent / "mnist_vae" / "configs"
    config = bundle.load([folder / "train.json", folder / "variants" / f"{variant}.json"])
    for key in idle:
        with pytest.raises(InputError, match=f"override --{key}: would have no effect"):
            bundle.check_overrides(config, {key: config[key]})
    with pytest.raises(InputError, match=r"free_bits\.json: free_bits: would have no effect"):
        bundle.load([folder / "train.json", *(folder / "variants" / f"{name}.json" for name in ("free_bits", variant))])


IDLE = {"floor": 1.0, "head": "plain", "limit": None, "steps": 9,
        "_idle_with_": {"floor": {"head": ["plain"]}, "steps": {"limit": [None]}}}  # fmt: skip


@pytest.mark.parametrize(
    "given", [{"floor": 5.0, "head": "kept"}, {"head": "kept"}, {"floor": 1.0}, {"steps": 3, "limit": 2}, {}]
)
def test_a_setting_counts_where_its_other_lets_it_or_it_is_as_it_was(given: dict[str, Any]) -> None:
    require_effect(IDLE, given)


@pytest.mark.parametrize(
    ("given", "beside"), [({"floor": 5.0}, "head plain"), ({"steps": 3, "floor": 1.0}, "limit None")]
)
def test_a_setting_that_is_idle_beside_another_is_refused(given: dict[str, Any], beside: str) -> None:
    with pytest.raises(
        InputError, match=f"would have no effect with {beside}; leave it out, or set {beside.split()[0]}"
    ):
        require_effect(IDLE, given)


@pytest.mark.parametrize("name", ["mnist_ae", "mnist_vae", "mnist_vq"])
def test_what_a_bundle_calls_idle_are_settings_it_has(vq3d: Path, name: str) -> None:
    config = bundle.load([vq3d.parent / name / "configs" / "train.json"])
    for setting, others in config["_idle_with_"].items():
        assert {setting, *others} <= set(config)
        assert not isinstance(config[setting], dict)


def test_monai_s_own_arguments_are_no_overrides(
    vq3d: Path, tiny_cohort: Path, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    (tmp_path / "arguments.json").write_text(json.dumps({"max_epochs": 1, "fold": 2}), encoding="utf-8")
    from monai.bundle import create_workflow

    def made(**arguments: Any) -> Any:
        return create_workflow(
            config_file=str(vq3d / "configs" / "train.json"), run_id="training", workflow_type="train",
            logging_file=False, args_file=str(tmp_path / "arguments.json"), **arguments,
        )  # fmt: skip

    workflow = made(cohort=str(tiny_cohort), **{name: value for name, value in tiny.items() if name != "max_epochs"})
    resolved = workflow.parser.get_parsed_content("resolved_config")
    assert (resolved["fold"], resolved["max_epochs"]) == (2, 1)
    (tmp_path / "arguments.json").write_text(json.dumps({"max_epoch": 1}), encoding="utf-8")
    with pytest.raises(Exception, match="Failed to evaluate") as error:
        made()
    assert "did you mean 'max_epochs'" in str(error.value.__cause__)


def test_a_config_that_is_missing_or_does_not_parse_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such config file"):
        bundle.load([tmp_path / "none.json"])
    (tmp_path / "bad.json").write_text("{'a': ", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json: does not parse"):
        bundle.load([tmp_path / "bad.json"])


def test_a_bundle_s_own_bad_input_comes_out_unwrapped(train: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row has fold 9; there are 1, 2, 3"):
        train(tmp_path, "9")


def test_outside_a_running_bundle_there_is_no_root() -> None:
    assert bundle.invocation() is None
    with pytest.raises(InputError, match="--bundle_root"):
        bundle.bundle_root()


def test_no_target_of_a_config_names_a_module() -> None:
    """From Python 3.12 on MONAI would find the module, not the function of its package that has the same name."""
    configs = Path(__file__).parents[1].glob("bundles/*/configs/**/*.json")
    targets = {name for config in configs for name in re.findall(r'"_target_": "([\w.]+)"', config.read_text())}
    ours = {target for target in targets if target.startswith("fracture_vae.")}
    assert len(ours) > 20
    assert [target for target in ours if importlib.util.find_spec(target.rpartition(".")[0]) is None] == []
    modules = [t for t in ours if hasattr(importlib.import_module(t.rpartition(".")[0]), "__path__")]
    assert [target for target in modules if importlib.util.find_spec(target) is not None] == []
