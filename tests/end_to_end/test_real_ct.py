"""From two real CTs to error maps on their own grids, by the commands a user types."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result

from fracture_vae.cli import main

SMALL = (
    "channels=[4,8]",
    'quantizer_options={"num_codes": 16, "dim": 8}',
    "max_epochs=1",
    "batch_size=2",
    "compile=false",
    "progress=false",
)
BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "vq3d"


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def study(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of both CTs, labelled and put into folds as a person would in a spreadsheet."""
    folder = tmp_path_factory.mktemp("study")
    verse, trunk = real_data / "ct_verse014", real_data / "ct_totalsegmentator"
    grid = ("--size", 32, "--spacing", 4, "--out", folder)
    command(
        "crop",
        "--ct", verse / "sub-verse014_ct.nii.gz",
        "--mask", verse / "sub-verse014_seg-vert_msk.nii.gz",
        *grid,
    )  # fmt: skip
    command(
        "crop",
        "--ct", trunk / "example_ct.nii.gz",
        "--mask", trunk / "spine_totalseg.nii.gz",
        "--labels", "totalsegmentator",
        "--level", "T12-L5",
        *grid,
    )  # fmt: skip
    table = folder / "cohort.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    patients = list(dict.fromkeys(row["patient_id"] for row in rows))
    for row in rows:
        row |= {"label": "0", "fold": str(patients.index(row["patient_id"]) + 1)}
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def maps(study: Path) -> Path:
    """Both folds trained, and every case scored by the model that has not seen its patient."""
    cohort = study / "cohort.csv"
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command("train", BUNDLE, "--cohort", cohort, "--fold", "all", "--project-dir", study / "runs", *settings)
    out = study / "maps"
    command("infer", "--model", study / "runs" / "vq3d" / "latest", "--cohort", cohort, "--output", out, "--in-source")
    return out


def test_every_vertebra_of_both_cts_is_scored_by_the_other_patients_model(maps: Path) -> None:
    with (maps / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    levels = {(row["patient_id"], row["level"]) for row in rows}
    assert {("sub-verse014", f"L{number}") for number in range(1, 6)} <= levels
    assert {("example_ct", level) for level in ("T12", "L1", "L2", "L3", "L4", "L5")} <= levels
    for row in rows:
        sidecar = json.loads((maps / f"{row['case_id']}.json").read_text(encoding="utf-8"))
        assert sidecar["model"]["fold"] == int(row["fold"]), "validated on this fold, so never trained on it"
        assert sidecar["notice"] == "research use only"


@pytest.mark.parametrize("name", ["ct_verse014/sub-verse014_ct", "ct_totalsegmentator/example_ct"])
def test_the_map_in_the_source_lies_on_the_ct_for_every_reader(maps: Path, real_data: Path, name: str) -> None:
    ct_path, map_path = real_data / f"{name}.nii.gz", maps / f"{Path(name).name}_error.nii.gz"
    ct, error = nib.load(ct_path), nib.load(map_path)
    np.testing.assert_allclose(error.affine, ct.affine, atol=1e-5)
    assert error.shape == ct.shape
    itk_ct, itk_map = sitk.ReadImage(str(ct_path)), sitk.ReadImage(str(map_path))
    np.testing.assert_allclose(itk_map.GetOrigin(), itk_ct.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(itk_map.GetDirection(), itk_ct.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(itk_map.GetSpacing(), itk_ct.GetSpacing(), atol=1e-5)
    values, valid = error.get_fdata(), nib.load(str(map_path).replace("_error", "_valid")).get_fdata()
    assert values[valid == 0].max(initial=0) == 0
    assert values[valid == 1].std() > 0


def test_the_contact_sheet_shows_the_study(maps: Path, study: Path) -> None:
    command("sheet", maps, "--cohort", study / "cohort.csv")
    assert (maps / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
