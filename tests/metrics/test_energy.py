"""The energy distances against closed forms between Gaussians, and what the squared one cannot see."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from beeline.metrics import distances
from beeline.metrics.energy import EnergyDistance, squared_energy_distance
from beeline.metrics.mmd import KernelDiscrepancy


def mean_norm(numbers: int) -> float:
    """E|Z| of a unit Gaussian of that many numbers: sqrt 2 Gamma((D + 1)/2) / Gamma(D/2)."""
    return math.sqrt(2) * math.exp(math.lgamma((numbers + 1) / 2) - math.lgamma(numbers / 2))


def written_out(real: np.ndarray, generated: np.ndarray) -> float:
    def mean_apart(x: np.ndarray, y: np.ndarray, pairs: int) -> float:
        return float(np.linalg.norm(x[:, None] - y[None], axis=-1).sum() / pairs)

    m, n = len(real), len(generated)
    across = mean_apart(real, generated, m * n)
    return 2 * across - mean_apart(real, real, m * (m - 1)) - mean_apart(generated, generated, n * (n - 1))


def test_it_is_the_u_statistic_and_its_jackknife_leaves_out_one_sample_at_a_time() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(11, 3)), random.normal(size=(8, 3)) + 1
    found = EnergyDistance(real)(generated, interval=True)
    assert found.value == pytest.approx(written_out(real, generated), abs=1e-12)
    parts = [
        [written_out(np.delete(real, index, 0), generated) for index in range(11)],
        [written_out(real, np.delete(generated, index, 0)) for index in range(8)],
    ]
    variance = sum((len(each) - 1) * np.var(each) for each in parts)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 7) * np.sqrt(variance), rel=1e-9)


def test_items_of_a_group_are_left_out_together() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(12, 2)), random.normal(size=(9, 2)) + 1
    of_real, of_generated = np.array([*"aabbbccddeea"]), np.array([*"aabccceee"])
    found = EnergyDistance(real, of_real)(generated, interval=True, group_N=of_generated)
    without = [written_out(real[of_real != group], generated[of_generated != group]) for group in "abcde"]
    assert found.value == pytest.approx(written_out(real, generated), abs=1e-12), "the value takes all pairs"
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 4) * np.sqrt(4 * np.var(without)), rel=1e-9)
    with pytest.raises(ValueError, match="not there"):
        EnergyDistance(real, of_real)(generated, True, np.array([*"aabcccfff"]))
    alone = EnergyDistance(real, of_real)(generated, interval=True)
    parts = [
        [written_out(real[of_real != group], generated) for group in "abcde"],
        [written_out(real, np.delete(generated, item, axis=0)) for item in range(9)],
    ]
    variance = sum((len(each) - 1) * np.var(each) for each in parts)
    assert alone.high - alone.value == pytest.approx(stats.t.ppf(0.975, 4) * np.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize(("numbers", "spread", "shift"), [(10, 2.0, 0.0), (1, 1.0, 2.0), (3, 0.0, 0.0)])
def test_between_gaussians_it_is_the_closed_form(numbers: int, spread: float, shift: float) -> None:
    """N(0, 1) and N(m, s^2): 2 E|X - Y| - (sqrt 2 + sqrt 2 s) E|Z|; spread 0 is one point at the true mean."""
    random = np.random.default_rng(1)
    real = random.normal(size=(1500, numbers))
    found = EnergyDistance(real)(shift + spread * random.normal(size=(1500, numbers)))
    width = math.sqrt(1 + spread**2)
    across = width * mean_norm(numbers)
    if shift:  # one number: the mean of a folded Gaussian
        across = width * math.sqrt(2 / math.pi) * math.exp(-((shift / width) ** 2) / 2)
        across += shift * math.erf(shift / width / math.sqrt(2))
    truth = 2 * across - math.sqrt(2) * (1 + spread) * mean_norm(numbers)
    assert found.value == pytest.approx(truth, rel=0.08)


def test_where_there_is_no_difference_its_mean_is_zero() -> None:
    random = np.random.default_rng(0)
    values = [EnergyDistance(random.normal(size=(20, 2)))(random.normal(size=(30, 2))).value for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


def test_the_squared_one_sees_the_mean_alone_and_the_euclidean_one_sees_the_spread() -> None:
    """Trap 2 of the domains: doubled spread, and one constant cell at the true mean, are perfect for the square."""
    real = np.random.default_rng(0).normal(size=(400, 10))
    wide, constant = real.mean(axis=0) + 2 * (real - real.mean(axis=0)), np.tile(real.mean(axis=0), (400, 1))
    for wrong, least in ((wide, 0.6), (constant, 1.6)):
        assert squared_energy_distance(real, wrong) == pytest.approx(0.0, abs=1e-24)
        found = EnergyDistance(real)(wrong, interval=True)
        assert least < found.low < found.value
    assert squared_energy_distance(real, real + 3.0) == pytest.approx(2 * 10 * 9.0)
    pairs = [((a[:, None] - b[None]) ** 2).sum(-1).mean() for a, b in ((real, wide), (real, real), (wide, wide))]
    assert 2 * pairs[0] - pairs[1] - pairs[2] == pytest.approx(squared_energy_distance(real, wide), abs=1e-10)


def test_numbers_far_from_zero_lose_no_digits() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(50, 2)), random.normal(size=(50, 2))
    near = EnergyDistance(real)(generated).value
    assert EnergyDistance(real + 2.0**26)(generated + 2.0**26).value == pytest.approx(near, abs=1e-6)


@pytest.mark.parametrize("kind", [EnergyDistance, KernelDiscrepancy])
def test_many_samples_are_compared_in_blocks(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of all pairs would hold 1,500^2 numbers, 18 MB; 5,000 of either 200 MB, and several such."""
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(1500, 4)), random.normal(size=(1500, 4))
    monkeypatch.setattr(distances, "_NUMBERS_A_BLOCK", 2**16)
    tracemalloc.start()
    discrepancy = kind(real, 1.0) if kind is KernelDiscrepancy else kind(real)
    discrepancy(generated, interval=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6


def test_answered_examples_are_left_out_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    real, answered = random.normal(size=(40, 2)), np.arange(120) % 40
    draws = real[answered] + random.normal(size=(120, 2))
    whole = EnergyDistance(real)(draws, True, answered, answered)
    monkeypatch.setattr(distances, "_NUMBERS_A_BLOCK", 7 * 40)
    blocks = EnergyDistance(real)(draws, True, answered, answered)
    assert (blocks.value, blocks.low) == pytest.approx((whole.value, whole.low), rel=1e-9)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 samples"):
        EnergyDistance(np.zeros((3, 1)))(np.zeros((2, 1)))


def test_draws_that_answer_the_inputs_of_real_examples_are_unbiased_too() -> None:
    """y = input + noise; four perfect draws of each of 12 inputs: 0 on average, and below it with all pairs."""
    found, naive = [], []
    for seed in range(150):
        random = np.random.default_rng(seed)
        inputs = random.normal(size=(12, 2))
        real = inputs + 0.3 * random.normal(size=(12, 2))
        answered = np.arange(48) % 12
        draws = inputs[answered] + 0.3 * random.normal(size=(48, 2))
        for measure in (EnergyDistance(real), KernelDiscrepancy(real, 1.0)):
            found.append(measure(draws, answered_N=answered).value)
            naive.append(measure(draws).value)
    for kind in (0, 1):
        own, all_pairs = np.array(found[kind::2]), np.array(naive[kind::2])
        error = own.std() / np.sqrt(len(own))
        assert abs(own.mean()) < 4 * error
        assert all_pairs.mean() < -8 * error


def test_pairs_of_one_input_are_left_out_and_of_groups_left_out_too() -> None:
    random = np.random.default_rng(0)
    real, answered = random.normal(size=(6, 2)), np.array([0, 1, 2, 3, 4, 5, 0, 1, 2])
    generated = real[answered] + random.normal(size=(9, 2))

    def written(kept_real: np.ndarray, kept: np.ndarray) -> float:
        def mean(x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray) -> float:
            apart = np.linalg.norm(x[:, None] - y[None], axis=-1)
            return float(apart[of_x[:, None] != of_y].mean())

        x, y, of_x, of_y = real[kept_real], generated[kept], kept_real, answered[kept]
        return 2 * mean(x, y, of_x, of_y) - mean(x, x, of_x, of_x) - mean(y, y, of_y, of_y)

    of_real, of_generated = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 2, 0, 0, 1])
    found = EnergyDistance(real, of_real)(generated, True, of_generated, answered)
    every, drawn = np.arange(6), np.arange(9)
    assert found.value == pytest.approx(written(every, drawn), abs=1e-12)
    without = [written(every[of_real != group], drawn[of_generated != group]) for group in range(3)]
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(2 * np.var(without)), rel=1e-9)
    two = np.array([0, 0, 1, 1])
    without_pairs = EnergyDistance(real)(generated[:4], True, two, two)
    assert math.isfinite(without_pairs.value)
    assert math.isnan(without_pairs.low), "without one of two inputs no pair is left"
    with pytest.raises(ValueError, match="two inputs or more"):
        EnergyDistance(real)(generated[:3], answered_N=np.zeros(3, dtype=int))
