"""Gaussian random fields: their spectra and their cross-correlation are what was asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from beeline.data.gaussian import GaussianBox

BOX = GaussianBox((12, 18), box=9.0, bias=2.0, half=1.5)
LAW = (1.7, -2.0)
RANDOM = np.random.default_rng(0)
PAIRS = [BOX.pair(LAW, RANDOM) for _ in range(1500)]


def test_power_and_cross_correlation_of_every_mode_are_the_chosen_ones() -> None:
    first, second = (np.fft.fft2(np.stack([pair[side][..., 0] for pair in PAIRS])) for side in (0, 1))
    cells, volume = 12 * 18, 81.0
    for fields, bias in ((first, 1.0), (second, BOX.bias)):
        power = (abs(fields) ** 2).mean(axis=0) * volume / cells**2
        truth = bias**2 * BOX.power(*LAW)
        assert power[0, 0] == pytest.approx(0, abs=1e-20)
        ratio = (power / np.where(truth > 0, truth, 1)).ravel()[1:]
        assert ratio.mean() == pytest.approx(1, abs=0.01)
        assert abs(ratio - 1).max() < 6 / np.sqrt(
            len(PAIRS)
        )  # each mode's own error is a share 1/sqrt(n), or 2 where real
    cross = (first * second.conj()).mean(axis=0)
    own = np.sqrt((abs(first) ** 2).mean(axis=0) * (abs(second) ** 2).mean(axis=0))
    correlation = (cross / np.where(own > 0, own, 1)).ravel()[1:]
    assert abs(correlation - BOX.correlation().ravel()[1:]).max() < 6 / np.sqrt(len(PAIRS))


def test_the_amplitude_is_the_standard_deviation_and_the_slope_that_of_the_logarithm() -> None:
    assert np.std([x for x, _ in PAIRS]) == pytest.approx(LAW[0], rel=0.01)
    assert np.std([y for _, y in PAIRS]) == pytest.approx(BOX.bias * LAW[0], rel=0.01)
    modes, power = BOX.modes.ravel()[1:], BOX.power(*LAW).ravel()[1:]
    assert np.polyfit(np.log(modes), np.log(power), 1)[0] == pytest.approx(LAW[1])


def test_measuring_by_shells_finds_the_truth_and_sees_what_is_not() -> None:
    pairs = [(x, y, LAW) for x, y in PAIRS]
    power, correlation = BOX.measured(pairs, 4)
    assert power == pytest.approx(1, abs=0.05)
    assert correlation == pytest.approx(BOX.truth(4), abs=0.02)
    strangers = [(x, 1.5 * y, LAW) for (x, _), (_, y) in pairwise(PAIRS)]
    power, correlation = BOX.measured(strangers, 4)
    assert power == pytest.approx(2.25, abs=0.12)
    assert correlation == pytest.approx(0, abs=0.04)
