"""A result is given again for the same objects alone, and never where gradients flow."""

from __future__ import annotations

import torch

from beeline.core.once import Once


def test_the_same_objects_are_computed_once_and_equal_tensors_are_others() -> None:
    once, computed = Once[int](keeps=True), list[int]()

    def compute() -> int:
        computed.append(0)
        return len(computed)

    one = torch.ones(2)
    with torch.no_grad():
        assert [once.of([one, None, (1, 2)], compute) for _ in range(3)] == [1, 1, 1]
        assert once.of([one, None, tuple(map(int, (1.0, 2.0)))], compute) == 1, "what is no tensor is compared"
        assert once.of([one.clone(), None, (1, 2)], compute) == 2
        assert once.of([one, None, (1, 2)], compute) == 3, "the last one is kept alone"
        assert once.of([one, one, (1, 2)], compute) == 4
        assert once.of([one, one, (1, 3)], compute) == 5
        assert once.of([one, one], compute) == 6


def test_nothing_is_kept_unasked_nor_where_gradients_flow() -> None:
    once, computed = Once[int](), list[int]()

    def compute() -> int:
        computed.append(0)
        return len(computed)

    with torch.no_grad():
        assert [once.of([], compute), once.of([], compute)] == [1, 2]
        assert once.keep(True) is False
        assert [once.of([], compute), once.of([], compute)] == [3, 3]
    assert [once.of([], compute), once.of([], compute)] == [4, 5]
    assert not once.keeps
    with torch.no_grad():
        assert once.of([], compute) == 3
        assert once.keep(False) is True
        assert once.keep(True) is False
        assert once.of([], compute) == 6, "what was kept is forgotten"
