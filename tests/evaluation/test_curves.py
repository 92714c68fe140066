"""Areas from counts: by hand, against scikit-learn and MONAI, and as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_froc_curve_data, compute_froc_score
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from fracture_vae.evaluation.curves import (
    FALSE_RATES,
    average_precision,
    average_precision_bounds,
    best_dice,
    froc_score,
    rank,
    region_overlap_area,
    region_overlap_bounds,
    roc_area,
    roc_pairs,
)

scored = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)
counts = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12).filter(
    lambda rows: any(p for p, _ in rows) and any(n for _, n in rows)
)


def grouped(rows: list[tuple[int, int]]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Labels, scores, and the counts of both labels by falling score."""
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    falling = np.unique(scores)[::-1]
    kinds = [np.array([((scores == s) & (labels == kind)).sum() for s in falling], float) for kind in (1, 0)]
    return labels, scores, kinds[0], kinds[1]


def array(*values: float) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def test_areas_by_hand() -> None:
    # falling: a positive; a tie of one each; a negative; a positive
    positive, negative = array(1, 1, 0, 1), array(0, 1, 1, 0)
    assert roc_pairs(rank(positive, negative)).won == 2 + 1.5 + 0
    assert roc_area(rank(positive, negative)) == pytest.approx(3.5 / 6)
    assert average_precision(rank(positive, negative)) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert best_dice(rank(positive, negative)) == pytest.approx(max(2 / 4, 4 / 6, 4 / 7, 6 / 8))


@settings(max_examples=60, deadline=None)
@given(scored)
def test_areas_are_scikit_learn_s(rows: list[tuple[int, int]]) -> None:
    labels, scores, positive, negative = grouped(rows)
    assert roc_area(rank(positive, negative)) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(rank(positive, negative)) == pytest.approx(average_precision_score(labels, scores))


@settings(max_examples=40, deadline=None)
@given(scored, st.sampled_from([np.exp, np.cbrt, lambda s: 3 * s - 7]))
def test_only_the_order_of_scores_counts(rows: list[tuple[int, int]], monotone: object) -> None:
    _, _, positive, negative = grouped(rows)
    changed = [(label, monotone(np.float64(score))) for label, score in rows]  # type: ignore[operator]
    _, _, other_positive, other_negative = grouped(changed)
    assert roc_area(rank(positive, negative)) == roc_area(rank(other_positive, other_negative))
    assert average_precision(rank(positive, negative)) == average_precision(rank(other_positive, other_negative))


@settings(max_examples=40, deadline=None)
@given(counts)
def test_turning_the_order_round_turns_the_area_round(rows: list[tuple[int, int]]) -> None:
    positive, negative = (np.array(column, float) for column in zip(*rows, strict=True))
    assert roc_area(rank(positive, negative)) == pytest.approx(1 - roc_area(rank(positive[::-1], negative[::-1])))


@settings(max_examples=60, deadline=None)
@given(counts, st.randoms(use_true_random=False))
def test_the_figure_of_single_scores_lies_within_the_bounds_of_its_bins(rows: list[tuple[int, int]], order) -> None:
    positive, negative = (np.array(column, float) for column in zip(*rows, strict=True))
    single = []  # the voxels of a bin in any order, each a group of its own
    for found, false in rows:
        inside = [1] * found + [0] * false
        order.shuffle(inside)
        single += inside
    kind = np.array(single)
    bounds = average_precision_bounds(rank(positive, negative))
    value = average_precision(rank((kind == 1).astype(float), (kind == 0).astype(float)))
    assert bounds.low - 1e-12 <= value <= bounds.high + 1e-12
    assert bounds.low - 1e-12 <= average_precision(rank(positive, negative)) <= bounds.high + 1e-12
    regions = positive.sum()  # every voxel a region
    bounds = region_overlap_bounds(positive, rank(positive, negative), regions)
    value = region_overlap_area((kind == 1) * 1.0, rank((kind == 1) * 1.0, (kind == 0) * 1.0), regions)
    assert bounds.low - 1e-12 <= value <= bounds.high + 1e-12


def test_what_the_counts_do_not_allow_is_nan() -> None:
    none, some = array(0, 0), array(1, 2)
    assert np.isnan(roc_area(rank(none, some)))
    assert np.isnan(roc_area(rank(some, none)))
    assert np.isnan(average_precision(rank(none, some)))
    assert np.isnan(region_overlap_area(none, rank(none, some), array(0)[0]))
    assert np.isnan(froc_score(none, some, np.float64(0), np.float64(3)))
    assert np.isnan(best_dice(rank(none, some)))


def test_aupro_by_hand() -> None:
    # two regions: one found whole by the first group, half of the other by the third; a fifth of the rest in each
    overlap, negative = array(1, 0, 0.5, 0.5, 0), array(1, 1, 1, 1, 1)
    # the curve: (0.2, 0.5), (0.4, 0.5), (0.6, 0.75): up to 0.3 it is a triangle and half a rectangle
    assert region_overlap_area(overlap, rank(overlap, negative), np.float64(2)) == pytest.approx(
        (0.2 * 0.25 + 0.1 * 0.5) / 0.3
    )
    assert region_overlap_area(overlap, rank(overlap, negative), np.float64(2), limit=1.0) == pytest.approx(
        0.2 * 0.25 + 0.2 * 0.5 + 0.2 * 0.625 + 0.2 * 0.875 + 0.2 * 1
    )


def test_the_limit_cuts_a_sloping_piece() -> None:
    # one group rises from 0 to 1 over the whole rate: PRO(0.3) = 0.3
    constant = region_overlap_area(array(1), rank(array(1), array(10)), np.float64(1))
    assert constant == pytest.approx(0.15)
    overlap = array(0, 1)
    late = region_overlap_area(overlap, rank(overlap, array(1, 9)), np.float64(1))
    assert late == pytest.approx(0.2 * (0.2 / 0.9) / 2 / 0.3)


def test_a_perfect_map_has_an_aupro_of_one_and_the_opposite_none() -> None:
    assert region_overlap_area(array(3, 0), rank(array(3, 0), array(0, 50)), np.float64(3)) == pytest.approx(1)
    assert region_overlap_area(array(0, 3), rank(array(0, 3), array(50, 0)), np.float64(3)) == 0


@settings(max_examples=40, deadline=None)
@given(scored)
def test_with_regions_of_a_voxel_aupro_is_the_roc_up_to_the_limit(rows: list[tuple[int, int]]) -> None:
    labels, scores, positive, negative = grouped(rows)
    rate, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    # scikit-learn's partial area, by hand: the curve cut at the limit
    at_limit = np.interp(0.3, rate, found) if rate[0] < 0.3 else found[0]
    below = rate <= 0.3
    expected = auc(np.append(rate[below], 0.3), np.append(found[below], max(at_limit, found[below][-1]))) / 0.3
    assert region_overlap_area(positive, rank(positive, negative), positive.sum()) == pytest.approx(expected)


def test_the_froc_score_by_hand() -> None:
    # falling: two lesions hit; 2 false an image; a lesion hit; 4 false an image; a lesion is never hit
    hits, false = array(2, 0, 1, 0), array(0, 4, 0, 8)
    # (0, 1/2), (2, 1/2), (2, 3/4), (6, 3/4)
    score = froc_score(hits, false, np.float64(4), np.float64(2))
    assert score == pytest.approx((0.5 + 0.5 + 0.5 + 0.75 + 0.75 + 0.75) / 6)


def test_without_candidates_no_lesion_is_found() -> None:
    none, lesions = np.zeros((2, 0)), np.array([3.0, 0.0])
    found = froc_score(none, none, lesions, np.array([2.0, 2.0]))
    assert found[0] == 0
    assert np.isnan(found[1]), "a resample without lesions says nothing"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=30),
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.integers(0, 3),
    st.integers(1, 5),
)
def test_the_froc_score_is_monai_s(false: list[int], hits: list[int], missed: int, images: int) -> None:
    # MONAI leaves the lowest threshold out; one that nothing of interest is at makes no difference
    lesions = len(hits) + missed
    rate, found = compute_froc_curve_data(np.array([*false, 0]), np.array(hits), lesions, images)
    falling = np.arange(30, 0, -1)
    ours = [np.array([(np.array(scores) == level).sum() for level in falling], float) for scores in (hits, false)]
    theirs = compute_froc_score(rate, found, FALSE_RATES)
    assert froc_score(ours[0], ours[1], np.float64(lesions), np.float64(images)) == pytest.approx(theirs)


def test_resamples_are_measured_side_by_side() -> None:
    rng = np.random.default_rng(0)
    positive, negative, overlap = rng.integers(1, 5, (3, 4, 7)).astype(float)
    regions = overlap.sum(-1)
    for figure in (roc_area, average_precision, best_dice):
        np.testing.assert_allclose(
            figure(rank(positive, negative)),
            [figure(rank(p, n)) for p, n in zip(positive, negative, strict=True)],
        )
    np.testing.assert_allclose(
        region_overlap_area(overlap, rank(overlap, negative), regions),
        [region_overlap_area(o, rank(o, n), r) for o, n, r in zip(overlap, negative, regions, strict=True)],
    )
