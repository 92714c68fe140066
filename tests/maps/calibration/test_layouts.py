"""Layouts: which voxels share a cell, and how a table comes back to the voxels."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.layouts import Layout, Registered, Tissue, Voxels, choose_layout, layout_from
from fracture_vae.maps.calibration.moments import shrunk


def voxels(map_: Tensor, image: Tensor | None = None, level: str = "L1", valid: Tensor | None = None) -> Voxels:
    image = torch.zeros_like(map_) if image is None else image
    valid = torch.ones_like(map_, dtype=torch.bool) if valid is None else valid
    return Voxels(map_, image, valid, level, (1.0,) * (map_.dim() - 2))


def test_a_cell_of_registered_crops_sums_its_valid_voxels_and_the_last_may_be_cut() -> None:
    layout = Registered(("L1", "L2"), (4, 5), (2, 4))
    map_ = torch.arange(20.0).reshape(1, 1, 4, 5)
    valid = map_ != 1
    found = layout.moments(voxels(map_, level="L2", valid=valid))
    assert found.count.tolist() == [[[0, 0], [0, 0]], [[7, 2], [8, 2]]]
    block = [0, 2, 3, 5, 6, 7, 8]
    assert found.total[1, 0].tolist() == [sum(block), 4 + 9]
    assert found.squares[1, 0].tolist() == [sum(v * v for v in block), 16 + 81]


def test_a_table_is_its_value_at_a_cell_s_centre_and_linear_between() -> None:
    layout = Registered(("L1",), (6,), (3,))
    table = torch.tensor([[0.0, 3.0]])
    at = layout.at(table, voxels(torch.zeros(1, 1, 6)))
    torch.testing.assert_close(at[0, 0], torch.tensor([0, 0, 1, 2, 3, 3.0]))


def test_three_dimensional_cells_are_numpy_s_block_sums() -> None:
    rng = np.random.default_rng(0)
    array = rng.random((6, 4, 8))
    layout = Registered(("L1",), (6, 4, 8), (3, 2, 4))
    found = layout.moments(voxels(torch.from_numpy(array)[None, None]))
    np.testing.assert_allclose(found.total[0], array.reshape(2, 3, 2, 2, 2, 4).sum((1, 3, 5)))


def test_levels_are_neighbours_in_anatomical_order_and_other_names_are_nobody_s() -> None:
    layout = choose_layout(["L1", "head", "T12", "T13"], [(8, 8, 8)] * 4, [(1, 1, 2)] * 4)
    assert layout == Registered(("T12", "T13", "L1", "head"), (8, 8, 8), (4, 4, 2), (1, 1, 2))
    places = layout.places
    assert np.diff(places[:3]).tolist() == [1, 1]
    assert places[3] == float("inf")


@pytest.mark.parametrize(
    ("levels", "sizes", "spacings"),
    [(["L1", ""], [(8, 8)] * 2, [(1, 1)] * 2), (["L1"] * 2, [(8, 8), (8, 9)], [(1, 1)] * 2),
     (["L1"] * 2, [(8, 8)] * 2, [(1, 1), (1, 2)])],
)  # fmt: skip
def test_without_levels_or_with_several_sizes_places_mean_nothing(
    levels: list[str], sizes: list[tuple[int, ...]], spacings: list[tuple[float, ...]]
) -> None:
    assert choose_layout(levels, sizes, spacings) == Tissue()


def test_tissue_is_sorted_by_intensity_and_distance_from_the_centre() -> None:
    layout = Tissue(bins=2, shells=2)
    image = torch.tensor([0.9, 0.1, 0.9, 0.2, 0.9, 0.9, 0.2, 0.1])[None, None]
    map_ = torch.arange(8.0)[None, None]
    found = layout.moments(voxels(map_, image))
    assert found.count.tolist() == [[1, 3], [3, 1]]
    assert found.total.tolist() == [[3, 1 + 6 + 7], [2 + 4 + 5, 0]]
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert layout.at(table, voxels(map_, image)).flatten().tolist() == [4, 2, 3, 1, 3, 3, 2, 2]


@pytest.mark.parametrize("layout", [Registered(("T12", "L1"), (6, 4, 8), (3, 2, 4)), Tissue()])
def test_maps_drawn_from_the_calibration_s_own_distribution_have_z_of_mean_0_and_spread_1(layout: Layout) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(index: int) -> Voxels:
        image = torch.rand(1, 1, 6, 4, 8, generator=generator)
        noise = torch.randn(1, 1, 6, 4, 8, generator=generator)
        return voxels(2 + 0.5 * noise, image, ("T12", "L1")[index % 2])

    cases = [draw(index) for index in range(60)]
    total = layout.moments(cases[0])
    for case in cases[1:]:
        total = total + layout.moments(case)
    usual = shrunk(total, layout.places, layout.prior(total))
    z = torch.cat([(c.map - layout.at(usual.location, c)) / layout.at(usual.spread, c) for c in map(draw, range(60))])
    assert z.mean().item() == pytest.approx(0, abs=0.05)
    assert z.std().item() == pytest.approx(1, abs=0.05)


def test_a_map_without_a_place_says_why() -> None:
    layout = Registered(("L1",), (4, 4), (2, 2))
    assert "its size 4×5 is not the 4×4 that was calibrated" in layout.why_not(voxels(torch.zeros(1, 1, 4, 5)))
    assert "level 'C7' is not among" in layout.why_not(voxels(torch.zeros(1, 1, 4, 4), level="C7"))
    assert layout.why_not(voxels(torch.zeros(1, 1, 4, 4))) == ""


def test_a_map_of_another_voxel_size_is_another_anatomy_at_the_same_place() -> None:
    layout = Registered(("L1",), (4, 4), (4, 4), (1.0, 1.0))
    own = voxels(torch.zeros(1, 1, 4, 4))
    assert layout.why_not(own._replace(spacing=(1.0001, 1.0))) == ""
    told = "its voxels of 0.5×1 mm are not of the 1×1 mm that was calibrated"
    assert layout.why_not(own._replace(spacing=(0.5, 1.0))) == told
    older = Registered(("L1",), (4, 4), (4, 4))
    assert older.why_not(own._replace(spacing=(0.5, 1.0))) == "", "one that does not say is taken at its word"


@pytest.mark.parametrize(
    "layout",
    [
        Registered(("T12", "L1"), (6, 4, 8), (3, 2, 4)),
        Registered(("T12", "L1"), (6, 4, 8), (3, 2, 4), (1.5, 2, 1)),
        Tissue(7, 3),
    ],
)
def test_what_a_layout_says_of_itself_is_it_again(layout: Layout) -> None:
    assert layout_from(layout.plain(), "here") == layout


@pytest.mark.parametrize("plain", [{}, {"kind": "other"}, {"kind": "tissue", "bins": "x"}, {"kind": "registered"}])
def test_what_is_no_layout_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(InputError, match="here: its calibration is damaged"):
        layout_from(plain, "here")
