"""A weak box stays around what it was drawn around, on any grid, and takes what belongs to its vertebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_vae.cohort.boxes import belonging, box_in_grid, box_of, box_to_world, corners_in_world, slices_of
from fracture_vae.cohort.case import Box
from fracture_vae.cohort.geometry import centred_affine

SOURCE_SHAPE = (30, 26, 20)


@st.composite
def boxes(draw, shape=SOURCE_SHAPE):
    ends = [sorted(draw(st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True))) for size in shape]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


@st.composite
def affines(draw, oblique=True):
    """Any storage order and flips, spacing 0.5 to 3 mm, and with ``oblique`` any rotation."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3))
    spacing = draw(st.lists(st.floats(0.5, 3), min_size=3, max_size=3))
    linear = np.zeros((3, 3))
    for column, (row, sign, step) in enumerate(zip(order, signs, spacing, strict=True)):
        linear[row, column] = sign * step
    if oblique:
        a, b, c = draw(st.lists(st.floats(-0.6, 0.6), min_size=3, max_size=3))
        turn_z = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
        turn_x = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
        turn_y = [[np.cos(c), 0, np.sin(c)], [0, 1, 0], [-np.sin(c), 0, np.cos(c)]]
        linear = np.array(turn_z) @ turn_x @ turn_y @ linear
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = draw(st.lists(st.floats(-200, 200), min_size=3, max_size=3))
    return affine


def crop_around(affine, spacing):
    """A crop's affine, large enough for the whole source."""
    middle = affine[:3, :3] @ ((np.array(SOURCE_SHAPE) - 1) / 2) + affine[:3, 3]
    size = int(np.ceil(200 / spacing))
    return centred_affine(middle, (size, size, size), spacing), (size, size, size)


def test_the_box_of_a_mask_by_hand():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1, 2, 3] = mask[3, 2, 6] = True
    box = box_of(mask)
    assert box == Box((1, 2, 3), (4, 3, 7))
    assert str(box) == "1:4,2:3,3:7"
    assert slices_of(box) == "3:7"
    assert box_of(np.zeros((2, 2, 2), dtype=bool)) is None


@given(boxes())
def test_the_box_of_a_filled_box_is_that_box(box):
    mask = np.zeros(SOURCE_SHAPE, dtype=bool)
    mask[box.slices] = True
    assert box_of(mask) == box


@given(boxes(), affines())
def test_a_grid_maps_a_box_onto_itself(box, affine):
    assert box_in_grid(box_to_world(box, affine), affine, SOURCE_SHAPE) == box


@given(boxes(), affines(), st.floats(0.8, 3))
def test_box_to_crop_and_back_contains_the_original(box, affine, spacing):
    crop, shape = crop_around(affine, spacing)
    in_crop = box_in_grid(box_to_world(box, affine), crop, shape)
    back = box_in_grid(box_to_world(in_crop, crop), affine, SOURCE_SHAPE)
    assert all(a <= b for a, b in zip(back.lower, box.lower, strict=True))
    assert all(a >= b for a, b in zip(back.upper, box.upper, strict=True))


@given(boxes(), affines(), st.floats(0.8, 3))
def test_every_voxel_of_the_box_has_its_centre_in_the_crops_box(box, affine, spacing):
    crop, shape = crop_around(affine, spacing)
    in_crop = box_in_grid(box_to_world(box, affine), crop, shape)
    index = np.argwhere(np.ones([b - a for a, b in zip(box.lower, box.upper, strict=True)])) + box.lower
    world = index @ affine[:3, :3].T + affine[:3, 3]
    there = (world - crop[:3, 3]) / np.diag(crop)[:3]
    assert (there >= np.array(in_crop.lower) - 0.5 - 1e-3).all()
    assert (there <= np.array(in_crop.upper) - 0.5 + 1e-3).all()


@given(boxes(), affines(), st.floats(0.8, 3))
def test_voxels_and_the_millimetres_around_them_give_one_box(box, affine, spacing):
    """A crop lies along the world's axes, so the box around eight corners is the same before and after the map."""
    crop, shape = crop_around(affine, spacing)
    corners = box_to_world(box, affine)
    in_mm = corners_in_world(corners.min(axis=0), corners.max(axis=0))
    assert box_in_grid(in_mm, crop, shape) == box_in_grid(corners, crop, shape)


def test_a_flipped_grid_by_hand():
    """Stored from left to right and 2 mm apart: voxels 1 and 2 of 4 lie at world −2 and −4, which reach −1 to −5."""
    affine = np.diag([-2.0, 1, 1, 1])
    crop = np.eye(4)
    crop[0, 3] = -6
    assert box_in_grid(box_to_world(Box((1, 0, 0), (3, 1, 1)), affine), crop, (8, 4, 4)) == Box((1, 0, 0), (6, 1, 1))
    # −5 … −1 is 1 … 5 in voxel coordinates of the crop: half of voxel 1, voxels 2 to 4, half of voxel 5


def test_clipped_to_the_crop_and_none_outside():
    crop = np.eye(4)
    assert box_in_grid(corners_in_world((-9, 1.6, 1.6), (1.4, 2.4, 99)), crop, (4, 4, 4)) == Box((0, 2, 2), (2, 3, 4))
    assert box_in_grid(corners_in_world((-9, 0, 0), (-1, 3, 3)), crop, (4, 4, 4)) is None


def test_truth_belongs_to_its_nearest_vertebra_within_reach():
    """Along one line, 1 mm: own vertebra at 2–4, the neighbour at 12–14."""
    line = (20, 1, 1)
    own, other = np.zeros(line, dtype=bool), np.zeros(line, dtype=bool)
    own[2:5] = other[12:15] = True
    part = belonging(np.ones(line, dtype=bool), own, other, (1, 1, 1))
    assert np.flatnonzero(part).tolist() == list(range(9))  # 8 is 4 mm from either; 9 is nearer to the neighbour
    alone = belonging(np.ones(line, dtype=bool), own, np.zeros(line, dtype=bool), (1, 1, 1))
    assert np.flatnonzero(alone).tolist() == list(range(10))  # 9 is 5 mm away
    assert np.flatnonzero(belonging(np.ones(line, dtype=bool), own, other, (4, 1, 1))).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("empty", ["truth", "own"])
def test_nothing_belongs_where_there_is_nothing(empty):
    masks = {"truth": np.ones((3, 3, 3), dtype=bool), "own": np.ones((3, 3, 3), dtype=bool)}
    masks[empty][:] = False
    assert not belonging(masks["truth"], masks["own"], ~masks["own"], (1, 1, 1)).any()
