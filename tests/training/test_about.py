"""What a checkpoint says of itself, and the files beside it: whatever they hold, they are read or told in a line."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fracture_vae.errors import InputError
from fracture_vae.files import read_json
from fracture_vae.maps.table import read_scores
from fracture_vae.report.contact_sheet import draw_contact_sheet
from fracture_vae.training.about import FORMAT, About, read_about
from fracture_vae.training.checkpoints import best_checkpoint
from fracture_vae.transforms import Preprocessing

fuzzed = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOUND = About(
    network={"name": "vqvae", "channels": [4, 8], "quantizer_options": {"dim": 8}},
    preprocessing=Preprocessing("percentile", percentiles=(2.0, 98.0)),
    size=(16, 16, 24),
    fold=2,
    trained_on=("0123", "4567"),
    bundle="vq3d",
    epoch=7,
)
KEYS = st.text(string.ascii_letters, max_size=9)
PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "$1", "@a", "../b", "vq3d", "none"]),
        st.text(max_size=4),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip


def outcome(read: Callable[[], Any], where: str) -> Any:
    """What is read, or None if it is told in one line that begins with the file's name."""
    try:
        return read()
    except InputError as error:
        told = str(error)
    assert told.startswith(f"{where}: ")
    assert len(told.splitlines()) == 1
    return None


def test_what_is_written_is_read_back() -> None:
    assert read_about({"about": SOUND.to_json()}, "a.pt") == SOUND
    assert read_about({}, "a.pt") == About()
    assert SOUND.plain()["preprocessing"] == {
        "intensity": "percentile", "hu_window": [0, 1900], "percentiles": [2, 98]
    }  # fmt: skip
    assert SOUND.plain()["format"] == FORMAT


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert read_about({"about": json.dumps({**SOUND.plain(), "licence": "x"})}, "a.pt") == SOUND


@fuzzed
@given(changes=st.dictionaries(st.sampled_from([*SOUND.plain(), "more"]), PLAIN, max_size=3))
def test_any_values_are_sound_ones_or_told(changes: dict[str, Any]) -> None:
    said = outcome(lambda: read_about({"about": json.dumps({**SOUND.plain(), **changes})}, "a.pt"), "a.pt")
    if said is not None:
        assert said.preprocessing is None or isinstance(said.preprocessing, Preprocessing)
        assert said.size is None or [type(n) for n in said.size] == [int] * 3
        assert said.fold is None or said.fold >= 1
        assert all(isinstance(name, str) for name in said.trained_on)
        assert Path(said.bundle).name == said.bundle, "it leads nowhere else"
        assert not any(mark in json.dumps(said.plain()) for mark in ('"$', '"@', '"%')), "it brings no expressions"


@fuzzed
@given(about=st.one_of(PLAIN, st.text(max_size=20), st.just("[" * 100_000)))
def test_any_about_is_sound_or_told(about: Any) -> None:
    said = outcome(lambda: read_about({"about": about}, "a.pt"), "a.pt")
    assert said is None or isinstance(said, About)


@st.composite
def texts(draw: Any, sound: str) -> bytes:
    """A text with some characters changed, perhaps cut short, or another JSON value."""
    if draw(st.booleans()):
        return json.dumps(draw(PLAIN)).encode()
    content = bytearray(sound.encode())
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.binary(max_size=3)), max_size=4)):
        content[place : place + 1] = value
    return bytes(content[: draw(st.one_of(st.none(), st.integers(0, len(content))))])


@fuzzed
@given(content=texts('[{"file": "epoch_0001.pt", "epoch": 1, "value": 0.5}, {"file": "b.pt", "epoch": 2, "value": 1}]'))
def test_any_index_of_the_best_is_one_or_told(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / "epoch_0001.pt").touch()
    (folder / "best.json").write_bytes(content)
    found = outcome(lambda: best_checkpoint(tmp_path), str(folder / "best.json"))
    assert found is None or found == folder / "epoch_0001.pt"


@fuzzed
@given(content=texts('{"started": "2026", "finished": "2026", "resumed": []}'))
def test_any_record_of_a_run_is_one_or_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run_meta.json"
    path.write_bytes(content)
    found = outcome(lambda: read_json(path), str(path))
    assert found is None or isinstance(found, dict)


@fuzzed
@given(content=texts("case_id,label,score,image\na,1,0.5,a.nii.gz\nb,0,0.25,b.nii.gz\n"))
def test_any_table_of_scores_is_one_or_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    found = outcome(lambda: read_scores(path), str(path))
    assert found is None or all(isinstance(row["score"], str) for row in found)
    with pytest.raises(InputError, match=r"scores\.csv|no such file"):  # there are no maps to draw
        draw_contact_sheet(tmp_path, tmp_path / "sheet.png")


@pytest.mark.parametrize("name", ["rng", "resume/optimizer", "resume/loader", "resume/early_stopping", "best", "about"])
@pytest.mark.parametrize("state", [{}, {"a": 1}, 3])
def test_a_state_that_does_not_fit_is_told(
    tiny_run: Path, train: Callable[..., Path], tmp_path: Path, name: str, state: Any
) -> None:
    content = torch.load(tiny_run / "checkpoints" / "last.pt", weights_only=True)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save({**content, name: state}, tmp_path / "run" / "checkpoints" / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: (its state of|nothing to go on from)"):
        train(tmp_path / "new", resume=str(tmp_path / "run"), max_epochs=3)
