"""What a search asks and remembers, told of runs that are a metrics.csv each."""

from pathlib import Path

import pytest

from fracture_vae.errors import InputError
from fracture_vae.sweep.plan import Search
from fracture_vae.sweep.space import Choices, Range
from fracture_vae.sweep.study import Study

pytest.importorskip("optuna", reason="Optuna is an optional extra")
SPACE = {"beta": Range(0.1, 4.0, log=True), "hidden": Choices(([16], [8, 8])), "latent": Range(2, 9, whole=True)}


def run(folder: Path, *losses: float) -> Path:
    """A run with these validation losses, an epoch each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{epoch},0.1,{loss}" for epoch, loss in enumerate(losses, 1)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,seconds,val/total_loss", *lines, ""]), encoding="utf-8")
    return folder


def search(trials: int, *, prune: bool = False, seed: int = 0) -> Search:
    return Search("val/total_loss", trials, SPACE, seed, prune)


def asked(study: Study, folder: Path) -> list[dict[str, object]]:
    """All that a study asks for, each told a loss that is its beta."""
    points = []
    while (point := study.ask()) is not None:
        points.append(dict(point.values))
        study.tell(point, run(folder, float(point.values["beta"])))
    return points


def test_values_lie_in_the_space_and_follow_from_the_seed(tmp_path: Path) -> None:
    first, second, other = (
        asked(Study(search(12, seed=seed), tmp_path / f"{name}.log", "s"), tmp_path / "run")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == second
    assert first != other
    for values in first:
        assert 0.1 <= float(str(values["beta"])) <= 4
        assert values["hidden"] in ([16], [8, 8])
        assert values["latent"] in range(2, 10)
    assert len({str(values) for values in first}) == 12, "no trial is drawn twice"


def test_a_search_that_goes_on_draws_what_an_unbroken_one_would(tmp_path: Path) -> None:
    whole = asked(Study(search(6), tmp_path / "whole.log", "s"), tmp_path / "run")
    part = asked(Study(search(4), tmp_path / "part.log", "s"), tmp_path / "run")
    assert whole == part + asked(Study(search(6), tmp_path / "part.log", "s"), tmp_path / "run")


def test_what_died_or_failed_is_the_first_to_be_run_again(tmp_path: Path) -> None:
    study = Study(search(3), tmp_path / "study.log", "s")
    points = [study.ask() for _ in range(3)]
    assert study.ask() is None
    done, failed, died = (point for point in points if point is not None)
    study.tell(done, run(tmp_path / "run", 3.0, 2.0))
    study.tell(failed, None)
    again = Study(search(3), tmp_path / "study.log", "s")
    assert again.done() == [done.values]
    assert again.left == 2
    first, second = again.ask(), again.ask()
    assert first is not None
    assert second is not None
    assert [first.values, second.values] == [failed.values, died.values]
    for point in (first, second):
        again.tell(point, run(tmp_path / "run", 1.0))
    assert Study(search(3), tmp_path / "study.log", "s").ask() is None


def test_a_run_worse_than_the_median_of_the_others_is_pruned(tmp_path: Path) -> None:
    study = Study(search(9, prune=True), tmp_path / "study.log", "s")
    for index in range(6):
        point = study.ask()
        assert point is not None
        study.tell(point, run(tmp_path / str(index), 9.0, 5.0, 1.0 + index))
    bad, good = study.ask(), study.ask()
    assert bad is not None
    assert good is not None
    assert not study.pruned(bad, tmp_path / "not begun")
    assert study.pruned(bad, run(tmp_path / "bad", 9.0, 8.0))
    assert not study.pruned(good, run(tmp_path / "good", 8.0, 4.0))
    study.tell(good, run(tmp_path / "good", 8.0, 4.0, 3.0))
    assert len(study.done()) == 7
    assert Study(search(9, prune=True), tmp_path / "study.log", "s").left == 1, "a pruned trial counts"


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.log").write_text('{"op_code": 99}\n{"no": 1}\n[]\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"study\.log: damaged, it is no journal of Optuna's; remove it"):
        Study(search(2), tmp_path / "study.log", "s")
