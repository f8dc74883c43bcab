"""Draws are functions of (seed, purpose, sample number, element) and have the right distribution."""

from __future__ import annotations

import math

import pytest
import torch

from beeline.core.random import Key, permutation, philox

# Random123's known answers for philox4x32-10 (Salmon et al. 2011): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    assert tuple(int(word) for word in philox((c0, c1, c2, c3), key)) == expected
    a0, a1, a2, a3 = (each.numpy() for each in (c0, c1, c2, c3))
    assert tuple(int(word[0]) for word in philox((a0, a1, a2, a3), key)) == expected


def test_draws_have_the_words_of_their_counters() -> None:
    numbers = torch.tensor([0, 5, 2**31, 2**40 + 3])
    key = Key(3, numbers, "noise")
    block = torch.arange(2).expand(4, 2)
    low, high = (numbers % 2**32)[:, None].expand(4, 2), (numbers // 2**32)[:, None].expand(4, 2)
    words = torch.stack(philox((block, torch.zeros_like(block), low, high), key._secret()), dim=-1).flatten(1)
    assert torch.equal(key.uniform(7), (words[:, :7].double() + 0.5) / 2**32)


@pytest.mark.parametrize("elements", [1, 7, 64, 257])
def test_a_sample_meets_the_same_draws_in_any_batch(elements: int) -> None:
    whole = Key.range(3, 0, 50).fold("noise")
    for start, count in ((0, 1), (7, 13), (49, 1), (20, 30)):
        part = Key.range(3, start, count).fold("noise")
        for draw in ("uniform", "normal"):
            expected = getattr(whole, draw)(elements)[start : start + count].float()
            assert torch.equal(getattr(part, draw)(elements).float(), expected)


def test_more_elements_continue_the_same_stream() -> None:
    key = Key.range(0, 5, 3)
    assert torch.equal(key.normal(10).float(), key.normal(40)[:, :10].float())


def test_seed_purpose_and_number_each_give_another_stream() -> None:
    base = Key(1, torch.tensor([5])).fold("noise")
    others = [
        Key(2, torch.tensor([5])).fold("noise"),
        Key(1, torch.tensor([6])).fold("noise"),
        Key(1, torch.tensor([5 + 2**32])).fold("noise"),
        Key(1, torch.tensor([5])).fold("time"),
        Key(1, torch.tensor([5])).fold("noise", 1),
    ]
    draws = [key.uniform(8) for key in (base, *others)]
    for index, one in enumerate(draws):
        for other in draws[index + 1 :]:
            assert not torch.equal(one, other)


def test_draws_are_uniform_and_normal_and_uncorrelated() -> None:
    key = Key.range(0, 0, 2000)
    uniform, normal = key.uniform(100), key.normal(100)
    assert uniform.min() > 0
    assert uniform.max() < 1
    for draws, cumulative in ((uniform, lambda x: x), (normal, torch.special.ndtr)):
        ordered = cumulative(draws.flatten().sort().values)
        distance = (ordered - (torch.arange(ordered.numel()) + 0.5) / ordered.numel()).abs().max()
        assert distance < 1.95 / math.sqrt(ordered.numel())  # Kolmogorov-Smirnov at 0.1 %
    for shifted in (normal[1:] * normal[:-1], normal[:, 1:] * normal[:, :-1]):
        assert shifted.mean().abs() < 4 / math.sqrt(shifted.numel())


def test_uniform_draws_lie_amid_their_cells_and_so_are_never_0_or_1() -> None:
    """Word k of 2^32 becomes (k + 1/2) / 2^32, so that ln u is finite even for a word of 0, too rare to wait for."""
    cells = Key.range(0, 0, 50).uniform(20) * 2.0**32
    assert torch.equal(cells, cells.floor() + 0.5)


def test_a_permutation_is_complete_and_named_by_its_epoch() -> None:
    first, again, second = (permutation(0, "order", epoch, 100) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert sorted(first.tolist()) == list(range(100))
