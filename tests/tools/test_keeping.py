"""What a benchmark keeps is made again when what it was made of changes, and only then."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.benchmarks.keeping import Keeper, settled


def lower_weight(config: dict[str, Any]) -> None:
    config["objective"]["weight"] = 0.5


def other_end(config: dict[str, Any]) -> None:
    config["lr_handler"]["end"] = 1e-3


def other_rate(config: dict[str, Any]) -> None:
    config["learning_rate"] = 1e-3


def other_words(config: dict[str, Any]) -> None:
    config["_help_"]["learning_rate"] = "in other words"


def other_place(config: dict[str, Any]) -> None:
    config["project_dir"] = "elsewhere"


def same_clip_by_cohort(config: dict[str, Any]) -> None:
    for suit in config["suits"].values():
        suit["gradient_clip"] = config["gradient_clip"]
    config["gradient_clip"] = "$@suited['gradient_clip']"


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (lower_weight, True),
        (other_end, True),
        (other_rate, True),
        (other_words, False),
        (other_place, False),
        (same_clip_by_cohort, False),
    ],
)
def test_a_training_is_known_by_what_it_reads(
    vq3d: Path, tiny_cohort: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], matters: bool
) -> None:
    shutil.copytree(vq3d / "configs", tmp_path / "configs")
    file, keeper = tmp_path / "configs" / "train.json", Keeper(tmp_path)
    given = {"cohort": str(tiny_cohort), "device": "cpu"}
    before = keeper.place("models", "m", settled([file], given))
    config = json.loads(file.read_text(encoding="utf-8"))
    change(config)
    file.write_text(json.dumps(config), encoding="utf-8")
    assert (keeper.place("models", "m", settled([file], given)) != before) is matters
