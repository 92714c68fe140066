"""A study goes in whole: in parallel, again, interrupted, killed, moved, with bad scans among the good."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.crop import CropSettings
from fracture_vae.cohort.manifest import read_cohort, write_cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.preparation.kinds import DUPLICATE
from fracture_vae.preparation.records import read_record
from fracture_vae.preparation.run import Tables, prepare
from fracture_vae.preparation.work import Settings

SMALL = Settings(crop=CropSettings((12, 12, 12), 3.0))


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def study(tmp_path, verse):
    for index, name in enumerate(("sub-a", "sub-b", "sub-c")):
        verse(tmp_path / "study" / name, name, seed=index)
    return tmp_path / "study"


def test_a_study_becomes_a_cohort_and_is_not_written_to(study, tmp_path):
    before = contents(study)
    result = prepare(study, tmp_path / "out", SMALL, jobs=2)
    assert contents(study) == before
    cases = read_cohort(tmp_path / "out" / "cohort.csv").cases
    assert [case.case_id for case in cases] == [f"sub-{p}_ct_{level}" for p in "abc" for level in ("L1", "L2")]
    assert [case.patient_id for case in cases] == ["sub-a"] * 2 + ["sub-b"] * 2 + ["sub-c"] * 2
    assert result.failed == {}
    for case in cases:
        image = nib.load(case.image)
        assert image.shape == (12, 12, 12)
        assert 0 <= image.get_fdata().min() < image.get_fdata().max() <= 1
        assert read_volume(case.vertebra_mask).array.sum() > 0
    assert {path.name for path in (tmp_path / "out" / "sheets").iterdir()} == {f"sub-{p}_ct.png" for p in "abc"}
    page = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    assert all(f"sheets/sub-{p}_ct.png" in page for p in "abc")
    said = result.summary()
    assert f"3 scans of 3 patients\n6 crops in {tmp_path / 'out' / 'cohort.csv'}\n" in said
    assert "L1 3, L2 3" in said
    assert "of 3 scans: its numbers read as VerSe's" in said


def test_crops_are_those_of_the_crop_command(study, tmp_path):
    from fracture_vae.cohort.crop import crop_vertebrae

    prepare(study, tmp_path / "out", SMALL)
    ct = study / "sub-a" / "sub-a_ct.nii.gz"
    mask = study / "sub-a" / "sub-a_seg-vert_msk.nii.gz"
    one = crop_vertebrae(ct, mask, tmp_path / "one", size=(12, 12, 12), spacing=3.0)
    many = read_cohort(tmp_path / "out" / "cohort.csv").cases[:2]
    for a, b in zip(one, many, strict=True):
        assert (a.case_id, a.crop, a.extra, a.source_image) == (b.case_id, b.crop, b.extra, b.source_image)
        np.testing.assert_array_equal(read_volume(a.image).array, read_volume(b.image).array)


def test_again_does_only_what_changed_and_keeps_what_people_filled_in(study, tmp_path, verse):
    out = tmp_path / "out"
    prepare(study, out, SMALL)
    table = out / "cohort.csv"
    filled = [replace(c, label=1, fold="1", extra={**c.extra, "note": "seen"}) for c in read_cohort(table).cases]
    write_cohort(table, filled)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    assert prepare(study, out, SMALL).unchanged == 3
    assert read_cohort(table).cases == tuple(filled)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")} == stamps

    verse(study / "sub-b", "sub-b", seed=9)
    verse(study / "sub-d", "sub-d", seed=3)
    assert prepare(study, out, SMALL).unchanged == 2
    changed = {path.name for path in out.glob("*.nii.gz") if path.stat().st_mtime_ns != stamps.get(path)}
    assert changed == {
        f"sub-{p}_ct_{level}{end}.nii.gz" for p in "bd" for level in ("L1", "L2") for end in ("", "_label")
    }
    cases = read_cohort(table).cases
    assert [(c.label, c.fold, c.extra.get("note")) for c in cases[:6]] == [(1, "1", "seen")] * 6
    assert [(c.label, c.fold) for c in cases[6:]] == [(None, "")] * 2


def test_a_lost_crop_and_other_settings_are_done_again_and_old_crops_go(study, tmp_path):
    out = tmp_path / "out"
    prepare(study, out, SMALL)
    (out / "sub-a_ct_L1.nii.gz").unlink()
    (out / "cohort.csv").unlink()
    assert prepare(study, out, SMALL).unchanged == 2
    result = prepare(study, out, replace(SMALL, levels=("L2",)))
    assert (result.unchanged, len(result.cases)) == (0, 3)
    assert {path.name for path in out.glob("*_L*.nii.gz")} == {
        f"sub-{p}_ct_L2{end}.nii.gz" for p in "abc" for end in ("", "_label")
    }


def test_a_moved_study_is_the_same_study_and_another_of_its_names_is_not(study, tmp_path, verse):
    out = tmp_path / "out"
    prepare(study, out, SMALL)
    moved = study.rename(tmp_path / "moved")
    result = prepare(moved, out, SMALL)
    assert (result.unchanged, result.failed) == (3, {})
    assert {case.source_image.is_relative_to(moved) for case in read_cohort(out / "cohort.csv").cases} == {True}
    assert read_record(out, "sub-a_ct").ct == str(moved / "sub-a" / "sub-a_ct.nii.gz")
    before = contents(out)
    stranger = verse(tmp_path / "other", "sub-a", seed=77)
    result = prepare(tmp_path / "other", out, SMALL)
    assert list(result.failed) == [str(stranger)]
    assert "holds another scan of the name sub-a_ct" in result.failed[str(stranger)]
    assert contents(out) == before


def test_a_second_source_joins_the_cohort(study, tmp_path, verse):
    out = tmp_path / "out"
    prepare(study, out, SMALL)
    verse(tmp_path / "more", "sub-x", seed=8)
    prepare(tmp_path / "more", out, SMALL)
    assert len(read_cohort(out / "cohort.csv").cases) == 8
    assert "sub-a_ct.png" in (out / "quality.html").read_text(encoding="utf-8")


def test_bad_scans_are_listed_and_the_others_written(study, tmp_path, put, arrays, cli):
    put(study / "sub-b" / "sub-b_seg-vert_msk.nii.gz", arrays["mask"]()[:-1])
    (study / "sub-c" / "sub-c_ct.nii.gz").write_bytes(b"no NIfTI")
    command = ["prepare", study, "--out", tmp_path / "out", "--size", 12, "--spacing", 3, "--jobs", 1]
    ended = cli(*command)
    assert ended.exit_code == 1
    assert "1 scan of 1 patient\n2 crops in" in ended.stdout
    assert "2 cases failed, 2 written:" in ended.stderr
    assert "sub-b_seg-vert_msk.nii.gz: mask on another grid than" in ended.stderr
    assert "sub-c_ct.nii.gz: damaged or not a NIfTI file" in ended.stderr
    assert [case.patient_id for case in read_cohort(tmp_path / "out" / "cohort.csv").cases] == ["sub-a"] * 2


def test_the_failed_are_raised_with_their_reasons(study, tmp_path, put, arrays):
    put(study / "sub-b" / "sub-b_ct.nii.gz", (arrays["ct"]() + 1024).astype(np.int16))
    with pytest.raises(PartialFailure, match="soft tissue lies near 1024"):
        prepare(study, tmp_path / "out", SMALL).raise_failures()


def test_labels_and_boxes_are_joined(study, tmp_path):
    labels, boxes = tmp_path / "labels.csv", tmp_path / "boxes.csv"
    labels.write_text("patient_id,level,genant_grade\nsub-a,L1,2\nsub-a,L2,0\nsub-b,T4,1\n")
    boxes.write_text("patient_id,level,i0,i1,j0,j1,k0,k1\nsub-a,L1,9,14,10,15,14,18\nsub-c,L1,900,901,0,1,0,1\n")
    result = prepare(study, tmp_path / "out", SMALL, tables=Tables(labels, boxes))
    cases = {case.case_id: case for case in read_cohort(tmp_path / "out" / "cohort.csv").cases}
    assert [(cases[f"sub-a_ct_{level}"].label, cases[f"sub-a_ct_{level}"].genant_grade) for level in ("L1", "L2")] == [
        (1, 2),
        (0, 0),
    ]
    first = cases["sub-a_ct_L1"]
    assert first.extra["slices"] == f"{first.box.lower[2]}:{first.box.upper[2]}"
    assert [finding.level for finding in result.findings if finding.kind == "label without a crop"] == ["T4"]
    assert list(result.failed) == [f"{boxes}: row 3"]
    assert "label without a crop" in result.page.read_text(encoding="utf-8")
    again = prepare(study, tmp_path / "out", SMALL)
    assert {case.case_id: case for case in again.cases} == cases


def test_a_patient_the_labels_misspell_stops_before_anything_is_done(study, tmp_path):
    (tmp_path / "labels.csv").write_text("patient_id,level,label\nSub-A,L1,0\n")
    with pytest.raises(InputError, match=r"row 2: no scan is of patient 'Sub-A'; did you mean 'sub-a'"):
        prepare(study, tmp_path / "out", SMALL, tables=Tables(labels=tmp_path / "labels.csv"))
    assert not (tmp_path / "out").exists()


def test_truth_beside_the_scan_labels_and_boxes_its_vertebra(tmp_path, verse, arrays):
    truth = np.zeros_like(arrays["mask"]())
    truth[10:14, 10:14, 14:17] = 1
    verse(tmp_path / "study", "sub-a", truth=truth)
    l1, l2 = prepare(tmp_path / "study", tmp_path / "out", SMALL).cases
    assert (l1.label, l2.label, l2.box) == (1, 0, None)
    assert read_volume(l1.mask).array[l1.box.slices].sum() == read_volume(l1.mask).array.sum() > 0


def test_one_ct_under_two_patients_names_is_told(study, tmp_path):
    for end in ("ct", "seg-vert_msk"):
        copy = study / "sub-c" / f"sub-z_{end}.nii.gz"
        copy.write_bytes((study / "sub-a" / f"sub-a_{end}.nii.gz").read_bytes())
    findings = prepare(study, tmp_path / "out", SMALL).findings
    (told,) = [finding for finding in findings if finding.kind == DUPLICATE]
    assert told.patient_id == "sub-z"
    assert "sub-a" in told.detail


@pytest.mark.parametrize(
    ("lower", "upper", "levels"),
    [(24, 25, ["L5", "L6"]), (19, 28, ["T12", "T13"]), (24, 26, ["L5"]), (6, 7, ["C6", "C7"])],
)
def test_the_rarer_levels(tmp_path, verse, put, arrays, lower, upper, levels):
    """Crops are cut of every vertebra, an L6 or T13 too, and not of the sacrum (26)."""
    ct = verse(tmp_path / "study", "sub-a")
    put(ct.with_name("sub-a_seg-vert_msk.nii.gz"), arrays["mask"](upper, lower))
    result = prepare(tmp_path / "study", tmp_path / "out", SMALL)
    assert ([case.level for case in result.cases], result.failed) == (levels, {})


def test_out_inside_the_source_is_refused(study):
    for out in (study, study / "out"):
        with pytest.raises(InputError, match="into which nothing is written"):
            prepare(study, out, SMALL)
    assert not (study / "out").exists()


def test_an_interrupted_run_writes_the_table_of_what_is_done(study, tmp_path):
    def stop_after_one(results, count):
        assert count == 3
        for result in results:
            yield result
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(study, tmp_path / "out", SMALL, progress=stop_after_one)
    assert {case.patient_id for case in read_cohort(tmp_path / "out" / "cohort.csv").cases} == {"sub-a"}
    assert prepare(study, tmp_path / "out", SMALL).unchanged == 1
    assert len(read_cohort(tmp_path / "out" / "cohort.csv").cases) == 6


def test_two_runs_at_once_are_refused_and_leftovers_go(study, tmp_path):
    out = tmp_path / "out"
    (out / "sheets" / ".writing-x").mkdir(parents=True)

    def another_meanwhile(results, _):
        with pytest.raises(InputError, match="another run is at work there"):
            prepare(study, out, SMALL)
        yield from results

    assert len(prepare(study, out, SMALL, progress=another_meanwhile).cases) == 6
    assert not (out / "sheets" / ".writing-x").exists()


KILLED = """
import sys
from fracture_vae.cohort.crop import CropSettings
from fracture_vae.preparation.run import prepare
from fracture_vae.preparation.work import Settings

def wait_after_one(results, count):
    for number, result in enumerate(results):
        print("done", flush=True)
        if number == 0:
            sys.stdin.read()  # until killed
        yield result

if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], Settings(crop=CropSettings((12, 12, 12), 3.0)), progress=wait_after_one)
"""


def test_a_killed_run_leaves_nothing_half_written_and_the_next_completes_it(study, tmp_path):
    script, out = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(study), str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert process.stdout.readline() == b"done\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path.name for path in (out / "prepared").iterdir()] == ["sub-a_ct.json"]
    assert not (out / "cohort.csv").exists()
    for path in out.glob("*.nii.gz"):
        read_volume(path, allow_constant=True)  # whole
    assert prepare(study, out, SMALL).unchanged == 1
    whole = prepare(study, tmp_path / "whole", SMALL)
    assert [case.case_id for case in read_cohort(out / "cohort.csv").cases] == [case.case_id for case in whole.cases]
    for case in whole.cases:
        assert (out / case.image.name).read_bytes() == case.image.read_bytes()


def test_no_worker_outlives_a_killed_parent(study, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED.replace("progress=", "jobs=2, progress="))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(study), str(tmp_path / "out")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    )  # fmt: skip
    process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("this system does not list a process's children")
    workers = [int(number) for number in children.read_text().split()]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) >= 2
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


def test_a_record_says_what_was_done(study, tmp_path):
    prepare(study, tmp_path / "out", SMALL)
    record = read_record(tmp_path / "out", "sub-a_ct")
    ct = study / "sub-a" / "sub-a_ct.nii.gz"
    assert record.inputs[0].sha256 == hashlib.sha256(ct.read_bytes()).hexdigest()
    assert (record.levels, record.shape, record.spacing) == (("L1", "L2"), (24, 24, 24), (1.5, 1.5, 2.0))
    assert json.loads((tmp_path / "out" / "prepared" / "sub-a_ct.json").read_text())["settings"]["size"] == [12, 12, 12]


def test_real_scans_of_two_layouts_become_one_cohort(real_data, tmp_path):
    result = prepare(real_data, tmp_path / "out", Settings(crop=CropSettings((32, 32, 32), 3.0)))
    assert {record.scan: record.levels for record in result.records} == {
        "example_ct": ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"),
        "sub-verse014_ct": ("L1", "L2", "L3", "L4", "L5"),
    }
    assert len(result.cases) == 12
    assert not [finding for finding in result.findings if "centroid" in finding.kind]
    with (tmp_path / "out" / "quality.csv").open(encoding="utf-8") as file:
        told = {(row["scan"], row["level"]) for row in csv.DictReader(file)}
    assert ("example_ct", "T11") in told  # of which the scan holds 4 voxels
