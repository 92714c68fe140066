"""Maps lie in their image's own grid for every reader, and say what they are."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from monai.transforms import LoadImage

from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError, PartialFailure, exit_status
from fracture_vae.files import sha256
from fracture_vae.jobs import infer_cases
from fracture_vae.maps.table import read_scores
from fracture_vae.maps.writer import DISPLAY_MAX

COS, SIN = np.cos(0.3), np.sin(0.3)
OBLIQUE = np.array([[0, -1.2 * COS, 2.0 * SIN, 5], [0.9, 0, 0, 7], [0, -1.2 * SIN, -2.0 * COS, 9], [0, 0, 0, 1.0]])
MAPS = ("error", "signed", "recon", "valid")


def infer(model: Path, output: Path, **settings: Any) -> None:
    plain = {"cohort": None, "images": [], "split": "auto", "npy": False, "device": "cpu", "precision": "fp32"}
    extra = {name: settings.pop(name) for name in ("in_source", "bundle") if name in settings}
    infer_cases(model, output, {**plain, **settings}, **extra)


@pytest.fixture(scope="module")
def odd(tiny_run: Path, blob: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of one oblique, left-handed volume whose size no network can halve twice."""
    folder = tmp_path_factory.mktemp("odd")
    blob(folder / "image.nii.gz", (17, 22, 9), OBLIQUE)
    infer(tiny_run, folder / "maps", images=[str(folder / "image.nii.gz")], npy=True)
    return folder


def test_maps_have_the_image_s_shape_place_unit_and_description(odd: Path) -> None:
    image = nib.load(odd / "image.nii.gz")
    assert np.linalg.det(OBLIQUE[:3, :3]) < 0, "left-handed"
    top = pytest.approx(DISPLAY_MAX)
    ranges = {"error": (0, top), "signed": (pytest.approx(-DISPLAY_MAX), top), "recon": (0, 1), "valid": (0, 1)}
    for kind in MAPS:
        map_ = nib.load(odd / "maps" / f"image_{kind}.nii.gz")
        assert map_.shape == image.shape
        np.testing.assert_allclose(map_.affine, image.affine, atol=1e-5)
        np.testing.assert_allclose(map_.get_qform(), image.affine, atol=1e-4)
        assert nib.aff2axcodes(map_.affine) == nib.aff2axcodes(image.affine)
        header = map_.header
        assert header.get_xyzt_units()[0] == "mm"
        assert "research use only" in header["descrip"].item().decode()
        assert (header["cal_min"], header["cal_max"]) == ranges[kind]
        assert header.get_data_dtype() == (np.uint8 if kind == "valid" else np.float32)


def test_nibabel_simpleitk_and_monai_see_the_same_geometry(odd: Path) -> None:
    load = LoadImage(image_only=True)
    for kind in MAPS:
        path = odd / "maps" / f"image_{kind}.nii.gz"
        ours, theirs = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(odd / "image.nii.gz"))
        for field in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(ours, field)() == pytest.approx(getattr(theirs, field)(), abs=1e-5)
        values = nib.load(path).get_fdata()
        np.testing.assert_allclose(SimpleITK.GetArrayFromImage(ours).T, values, atol=1e-6)
        monai = load(path)
        np.testing.assert_allclose(monai.affine, OBLIQUE, atol=1e-5)
        np.testing.assert_allclose(monai.numpy(), values, atol=1e-6)


def test_error_is_the_signed_difference_s_size_and_signed_and_recon_give_the_image(odd: Path) -> None:
    error, signed, recon, valid = (nib.load(odd / "maps" / f"image_{kind}.nii.gz").get_fdata() for kind in MAPS)
    np.testing.assert_array_equal(error, np.abs(signed))
    np.testing.assert_allclose(recon + signed, nib.load(odd / "image.nii.gz").get_fdata(), atol=1e-6)
    assert valid.all()
    assert recon.min() >= 0
    assert recon.max() <= 1


def test_the_score_is_the_mean_of_the_top_half_percent(odd: Path) -> None:
    error = np.sort(nib.load(odd / "maps" / "image_error.nii.gz").get_fdata().ravel())
    count = round(0.005 * error.size)
    (row,) = read_scores(odd / "maps" / "scores.csv")
    assert float(row["score"]) == pytest.approx(error[-count:].mean(), rel=1e-5)
    assert (row["case_id"], row["error_map"], row["label"]) == ("image", "image_error.nii.gz", "")


def test_npy_arrays_are_the_maps_in_ras_order(odd: Path) -> None:
    for kind in MAPS:
        array = np.load(odd / "maps" / f"image_{kind}.npy", allow_pickle=False)
        map_ = read_volume(odd / "maps" / f"image_{kind}.nii.gz", allow_constant=True).array
        np.testing.assert_array_equal(array, map_)


def test_the_sidecar_says_where_everything_comes_from(odd: Path, tiny_run: Path, tiny_cohort: Path) -> None:
    said = json.loads((odd / "maps" / "image.json").read_text(encoding="utf-8"))
    assert said["notice"] == "research use only"
    source = odd / "image.nii.gz"
    written = nib.load(source).header["descrip"].item().decode()
    assert said["source"] == {"path": str(source), "sha256": sha256(source), "description": written}
    model = Path(said["model"]["checkpoint"])
    assert model.parent == tiny_run / "checkpoints"
    assert said["model"]["sha256"] == sha256(model)
    assert said["model"]["fold"] == 1
    assert (said["model"]["bundle"], said["model"]["bundle_version"]) == ("vq3d", "0.2.0")
    assert said["model"]["cohort_sha256"] == sha256(tiny_cohort)
    assert said["preprocessing"]["intensity"] == "none"
    (row,) = read_scores(odd / "maps" / "scores.csv")
    assert said["scores"]["l1_top"] == pytest.approx(float(row["score"]), rel=1e-5)
    assert set(said["units"]) == set(MAPS)
    assert (
        said["versions"]["torch"] == torch.__version__.split("+")[0] or said["versions"]["torch"] == torch.__version__
    )


def test_a_network_s_reconstruction_is_what_is_written(tiny_run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    from fracture_vae.maps.model import find_models, load_network
    from fracture_vae.networks import build_network

    infer(tiny_run, tmp_path, images=[str(tiny_cohort.parent / "p10.nii.gz")])
    found = find_models(tiny_run)[0]
    network = load_network(build_network(**found.about.network), found.path, "cpu")
    image = torch.from_numpy(read_volume(tiny_cohort.parent / "p10.nii.gz").array)[None, None]
    with torch.no_grad():
        expected = network(image)[0, 0].numpy()
    np.testing.assert_allclose(read_volume(tmp_path / "p10_recon.nii.gz").array, expected, atol=1e-5)


def test_scores_of_other_cases_stay_and_of_the_same_case_are_replaced(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    same = tiny_cohort.parent / "p10.nii.gz"
    rows = f"zz,0.5,other.nii.gz\np10,9,{same}\n"
    (tmp_path / "scores.csv").write_text(f"case_id,score,image\n{rows}", encoding="utf-8")
    infer(tiny_run, tmp_path, cohort=str(tiny_cohort), split="validation")
    scores = {row["case_id"]: row for row in read_scores(tmp_path / "scores.csv")}
    assert list(scores) == ["zz", "p10", "p11", "p12"]
    assert scores["zz"]["score"] == "0.5"
    assert float(scores["p10"]["score"]) < 1
    assert [scores[name]["label"] for name in ("p10", "p11", "p12")] == ["0", "0", "1"]


@pytest.fixture
def three(tmp_path: Path, blob: Callable[..., Path]) -> list[str]:
    """Three images, the second of which is damaged."""
    paths = [blob(tmp_path / "in" / f"v{index}.nii.gz", seed=index) for index in range(3)]
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    return [str(path) for path in paths]


def test_one_bad_case_of_three_is_named_and_the_others_are_written(
    tiny_run: Path, three: list[str], tmp_path: Path
) -> None:
    with pytest.raises(PartialFailure, match=r"v1 .*v1\.nii\.gz: damaged.*; 2 other case\(s\) written") as failure:
        infer(tiny_run, tmp_path / "out", images=three)
    assert exit_status(failure.value) == 1
    assert [row["case_id"] for row in read_scores(tmp_path / "out" / "scores.csv")] == ["v0", "v2"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*_error.nii.gz")) == [
        "v0_error.nii.gz",
        "v2_error.nii.gz",
    ]
    assert not list((tmp_path / "out").glob("v1*"))


def test_a_single_bad_case_is_bad_input_and_nothing_is_written(
    tiny_run: Path, three: list[str], tmp_path: Path
) -> None:
    with pytest.raises(PartialFailure, match=r"v1\.nii\.gz: damaged") as failure:
        infer(tiny_run, tmp_path / "out", images=three[1:2])
    assert exit_status(failure.value) == 2
    assert not (tmp_path / "out").exists()


def test_a_case_twice_is_told(tiny_run: Path, blob: Callable[..., Path], tmp_path: Path) -> None:
    images = [str(blob(tmp_path / folder / "same.nii.gz", seed=seed)) for seed, folder in enumerate("ab")]
    with pytest.raises(PartialFailure, match="a second case called same; rename one"):
        infer(tiny_run, tmp_path / "out", images=images)
    said = json.loads((tmp_path / "out" / "same.json").read_text(encoding="utf-8"))
    assert said["source"]["path"] == images[0], "the first one's maps stay"


def test_every_case_of_a_cohort_meets_the_model_that_did_not_see_its_patient(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    infer(tiny_folds, tmp_path, cohort=str(tiny_cohort))
    rows = read_scores(tmp_path / "scores.csv")
    assert sorted(row["case_id"] for row in rows) == sorted(f"p{fold}{n}" for fold in (1, 2, 3) for n in range(3))
    for row in rows:
        said = json.loads((tmp_path / f"{row['case_id']}.json").read_text(encoding="utf-8"))
        assert str(said["model"]["fold"]) == row["fold"]
        data = json.loads((tiny_folds / f"fold_{row['fold']}" / "run_meta.json").read_text(encoding="utf-8"))["data"]
        assert row["label"] == "1" or row["image"] in data, "only to validate"


def test_a_bad_case_in_one_fold_does_not_keep_the_other_folds_from_running(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_cohort.parent, tmp_path / "cohort")
    (tmp_path / "cohort" / "p11.nii.gz").write_bytes(b"")
    with pytest.raises(PartialFailure, match=r"p11 .*8 other case\(s\) written"):
        infer(tiny_folds, tmp_path / "out", cohort=str(tmp_path / "cohort" / "cohort.csv"))
    assert len(read_scores(tmp_path / "out" / "scores.csv")) == 8


@pytest.mark.parametrize("given", ["image", "split"])
def test_what_no_fold_has_seen_gets_the_mean_of_the_folds_maps(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path, given: str
) -> None:
    settings: dict[str, Any] = {
        "image": {"images": [str(tiny_cohort.parent / "ptest0.nii.gz")]},
        "split": {"cohort": str(tiny_cohort), "split": "test"},
    }[given]
    infer(tiny_folds, tmp_path / "all", **settings)
    alone = []
    for fold in (1, 2, 3):
        infer(tiny_folds / f"fold_{fold}", tmp_path / str(fold), **settings)
        alone.append(tmp_path / str(fold))
    for kind in ("error", "recon"):
        maps = [read_volume(folder / f"ptest0_{kind}.nii.gz").array for folder in (tmp_path / "all", *alone)]
        np.testing.assert_allclose(maps[0], np.mean(maps[1:], axis=0), atol=1e-6)
    said = json.loads((tmp_path / "all" / "ptest0.json").read_text(encoding="utf-8"))["model"]
    assert said["fold"] is None
    assert [member["fold"] for member in said["ensemble"]] == [1, 2, 3]
    (row,) = read_scores(tmp_path / "all" / "scores.csv")
    assert row["model"] == said["sha256"][:12]


def test_an_ensemble_does_not_run_over_a_patient_one_of_it_has_seen(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"some were trained on its patient; give one fold's, such as .*fold_1"):
        infer(tiny_folds, tmp_path / "out", cohort=str(tiny_cohort), split="all")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_a_bundle_and_a_run_give_the_same_maps(
    tiny_run: Path, tiny_cohort: Path, vq3d: Path, tmp_path: Path
) -> None:
    best = json.loads((tiny_run / "checkpoints" / "best.json").read_text(encoding="utf-8"))[0]["file"]
    shutil.copytree(vq3d / "configs", tmp_path / "bundle" / "configs")
    (tmp_path / "bundle" / "models").mkdir()
    shutil.copy(tiny_run / "checkpoints" / best, tmp_path / "bundle" / "models" / "model.pt")
    shutil.copy(tiny_run / "checkpoints" / best, tmp_path / "alone.pt")
    maps = []
    for index, model in enumerate((tiny_run, tmp_path / "alone.pt", tmp_path / "bundle")):
        infer(model, tmp_path / str(index), cohort=str(tiny_cohort))
        maps.append(
            [read_volume(tmp_path / str(index) / f"{name}_error.nii.gz").array for name in ("p10", "p11", "p12")]
        )
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])


def test_another_score_is_what_the_error_map_holds(tiny_run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    infer(tiny_run, tmp_path, images=[str(tiny_cohort.parent / "p10.nii.gz")], score="l2")
    error, signed = (nib.load(tmp_path / f"p10_{kind}.nii.gz").get_fdata() for kind in ("error", "signed"))
    np.testing.assert_allclose(error, signed**2, atol=1e-6)
    assert "l2_top" in json.loads((tmp_path / "p10.json").read_text(encoding="utf-8"))["scores"]


def test_maps_are_made_of_what_the_network_was_trained_for_unless_said_otherwise(
    train: Callable[..., Path], tiny_cohort: Path, tmp_path: Path
) -> None:
    run = train(tmp_path / "runs", score={"score": ["l2", "code_distance"], "smoothing_mm": 2, "flips": [0]})
    images = [str(tiny_cohort.parent / "p10.nii.gz")]
    infer(run, tmp_path / "own", images=images)
    said = json.loads((tmp_path / "own" / "p10.json").read_text(encoding="utf-8"))["scores"]
    assert [part["name"] for part in said["score"]] == ["l2", "code_distance"]
    assert (said["smoothing_mm"], said["flips"], said["top_fraction"]) == (2, [0], 0.005)
    infer(run, tmp_path / "other", images=images, score="l1", smoothing_mm=0, flips=[])
    infer(run, tmp_path / "alone", images=images, score="code_distance", smoothing_mm=0, flips=[])
    error, signed = (nib.load(tmp_path / "other" / f"p10_{kind}.nii.gz").get_fdata() for kind in ("error", "signed"))
    np.testing.assert_array_equal(error, np.abs(signed))
    assert not np.allclose(read_volume(tmp_path / "own" / "p10_error.nii.gz").array, error, atol=1e-3)


def test_an_ensemble_s_map_is_the_mean_for_scores_that_need_the_network_too(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    settings = {"images": [str(tiny_cohort.parent / "ptest0.nii.gz")], "score": ["code_distance"], "flips": [0]}
    infer(tiny_folds, tmp_path / "all", **settings)
    for fold in (1, 2, 3):
        infer(tiny_folds / f"fold_{fold}", tmp_path / str(fold), **settings)
    together, *alone = (read_volume(tmp_path / name / "ptest0_error.nii.gz").array for name in ("all", "1", "2", "3"))
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-6)


def test_scores_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run fracture-vae infer first"):
        read_scores(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["a", "b"])
    with pytest.raises(InputError, match="no column case_id, score"):
        read_scores(tmp_path / "scores.csv")


def test_maps_of_another_image_of_the_same_name_are_not_replaced(
    tiny_run: Path, tmp_path: Path, blob: Callable[..., Path]
) -> None:
    first, second = blob(tmp_path / "a" / "ct.nii.gz", seed=1), blob(tmp_path / "b" / "ct.nii.gz", seed=2)
    infer(tiny_run, tmp_path / "out", images=[str(first)])
    before = (tmp_path / "out" / "ct_error.nii.gz").read_bytes()
    with pytest.raises((InputError, PartialFailure), match="give another output folder"):
        infer(tiny_run, tmp_path / "out", images=[str(second)])
    assert (tmp_path / "out" / "ct_error.nii.gz").read_bytes() == before


def test_a_case_that_fails_leaves_no_map_of_an_earlier_inference(
    tiny_run: Path, tmp_path: Path, blob: Callable[..., Path]
) -> None:
    paths = [blob(tmp_path / "in" / f"v{index}.nii.gz", seed=index) for index in range(2)]
    images = [str(path) for path in paths]
    infer(tiny_run, tmp_path / "out", images=images)
    paths[0].write_bytes(b"no image")
    with pytest.raises(PartialFailure):
        infer(tiny_run, tmp_path / "out", images=images)
    assert [row["case_id"] for row in read_scores(tmp_path / "out" / "scores.csv")] == ["v1"]
    assert not list((tmp_path / "out").glob("v0*"))


def test_only_the_maps_asked_for_are_written_and_earlier_ones_do_not_stay(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    images = [str(tiny_cohort.parent / "p10.nii.gz")]
    infer(tiny_run, tmp_path, images=images, npy=True)
    before = read_volume(tmp_path / "p10_error.nii.gz").array
    infer(tiny_run, tmp_path, images=images, maps=["error", "valid"])
    assert sorted(path.name for path in tmp_path.glob("p10_*")) == [
        "p10_error.nii.gz",
        "p10_error.npy",
        "p10_valid.nii.gz",
        "p10_valid.npy",
    ]
    np.testing.assert_array_equal(read_volume(tmp_path / "p10_error.nii.gz").array, before)
    said = json.loads((tmp_path / "p10.json").read_text(encoding="utf-8"))
    assert list(said["units"]) == ["error", "valid"]


@pytest.mark.parametrize(
    ("maps", "complaint"), [(["error", "sigend"], "did you mean 'signed'"), (["recon"], "error, the primary output")]
)
def test_maps_there_are_none_of_are_refused(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path, maps: list[str], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        infer(tiny_run, tmp_path / "out", cohort=str(tiny_cohort), maps=maps)
    assert not (tmp_path / "out").exists()


def test_a_case_whose_maps_do_not_all_fit_on_the_disk_leaves_none(
    tiny_run: Path, tmp_path: Path, blob: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_vae.maps import writer

    write = writer.write_map

    def full(path: Path, *arguments: Any, **settings: Any) -> None:
        if path.name == "v1_recon.nii.gz":
            raise InputError(f"{path}: cannot be written (No space left on device)")
        write(path, *arguments, **settings)

    monkeypatch.setattr(writer, "write_map", full)
    images = [str(blob(tmp_path / "in" / f"v{index}.nii.gz", seed=index)) for index in range(2)]
    with pytest.raises(PartialFailure, match=r"v1_recon\.nii\.gz: cannot be written"):
        infer(tiny_run, tmp_path / "out", images=images)
    assert {path.name.split("_")[0] for path in (tmp_path / "out").glob("v*")} == {"v0", "v0.json"}
