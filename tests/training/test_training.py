"""Whole trainings of the bundle: repeatable, resumable, logged as promised."""

import csv
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fracture_vae.errors import InputError
from fracture_vae.jobs import resume_run
from fracture_vae.training import GradientClipping, choose

TERMS = {"recon_loss", "vq_loss", "total_loss", "perplexity", "codebook_usage"}
Train = Callable[..., Path]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv without the time they took."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.pt", weights_only=True)


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal to the last bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list):
        for index, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}/{index}")
    else:
        assert a == b, where


def test_two_trainings_of_one_seed_are_equal_and_of_two_seeds_not(train: Train, tmp_path: Path) -> None:
    first, second, other = (train(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert_same(last(first), last(second))
    assert rows(first) == rows(second)
    assert rows(first) != rows(other)


@pytest.mark.parametrize(
    "settings", [{}, {"lr_schedule": "plateau", "optimizer": "AdamW"}, {"optimizer": "Muon"}],
    ids=["cosine", "plateau", "Muon"],
)  # fmt: skip
def test_an_interrupted_training_goes_on_as_if_never_stopped(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    whole = train(tmp_path / "whole", max_epochs=4, **settings)
    clip = GradientClipping.__call__

    def interrupted(self: GradientClipping, engine: Any) -> None:
        if engine.state.iteration == 2 * engine.state.epoch_length + 2:
            raise KeyboardInterrupt
        clip(self, engine)

    monkeypatch.setattr(GradientClipping, "__call__", interrupted)
    with pytest.raises(BaseException) as stopped:  # noqa: PT011
        train(tmp_path / "stopped", max_epochs=4, **settings)
    assert "KeyboardInterrupt" in repr(stopped.getrepr(style="short"))
    monkeypatch.undo()
    run = (tmp_path / "stopped" / "vq3d" / "latest").resolve()
    assert [row["epoch"] for row in rows(run)] == ["1", "2"]
    assert "finished" not in json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    train(tmp_path / "unused", max_epochs=4, resume=str(run), **settings)
    assert not (tmp_path / "unused").exists()
    assert rows(run) == rows(whole)
    assert_same(last(run), last(whole))
    assert "finished" in json.loads((run / "run_meta.json").read_text(encoding="utf-8"))


def test_resuming_a_run_that_is_done_changes_nothing_in_it(train: Train, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="already trained 2 epochs; raise max_epochs"):
        train(tmp_path / "new", resume=str(run))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_of_volumes_killed_after_its_last_epoch_is_finished(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    before = rows(run), (run / "checkpoints" / "last.pt").read_bytes()
    meta = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    del meta["finished"]
    (run / "run_meta.json").write_text(json.dumps(meta), encoding="utf-8")
    resume_run(run, {})
    assert (rows(run), (run / "checkpoints" / "last.pt").read_bytes()) == before
    assert "finished" in json.loads((run / "run_meta.json").read_text(encoding="utf-8"))


def test_resuming_another_architecture_is_refused(train: Train, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    before = (run / "run_meta.json").read_bytes()
    with pytest.raises(InputError, match=r"last\.pt: weights of another architecture"):
        train(tmp_path / "new", resume=str(run), max_epochs=3, channels=[4, 12])
    assert (run / "run_meta.json").read_bytes() == before


def test_metrics_csv_has_a_row_an_epoch_with_the_contract_s_names(tiny_run: Path) -> None:
    listed = rows(tiny_run)
    assert [row["epoch"] for row in listed] == ["1", "2"]
    for row in listed:
        assert {f"train/{term}" for term in (*TERMS, "learning_rate")} <= set(row)
        assert {f"val/{term}" for term in TERMS} <= set(row)
        assert float(row["train/total_loss"]) == pytest.approx(
            float(row["train/recon_loss"]) + float(row["train/vq_loss"])
        )
        assert 1 <= float(row["train/perplexity"]) <= 8
        assert 0 < float(row["val/codebook_usage"]) <= 1
    assert float(listed[0]["train/learning_rate"]) == 1e-2


def test_tensorboard_has_the_same_values_and_the_slices(tiny_run: Path) -> None:
    events = EventAccumulator(str(tiny_run / "tensorboard")).Reload()
    scalars = set(events.Tags()["scalars"])
    assert {f"train/{term}" for term in (*TERMS, "learning_rate")} | {f"val/{term}" for term in TERMS} <= scalars
    for tag in scalars:
        logged = [event.value for event in events.Scalars(tag)]
        assert logged == pytest.approx([float(row[tag]) for row in rows(tiny_run)], rel=1e-6), tag
        assert [event.step for event in events.Scalars(tag)] == [1, 2]
    assert set(events.Tags()["images"]) == {"val/original_slice", "val/recon_slice", "val/error_slice"}
    image = events.Images("val/original_slice")[-1]
    assert (image.width, image.height) == (48, 16), "three planes of 16 side by side"


def test_a_resumed_run_s_tensorboard_shows_every_epoch_once(train: Train, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    time.sleep(1.1)  # TensorBoard orders event files by the second they were begun in
    train(tmp_path, resume=str(run), max_epochs=4)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("val/recon_loss")] == [1, 2, 3, 4]
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]


def test_validation_can_be_rarer(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path, max_epochs=4, val_interval=2)
    assert [bool(row["val/recon_loss"]) for row in rows(run)] == [False, True, False, True]
    best = json.loads((run / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    assert sorted(entry["epoch"] for entry in best) == [2, 4]


def test_early_stopping_ends_the_run_in_good_order(train: Train, tmp_path: Path) -> None:
    still = {"learning_rate": 0.0, "final_learning_rate": 0.0, "dropout": 0.0, "norm": "instance"}  # nothing learns
    run = train(
        tmp_path,
        max_epochs=30,
        patience=2,
        quantizer_options={"num_codes": 8, "dim": 8, "codebook": "gradient"},
        **still,
    )
    assert len(rows(run)) == 3, "the first epoch, and two that are no better"
    assert last(run)["epoch"] == len(rows(run))
    assert "finished" in json.loads((run / "run_meta.json").read_text(encoding="utf-8"))


def test_a_gradient_that_is_not_a_number_stops_before_anything_is_saved(train: Train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="training diverged in epoch"):
        train(tmp_path, learning_rate=1e30, structure="gradient", structure_weight=1e38)
    for path in tmp_path.rglob("*.pt"):
        content = torch.load(path, weights_only=True)
        assert all(v.isfinite().all() for v in content["network"].values() if v.is_floating_point()), path


def test_training_learns(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path, max_epochs=40, learning_rate=1e-2, dropout=0.0)
    losses = [float(row["train/recon_loss"]) for row in rows(run)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("settings", [
    {"structure": "ssim"}, {"distance": "l2", "structure": "gradient"}, {"norm": "instance"}, {"norm": "group"},
    {"precision": "bf16"}, {"quantizer_options": {"num_codes": 8, "dim": 8, "codebook": "gradient"}},
    {"size": [20, 16, 24]}, {"intensity": "percentile"},
], ids=str)  # fmt: skip
def test_every_choice_of_the_config_trains(train: Train, tmp_path: Path, settings: dict[str, Any]) -> None:
    run = train(tmp_path, max_epochs=1, **settings)
    assert all(torch.tensor(float(value)).isfinite() for value in rows(run)[0].values())


def test_bf16_ends_within_a_hundredth_of_fp32_s_validation_loss(train: Train, tmp_path: Path) -> None:
    # slower than it ships: at that rate so small a training soon goes another way for any rounding
    settings = {"max_epochs": 40, "learning_rate": 0.003}
    plain, half = (
        [float(row["val/recon_loss"]) for row in rows(train(tmp_path / precision, precision=precision, **settings))]
        for precision in ("fp32", "bf16")
    )
    assert plain[-1] < 0.9 * plain[0]
    assert half[-1] == pytest.approx(plain[-1], rel=0.01)
    assert half != plain


def test_how_it_ran_is_on_record(tiny_run: Path) -> None:
    meta = json.loads((tiny_run / "run_meta.json").read_text(encoding="utf-8"))
    assert meta["acceleration"] == str(choose("cpu", "fp32", False))


def test_volumes_of_mixed_size_and_kind_train(
    train: Train, tmp_path: Path, blob: Callable[..., Path], table: Callable[..., Path]
) -> None:
    shapes = [(15, 20, 9), (16, 16, 16), (9, 9, 24), (21, 5, 7)]
    listed = []
    for index, shape in enumerate(shapes):
        name = f"v{index}{'.npy' if index % 2 else '.nii.gz'}"
        blob(tmp_path / name, shape, seed=index)
        listed.append({"case_id": f"v{index}", "image": name, "fold": index % 2 + 1})
    run = train(tmp_path / "runs", cohort=str(table(tmp_path / "cohort.csv", listed)))
    assert all(torch.tensor(float(value)).isfinite() for row in rows(run) for value in row.values())


def test_all_folds_lie_in_one_run_folder_and_go_on_where_they_stopped(
    train: Train, tiny_folds: Path, tmp_path: Path
) -> None:
    assert sorted(path.name for path in tiny_folds.iterdir()) == ["fold_1", "fold_2", "fold_3"]
    run = tmp_path / "run"
    shutil.copytree(tiny_folds, run)
    shutil.rmtree(run / "fold_2")
    kept = (run / "fold_1" / "run_meta.json").read_bytes()
    resume_run(run, {})
    assert (run / "fold_1" / "run_meta.json").read_bytes() == kept
    meta = json.loads((run / "fold_2" / "run_meta.json").read_text(encoding="utf-8"))
    assert meta["fold"] == 2
    assert "finished" in meta


def test_a_run_goes_on_with_the_settings_it_was_started_with(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tmp_path, max_epochs=1, learning_rate=0.5, final_learning_rate=0.5)
    monkeypatch.chdir(tmp_path)
    resume_run(run, {"max_epochs": 2})
    assert [(row["epoch"], row["train/learning_rate"]) for row in rows(run)] == [("1", "0.5"), ("2", "0.5")]
    (run / "checkpoints" / "last.pt").unlink()
    with pytest.raises(InputError, match="it is done"):
        resume_run(run, {})
    meta = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    (run / "run_meta.json").write_text(json.dumps({**meta, "finished": None}).replace('"finished": null', '"x": 0'))
    resume_run(run, {})
    assert [row["epoch"] for row in rows(run)] == ["1", "2"], "without a checkpoint it starts again in its folder"
    with pytest.raises(InputError, match="no run folder"):
        resume_run(tmp_path, {})


def test_all_folds_refuse_bad_settings_before_a_folder_is_made(train: Train, tmp_path: Path) -> None:
    first = train(tmp_path, max_epochs=1)
    with pytest.raises(InputError, match="did you mean 'Adam'"):
        train(tmp_path, "all", optimizer="Adm")
    assert [path for path in first.parent.iterdir() if not path.is_symlink()] == [first]
    assert (first.parent / "latest").resolve() == first


def test_all_folds_refuse_a_fold_without_normals_before_the_others_train(
    train: Train, tmp_path: Path, tiny_cohort: Path
) -> None:
    lines = tiny_cohort.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("p30", "p31"))]
    cohort = tiny_cohort.parent / "without.csv"
    cohort.write_text("\n".join(kept), encoding="utf-8")
    with pytest.raises(InputError, match=r"without\.csv: fold 3 holds no normal case"):
        train(tmp_path / "new", "all", cohort=str(cohort))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("settings", [{"fold": 2}, {"percentiles": [5, 95]}, {"size": [32, 32, 32]}])
def test_a_run_does_not_go_on_with_other_data(train: Train, tiny_run: Path, tmp_path: Path, settings: Any) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    fold = str(settings.pop("fold", 1))
    with pytest.raises(InputError, match="was trained with another"):
        train(tmp_path / "new", fold, resume=str(run), max_epochs=4, **settings)


def test_a_run_s_fold_and_cohort_cannot_be_set_when_it_goes_on(tiny_run: Path) -> None:
    for key in ("fold", "cohort"):
        with pytest.raises(InputError, match=f"--set {key}"):
            resume_run(tiny_run, {key: 2})


def test_null_takes_a_setting_away(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path, augmentation=None, max_epochs=1)
    assert json.loads((run / "run_meta.json").read_text(encoding="utf-8"))["config"]["augmentation"] == "$None"
