"""Effects of perturbations: planted ones are found, and each measure gives its known answer."""

from typing import Any

import numpy as np
import pytest

from beeline.metrics.effects import (
    Changes,
    changes,
    delta_correlation,
    delta_spread,
    direction_match,
    discrimination_score,
    most_changed,
    overlap_at,
    precision_at,
)

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
REAL = RANDOM.normal(size=(6, 40))


def population(mean_G: Array, count: int, seed: int) -> Array:
    """log1p of Poisson counts."""
    return np.log1p(np.random.default_rng(seed).poisson(mean_G, size=(count, len(mean_G)))).astype(np.float64)


def test_a_delta_correlates_with_itself_scaled_and_shifted_and_against_its_opposite() -> None:
    np.testing.assert_allclose(delta_correlation(3 * REAL + 1, REAL), 1.0)
    np.testing.assert_allclose(delta_correlation(-REAL, REAL), -1.0)
    assert np.abs(delta_correlation(RANDOM.normal(size=(6, 40)), REAL)).max() < 0.6
    assert np.isnan(delta_correlation(np.zeros((6, 40)), REAL)).all(), "no change has no direction"


def test_genes_that_count_are_those_that_are_named() -> None:
    genes = np.argsort(-np.abs(REAL), axis=1)[:, :5]
    predicted = RANDOM.normal(size=REAL.shape)
    np.put_along_axis(predicted, genes, 2 * np.take_along_axis(REAL, genes, axis=1), axis=1)
    np.testing.assert_allclose(delta_correlation(predicted, REAL, genes), 1.0)
    assert delta_correlation(predicted, REAL).max() < 0.99


def test_what_all_perturbations_share_is_rewarded_against_control_and_not_against_their_mean() -> None:
    shared = 5.0 * RANDOM.normal(size=40)
    real, predicted = REAL + shared, np.tile(shared, (6, 1)) + 0.1 * RANDOM.normal(size=REAL.shape)
    assert delta_correlation(predicted, real).min() > 0.9
    apart = delta_correlation(predicted - predicted.mean(axis=0), real - real.mean(axis=0))
    assert abs(apart.mean()) < 0.2


@pytest.mark.parametrize("distance", ["l1", "l2", "cosine"])
def test_discrimination_is_one_for_the_truth_half_for_noise_and_for_one_answer_to_all(distance: Any) -> None:
    assert (discrimination_score(REAL, REAL, distance) == 1).all()
    many = RANDOM.normal(size=(400, 30))
    blind = discrimination_score(RANDOM.normal(size=many.shape), many, distance)
    assert blind.mean() == pytest.approx(0.5, abs=4 * 0.29 / 20)
    same = discrimination_score(np.tile(many.mean(axis=0), (400, 1)), many, distance)
    assert same.mean() == pytest.approx(0.5, abs=0.01)
    swapped = discrimination_score(REAL[[1, 0, 2, 3, 4, 5]], REAL, distance)
    assert (swapped[2:] == 1).all()
    assert (swapped[:2] < 1).all()


def test_no_answer_at_all_is_at_chance_by_direction() -> None:
    assert discrimination_score(np.zeros((5, 4)), RANDOM.normal(size=(5, 4)), "cosine") == pytest.approx(0.6)


def test_the_gene_that_is_acted_on_is_left_out() -> None:
    """Predictions that know nothing but which gene was knocked out are at chance without it."""
    count = 300
    real = RANDOM.normal(size=(count, count))
    known = np.zeros((count, count))
    real[np.arange(count), np.arange(count)] = known[np.arange(count), np.arange(count)] = -30.0
    targets = np.arange(count)[:, None].tolist()
    assert discrimination_score(known, real, "cosine").min() == 1
    left = discrimination_score(known, real, "cosine", targets)
    assert left.mean() == pytest.approx(0.5, abs=0.05)
    unmeasured = discrimination_score(known, real, "cosine", [[]] * count)
    assert (unmeasured == 1).all()


def test_a_prediction_is_told_from_known_deltas_that_nothing_was_predicted_of() -> None:
    known = np.concatenate([REAL, -REAL])
    assert (discrimination_score(REAL[2:4], known, "l2", own=[2, 3]) == 1).all()
    assert discrimination_score(REAL[2:4], known, "cosine", own=[8, 9]) == pytest.approx(1 / 12), "the opposite"
    with pytest.raises(ValueError, match="shape"):
        discrimination_score(REAL[:2], known)


def test_genes_that_change_most_are_expressed_and_beyond_noise() -> None:
    base = np.full(50, 4.0)
    moved = np.r_[0.0, 16.0, 8.0, base[3:]]
    found = most_changed(population(moved, 200, 1), population(base, 200, 2), 2)
    assert found.tolist() == [1, 2], "gene 0 changes most and is not expressed any more"
    assert len(most_changed(population(np.r_[moved[:3], np.zeros(47)], 20, 1), population(base, 20, 2))) == 2


def test_planted_changes_are_found_in_order_and_at_the_stated_rate() -> None:
    base = np.full(200, 4.0)
    moved = base.copy()
    moved[:5], moved[5:10] = base[:5] * np.array([8, 7, 6, 5, 4]), base[5:10] / 4
    found = changes(population(moved, 300, 1), population(base, 300, 2))
    assert set(range(10)) <= set(found.significant.tolist())
    assert len(found.significant) <= 14
    assert found.significant[:2].tolist() == [0, 1]
    np.testing.assert_allclose(found.fold[:5], np.log2([8, 7, 6, 5, 4]), atol=0.15)
    none = changes(population(base, 300, 3), population(base, 300, 4))
    assert len(none.significant) <= 2


def test_genes_that_never_vary_and_single_cells_are_no_changes() -> None:
    base = np.r_[np.zeros(3), np.full(3, 5.0)]
    found = changes(population(base, 20, 1), population(base, 20, 2))
    assert (found.rate[:3] == 1).all()
    assert (found.fold[:3] == 0).all()
    apart = changes(np.zeros((20, 3)), np.tile([0.0, 0.0, 2.0], (20, 1)))
    assert apart.significant.tolist() == [2], "constant on both sides, and never alike"
    with pytest.raises(ValueError, match="two cells or more"):
        changes(np.zeros((1, 3)), np.zeros((5, 3)))


def test_overlap_and_precision_have_the_lists_of_their_names() -> None:
    def made(order: list[int], signs: list[int] | None = None) -> Changes:
        fold, rate = np.full(10, 0.01), np.ones(10)
        for place, gene in enumerate(order):
            fold[gene], rate[gene] = (10 - place) * (signs[place] if signs else 1), 0.001
        return Changes(fold, rate)

    real, predicted = made([0, 1, 2, 3]), made([1, 0, 7, 8, 9, 2])
    assert overlap_at(predicted, real) == 0.5, "of the first four of both: 0 and 1"
    assert overlap_at(predicted, real, 2) == 1.0
    assert overlap_at(predicted, real, 100) == 0.5, "no more than the real ones"
    assert overlap_at(made([3, 0, 1, 2]), real, 2) == 0.5, "of the first two of both: 0"
    assert precision_at(predicted, real, 100) == 0.5, "no more than were predicted"
    assert precision_at(predicted, real) == 0.5, "of six predicted ones: 0, 1 and 2"
    assert precision_at(predicted, real, 3) == pytest.approx(2 / 3)
    assert overlap_at(made([]), real) == 0
    assert precision_at(made([]), real) == 0
    assert overlap_at(predicted, made([])) == 0
    assert direction_match(made([0, 1, 2, 3], [1, -1, 1, -1]), real) == 0.5
    assert np.isnan(direction_match(predicted, made([])))


def test_one_answer_to_all_has_no_spread() -> None:
    assert delta_spread(REAL, REAL) == pytest.approx(1)
    assert delta_spread(0.5 * REAL + 3, REAL) == pytest.approx(0.5)
    assert delta_spread(np.tile(REAL[0], (6, 1)), REAL) == 0
    assert np.isnan(delta_spread(REAL, np.tile(REAL[0], (6, 1)))), "no spread to compare with"
    with pytest.raises(ValueError, match="at least two"):
        delta_spread(REAL[:1], REAL[:1])
