"""Tokenising moves numbers and changes none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from beeline.core.batching import collate, unbatch
from beeline.core.errors import UserError
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer


@st.composite
def grids(draw: st.DrawFn) -> tuple[GridTokenizer, Tensor]:
    axes = draw(st.integers(1, 3))
    patch = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    extents = tuple(draw(st.integers(1, 9)) for _ in range(axes))
    channels = draw(st.integers(1, 4))
    count = channels
    for extent in extents:
        count *= extent
    return GridTokenizer(patch, channels), torch.arange(1.0, count + 1).reshape(*extents, channels)


@given(grids())
def test_decoding_gives_every_array_back_exactly(case: tuple[GridTokenizer, Tensor]) -> None:
    tokenizer, array = case
    tokens = tokenizer.encode(array)
    assert tokens.values.shape[-1] == tokenizer.width
    assert torch.equal(tokenizer.decode(tokens), array)


@given(grids())
def test_tokens_are_a_permutation_of_the_numbers_and_zeros_of_the_padding(case: tuple[GridTokenizer, Tensor]) -> None:
    tokenizer, array = case
    values = tokenizer.encode(array).values.flatten()
    assert torch.equal(values[values > 0].sort().values, array.flatten().sort().values)
    assert (values >= 0).all()


@given(grids(), st.integers(1, 3))
def test_lifting_puts_aligned_arrays_under_the_same_tokens(case: tuple[GridTokenizer, Tensor], channels: int) -> None:
    tokenizer, array = case
    assert torch.equal(tokenizer.lift(array), tokenizer.encode(array).values)
    beside = array[..., :1].expand(*array.shape[:-1], channels) * 2
    lifted = tokenizer.lift(beside)
    assert lifted.shape[-1] == tokenizer.lift_width(channels)
    own = tokenizer.encode(array).values.unflatten(-1, (-1, tokenizer.channels))[..., :1]
    assert torch.equal(lifted.unflatten(-1, (-1, channels)), 2 * own.expand(*own.shape[:-1], channels))


def test_order_is_row_major_and_channel_last() -> None:
    array = torch.arange(4 * 6 * 2.0).reshape(4, 6, 2)
    values = GridTokenizer((2, 3), 2).encode(array).values[0]
    assert values.shape == (4, 12)
    assert torch.equal(values[1], array[0:2, 3:6].flatten())
    assert torch.equal(values[2], array[2:4, 0:3].flatten())


def test_what_fills_the_last_patch_is_told_from_data() -> None:
    cells = GridTokenizer((4,)).encode(torch.ones(5, 1)).cells
    assert cells is not None
    assert cells[0].int().tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert GridTokenizer((4,)).encode(torch.ones(8, 1)).cells is None


def test_e24_a_patch_size_per_axis_counts_the_tokens() -> None:
    """E24: 2x2 patches of a 32x32 latent are 256 tokens; of 256x256 pixels 16,384; 4x4 of 128x128 are 1,024."""
    for extents, patch, tokens in (((32, 32), (2, 2), 256), ((256, 256), (2, 2), 16384), ((128, 128), (4, 4), 1024)):
        assert GridTokenizer(patch).blank(extents).values.shape[1] == tokens
    assert GridTokenizer((2, 4, 8)).blank((4, 8, 8)).layout[0].extents == (2, 2, 1)


def test_a_mask_of_channels_is_fitted_to_a_sample() -> None:
    tokenizer = GridTokenizer((2, 2), 3)
    blank = tokenizer.blank((4, 6))
    lifted = tokenizer.lift(torch.tensor([1.0, 0.0, 1.0]).view(1, 1, 3), blank)
    assert torch.equal(lifted, torch.tensor([1.0, 0.0, 1.0]).repeat(4).expand(1, 6, 12))


def test_ragged_arrays_come_back_from_a_batch() -> None:
    tokenizer = GridTokenizer((3,), 2)
    arrays = [torch.randn(length, 2) for length in (1, 7, 9)]
    batch = collate([tokenizer.encode(array) for array in arrays])
    for array, single in zip(arrays, unbatch(batch), strict=True):
        assert torch.equal(tokenizer.decode(single), array)


@pytest.mark.parametrize(
    "array", [torch.zeros(4, 4), torch.zeros(4, 4, 3), torch.zeros(2, 4, 4, 1), torch.zeros(0, 4, 1)]
)
def test_arrays_that_do_not_fit_are_refused(array: Tensor) -> None:
    with pytest.raises(UserError, match="does not fit: need 2 axes"):
        GridTokenizer((2, 2)).encode(array)


def test_a_period_is_counted_in_tokens_and_needs_whole_patches() -> None:
    tokenizer = GridTokenizer((2, 3), periodic=(True, False))
    assert tokenizer.encode(torch.zeros(8, 7, 1)).layout[0].period == (4.0, None)
    assert GridTokenizer((2, 3)).encode(torch.zeros(8, 7, 1)).layout[0].period == ()
    with pytest.raises(UserError, match="a periodic axis of 9 cells does not divide into patches of 2"):
        tokenizer.encode(torch.zeros(9, 6, 1))
    with pytest.raises(UserError, match="say true or false for each of 2 axes"):
        GridTokenizer((2, 3), periodic=(True,))


def test_impossible_tokenizers_are_refused() -> None:
    for patch, channels in (((), 1), ((0,), 1), ((2,), 0)):
        with pytest.raises(UserError, match="must be whole numbers above 0"):
            GridTokenizer(patch, channels)
    with pytest.raises(UserError, match="shape 8: this data has 2 axes"):
        GridTokenizer((2, 2)).blank((8,))


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_sets_come_back_with_what_was_absent_still_absent(present: list[bool]) -> None:
    vector = torch.where(torch.tensor(present), torch.arange(1.0, len(present) + 1), float("nan"))
    tokenizer = SetTokenizer(len(present))
    tokens = tokenizer.encode(vector)
    assert tokens.ids is not None
    assert tokens.coords is None
    assert tokens.values.shape == (1, sum(present), 1)
    assert torch.equal(torch.nan_to_num(tokenizer.decode(tokens)), torch.nan_to_num(vector))
    assert torch.equal(torch.isnan(tokenizer.decode(tokens)), torch.isnan(vector))
    lifted = tokenizer.lift(torch.arange(1.0, len(present) + 1) * 10, tokens)
    assert torch.equal(lifted, tokens.values * 10)


def test_sets_that_cannot_be_used_are_refused() -> None:
    tokenizer = SetTokenizer(3)
    with pytest.raises(UserError, match="does not fit"):
        tokenizer.encode(torch.zeros(4))
    with pytest.raises(UserError, match="without a single measured entry"):
        tokenizer.encode(torch.full((3,), float("nan")))
    with pytest.raises(UserError, match="must differ"):
        tokenizer.blank((1, 1))
    with pytest.raises(UserError, match="must differ and lie between 0 and 2"):
        tokenizer.blank((3,))


def test_identities_that_go_together_are_known_by_it() -> None:
    """Of numbers that follow two factors, loadings are alike within a factor and foreign between them."""
    random = np.random.default_rng(0)
    factors = random.normal(size=(500, 2)) * np.array([2.0, 1.0])
    follows = np.array([0, 1, 0, 1, 1, 0, 0])
    arrays = [torch.from_numpy(row[follows] + 0.1 * random.normal(size=7)) for row in factors]
    fitted = SetTokenizer(7, components=2).fit(arrays)
    known = fitted.kinship()
    assert known is not None
    assert known.shape == (7, 2)
    assert (known**2).mean(dim=0).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    unit = known / known.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(unit @ unit.T, follows[:, None] == follows, atol=0.05)
    assert SetTokenizer(7).fit(arrays).kinship() is None
    few = SetTokenizer(7, components=5).fit([torch.ones(7), -torch.ones(7)]).kinship()
    assert few is not None
    assert few.shape == (7, 1), "vectors along a line have one component"
