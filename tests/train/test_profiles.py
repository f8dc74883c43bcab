"""Power-function averages: their exact profiles, and what rebuilding one from a few kept ones costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beeline.train import profiles
from beeline.train.profiles import NARROWEST, TRACK_WIDTHS, WIDEST, combine, decay, exponent, is_kept

WIDTHS = np.linspace(NARROWEST, WIDEST, 31).tolist()


def kept_steps(steps: int, count: int = 16) -> list[int]:
    return [step for step in range(1, steps + 1) if is_kept(step, steps, count)]


def both_tracks(steps: list[int]) -> list[tuple[float, int]]:
    return [(width, step) for step in steps for width in TRACK_WIDTHS]


def updated(width: float, updates: int, steps: int) -> np.ndarray:
    """Shares of the weights of each of ``steps`` steps after some updates, by making every one of them."""
    shares = np.zeros(steps)
    for number in range(1, updates + 1):
        beta = (1 - 1 / number) ** (exponent(width) + 1)
        shares *= beta
        shares[number - 1] += 1 - beta
    return shares


@given(st.floats(0.01, 0.28))
def test_the_exponent_gives_the_width_back(width: float) -> None:
    gamma = exponent(width)
    assert (gamma + 1) ** 0.5 / (gamma + 2) / (gamma + 3) ** 0.5 == pytest.approx(width, rel=1e-9)


def test_exponents_are_those_of_the_paper() -> None:
    assert exponent(0.05) == pytest.approx(16.97, abs=0.01)
    assert exponent(0.10) == pytest.approx(6.94, abs=0.01)


def test_the_width_is_the_standard_deviation_of_the_profile() -> None:
    for width in (0.05, 0.1, 0.2):
        shares = updated(width, 2000, 2000)
        time = (np.arange(2000) + 0.5) / 2000
        mean = shares @ time
        assert np.sqrt(shares @ (time - mean) ** 2) == pytest.approx(width, rel=1e-3)


@pytest.mark.parametrize("width", [*TRACK_WIDTHS, 0.2])
def test_the_updates_give_the_integral_of_the_profile_over_each_step(width: float) -> None:
    """The first update forgets the random start: its share is 1."""
    edges = (np.arange(301) / 300) ** (exponent(width) + 1)
    np.testing.assert_allclose(updated(width, 300, 300), np.diff(edges), rtol=1e-9, atol=1e-15)
    assert decay(width, 1) == 0
    assert decay(width, 7) == pytest.approx((6 / 7) ** (exponent(width) + 1))


def test_the_error_is_that_of_the_very_updates_a_run_makes() -> None:
    steps, kept = 200, [60, 110, 150, 200]
    found = combine(WIDTHS, steps, both_tracks(kept))
    basis = np.stack([updated(width, at, steps) for width, at in both_tracks(kept)], axis=1)
    for column, width in enumerate(WIDTHS):
        exact = updated(width, steps, steps)
        error = np.linalg.norm(basis @ found.coefficients[:, column] - exact) / np.linalg.norm(exact)
        assert found.errors[column] == pytest.approx(error, rel=1e-6, abs=1e-12)
        nudged = basis @ (found.coefficients[:, column] + 1e-3 * np.eye(8)[0] - 1e-3 * np.eye(8)[3])
        assert np.linalg.norm(nudged - exact) / np.linalg.norm(exact) > error


@pytest.mark.parametrize("steps", [1, 2, 5, 15, 16, 17, 30, 40, 100, 777, 1200, 4096, 4097, 20000, 10**6])
def test_every_width_is_within_three_per_cent_at_the_end_of_a_run_of_any_length(steps: int) -> None:
    kept = [-(-number * steps // 16) for number in range(1, 17)]
    assert combine(WIDTHS, steps, both_tracks(sorted(set(kept)))).errors.max() < 0.03


def test_runs_of_up_to_twenty_steps_lose_nothing() -> None:
    for steps in range(1, 21):
        assert combine(WIDTHS, steps, both_tracks(kept_steps(steps))).errors.max() < 1e-9


def test_the_tracks_themselves_come_back_exactly() -> None:
    found = combine(TRACK_WIDTHS, 1200, both_tracks(kept_steps(1200)))
    assert found.errors.max() < 1e-12
    np.testing.assert_allclose(found.coefficients[-2:], np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.coefficients[:-2], 0, atol=1e-9)


def test_the_two_final_tracks_alone_are_not_enough() -> None:
    errors = combine([0.05, 0.07, 0.10, 0.15, 0.20], 1200, both_tracks([1200])).errors
    assert errors[[0, 2]].max() < 1e-12
    assert errors[[1, 3, 4]].min() > 0.03
    assert errors[4] > 0.18


@given(st.sets(st.integers(1, 119), max_size=6), st.integers(1, 119))
def test_one_more_snapshot_never_makes_it_worse(steps: set[int], more: int) -> None:
    fewer = combine(WIDTHS, 120, both_tracks(sorted({*steps, 120}))).errors
    assert (combine(WIDTHS, 120, both_tracks(sorted({*steps, more, 120}))).errors <= fewer + 1e-9).all()


def test_coefficients_add_up_to_one_so_that_weights_at_rest_stay() -> None:
    for steps in (3, 40, 1200, 10**5):
        kept = sorted({-(-number * steps // 16) for number in range(1, 17)})
        np.testing.assert_allclose(combine(WIDTHS, steps, both_tracks(kept)).coefficients.sum(0), 1, atol=1e-12)


def test_a_long_run_agrees_with_the_closed_form_of_the_paper() -> None:
    """Appendix C: <p_a, p_b> = (a + 1)(b + 1) t_a^b / ((a + b + 1) t_b^(b + 1)) for t_a <= t_b, normal equations."""
    steps, widths = 10**6, [0.07, 0.13, 0.2]
    kept = both_tracks([number * steps // 16 for number in range(1, 17)])

    def product(one: tuple[float, float], other: tuple[float, float]) -> float:
        (a, s), (b, t) = sorted([(exponent(w), at / steps) for w, at in (one, other)], key=lambda each: each[1])
        return (a + 1) * (b + 1) * s**b / ((a + b + 1) * t ** (b + 1))

    gram = np.array([[product(one, other) for other in kept] for one in kept])
    for width, error in zip(widths, combine(widths, steps, kept).errors, strict=True):
        right = np.array([product(one, (width, steps)) for one in kept])
        norm = product((width, steps), (width, steps))
        free = np.sqrt((norm - right @ np.linalg.solve(gram, right)) / norm)
        assert free <= error <= 1.03 * free


def test_long_runs_are_told_as_well_in_intervals_as_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = both_tracks(kept_steps(6000))
    coarse = combine(WIDTHS, 6000, kept)
    monkeypatch.setattr(profiles, "_MOST_INTERVALS", 6000)
    np.testing.assert_allclose(coarse.errors, combine(WIDTHS, 6000, kept).errors, rtol=1e-3, atol=1e-9)


def test_uneven_intervals_do_not_change_the_norm_of_a_profile() -> None:
    """Its square is (gamma + 1)^2 / ((2 gamma + 1) t)."""
    fine, coarse = np.arange(0, 70000, 10.0), np.arange(70000, 100001, 40.0)
    gamma = exponent(0.1)
    square = (profiles._profile(0.1, 10**5, np.concatenate([fine, coarse])) ** 2).sum()
    assert square == pytest.approx((gamma + 1) ** 2 / ((2 * gamma + 1) * 10**5), rel=1e-3)


@given(st.integers(1, 500), st.integers(16, 40))
def test_kept_steps_are_even_and_end_with_the_run(steps: int, count: int) -> None:
    kept = kept_steps(steps, count)
    assert len(kept) == min(steps, count)
    assert kept[-1] == steps
    gaps = {later - earlier for earlier, later in itertools.pairwise([0, *kept])}
    assert max(gaps) - min(gaps) <= 1
