"""Order, splits and normalisers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beeline.core.errors import UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.data.normalisers import Pixels, Standardise
from beeline.data.order import Order
from beeline.data.splits import split_by_group


@given(st.integers(1, 30), st.integers(0, 200), st.integers(1, 50))
def test_the_example_of_a_number_does_not_depend_on_how_it_is_asked(size: int, start: int, count: int) -> None:
    whole = Order(size, seed=1).indices(0, start + count)
    assert Order(size, seed=1).indices(start, count) == whole[start:]
    stepwise = Order(size, seed=1)
    assert [stepwise.indices(number, 1)[0] for number in range(start + count)] == whole


@given(st.integers(1, 30), st.integers(0, 4))
def test_every_epoch_visits_every_example_once(size: int, epoch: int) -> None:
    assert sorted(Order(size, seed=0).indices(epoch * size, size)) == list(range(size))


def test_epochs_and_seeds_differ() -> None:
    order = Order(50, seed=0)
    assert order.indices(0, 50) != order.indices(50, 50)
    assert order.indices(0, 50) != Order(50, seed=1).indices(0, 50)


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=60).filter(lambda groups: len(set(groups)) > 1),
    st.floats(0.05, 0.6),
)
def test_groups_never_fall_apart(groups: list[int], share: float) -> None:
    try:
        training, held_out = split_by_group(groups, share)
    except UserError:
        return
    assert sorted(training + held_out) == list(range(len(groups)))
    assert not {groups[i] for i in training} & {groups[i] for i in held_out}
    assert training
    assert held_out


def test_the_split_of_a_group_does_not_depend_on_the_order_of_examples() -> None:
    groups = [f"speaker {i % 17}" for i in range(200)]
    _, held_out = split_by_group(groups, 0.25)
    shuffled = list(reversed(groups))
    _, again = split_by_group(shuffled, 0.25)
    assert {groups[i] for i in held_out} == {shuffled[i] for i in again}
    assert 0.2 < len(held_out) / 200 < 0.35


def test_a_split_that_leaves_a_side_empty_is_refused() -> None:
    for groups, share in (([1, 1, 1], 0.5), ([1, 2], 0.0)):
        with pytest.raises(UserError, match="need a group each; bring more data"):
            split_by_group(groups, share)


def test_pixels_come_back_to_the_last_one() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    scaled = Pixels().apply(every)
    assert scaled.dtype == np.float32
    assert (scaled.min(), scaled.max()) == (-1.0, 1.0)
    assert np.array_equal(Pixels().undo(scaled), every)
    assert np.array_equal(Pixels().undo(np.array([-3.0, 3.0])), np.array([0, 255], dtype=np.uint8))
    nearest = Pixels().undo(scaled + 0.49 / 127.5)
    assert np.array_equal(nearest, every), "values are rounded, not truncated"


def test_standardising_can_be_undone_and_kept() -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal([1e5, 10], [2e3, 0.1], size=(length, 2)) for length in (3, 8, 5)]
    arrays[0][0, 1] = np.nan
    fitted = Standardise().fit(arrays)
    cells = np.concatenate([fitted.apply(array) for array in arrays])
    np.testing.assert_allclose(np.nanmean(cells, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(cells, 0), 1, atol=1e-5)
    kept = rebuild_part(describe_part(fitted), "")
    for array in arrays:
        np.testing.assert_allclose(kept.undo(kept.apply(array)), array, rtol=1e-6)
    whole = Standardise(channels=False).fit(arrays)
    assert len(whole.mean) == 1


def test_channels_from_which_nothing_can_be_learned_are_refused() -> None:
    with pytest.raises(UserError, match="channel 1 of the training data is 7 everywhere"):
        Standardise().fit([np.array([[1.0, 7.0], [2.0, 7.0]])])
    with pytest.raises(UserError, match="channel 0 of the training data holds no number"):
        Standardise().fit([np.full((3, 1), np.nan)])


def test_pixels_are_bytes_and_nothing_else() -> None:
    for array in (np.full((2, 2, 1), 0.7), np.full((2, 2, 1), 60000, dtype=np.uint16)):
        with pytest.raises(UserError, match="Pixels are 8-bit"):
            Pixels().apply(array)


def test_a_group_too_large_for_the_share_is_passed_over_while_another_fits() -> None:
    """With one of 90 and ten of 1 a tenth was to be held out, and nine tenths were, at every other seed."""
    groups = ["large"] * 90 + [f"small {index}" for index in range(10)]
    for seed in range(8):
        training, held_out = split_by_group(groups, 0.1, seed)
        assert len(held_out) == 10
        assert set(range(90)) <= set(training)
    assert len(split_by_group(["a"] * 70 + ["b"] * 30, 0.1)[1]) == 30, "none fits: the closest"
    assert len(split_by_group(["a"] * 5 + ["b"] * 5 + ["c"] * 5, 0.2)[1]) == 5, "5 of 3 wanted is as near as none"


def test_a_group_of_just_twice_what_is_wanted_is_as_near_as_none() -> None:
    """Where 3 are wanted, 6 are 3 too many: held out where their group comes first, and passed over after no other."""
    groups = ["six"] * 6 + ["three"] * 3 + ["rest"] * 21
    sizes = {len(split_by_group(groups, 0.1, seed)[1]) for seed in range(20)}
    assert sizes == {3, 6}


def test_classes_are_held_out_by_their_share_and_rare_ones_not_before_common_ones() -> None:
    """A tenth of 100, of 20 and of 2 is 10, 2 and none: the first of each would be half of the rare class."""
    classes = ["common"] * 100 + ["some"] * 20 + ["rare"] * 2
    for seed in range(8):
        _, held_out = split_by_group(range(122), 0.1, seed, classes)
        counts = [sum(classes[index] == name for index in held_out) for name in ("common", "some", "rare")]
        assert counts[2] == 0
        assert abs(counts[0] - 10) <= 1
        assert abs(counts[1] - 2) <= 1
