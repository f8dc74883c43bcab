"""Batching is bookkeeping: no number may move, and every token must know its sample."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from beeline.core.batching import collate, first_fit, pack, unbatch
from beeline.core.tokens import Layout, Tokens, expand

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def ragged(lengths: list[int], seed: int = 0) -> list[Tokens]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Tokens(
            torch.randn(1, length, 3, generator=generator),
            coords=torch.rand(1, length, 2, generator=generator),
            ids=torch.randint(0, 50, (1, length), generator=generator),
            layout=(Layout((length,), (length,)),),
        )
        for length in lengths
    ]


def assert_same(left: Tokens, right: Tokens) -> None:
    assert torch.equal(left.values, right.values)
    assert left.layout == right.layout
    for name in ("coords", "ids"):
        one, other = getattr(left, name), getattr(right, name)
        assert one is not None
        assert torch.equal(one, other)


@given(LENGTHS, st.integers(0, 5))
def test_collating_and_packing_can_be_undone(lengths: list[int], spare: int) -> None:
    samples = ragged(lengths)
    for join in (collate, pack):
        batch = join(samples, max(lengths) + spare)
        assert batch.samples == len(lengths)
        for before, after in zip(samples, unbatch(batch), strict=True):
            assert_same(before, after)


@given(LENGTHS)
def test_packed_rows_hold_every_token_once_and_padding_nothing(lengths: list[int]) -> None:
    batch = pack(ragged(lengths))
    assert batch.segment is not None
    assert batch.keep is not None
    assert [int((batch.segment == index).sum()) for index in range(len(lengths))] == lengths
    assert torch.equal(batch.keep, batch.segment >= 0)
    assert (batch.values[~batch.keep] == 0).all()


@given(LENGTHS, st.integers(0, 5))
def test_samples_and_what_fills_rows_begin_where_they_are_said_to(lengths: list[int], spare: int) -> None:
    for batch in (pack(ragged(lengths), max(lengths) + spare), pack(ragged(lengths), max(lengths) + spare).doubled()):
        assert batch.segment is not None
        (starts,) = (each for each in [batch.starts()] if each is not None)
        assert (starts.dtype, len(starts)) == (torch.int32, batch.samples + len(batch.segment) + 1)
        size, found = batch.segment.shape[1], list[int]()
        for begin, end in pairwise(starts.tolist()):
            owners = set(batch.segment.flatten()[begin:end].tolist())
            assert len(owners) <= 1, "one sample, or what fills one row"
            found += owners - {-1}
            assert begin == end or begin // size == (end - 1) // size
        assert sorted(found) == list(range(batch.samples))
        assert starts.tolist()[-1] == batch.segment.numel()
    assert collate(ragged(lengths)).starts() is None


@given(LENGTHS, st.integers(0, 5))
def test_every_sample_lies_in_the_first_row_that_has_room(lengths: list[int], spare: int) -> None:
    room = max(lengths) + spare
    rows = first_fit(lengths, room)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    for place, row in enumerate(rows):
        for index in row:
            before = [sum(lengths[each] for each in other if each < index) for other in rows[: place + 1]]
            assert [taken + lengths[index] <= room for taken in before] == [False] * place + [True]


@given(LENGTHS)
def test_position_counts_from_zero_within_each_sample(lengths: list[int]) -> None:
    for batch in (pack(ragged(lengths)), collate(ragged(lengths))):
        places = unbatch(batch.with_values(batch.position()[..., None].float()))
        for sample, length in zip(places, lengths, strict=True):
            assert sample.values[0, :, 0].tolist() == list(range(length))


@given(LENGTHS)
def test_sample_mean_is_over_real_tokens_alone_however_they_are_batched(lengths: list[int]) -> None:
    samples = ragged(lengths)
    expected = torch.stack([sample.values.mean() for sample in samples])
    for batch in (collate(samples, max(lengths) + 2), pack(samples, max(lengths) + 2)):
        assert batch.keep is not None
        poisoned = torch.where(batch.keep[..., None], batch.values, 1e3)
        torch.testing.assert_close(batch.sample_mean(poisoned), expected)


def test_e08_a_per_sample_value_goes_to_its_sample_even_when_batch_and_length_agree() -> None:
    """E8: (B, D) against (B, L, D) with B = L broadcasts over tokens, silently wrong."""
    per_sample = torch.arange(4.0)[:, None].expand(4, 5)
    spread = expand(per_sample, None) + torch.zeros(4, 4, 5)
    for sample in range(4):
        assert (spread[sample] == sample).all()


def test_expanding_follows_the_segments_of_packed_rows() -> None:
    batch = pack(ragged([2, 3, 4]), 5)
    assert batch.segment is not None
    spread = batch.expand(torch.tensor([10.0, 20.0, 30.0]))[..., 0]
    for row in range(spread.shape[0]):
        for column in range(5):
            owner = int(batch.segment[row, column])
            if owner >= 0:
                assert spread[row, column] == 10.0 * (owner + 1)


def test_doubling_keeps_the_two_halves_apart() -> None:
    batch = pack(ragged([2, 3, 1]), 4)
    twice = batch.doubled()
    assert twice.samples == 6
    singles = unbatch(twice)
    for first, second in zip(singles[:3], singles[3:], strict=True):
        assert_same(first, second)


def test_numbers_that_only_fill_a_patch_count_nowhere() -> None:
    cells = torch.tensor([[True, True, False]])
    odd = Tokens(
        torch.ones(1, 2, 3), cells=torch.stack([torch.ones(1, 3).bool(), cells], dim=1), layout=(Layout((2,), (5,)),)
    )
    whole = Tokens(torch.ones(1, 1, 3), layout=(Layout((1,), (3,)),))
    for join in (collate, pack):
        batch = join([odd, whole], 4)
        errors = torch.where(batch.only_data(torch.ones_like(batch.values)) > 0, 2.0, 1e6)
        torch.testing.assert_close(batch.sample_mean(errors), torch.tensor([2.0, 2.0]))
        torch.testing.assert_close(batch.channel_means(errors), torch.full((2, 3), 2.0))
        assert batch.only_data(torch.ones_like(batch.values)).sum() == 5 + 3
        first, second = unbatch(batch)
        assert first.cells is not None
        assert int(first.cells.sum()) == 5
        assert second.cells is None


def test_coordinates_that_all_samples_share_stay_one_tensor() -> None:
    coords = torch.rand(1, 4, 2)
    batch = collate([Tokens(torch.randn(1, 4, 1), coords=coords) for _ in range(8)])
    assert batch.coords is not None
    assert batch.coords.shape == (8, 4, 2)
    assert batch.coords.stride(0) == 0
    for other in (batch.to("cpu"), batch.doubled()):
        assert other.coords is not None
        assert other.coords.stride(0) == 0
        assert other.coords.shape[0] == other.values.shape[0]
        assert torch.equal(other.coords[0], coords[0])


@pytest.mark.parametrize("join", [collate, pack])
def test_rows_too_short_for_a_sample_are_refused(join: object) -> None:
    with pytest.raises(ValueError, match="cannot hold a sample of 5"):
        join(ragged([2, 5]), 4)  # type: ignore[operator]


def test_periods_stay_in_their_place() -> None:
    """What a GPU has recorded reads them there."""

    def periods(period: float) -> torch.Tensor:
        layout = Layout((4,), (4,), (period,))
        found = Tokens(torch.zeros(2, 4, 1), layout=(layout, layout)).periods()
        assert found is not None
        return found

    first = periods(4.0)
    others = [periods(5.0 + other) for other in range(100)]
    assert periods(4.0) is first
    assert [float(each) for each in others] == [5.0 + other for other in range(100)]
