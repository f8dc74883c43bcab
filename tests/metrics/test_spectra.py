"""Spectra of fields whose spectrum was chosen, on grids of every kind; and what a correlation must not forget."""

from __future__ import annotations

import math

import numpy as np
import pytest

from beeline.metrics import spectra
from beeline.metrics.spectra import Shells, correlation, largest_departure, overdensity, power_ratio, transfer

GRIDS = [((64,), (5.0,)), ((24, 40), (30.0, 80.0)), ((17, 12), (1.0, 1.0)), ((8, 10, 6), (8.0, 20.0, 3.0))]


def size_of_modes(shape: tuple[int, ...], box: tuple[float, ...]) -> np.ndarray:
    """|k| of every mode of a full transform."""
    axes = [2 * math.pi * np.fft.fftfreq(n, length / n) for n, length in zip(shape, box, strict=True)]
    return np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij")))


def chosen(k: np.ndarray) -> np.ndarray:
    return 3.0 / (1.0 + k**2)


def gaussian_fields(shape: tuple[int, ...], box: tuple[float, ...], count: int, seed: int = 0) -> np.ndarray:
    """(N, grid axes, 1) random fields with E|F|^2 = P(k) n^2 / V."""
    white = np.random.default_rng(seed).normal(size=(count, *shape))
    axes = tuple(range(1, 1 + len(shape)))
    scale = np.sqrt(chosen(size_of_modes(shape, box)) * math.prod(shape) / math.prod(box))
    return np.fft.ifftn(np.fft.fftn(white, axes=axes) * scale, axes=axes).real[..., None]


@pytest.mark.parametrize(("shape", "box"), GRIDS)
def test_a_gaussian_field_with_a_chosen_spectrum_returns_it(shape: tuple[int, ...], box: tuple[float, ...]) -> None:
    shells = Shells(shape, box)
    found = shells.power(gaussian_fields(shape, box, 300))[..., 0]
    k = size_of_modes(shape, box).ravel()
    place = np.floor(k / (2 * math.pi / max(box)) + 0.5)
    inside = [(place == number) & (k > 0) for number in np.unique(place[k > 0])]
    assert shells.modes_S.tolist() == [each.sum() for each in inside], "k and -k are two"
    assert shells.k_S == pytest.approx([k[each].mean() for each in inside])
    truth = np.array([chosen(k[each]).mean() for each in inside])
    error = math.sqrt(2 / 300) / np.sqrt(shells.modes_S)
    assert np.abs(found.mean(axis=0) / truth - 1).max() < (5 * error).max()
    assert (np.abs(found.mean(axis=0) / truth - 1) < 5 * error).mean() > 0.95


@pytest.mark.parametrize(("shape", "box"), GRIDS)
def test_the_modes_of_all_shells_hold_the_variance_exactly(shape: tuple[int, ...], box: tuple[float, ...]) -> None:
    fields = np.random.default_rng(0).gamma(1.0, size=(3, *shape, 2)) + 100.0
    shells = Shells(shape, box)
    variance = fields.reshape(3, -1, 2).var(axis=1)
    total = (shells.power(fields) * shells.modes_S[:, None]).sum(axis=1) / shells.volume
    assert total == pytest.approx(variance, rel=1e-9)
    assert shells.modes_S.sum() == math.prod(shape) - 1


def test_one_wave_is_one_shell_at_its_k_whichever_axis_it_runs_along() -> None:
    """3 waves along a side of 30 and 8 along one of 80: both 2 pi / 10, in rad per unit of length."""
    shape, box = (24, 40), (30.0, 80.0)
    x, y = np.meshgrid(np.arange(24) / 24, np.arange(40) / 40, indexing="ij")
    waves = np.stack([np.cos(2 * math.pi * 3 * x), 5 * np.sin(2 * math.pi * 8 * y)])[..., None]
    shells = Shells(shape, box)
    held = shells.power(waves)[..., 0] * shells.modes_S / shells.volume
    place = int(np.abs(shells.k_S - 2 * math.pi / 10).argmin())
    assert held[:, place] == pytest.approx([0.5, 12.5])
    assert np.delete(held, place, axis=1) == pytest.approx(0.0, abs=1e-9)


def test_power_has_the_units_of_the_field_squared_times_a_volume() -> None:
    """The same numbers on a box of twice the length: k halves and P is 2^d times as large; x counts twice."""
    fields = gaussian_fields((12, 16), (3.0, 4.0), 2)
    small, large = Shells((12, 16), (3.0, 4.0)), Shells((12, 16), (6.0, 8.0))
    assert large.k_S == pytest.approx(small.k_S / 2)
    assert large.power(fields) == pytest.approx(4 * small.power(fields))
    assert small.power(1000 * fields) == pytest.approx(1e6 * small.power(fields))
    # A smooth field on a grid twice as fine is the same field.
    coarse, fine = (np.cos(2 * math.pi * 2 * np.arange(n) / n)[None, :, None] for n in (16, 32))
    found = [Shells((each.shape[1],), (7.0,)).power(each)[0, 1, 0] for each in (coarse, fine)]
    assert found[0] == pytest.approx(found[1])


def test_complete_shells_end_at_the_lowest_nyquist_frequency() -> None:
    shells = Shells((24, 40), (30.0, 80.0))
    assert shells.k_S[shells.complete_S].max() < math.pi * 40 / 80 < shells.k_S[~shells.complete_S].min() + 0.1
    assert Shells((16,), (2 * math.pi,)).k_S == pytest.approx(np.arange(1, 9))
    assert Shells((16,), (2 * math.pi,)).complete_S.tolist() == [True] * 7 + [False]
    wide = Shells((16, 16), (2 * math.pi,) * 2, width=3.0)
    assert wide.modes_S[0] == 8, "a first shell around zero holds |k| < 1.5 without k = 0"
    assert wide.modes_S.sum() == 255


def test_independent_fields_do_not_correlate_and_the_modulus_of_each_mode_would_say_they_do() -> None:
    """Trap 5 of the domains: r = pi / 4 from moduli mode by mode; 0 from the real part of the sum."""
    one, other = np.random.default_rng(0).normal(size=(2, 1, 128, 128, 1))
    shells = Shells((128, 128), (1.0, 1.0))
    found = shells.correlation(one, other)[0, :, 0]
    assert abs(np.average(found, weights=shells.modes_S)) < 0.035, "1 / sqrt of 8,000 pairs is 0.011"
    assert (np.abs(found) < 5 / np.sqrt(shells.modes_S / 2)).all()
    a, b = (np.fft.fft2(each[0, :, :, 0]) for each in (one, other))
    wrong = np.abs(a * b.conj()).sum() / math.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
    assert wrong == pytest.approx(math.pi / 4, abs=0.02)


def test_a_correlation_is_as_chosen_and_does_not_depend_on_scale() -> None:
    shape, box = (32, 24), (4.0, 3.0)
    one, noise = gaussian_fields(shape, box, 60, seed=1), gaussian_fields(shape, box, 60, seed=2)
    shells = Shells(shape, box)
    other = 0.6 * one + 0.8 * noise
    pooled = correlation(
        shells.cross_power(one, other).mean(axis=0), shells.power(one).mean(axis=0), shells.power(other).mean(axis=0)
    )
    assert pooled[shells.complete_S] == pytest.approx(0.6, abs=0.12)
    assert np.average(pooled[:, 0], weights=shells.modes_S) == pytest.approx(0.6, abs=0.02)
    assert shells.correlation(one, -7e5 * one) == pytest.approx(-1.0)
    # A quarter of a wave apart: all power equal, and no correlation.
    phase = 2 * math.pi * 3 * np.arange(24) / 24
    assert Shells((24,), (1.0,)).correlation(np.cos(phase)[None, :, None], np.sin(phase)[None, :, None])[
        0, 2, 0
    ] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(shells.correlation(one[:1], np.zeros_like(one[:1]))).all(), "no power, no correlation"


def test_ratio_and_transfer_of_fields_of_other_amplitude() -> None:
    shape, box = (16, 16), (1.0, 1.0)
    real = gaussian_fields(shape, box, 5) * np.array([1.0, 2.0, 3.0, 1e-3, 1.0])[:, None, None, None]
    shells = Shells(shape, box)
    ratio = power_ratio(shells.power(0.8 * real), shells.power(real))
    assert ratio == pytest.approx(0.64)
    assert transfer(shells.power(0.8 * real), shells.power(real)) == pytest.approx(0.8)
    assert largest_departure(ratio, shells.complete_S) == pytest.approx(0.36)
    assert largest_departure(np.array([1.1, 0.7, 9.0]), np.array([True, True, False])) == pytest.approx(0.3)
    swapped = power_ratio(shells.power(real[::-1]), shells.power(real))
    assert swapped == pytest.approx(1.0), "means first: the order of examples, some of little power, does not matter"


def test_resolved_shells_hold_the_variance_and_leave_the_tail_out() -> None:
    """Of variances 900, 90, 8, 1 and 1 the first four hold 99.9 %, three do not; the corner counts nowhere."""
    power, modes = np.array([90.0, 9.0, 0.8, 0.12, 0.08, 100.0]), np.full(6, 10)
    complete = np.array([True, True, True, True, True, False])
    assert spectra.resolved(power, modes, complete).tolist() == [True, True, True, True, False, False]
    assert spectra.resolved(power, modes, complete, 0.89).tolist() == [True, False, False, False, False, False]


def test_e33_a_spectrum_is_that_of_the_overdensity_in_physical_units() -> None:
    """Lognormal white noise: P = (exp(s^2) - 1) V / n. Of z-scored logarithms it is V / n, whatever s is."""
    shells = Shells((32, 32), (10.0, 10.0))
    for deviation in (0.5, 1.0):
        log = deviation * np.random.default_rng(0).normal(size=(100, 32, 32, 1))
        density = 1e11 * np.exp(log)
        found = np.average(shells.power(overdensity(density)).mean(axis=0)[:, 0], weights=shells.modes_S)
        cell = shells.volume / 32**2
        assert found == pytest.approx((math.exp(deviation**2) - 1) * cell, rel=0.06)
        assert shells.power(overdensity(7 * density)) == pytest.approx(shells.power(overdensity(density)))
        scored = (log - log.mean()) / log.std()
        blind = np.average(shells.power(scored).mean(axis=0)[:, 0], weights=shells.modes_S)
        assert blind == pytest.approx(cell, rel=0.02)
    for nothing in (scored, np.zeros((1, 4, 4, 1))):
        with pytest.raises(ValueError, match="positive mean"):
            overdensity(nothing)


def test_an_overdensity_is_about_the_mean_of_each_map_or_of_a_population() -> None:
    fields = np.array([[[1.0], [3.0]], [[10.0], [30.0]]])
    assert overdensity(fields)[..., 0].tolist() == [[-0.5, 0.5], [-0.5, 0.5]]
    assert overdensity(fields, 2.0)[..., 0].tolist() == [[-0.5, 0.5], [4.0, 14.0]]


@pytest.mark.parametrize("window", [(True, True), (False, True)])
def test_a_window_keeps_the_power_of_white_noise_and_stops_the_edges_of_a_slope(window: tuple[bool, bool]) -> None:
    shape, box = (32, 48), (2.0, 3.0)
    shells, plain = Shells(shape, box, window=window), Shells(shape, box)
    white = np.random.default_rng(0).normal(size=(200, *shape, 1))
    power = shells.power(white).mean(axis=0)[:, 0]
    assert np.average(power, weights=shells.modes_S) == pytest.approx(shells.volume / math.prod(shape), rel=0.02)
    assert shells.power(white[:3] + 100.0) == pytest.approx(shells.power(white[:3])), "a constant does not leak"
    assert power[5:] == pytest.approx(shells.volume / math.prod(shape), rel=0.15)
    turned = shells.power(white[:3, ::-1, ::-1])
    assert turned == pytest.approx(shells.power(white[:3])), "a window is alike on either side"
    slope = np.broadcast_to(np.arange(48.0)[None, None, :, None], (1, *shape, 1))
    small_scales = shells.k_S > 0.5 * shells.k_S[shells.complete_S].max()
    leaked, stopped = (each.power(slope)[0, small_scales, 0].max() for each in (plain, shells))
    assert stopped < 1e-3 * leaked


def test_not_a_number_spoils_its_example_and_channel_alone() -> None:
    fields = np.ones((2, 8, 8, 2)) + np.random.default_rng(0).normal(size=(2, 8, 8, 2))
    fields[1, 3, 3, 0] = np.nan
    bad = np.isnan(Shells((8, 8), (1.0, 1.0)).power(fields))
    assert bad[1, :, 0].all()
    assert bad.sum() == bad[1, :, 0].sum()


def test_examples_a_few_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 7, 8, 6, 2))
    shells = Shells((8, 6), (1.0, 2.0))
    whole = shells.power(one), shells.cross_power(one, other)
    monkeypatch.setattr(spectra, "_NUMBERS_AT_ONCE", 200)
    assert (shells.power(one) == whole[0]).all()
    assert (shells.cross_power(one, other) == whole[1]).all()


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="box size and a window per axis"):
        Shells((8, 8), (1.0,))
    with pytest.raises(ValueError, match="at least 2 points"):
        Shells((8, 1), (1.0, 1.0))
    with pytest.raises(ValueError, match="not positive"):
        Shells((8, 8), (1.0, 0.0))
    with pytest.raises(ValueError, match=r"are not \(N, \*\(8, 8\), C\)"):
        Shells((8, 8), (1.0, 1.0)).power(np.zeros((3, 8, 9, 1)))
    with pytest.raises(ValueError, match="no cross spectrum"):
        Shells((8,), (1.0,)).cross_power(np.zeros((3, 8, 1)), np.zeros((2, 8, 1)))
