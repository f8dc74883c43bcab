"""Threads are chosen by what they take here: the fewest that are nearly as quick as any."""

from __future__ import annotations

import time

import pytest
import torch

from beeline.train.config import TrainConfig
from beeline.train.machine import settle
from beeline.train.threads import choose_threads, counts_up_to, fewest_fast, seconds_by_count


def test_counts_double_up_to_all() -> None:
    assert [counts_up_to(most) for most in (1, 2, 3, 6, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_the_fewest_within_a_tenth_of_the_quickest() -> None:
    assert fewest_fast({1: 2.0, 2: 1.2, 4: 1.01, 8: 1.0}) == 4
    assert fewest_fast({1: 1.0, 2: 3.0}) == 1
    assert fewest_fast({1: 1.05, 2: 1.0}) == 1


def test_every_count_does_the_same_work_and_threads_are_as_before() -> None:
    before, seen = torch.get_num_threads(), []
    found = seconds_by_count([1, 2], lambda: seen.append(torch.get_num_threads()))
    assert torch.get_num_threads() == before
    assert seen.count(1) == seen.count(2) > 1
    assert min(found.values()) > 0


def test_threads_that_wait_for_one_another_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        def __call__(self) -> None:
            time.sleep(0.001 if torch.get_num_threads() == 1 else 0.01)

    monkeypatch.setattr("beeline.train.threads._Work", Waiting)
    chosen, why = choose_threads(2)
    assert chosen == 1
    assert why.startswith("measured: 2 take ")
    assert why.endswith("times as long, other processes hold cores")


def test_what_is_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beeline.train.threads._Work", None)
    config, choices = settle(TrainConfig(threads=2, device="cpu"))
    assert config.threads == 2
    assert "train.threads" not in [choice.name for choice in choices]
    assert choose_threads(1) == (1, "what torch finds here")


def test_measuring_leaves_the_random_numbers_as_they_are() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    choose_threads(2)
    assert torch.equal(torch.rand(2), expected)
