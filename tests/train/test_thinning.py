"""Samples seen in part: which tokens, how often, and what a loss over them is on average."""

from __future__ import annotations

import pytest
import torch

from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.data.normalisers import Standardise
from beeline.model.codec import Codec
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer
from beeline.train.thinning import check_thinned, thinned

SET = SetTokenizer(6)
TOKENS = SET.encode(torch.arange(6.0) ** 2).rows(torch.zeros(4000, dtype=torch.int64))
KEY = Key.range(0, 0, 4000)


def test_tokens_keep_their_numbers_and_no_identity_comes_twice() -> None:
    seen = thinned(TOKENS, KEY, 2)
    assert seen.ids is not None
    assert seen.values.shape == (4000, 2, 1)
    assert torch.equal(seen.values[..., 0], seen.ids.float() ** 2)
    assert (seen.ids[:, 0] < seen.ids[:, 1]).all()
    assert thinned(TOKENS, KEY, 6) is TOKENS


def test_a_loss_over_a_subset_is_that_over_all_on_average() -> None:
    """Each pair of identities is as probable as any other, so that means over a subset are unbiased."""
    seen = thinned(TOKENS, KEY, 2)
    assert seen.ids is not None
    pairs = torch.bincount(seen.ids[:, 0] * 6 + seen.ids[:, 1], minlength=36).reshape(6, 6)
    upper = pairs[torch.triu(torch.ones(6, 6), 1).bool()]
    expected = 4000 / 15
    chi_square = ((upper - expected) ** 2 / expected).sum()
    assert chi_square < 36.1, "the 99.9 % quantile with 14 degrees of freedom"
    losses, whole = seen.sample_mean(seen.values), TOKENS.sample_mean(TOKENS.values)
    error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() - whole.mean()) < 4 * error


def test_what_is_drawn_depends_on_the_sample_alone_and_padding_is_left_out() -> None:
    seen = thinned(TOKENS, KEY, 2)
    part = thinned(TOKENS.rows(torch.arange(5)), Key.range(0, 7, 5), 2)
    assert seen.ids is not None
    assert part.ids is not None
    assert torch.equal(part.ids, seen.ids[7:12])
    keep = torch.tensor([True, False, True, False, False, False]).expand(4000, -1)
    padded = thinned(type(TOKENS)(TOKENS.values, ids=TOKENS.ids, keep=keep, layout=TOKENS.layout), KEY, 2)
    assert padded.ids is not None
    assert set(padded.ids.flatten().tolist()) == {0, 2}


def test_what_compares_whole_samples_is_refused() -> None:
    codec = Codec(Standardise(channels=False), SET, ())
    check_thinned(codec, packing=False, coupled=False)
    for packing, coupled, told in ((True, False, "packing"), (False, True, "coupling")):
        with pytest.raises(UserError, match=told):
            check_thinned(codec, packing, coupled)
    with pytest.raises(UserError, match="on a grid"):
        check_thinned(Codec(Standardise(), GridTokenizer((1,)), ()), packing=False, coupled=False)
