"""How easy a study is, on crops made by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.geometry import CropGeometry, centred_affine
from fracture_vae.cohort.manifest import Case, write_cohort
from fracture_vae.errors import InputError
from fracture_vae.evaluation import difficulty
from fracture_vae.evaluation.difficulty import CaseScores, compare, measure_difficulty, score_level

SIZE = 24
AFFINE = centred_affine((0, 0, 0), (SIZE, SIZE, SIZE), 2.0)
ROWS = tuple(map(tuple, AFFINE.tolist()))
GEOMETRY = CropGeometry(20, (SIZE,) * 3, ROWS, (SIZE,) * 3, ROWS, (0.0, 1000.0))


@pytest.fixture
def crop(tmp_path: Path) -> Callable[..., Case]:
    """``crop(name, fold, label, inside, outside)``: a cube of 4 voxels at ``inside``, the rest at ``outside``."""

    def write(name: str, fold: str, label: int, inside: float, outside: float = 0.0, level: str = "L1") -> Case:
        own = np.zeros((SIZE,) * 3, np.uint8)
        own[10:14, 10:14, 10:14] = 1
        image = np.where(own, inside, outside).astype(np.float32)
        image[0, 0, 0] = 1.0  # far from the vertebra: must not count
        paths = [tmp_path / f"{name}{end}.nii.gz" for end in ("", "_label")]
        for path, array in zip(paths, (image, own), strict=True):
            nib.save(nib.Nifti1Image(array, AFFINE), path)
        return Case(
            case_id=name, patient_id=name, level=level, label=label, fold=fold, image=paths[0], crop=GEOMETRY.to_json(),
            vertebra_mask=paths[1], genant_grade=label, genant_type="wedge" if label else "",
        )  # fmt: skip

    return write


def near() -> int:
    """Voxels within 5 mm, two voxels and a half, of a cube of 4³: counted by brute force."""
    at = np.argwhere(np.ones((SIZE,) * 3))
    away = np.maximum(np.maximum(10 - at, at - 13), 0) * 2.0
    return int((np.linalg.norm(away, axis=1) <= 5).sum())


def test_shares_and_residuals_are_taken_within_5_mm_of_the_vertebra(crop: Callable[..., Case]) -> None:
    cases = [crop("a", "1", 0, 0.3), crop("b", "2", 0, 0.5), crop("c", "1", 1, 0.9), crop("d", "test", 1, 0.4)]
    a, b, c, d = score_level(cases)
    thresholds = np.array(difficulty.THRESHOLDS)
    np.testing.assert_allclose(a.shares, np.where(thresholds < 300, 64 / near(), 0))
    np.testing.assert_allclose(c.shares, np.where(thresholds < 900, 64 / near(), 0))
    # the largest 0.5 % of 24³ are 69 voxels: the cube's 64 and 5 that are 0
    assert c.template == pytest.approx(64 * 0.4 / 69, rel=1e-5), "template b, not its own fold's a"
    assert a.template == pytest.approx(64 * 0.2 / 69, rel=1e-5)
    assert b.template == pytest.approx(64 * 0.2 / 69, rel=1e-5)
    assert d.template == pytest.approx(0, abs=1e-6), "the hold-out sees all folds: (a + b) / 2"


def test_a_case_without_a_normal_of_its_level_elsewhere_has_no_template(crop: Callable[..., Case]) -> None:
    cases = [crop("a", "1", 0, 0.3), crop("b", "2", 1, 0.5)]
    a, b = score_level(cases)
    assert np.isnan(a.template)
    assert not np.isnan(b.template)


def made_up(shares: list[float], labels: list[int], folds: list[str], levels: list[str]) -> difficulty.Difficulty:
    cases = [
        Case(
            case_id=f"c{i}", patient_id=f"p{i}", image=Path(f"c{i}"), level=level, label=label, fold=fold,
            genant_grade=label * 2,
        )
        for i, (label, fold, level) in enumerate(zip(labels, folds, levels, strict=True))
    ]  # fmt: skip
    scores = [
        CaseScores(np.linspace(share, share / 2, len(difficulty.THRESHOLDS)), float("nan") if i == 0 else share)
        for i, share in enumerate(shares)
    ]
    return compare(cases, scores)


def test_baselines_are_compared_overall_by_grade_and_within_levels() -> None:
    found = made_up(
        [0.9, 0.8, 0.1, 0.2, 0.7, 0.3], [1, 1, 0, 0, 1, 0], ["1", "2", "1", "2", "test", "test"], ["L1", "L1", "T4"] * 2
    )
    rows = {(row.baseline, row.grade): row for row in found.rows}
    assert {grade for _, grade in rows} == {0, 2}, "the grades there are"
    perfect = rows[difficulty.THRESHOLD, 0]
    assert perfect.plain.value == 1
    assert perfect.within_levels is not None
    assert perfect.within_levels.value == 1
    assert (perfect.plain.abnormal, perfect.plain.normal) == (3, 3)
    template = rows[difficulty.TEMPLATE, 2].plain
    assert (template.abnormal, template.normal) == (2, 3), "one has no template"
    assert found.left_out == 1
    assert dict(found.chosen) == dict.fromkeys(("1", "2", "test"), "more above 50 HU")
    assert {row.baseline for row in found.too_easy} >= {difficulty.THRESHOLD, difficulty.TEMPLATE}
    assert "too easy for threshold, all grades (1.00)" in str(found)


def test_the_level_alone_is_scored_by_the_other_folds() -> None:
    levels = ["L1", "L1", "T4", "T4"] * 2
    found = made_up([0.5] * 8, [1, 1, 0, 0, 1, 1, 0, 0], ["1"] * 4 + ["2"] * 4, levels)
    rows = {(row.baseline, row.grade): row for row in found.rows}
    assert rows[difficulty.LEVEL, 0].plain.value == 1
    assert rows[difficulty.LEVEL, 0].within_levels is None, "no level has both labels"
    assert rows[difficulty.THRESHOLD, 0].plain.value == 0.5
    assert difficulty.LEVEL not in {row.baseline for row in found.too_easy}, "the trap is no ease"


def test_what_the_labels_do_not_allow_is_left_out() -> None:
    whole = made_up([0.1, 0.2, 0.3], [0, 0, 0], ["1", "2", "test"], ["L1"] * 3)
    assert whole.rows == ()
    assert str(whole) == "nothing to compare: all vertebrae are whole, or all are broken"
    only_held_out = made_up([0.1, 0.2, 0.9], [0, 0, 1], ["1", "2", "test"], ["L1"] * 3)
    assert {row.baseline for row in only_held_out.rows} == {
        difficulty.HINDSIGHT, difficulty.TEMPLATE, difficulty.LEVEL,
    }  # fmt: skip
    assert "none could be chosen" in str(only_held_out)


def test_the_figures_lie_beside_the_cohort(crop: Callable[..., Case], tmp_path: Path) -> None:
    cases = [crop(f"c{i}", str(1 + i % 2), int(i > 3), 0.3 + 0.02 * i, 0.1) for i in range(8)]
    write_cohort(tmp_path / "cohort.csv", cases)
    found = measure_difficulty(tmp_path / "cohort.csv")
    told = json.loads((tmp_path / "difficulty.json").read_text(encoding="utf-8"))
    assert [row["baseline"] for row in told["rows"]] == [row.baseline for row in found.rows]
    assert told["rows"][0]["all_levels"]["value"] == found.rows[0].plain.value
    assert told["threshold_by_fold"] == dict(found.chosen)


def test_a_cohort_without_vertebra_masks_is_told(tiny_cohort: Path) -> None:
    with pytest.raises(InputError, match=r"row 2 is no crop with a vertebra_mask"):
        measure_difficulty(tiny_cohort)
