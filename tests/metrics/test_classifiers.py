"""What a classifier can tell apart, on sets of which it is known."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.metrics import classifiers
from beeline.metrics.classifiers import area_under_curve, train_on_synthetic, two_sample_area


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "_TREES", 12)


def test_the_area_is_the_share_of_pairs_in_order_and_half_of_the_equal_ones() -> None:
    random = np.random.default_rng(0)
    positive, negative = random.integers(0, 6, 30), random.integers(0, 5, 20)
    pairs = positive[:, None] - negative[None]
    assert area_under_curve(positive, negative) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert area_under_curve(np.ones(3), np.ones(4)) == 0.5
    with pytest.raises(ValueError, match="either side"):
        area_under_curve(np.ones(3), np.ones(0))


def test_equal_distributions_have_one_half_and_disjoint_ones_one() -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(300, 3))
    same = two_sample_area(real, random.normal(size=(300, 3)), interval=True)
    assert same.value == pytest.approx(0.5, abs=0.07)
    assert same.low < 0.5 < same.high
    assert two_sample_area(real, real + 50.0).value == 1.0


def test_it_sees_spread_at_equal_means_as_much_as_the_best_classifier_does() -> None:
    """|X| of spread 2 above |X| of spread 1 in two dimensions: P = 4/5, since |X|^2 are exponentials of mean 2, 8."""
    random = np.random.default_rng(0)
    found = two_sample_area(random.normal(size=(300, 2)), 2 * random.normal(size=(300, 2)), interval=True)
    assert 0.69 < found.value < 0.84
    assert found.low > 0.62


@pytest.mark.parametrize("scale", [1e-12, 1e-9, 1e12])
def test_units_make_no_difference(scale: float) -> None:
    """Trees take what varies by less than 1e-7 for constant: heights in units of a gigametre."""
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(100, 3)), 2 * random.normal(size=(100, 3)) + 1
    plain, scaled = two_sample_area(real, generated), two_sample_area(scale * real, scale * generated)
    assert plain.value > 0.75
    assert scaled.value == pytest.approx(plain.value, abs=0.01)
    mixed = np.array([1.0, scale, 1.0])
    assert two_sample_area(mixed * real, mixed * generated).value == pytest.approx(plain.value, abs=0.01)
    labels = (real[:, 0] > 0).astype(int)
    sets = [(each * real, labels) for each in (1.0, scale)]
    (one, _), (other, _) = (train_on_synthetic(each, each, each) for each in sets)
    assert other.value == pytest.approx(one.value, abs=0.01)
    assert one.value > 0.8


def test_what_never_varies_among_real_examples_is_no_division_by_zero() -> None:
    real = np.zeros((40, 2))
    assert two_sample_area(real, real).value == 0.5
    assert two_sample_area(real, 1e-9 * np.random.default_rng(0).normal(size=(40, 2))).value > 0.9
    far = np.full((40, 2), 1e5 + 0.1)
    assert two_sample_area(far, far).value == 0.5


def test_a_group_is_never_split_over_folds() -> None:
    """Every group has a number of its own, and its kind by chance: whoever has seen a part of it knows the rest."""
    random = np.random.default_rng(0)
    places, kind = 100 * random.normal(size=60), random.permutation(60) % 2
    rows, group = np.repeat(places, 10)[:, None], np.repeat(np.arange(60), 10)
    is_real = np.repeat(kind, 10) == 0
    leaking = two_sample_area(rows[is_real], rows[~is_real])
    assert leaking.value > 0.95
    held = two_sample_area(rows[is_real], rows[~is_real], group[is_real], group[~is_real], interval=True)
    assert held.value == pytest.approx(0.5, abs=0.2)
    assert held.low < 0.5 < held.high


def test_without_names_no_real_example_shares_a_group_with_a_sample() -> None:
    """Were the i-th of either set one group, an interval would redraw them together, and cancel what they share."""
    random = np.random.default_rng(0)
    real = random.normal(size=(60, 2))
    found = two_sample_area(real, real + 0.5, interval=True)
    named = two_sample_area(real, real + 0.5, np.arange(60), 60 + np.arange(60), interval=True)
    assert found == named != two_sample_area(real, real + 0.5, np.arange(60), np.arange(60), interval=True)


def test_scores_of_two_folds_are_never_held_against_each_other() -> None:
    """Both folds are in perfect order, on scales of their own."""
    scores, fold = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])
    is_generated = np.array([False, True, False, True])
    assert classifiers._mean_area(scores, is_generated, fold) == 1.0
    assert area_under_curve(scores[is_generated], scores[~is_generated]) == 0.75
    assert classifiers._mean_area(scores[:3], is_generated[:3], fold[:3]) == 1.0, "a fold of one kind says nothing"


def test_groups_are_of_both_sets_and_enough() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="for both sets or for neither"):
        two_sample_area(rows, rows, group_M=np.arange(20))
    with pytest.raises(ValueError, match="at least 5 groups"):
        two_sample_area(rows, rows, np.arange(20) % 4, np.arange(20))


def test_training_on_samples_finds_labels_as_far_as_samples_show_them() -> None:
    random = np.random.default_rng(0)

    def clusters(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.integers(0, 4, count)
        return 20.0 * np.eye(4)[labels] + random.normal(size=(count, 4)), labels

    real, held_out = clusters(200), clusters(200)
    right, on_real = train_on_synthetic(clusters(200), real, held_out)
    assert right.value == on_real.value == 1.0
    confused, _ = train_on_synthetic((real[0], np.array([1, 0, 2, 3])[real[1]]), real, held_out)
    assert confused.value == (held_out[1] >= 2).mean(), "two of the classes that were asked for are the other's"
    assert confused.low < confused.value < confused.high
