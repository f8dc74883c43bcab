"""Proper scores against their exact expectations: over every ensemble that can be drawn, and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from beeline.metrics.scores import biased_crps, fair_crps, fair_energy_score

VALUES = np.array([0.0, 1.0, 3.0, 3.5])
POINTS = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]])


def every_ensemble(values: np.ndarray, members: int) -> np.ndarray:
    """All draws with replacement of that many equally likely values."""
    return values[np.array(list(itertools.product(range(len(values)), repeat=members)))]


@pytest.mark.parametrize("members", [2, 3, 4, 5])
@pytest.mark.parametrize("observed", [-1.0, 0.7, 3.0])
def test_the_mean_of_the_fair_crps_does_not_depend_on_m(members: int, observed: float) -> None:
    """Over all 4^m ensembles it is E|X - y| - 1/2 E|X - X'|, exactly; the biased one is E|X - X'| / (2m) above."""
    ensembles = every_ensemble(VALUES, members)
    spread = np.abs(VALUES[:, None] - VALUES).mean()
    truth = np.abs(VALUES - observed).mean() - spread / 2
    seen = np.full(len(ensembles), observed)
    assert fair_crps(ensembles, seen).mean() == pytest.approx(truth, abs=1e-12)
    assert biased_crps(ensembles, seen).mean() == pytest.approx(truth + spread / (2 * members), abs=1e-12)


@pytest.mark.parametrize("members", [2, 3, 5])
def test_the_mean_of_the_fair_energy_score_does_not_depend_on_m(members: int) -> None:
    ensembles, observed = every_ensemble(POINTS, members), np.array([1.0, 1.0])
    spread = np.linalg.norm(POINTS[:, None] - POINTS, axis=-1).mean()
    truth = np.linalg.norm(POINTS - observed, axis=-1).mean() - spread / 2
    found = fair_energy_score(ensembles, np.tile(observed, (len(ensembles), 1)))
    assert found.mean() == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("members", [2, 8])
def test_e30_a_perfect_ensemble_has_the_exact_score_whatever_its_size(members: int) -> None:
    """Trap 6 of the domains: 1 / sqrt pi = 0.564, where the biased form gives 0.845 for two draws, 0.634 for eight.

    And an ensemble whose variance has collapsed, as that of E30, is worse by what it leaves out.
    """
    random = np.random.default_rng(0)
    draws, truth = random.normal(size=(40000, members)), random.normal(size=40000)
    exact = 1 / math.sqrt(math.pi)
    assert fair_crps(draws, truth).mean() == pytest.approx(exact, abs=0.012)
    assert biased_crps(draws, truth).mean() == pytest.approx(exact * (1 + 1 / members), abs=0.012)
    collapsed = math.sqrt(2 / math.pi) * math.sqrt(1 + 0.3**2) - 0.3 / math.sqrt(math.pi)
    assert fair_crps(0.3 * draws, truth).mean() == pytest.approx(collapsed, abs=0.012)
    assert collapsed > 1.17 * exact


def test_of_a_gaussian_it_is_the_closed_form() -> None:
    """y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt pi (Gneiting & Raftery 2007, equation 21 ff.)."""
    draws = np.random.default_rng(0).normal(size=(1, 200000))
    for y in (0.0, 0.8, -2.0):
        phi = math.exp(-y * y / 2) / math.sqrt(2 * math.pi)
        truth = y * math.erf(y / math.sqrt(2)) + 2 * phi - 1 / math.sqrt(math.pi)
        assert fair_crps(draws, np.array([y]))[0] == pytest.approx(truth, abs=0.01)


def test_every_element_has_its_own_score_and_one_number_s_energy_score_is_its_crps() -> None:
    random = np.random.default_rng(0)
    draws, truth = random.normal(size=(3, 5, 4, 2)), random.normal(size=(3, 4, 2))
    found = fair_crps(draws, truth)
    assert found.shape == truth.shape
    assert found[1, 2, 0] == pytest.approx(fair_crps(draws[1:2, :, 2, 0], truth[1:2, 2, 0])[0])
    single = fair_energy_score(draws[:, :, :1, 0], truth[:, :1, 0])
    assert single == pytest.approx(found[:, 0, 0])
    assert fair_crps(draws[:, ::-1] + 1e8, truth + 1e8) == pytest.approx(found, abs=1e-6)


def test_the_energy_score_sees_dependence_which_the_crps_of_elements_does_not() -> None:
    """Two numbers that are always equal, forecast as independent: right one by one, wrong together."""
    random = np.random.default_rng(0)
    truth = np.repeat(random.normal(size=(3000, 1)), 2, axis=1)
    together, apart = np.repeat(random.normal(size=(3000, 4, 1)), 2, axis=2), random.normal(size=(3000, 4, 2))
    crps = [fair_crps(draws, truth).mean() for draws in (together, apart)]
    assert crps[0] == pytest.approx(crps[1], abs=0.03)
    energy = [fair_energy_score(draws, truth).mean() for draws in (together, apart)]
    assert energy[0] == pytest.approx(math.sqrt(2 / math.pi), abs=0.03)
    assert energy[1] > energy[0] + 0.04


def test_not_a_number_stays_where_it_is_and_a_mask_leaves_it_out() -> None:
    random = np.random.default_rng(0)
    draws, truth = random.normal(size=(2, 3, 4)), random.normal(size=(2, 4))
    draws[0, 1, 2] = np.nan
    found = fair_crps(draws, truth)
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[0, 2])
    assert np.isnan(fair_energy_score(draws, truth)).tolist() == [True, False]
    kept = np.array([True, True, False, True])
    masked = fair_energy_score(draws, truth, kept)
    assert masked == pytest.approx(fair_energy_score(draws[:, :, kept], truth[:, kept]))


def test_one_draw_and_shapes_that_do_not_fit_are_refused() -> None:
    one, truth = np.zeros((5, 1, 3)), np.ones((5, 3))
    with pytest.raises(ValueError, match="ensemble of 1 draws is too small"):
        fair_crps(one, truth)
    assert (biased_crps(one, truth) == 1.0).all(), "of one draw it is the absolute error"
    with pytest.raises(ValueError, match=r"\(5, 4, 2\) do not fit observations of shape \(5, 3\)"):
        fair_crps(np.zeros((5, 4, 2)), truth)
