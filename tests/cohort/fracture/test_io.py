"""The set on disk: what other programs read in it, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.content import image_hash
from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.fracture import fracture_ct, io
from fracture_vae.cohort.genant import GRADE_LOSS
from fracture_vae.cohort.origin import original
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError


@pytest.fixture(scope="module")
def trunk_files(real_data: Path) -> tuple[Path, Path]:
    """CT and mask at 3 mm."""
    folder = real_data / "ct_totalsegmentator"
    return folder / "example_ct.nii.gz", folder / "spine_totalseg.nii.gz"


@pytest.fixture(scope="module")
def written(trunk_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with L4 broken."""
    out = tmp_path_factory.mktemp("set")
    ct, mask = trunk_files
    fracture_ct(ct, mask, out, labels="totalsegmentator", fractures=["L4:wedge:2"], seed=3, patient_id="sub-p1")
    return out


def test_files_lie_in_the_cts_grid_and_say_that_they_are_simulated(written: Path, trunk_files: Any) -> None:
    source = nib.load(trunk_files[0])
    types = {"ct": np.int16, "seg-vert_msk": np.uint8, "seg-fracture_msk": np.uint8, "displacement": np.float32}
    assert sorted(p.name for p in written.iterdir()) == sorted(
        [*(f"sub-p1_{part}.nii.gz" for part in types), "sub-p1_fractures.json", "labels.csv"]
    )
    for part, dtype in types.items():
        image = nib.load(written / f"sub-p1_{part}.nii.gz")
        assert image.shape == source.shape
        np.testing.assert_allclose(image.affine, source.affine, atol=1e-4)
        assert image.get_data_dtype() == dtype
        assert b"simulated fracture, not a patient's" in bytes(image.header["descrip"])
    moved = np.asarray(nib.load(written / "sub-p1_displacement.nii.gz").dataobj)
    ct = np.asarray(nib.load(written / "sub-p1_ct.nii.gz").dataobj)
    np.testing.assert_array_equal(ct[moved == 0], np.asarray(source.dataobj)[moved == 0])


def test_crops_of_a_simulated_scan_say_so_too_and_those_of_its_source_do_not(
    written: Path, trunk_files: Any, tmp_path: Path
) -> None:
    made = {"ct_path": written / "sub-p1_ct.nii.gz", "mask_path": written / "sub-p1_seg-vert_msk.nii.gz"}
    truth = written / "sub-p1_seg-fracture_msk.nii.gz"
    small: Any = {"size": (16, 16, 16), "spacing": 4.0, "levels": ["L4"]}
    (case,) = crop_vertebrae(**made, out_dir=tmp_path / "made", truth_path=truth, **small)
    for path in (case.image, case.vertebra_mask, case.mask):
        assert nib.load(path).header["descrip"].item().startswith(b"simulated fracture, not a patient's; L4"), path
    (real,) = crop_vertebrae(*trunk_files, tmp_path / "real", labels="totalsegmentator", **small)
    assert nib.load(real.image).header["descrip"].item().startswith(b"L4 CT, ")


def test_labels_are_verses_and_the_table_has_a_row_a_level(written: Path) -> None:
    numbers = np.unique(np.asarray(nib.load(written / "sub-p1_seg-vert_msk.nii.gz").dataobj))
    assert numbers.tolist() == [0, 18, 19, 20, 21, 22, 23, 24, 26]
    with (written / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["level"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert rows["L4"] == {
        "patient_id": "sub-p1", "level": "L4", "label": "1", "genant_grade": "2", "genant_type": "wedge",
    }  # fmt: skip
    assert rows["L3"]["label"] == rows["L3"]["genant_grade"] == "0"


def test_the_sidecar_says_what_was_made_and_its_box_encloses_the_truth(
    written: Path, trunk_files: tuple[Path, Path]
) -> None:
    record = json.loads((written / "sub-p1_fractures.json").read_text(encoding="utf-8"))
    assert record["note"] == "simulated fracture, not a patient's"
    assert record["seed"] == 3
    assert len(record["source_ct_sha256"]) == 64
    assert original(written / "sub-p1_ct.nii.gz") == record["source_ct_voxels"] == image_hash(trunk_files[0])
    (one,) = record["fractures"]
    assert (one["level"], one["type"], one["grade"]) == ("L4", "wedge", 2)
    low, high = GRADE_LOSS[2]
    lost = 1 - one["heights_after_mm"]["anterior"] / one["heights_before_mm"]["anterior"]
    assert low <= lost <= high
    truth = np.argwhere(np.asarray(nib.load(written / "sub-p1_seg-fracture_msk.nii.gz").dataobj))
    ends = [tuple(map(int, part.split(":"))) for part in one["box"].split(",")]
    assert truth.min(axis=0).tolist() == [a for a, _ in ends]
    assert (truth.max(axis=0) + 1).tolist() == [b for _, b in ends]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"fractures": ["T11:wedge:1"]}, "T11 reaches the scan's upper border"),
        ({"fractures": ["T4:wedge:1"]}, "T4 is not in the mask"),
        ({"fractures": ["L1:wege:1"]}, "'wege' is unknown; did you mean 'wedge'"),
        ({"fractures": ["L1:wedge:4"]}, "grade 4 is unknown"),
        ({"fractures": ["L1-wedge-2"]}, "is not LEVEL:TYPE:GRADE"),
        ({"fractures": ["L1:wedge:1", "L1:crush:1"]}, "L1 is broken twice"),
        ({"fractures": ["L1:wedge:1"], "share": 0.5}, "not both"),
        ({}, "give either"),
        ({"share": 1.5}, "share 1.5"),
        ({"share": 0.5, "seed": -1}, "seed -1"),
        ({"fractures": ["L1:wedge:1"], "labels": "verse"}, "not all VerSe's"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    trunk_files: tuple[Path, Path], tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        fracture_ct(*trunk_files, tmp_path / "out", **{"labels": "totalsegmentator", **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_patient_is_not_written_twice(written: Path, trunk_files: tuple[Path, Path]) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    with pytest.raises(InputError, match="already is of sub-p1"):
        fracture_ct(*trunk_files, written, labels="totalsegmentator", share=0.5, patient_id="p1")
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_of_two_that_make_one_patient_at_once_the_second_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine = simulate_spine(2, ["L1", "L2"], spacing=2.0)
    for name, array in (("ct", spine.ct), ("mask", spine.mask)):
        nib.save(nib.Nifti1Image(array, spine.affine), tmp_path / f"{name}.nii.gz")
    scan, out = (tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"), tmp_path / "out"

    def simulated(*arguments: Any) -> Any:
        monkeypatch.undo()
        fracture_ct(*scan, out, fractures=["L1:wedge:2"])
        return io.break_vertebrae(*arguments)

    monkeypatch.setattr(io, "break_vertebrae", simulated)
    with pytest.raises(InputError, match=r"labels\.csv: row 2 already is of sub-ct"):
        fracture_ct(*scan, out, fractures=["L2:crush:3"])
    rows = (out / "labels.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(rows) == ["sub-ct,L1,1,2,wedge", "sub-ct,L2,0,0,"]
    assert [entry["level"] for entry in json.loads((out / "sub-ct_fractures.json").read_text())["fractures"]] == ["L1"]
    assert list(out.glob(".writing-*")) == []


def test_the_command_breaks_a_share_of_a_phantom(cli: Callable[..., Any], tmp_path: Path) -> None:
    spine = simulate_spine(2, ["L1", "L2"], spacing=2.0)
    for name, array in (("ct", spine.ct), ("mask", spine.mask)):
        nib.save(nib.Nifti1Image(array, spine.affine), tmp_path / f"{name}.nii.gz")
    out = tmp_path / "out"
    result = cli(
        "fracture", "--ct", tmp_path / "ct.nii.gz", "--mask", tmp_path / "mask.nii.gz", "--out", out, "--share", 0.5
    )
    assert result.exit_code == 0, result.output
    assert "simulated, not a patient's" in result.stdout
    rows = (out / "labels.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(row.split(",")[2] for row in rows) == ["0", "1"]
    truth = read_volume(out / "sub-ct_seg-fracture_msk.nii.gz").array
    assert 100 < truth.sum() < 20_000
