"""Precision, recall, density and coverage on sets whose balls can be drawn by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from beeline.metrics import distances
from beeline.metrics.coverage import Neighbourhoods, squared_radii
from beeline.metrics.intervals import jackknife


def values(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    return {name: each.value for name, each in Neighbourhoods(real)(generated).items()}


def test_e38_radii_are_measured_from_nearest_neighbours_without_the_point_itself() -> None:
    """On the line 0, 1, 3, 7 the nearest other points are 1, 1, 2 and 4 away: no threshold, and never 0."""
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    nearest, second = squared_radii(line, 1, 2)[:, 0]
    assert np.sqrt(nearest).tolist() == [1.0, 1.0, 2.0, 4.0]
    assert np.sqrt(second).tolist() == [3.0, 2.0, 3.0, 6.0]
    copies = np.array([[0.0], [0.0], [5.0]])
    assert np.sqrt(squared_radii(copies, 1)[0, 0]).tolist() == [0.0, 0.0, 5.0], "a copy is another point"
    with pytest.raises(ValueError, match="need at least 5 samples"):
        squared_radii(line, 4)


def test_a_radius_grows_with_the_data_so_that_scale_does_not_matter() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(80, 3)), random.normal(size=(70, 3)) + 0.5
    small = values(real, generated)
    assert values(1000 * real, 1000 * generated) == small
    assert values(real + 5, generated + 5) == pytest.approx(small, abs=0.03)
    assert values(real + 2.0**26, generated + 2.0**26) == pytest.approx(small, abs=0.03)


def test_all_four_on_a_line_by_hand() -> None:
    """Real 0 ... 9: inner 3-balls have radius 2, 5-balls radius 3; the ends 3 and 4 (3-balls), 5 and 4 (5-balls)."""
    real = np.arange(10.0)[:, None]
    generated = np.array([[4.5], [4.5], [4.5], [100.0]])
    found = values(real, generated)
    assert found["precision"] == 0.75
    # Radii of the samples: 95.5 of each of the three (its third neighbour is the far one), 95.5 of the far one.
    assert found["recall"] == 1.0
    # 4.5 lies within 3 of 2 ... 7, within 4 of 1 and 8 (3.5 away) and within 5 of 0 and 9 (4.5 away).
    assert found["density"] == pytest.approx(3 * 10 / 5 / 4)
    assert found["coverage"] == 1.0


def test_one_mode_of_two_is_precise_and_covers_half() -> None:
    random = np.random.default_rng(0)
    mode = random.normal(size=(200, 2))
    real = np.concatenate([mode[:100], mode[100:] + 1000])
    found = values(real, random.normal(size=(200, 2)))
    assert found["precision"] > 0.9
    assert 0.4 < found["recall"] <= 0.5
    assert 0.4 < found["coverage"] <= 0.5
    assert found["density"] == pytest.approx(1.0, abs=0.15), "density looks at what was sampled, not at what was not"


def test_one_far_real_point_spoils_precision_but_not_density() -> None:
    """Why both are given (Naeem et al. 2020): the ball of an outlier swallows everything."""
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(size=(99, 2)), [[60.0, 0.0]]])
    found = values(real, random.normal(loc=(30.0, 0.0), size=(100, 2)))
    assert found["precision"] > 0.9
    assert found["density"] < 0.3


def test_equal_distributions_have_density_and_coverage_near_one() -> None:
    random = np.random.default_rng(0)
    found = Neighbourhoods(random.normal(size=(1000, 4)))(random.normal(size=(1000, 4)), interval=True)
    assert found["density"].value == pytest.approx(1.0, abs=0.1)
    assert found["coverage"].value == pytest.approx(1 - 0.5**5, abs=0.03)
    assert found["coverage"].low < found["coverage"].value < found["coverage"].high


def test_an_interval_is_what_leaving_out_each_group_and_measuring_again_gives() -> None:
    random = np.random.default_rng(1)
    real, generated = random.normal(size=(93, 4)), 1.2 * random.normal(size=(67, 4))
    found = Neighbourhoods(real)(generated, interval=True)
    without = [
        [values(real[np.arange(93) % 20 != group], generated) for group in range(20)],
        [values(real, generated[np.arange(67) % 20 != group]) for group in range(20)],
    ]
    for name, value in values(real, generated).items():
        parts = [np.array([one[name] for one in each]) for each in without]
        wanted = jackknife(value, parts, 0.0, math.inf if name == "density" else 1.0)
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(
            (wanted.value, wanted.low, wanted.high)
        )


def test_intervals_hold_the_mean_of_many_draws_at_least_19_times_of_20() -> None:
    random = np.random.default_rng(5)
    drawn = [
        Neighbourhoods(random.normal(size=(150, 4)))(1.3 * random.normal(size=(150, 4)) + 0.3, interval=True)
        for _ in range(100)
    ]
    for name in drawn[0]:
        mean = np.mean([each[name].value for each in drawn])
        held = sum(each[name].low <= mean <= each[name].high for each in drawn)
        assert held >= 90, (name, held)  # 95 are expected, give or take 2


def test_too_few_points_have_values_but_no_interval() -> None:
    random = np.random.default_rng(0)
    found = Neighbourhoods(random.normal(size=(6, 2)))(random.normal(size=(4, 2)), interval=True)
    assert all(np.isfinite(each.value) and np.isnan(each.low) for each in found.values())


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    real, generated = random.integers(0, 256, (40, 9)), random.integers(0, 256, (30, 9))
    whole = values(real, generated)
    monkeypatch.setattr(distances, "_NUMBERS_A_BLOCK", 100)
    assert values(real, generated) == whole
    rows = np.concatenate([each for _, each in distances.squared_distances(generated, real)])
    assert (rows == np.square(generated[:, None] - real[None]).sum(-1)).all(), "exact on whole numbers"
