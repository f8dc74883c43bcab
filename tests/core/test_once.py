"""A result is given again for the same objects alone, never where gradients flow, to no other thread and to no copy."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable

import torch

from beeline.core.once import Once


def counting() -> Callable[[], int]:
    computed = list[int]()

    def compute() -> int:
        computed.append(0)
        return len(computed)

    return compute


def test_the_same_objects_are_computed_once_and_equal_tensors_are_others() -> None:
    once, compute, one = Once[int](always=True), counting(), torch.ones(2)
    with torch.no_grad():
        assert [once.of([one, None, (1, 2)], compute) for _ in range(3)] == [1, 1, 1]
        assert once.of([one, None, tuple(map(int, (1.0, 2.0)))], compute) == 1, "what is no tensor is compared"
        assert once.of([one.clone(), None, (1, 2)], compute) == 2
        assert once.of([one, None, (1, 2)], compute) == 3, "the last one is kept alone"
        assert once.of([one, one, (1, 2)], compute) == 4
        assert once.of([one, one, (1, 3)], compute) == 5
        assert once.of([one, one], compute) == 6


def test_a_tensor_that_was_written_into_is_another() -> None:
    once, compute, one = Once[int](always=True), counting(), torch.ones(2)
    with torch.inference_mode():
        uncounted = torch.ones(2)
    with torch.no_grad():
        assert [once.of([one, uncounted], compute) for _ in range(2)] == [1, 1]
        one.add_(1)
        assert once.of([one, uncounted], compute) == 2


def test_nothing_is_kept_unasked_nor_where_gradients_flow() -> None:
    once, compute = Once[int](), counting()
    with torch.no_grad():
        assert [once.of([], compute), once.of([], compute)] == [1, 2]
    with once.keeping():
        with torch.no_grad():
            assert [once.of([], compute), once.of([], compute)] == [3, 3]
        assert not once.keeps
        assert [once.of([], compute), once.of([], compute)] == [4, 5]
        with once.keeping():
            pass
        with torch.no_grad():
            assert once.of([], compute) == 3, "the outer one still keeps"
    with torch.no_grad():
        assert not once.keeps
        with once.keeping():
            assert once.of([], compute) == 6, "what was kept is forgotten"


def test_periods_that_do_not_nest_end_with_the_last_of_them() -> None:
    once = Once[int]()
    one, other = once.keeping(), once.keeping()
    with torch.no_grad():
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        assert once.keeps
        other.__exit__(None, None, None)
        assert not once.keeps


def test_threads_and_copies_keep_results_of_their_own() -> None:
    once, seen = Once[int](), list[bool]()
    with once.keeping(), torch.no_grad():
        assert once.of([], lambda: 1) == 1
        thread = threading.Thread(target=lambda: seen.append(torch.no_grad()(lambda: once.keeps)()))
        thread.start()
        thread.join()
        for other in (copy.deepcopy(once), pickle.loads(pickle.dumps(once))):
            assert not other.keeps
            assert other.of([], lambda: 2) == 2
    assert seen == [False]
    with torch.no_grad():
        assert copy.deepcopy(Once[int](always=True)).keeps


def test_a_note_is_of_its_thread_and_of_its_while() -> None:
    once, seen = Once[int](), list[object]()
    with once.keeping("outer"):
        with once.keeping():
            assert once.note is None
        other = threading.Thread(target=lambda: seen.append(once.note))
        other.start()
        other.join()
        assert (once.note, seen) == ("outer", [None])
    assert once.note is None
