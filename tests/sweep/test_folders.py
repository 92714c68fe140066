"""Run folders that are found again, gone on with or begun anew."""

import json
from pathlib import Path

import pytest

from fracture_vae.bundle import load
from fracture_vae.errors import InputError
from fracture_vae.sweep.folders import MARK, Folders, epochs_asked

CONFIG = Path(__file__).resolve().parents[2] / "bundles" / "mnist_vae" / "configs" / "train.json"


def dead(out: Path, epochs: int, *, checkpoint: bool = True) -> Path:
    """A run that came so far and died in the middle of writing a picture."""
    run = Folders(out).place("d1", {"beta": 1.0}, None).folder
    (run / "metrics.csv").write_text(
        "epoch,seconds\n" + "".join(f"{n + 1},1\n" for n in range(epochs)), encoding="utf-8"
    )
    (run / "samples" / ".writing-x").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    if checkpoint:
        (run / "checkpoints" / "last.pt").touch()
    return run


@pytest.mark.parametrize(
    ("trained", "checkpoint", "goes_on"), [(2, True, True), (2, False, False), (3, True, False)],
    ids=["from its checkpoint", "without one", "after its last epoch"],
)  # fmt: skip
def test_a_run_that_died_goes_on_where_there_is_something_to_go_on_from_and_to(
    tmp_path: Path, trained: int, checkpoint: bool, goes_on: bool
) -> None:
    run = dead(tmp_path / "out", trained, checkpoint=checkpoint)
    assert Folders(tmp_path / "out").place("d1", {"beta": 1.0}, 3) == (run, goes_on)
    assert (run / "metrics.csv").exists() == goes_on
    assert not list(run.rglob(".writing-*"))
    assert json.loads((run / MARK).read_text(encoding="utf-8")) == {"digest": "d1", "values": {"beta": 1.0}}


def test_other_settings_get_a_folder_of_their_own_and_none_is_whole_before_it_is_finished(tmp_path: Path) -> None:
    run = dead(tmp_path / "out", 2)
    folders = Folders(tmp_path / "out")
    other = folders.place("d2", {"beta": 2.0}, 3).folder
    assert other != run
    assert other.name.endswith("-002-beta=2")
    assert folders.whole("d2") is None
    (other / "run_meta.json").write_text('{"finished": "now"}', encoding="utf-8")
    assert folders.whole("d2") == Folders(tmp_path / "out").whole("d2") == other
    assert folders.whole("d1") is None


def test_a_damaged_mark_is_told(tmp_path: Path) -> None:
    (dead(tmp_path / "out", 1) / MARK).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"sweep_run\.json: damaged"):
        Folders(tmp_path / "out")


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [({}, 20), ({"max_epochs": 7}, 7), ({"train#trainer#max_epochs": 5}, 5), ({"max_epochs": "$@latent * 2"}, 32),
     ({"max_epochs": "$1 / 0"}, None)],
)  # fmt: skip
def test_epochs_are_those_the_config_asks_for_with_its_overrides(
    overrides: dict[str, object], epochs: int | None
) -> None:
    assert epochs_asked(load([CONFIG]), overrides) == epochs
