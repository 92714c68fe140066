"""The synthetic spine, measured from what it renders."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.phantom import Phantom, simulate_spine
from fracture_vae.errors import InputError

THORACOLUMBAR = ("T12", "L1", "L2")
L1 = 20
THICK = 1  # a patient scanned in slices of 3 mm
RANGES = {1: (0.20, 0.25), 2: (0.25, 0.40), 3: (0.40, 0.60)}
SITE = {"wedge": 0, "biconcave": 1, "crush": 2}


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return simulate_spine(7, THORACOLUMBAR)


@pytest.fixture(scope="module")
def wedged() -> Phantom:
    return simulate_spine(7, THORACOLUMBAR, {"L1": Fracture("wedge", 3)})


def body_run(mask: np.ndarray, label: int) -> tuple[int, int, int, int]:
    """Middle (x, z) of a body and the first and last y of the run of labelled voxels through it, from the front."""
    voxels = np.argwhere(mask == label)
    x = round(voxels[:, 0].mean())
    front = voxels[np.abs(voxels[:, 0] - x) <= 1]
    front = front[front[:, 1] > front[:, 1].max() - 12]
    z = round(front[:, 2].mean())
    line = mask[x, :, z] == label
    last = int(np.flatnonzero(line).max())
    first = last - int(np.argmin(line[last::-1])) + 1
    return x, z, first, last


def column_height(mask: np.ndarray, label: int, x: int, y: float) -> float:
    """Labelled voxels above each other at (x, y), the mean over 5 × 3 neighbouring columns."""
    j = round(y)
    return float((mask[x - 2 : x + 3, j - 1 : j + 2] == label).sum(2).mean())


def test_geometry_is_ras_and_every_asked_level_is_labelled_from_bottom_to_top() -> None:
    levels = [f"T{i}" for i in range(4, 13)] + [f"L{i}" for i in range(1, 6)]
    spine = simulate_spine(3, levels, spacing=2.0)
    assert nib.aff2axcodes(spine.affine) == ("R", "A", "S")
    assert (spine.ct.dtype, spine.mask.dtype, spine.truth.dtype) == (np.float32, np.uint8, np.uint8)
    assert spine.ct.shape == spine.mask.shape == spine.truth.shape
    labels = np.unique(spine.mask)[1:]
    assert labels.tolist() == list(range(11, 25))
    centres = np.array(ndimage.center_of_mass(spine.mask > 0, spine.mask, labels))
    assert np.all(np.diff(centres[:, 2]) < -5)  # voxels of 2 mm: each level at least 10 mm below the last
    # the thoracic curve is open to the front, the lumbar one to the back
    y = dict(zip(labels.tolist(), centres[:, 1], strict=True))
    assert y[15] < (y[11] + y[22]) / 2
    assert y[22] > (y[18] + y[24]) / 2 - 2


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(healthy: Phantom) -> None:
    again = simulate_spine(7, THORACOLUMBAR)
    np.testing.assert_array_equal(again.ct, healthy.ct)
    np.testing.assert_array_equal(again.mask, healthy.mask)
    assert again.heights == healthy.heights
    assert simulate_spine(8, THORACOLUMBAR).heights["L1"] != healthy.heights["L1"]


@pytest.mark.parametrize("seed", [7, THICK])
def test_a_level_looks_the_same_whichever_others_are_asked_for(seed: int) -> None:
    healthy, alone = simulate_spine(seed, THORACOLUMBAR), simulate_spine(seed, ["L1"])
    shift = np.round(alone.affine[:3, 3] - healthy.affine[:3, 3]).astype(int)
    assert shift[:2].tolist() == [0, 0]
    part = slice(shift[2], shift[2] + alone.ct.shape[2])
    np.testing.assert_array_equal(alone.ct, healthy.ct[:, :, part])
    np.testing.assert_array_equal(alone.mask == L1, healthy.mask[:, :, part] == L1)
    assert set(np.unique(alone.mask)) == {0, L1}
    assert alone.heights["L1"] == healthy.heights["L1"]


def test_thick_slices_and_a_fracture_leave_what_lies_below_alone() -> None:
    whole = simulate_spine(THICK, ["L1"])
    assert whole.patient.scanner.thickness == 3
    broken = simulate_spine(THICK, ["L1"], {"L1": Fracture("crush", 2)})
    below = int(np.argwhere(whole.mask == L1)[:, 2].min()) - 8
    np.testing.assert_array_equal(broken.ct[:, :, :below], whole.ct[:, :, :below])
    assert not np.array_equal(broken.ct, whole.ct)


def test_every_crop_of_128_mm_lies_inside_and_shows_bone_above_and_below() -> None:
    for level in ("T4", "L5"):
        spine = simulate_spine(11, [level], spacing=2.0)
        voxels = np.argwhere(spine.mask)
        centre = voxels.mean(0)
        assert np.all(centre - 32 > -1)
        assert np.all(centre + 32 < np.array(spine.ct.shape) + 1)
        bone = (spine.ct > 350) & (spine.mask == 0)
        assert bone[:, :, : voxels[:, 2].min()].sum() > 300
        assert bone[:, :, voxels[:, 2].max() + 1 :].sum() > 300


def test_tissues_have_plausible_hounsfield_units(healthy: Phantom) -> None:
    x, z, back, front = body_run(healthy.mask, L1)
    middle = (back + front) // 2
    core = healthy.ct[x - 7 : x + 8, middle - 5 : middle + 6, z - 3 : z + 4]
    assert 60 < np.median(core) < 260
    assert 15 < core.std() < 120  # trabeculae and noise
    wall = healthy.ct[x, front - 3 : front + 3, z - 4 : z + 5].max(0)
    assert 250 < np.median(wall) < 1000
    assert 400 < np.percentile(healthy.ct[healthy.mask == L1], 99) < 1400
    canal = (slice(x - 4, x + 5), slice(back - 13, back - 4), slice(z - 4, z + 5))
    assert np.all(healthy.mask[canal] == 0)
    assert -20 < np.median(healthy.ct[canal]) < 90


def test_bodies_are_as_large_as_the_literature_says_and_grow_downwards() -> None:
    spine = simulate_spine(5, [f"T{i}" for i in range(4, 13)] + [f"L{i}" for i in range(1, 6)])
    depth, volume = [], []
    for label in range(11, 25):
        _, z, back, front = body_run(spine.mask, label)
        depth.append(front - back + 1)
        box = spine.mask[:, back : front + 1, z - 20 : z + 21] == label
        volume.append(int(box.sum()))
    assert 17 <= depth[0] <= 28
    assert 27 <= depth[-1] <= 40
    assert volume[-1] > 2 * volume[0]
    assert np.polyfit(range(14), volume, 1)[0] > 0
    assert np.corrcoef(range(14), volume)[0, 1] > 0.95


@pytest.mark.parametrize("kind", ["wedge", "biconcave", "crush"])
@pytest.mark.parametrize("grade", [1, 2, 3])
def test_the_rendered_body_loses_the_height_its_grade_says(healthy: Phantom, kind: str, grade: int) -> None:
    broken = simulate_spine(7, THORACOLUMBAR, {"L1": Fracture(kind, grade)})
    x, _, back, front = body_run(healthy.mask, L1)
    rim = 0.075 * (front - back)
    site = (front - rim, (front + back) / 2, back + rim)[SITE[kind]]
    loss = 1 - column_height(broken.mask, L1, x, site) / column_height(healthy.mask, L1, x, site)
    low, high = RANGES[grade]
    assert low - 0.06 < loss < high + 0.06
    stated = 1 - broken.heights["L1"][SITE[kind]] / healthy.heights["L1"][SITE[kind]]
    assert low <= stated <= high
    if kind == "wedge":
        assert column_height(broken.mask, L1, x, back + rim) > 0.9 * column_height(healthy.mask, L1, x, back + rim)


def test_truth_marks_the_broken_body_and_nothing_else(healthy: Phantom, wedged: Phantom) -> None:
    assert not healthy.truth.any()
    assert wedged.truth.any()
    lost = (healthy.mask == L1) & (wedged.mask != L1)
    x, _, back, _ = body_run(healthy.mask, L1)
    lost[:, : back + 2] = False  # of the body alone
    assert (wedged.truth[lost] == L1).mean() > 0.99
    near = ndimage.binary_dilation(healthy.mask == L1, iterations=5)
    assert not wedged.truth[~near].any()
    centre = ndimage.center_of_mass(wedged.truth)
    assert centre[1] > back  # in the body, not behind it
    assert abs(centre[0] - x) < 4


def test_a_fracture_leaves_everything_below_it_and_other_levels_anatomy_alone(
    healthy: Phantom, wedged: Phantom
) -> None:
    assert wedged.ct.shape == healthy.ct.shape
    below = int(np.argwhere(healthy.mask == L1)[:, 2].min()) - 8
    np.testing.assert_array_equal(wedged.ct[:, :, :below], healthy.ct[:, :, :below])
    for level in ("T12", "L2"):
        assert wedged.heights[level] == healthy.heights[level]
    volumes = [int((spine.mask == 19).sum()) for spine in (healthy, wedged)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.06)  # facets meet elsewhere
    # the front of what stands on a wedge comes down
    assert 1 < body_run(healthy.mask, 19)[1] - body_run(wedged.mask, 19)[1] < 8


def test_coarse_voxels_show_the_same_patient(healthy: Phantom) -> None:
    coarse = simulate_spine(7, THORACOLUMBAR, spacing=2.0)
    assert coarse.heights == healthy.heights
    assert (coarse.mask == L1).sum() * 8 == pytest.approx((healthy.mask == L1).sum(), rel=0.03)
    fine = nib.affines.apply_affine(healthy.affine, np.argwhere(healthy.mask == L1).mean(0))
    np.testing.assert_allclose(
        nib.affines.apply_affine(coarse.affine, np.argwhere(coarse.mask == L1).mean(0)), fine, atol=0.3
    )


@pytest.mark.parametrize(
    ("seed", "levels", "fractures", "spacing", "told"),
    [
        (1, ["L6"], {}, 1.0, "level 'L6' can't be simulated"),
        (1, ["T12", "L2"], {}, 1.0, "not consecutive"),
        (1, ["L1", "L1"], {}, 1.0, "not consecutive"),
        (1, [], {}, 1.0, "not consecutive"),
        (1, ["L1"], {"L2": Fracture("wedge", 1)}, 1.0, "fracture at 'L2'"),
        (1, ["L1"], {}, 0.1, "spacing 0.1 mm"),
        (-1, ["L1"], {}, 1.0, "seed -1"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(
    seed: int, levels: list[str], fractures: dict[str, Fracture], spacing: float, told: str
) -> None:
    with pytest.raises(InputError, match=told) as error:
        simulate_spine(seed, levels, fractures, spacing)
    assert "\n" not in str(error.value)
