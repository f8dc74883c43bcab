"""Noise belongs to its sample: the same in any batch, padded or packed."""

from __future__ import annotations

import pytest
import torch

from beeline.core.batching import collate, pack, unbatch
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.core.tokens import Layout, Tokens
from beeline.process.sources import Gaussian, Population, ZeroMean


def blanks(lengths: list[int]) -> list[Tokens]:
    return [Tokens(torch.zeros(1, length, 3), layout=(Layout((length,), (length,)),)) for length in lengths]


@pytest.mark.parametrize("source", [Gaussian(), ZeroMean()])
def test_a_sample_gets_the_same_noise_alone_padded_and_packed(source: Gaussian | ZeroMean) -> None:
    lengths = [4, 7, 1, 5]
    samples = blanks(lengths)
    alone = [source.sample(one, Key.range(0, index, 1)) for index, one in enumerate(samples)]
    for join in (collate, pack):
        batch = join(samples, 9)
        noise = unbatch(batch.with_values(source.sample(batch, Key.range(0, 0, 4))))
        for one, expected in zip(noise, alone, strict=True):
            torch.testing.assert_close(one.values, expected, rtol=0, atol=1e-6 if isinstance(source, ZeroMean) else 0)


def test_gaussian_noise_is_standard() -> None:
    noise = Gaussian().sample(Tokens(torch.zeros(2000, 10, 3)), Key.range(0, 0, 2000))
    assert noise.mean().abs() < 0.02
    assert noise.std().item() == pytest.approx(1, abs=0.01)
    assert noise.dtype == torch.float32


def test_zero_mean_noise_has_no_centre_and_is_gaussian_beside_it() -> None:
    lengths = [4, 7, 2]
    batch = collate(blanks(lengths), 9)
    for one in unbatch(batch.with_values(ZeroMean().sample(batch, Key.range(0, 0, 3)))):
        torch.testing.assert_close(one.values.sum(dim=1), torch.zeros(1, 3), rtol=0, atol=1e-5)
    many = ZeroMean().sample(Tokens(torch.zeros(4000, 5, 1)), Key.range(0, 0, 4000))
    assert many.var().item() == pytest.approx(1 - 1 / 5, abs=0.02)


def test_a_population_gives_each_sample_one_of_its_members() -> None:
    members = torch.arange(5.0)[:, None, None].expand(5, 4, 3).clone()
    source, like = Population(members), Tokens(torch.zeros(2000, 4, 3))
    drawn = source.sample(like, Key.range(0, 0, 2000))
    assert torch.equal(drawn, drawn[:, :1, :1].expand_as(drawn)), "whole members, not numbers of several"
    share = drawn[:, 0, 0].long().bincount(minlength=5) / 2000
    assert (share - 0.2).abs().max() < 0.04
    assert torch.equal(source.sample(Tokens(like.values[:7]), Key.range(0, 90, 7)), drawn[90:97])
    assert not torch.equal(source.sample(like, Key.range(1, 0, 2000)), drawn)
    again = Population(torch.zeros_like(members))
    again.load_state_dict(source.state_dict())
    assert torch.equal(again.sample(like, Key.range(0, 0, 2000)), drawn)


def test_a_population_is_refused_where_it_has_no_member_of_that_form() -> None:
    source = Population(torch.zeros(5, 4, 3))
    packed = pack(blanks([4]), 4)
    packed = Tokens(torch.zeros(1, 4, 3), segment=torch.zeros(1, 4, dtype=torch.long), layout=packed.layout)
    for like in (Tokens(torch.zeros(2, 6, 3)), packed):
        with pytest.raises(UserError, match="its members are 4 x 3 numbers each"):
            source.sample(like, Key.range(0, 0, 1))
