"""p-values of voxels: by hand, and what holds for any set of maps."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from fracture_vae.maps.calibration.survival import GRID, survival, voxel_p


def test_the_share_at_or_above_is_counted_among_valid_voxels() -> None:
    z = torch.tensor([0.0, 1.0, 2.0, 100.0])
    table = survival(z, torch.tensor([True, True, True, False]))
    at = {value: table[int(torch.searchsorted(GRID, value))].item() for value in (-5.0, 0.5, 1.5, 2.5)}
    assert at == {-5.0: 1, 0.5: 2 / 3, 1.5: 1 / 3, 2.5: 0}


def test_p_of_a_voxel_is_the_mean_share_with_the_new_map_s_own_as_one() -> None:
    maps = [torch.arange(10.0), torch.arange(10.0) + 5]
    sums = sum(survival(z, torch.ones(10, dtype=torch.bool)) for z in maps)
    p = voxel_p([(sums, 2, torch.tensor([[-99.0, 4.5, 7.7], [9.6, 20.0, 1e9]]))])
    expected = torch.tensor([[3, 1 + 0.5 + 1, 1 + 0.2 + 0.7], [1 + 0 + 0.5, 1, 1]]) / 3
    torch.testing.assert_close(p, expected)


def test_folds_are_added_each_with_the_map_under_its_own_model() -> None:
    everywhere = torch.ones(4, dtype=torch.bool)
    low, high = survival(torch.arange(4.0), everywhere), survival(torch.arange(4.0) + 100, everywhere)
    p = voxel_p([(low, 1, torch.tensor([2.5])), (high, 1, torch.tensor([2.5]))])
    torch.testing.assert_close(p, torch.tensor([(1 + 0.25 + 1) / 3]))


@given(
    st.lists(st.lists(st.floats(-20, 60, width=32), min_size=1, max_size=6), min_size=2, max_size=5),
    st.sampled_from([0.2, 0.34, 0.5]),
)
def test_a_voxel_of_a_new_healthy_map_has_p_of_alpha_or_less_in_at_most_alpha_of_all_cases(
    maps: list[list[float]], alpha: float
) -> None:
    """The guarantee, counted out: each map is as likely the new one, then each of its voxels the one looked at."""
    tables = [survival(torch.tensor(own), torch.ones(len(own), dtype=torch.bool)) for own in maps]
    rate = 0.0
    for new, own in enumerate(maps):
        sums = torch.stack([table for index, table in enumerate(tables) if index != new]).sum(0)
        p = voxel_p([(sums, len(maps) - 1, torch.tensor(own))])
        rate += (p <= alpha).double().mean().item() / len(maps)
    assert rate <= alpha + 1e-9


@given(st.floats(-30, 2000, width=32), st.floats(-30, 2000, width=32))
def test_a_higher_z_never_has_the_higher_p(first: float, second: float) -> None:
    sums = survival(torch.linspace(-3, 30, 500), torch.ones(500, dtype=torch.bool))
    p = voxel_p([(sums, 1, torch.tensor(sorted((first, second))))])
    assert p[0] >= p[1]
