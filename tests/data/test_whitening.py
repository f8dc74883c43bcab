"""Whitening: exact inverse, spectra that are flat where asked, and the same filter on any shape."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.data.transforms import FieldTransforms
from beeline.data.whitening import Whitening, wave_numbers

Array = np.ndarray[Any, Any]
SHAPE, COUNT = (24, 32), 200


def fields(periodic: tuple[bool, bool], steepness: float = 3.0, seed: int = 0) -> Array:
    """Gaussian fields with P = (1 + |k| / k_1)^-steepness, in coefficients of their own transform, far from zero."""
    unit = Whitening(FieldTransforms(("zscore",)), 1.0, periodic)
    size = wave_numbers(SHAPE, periodic)
    spread = (1.0 + size / size[size > 0].min()) ** (-steepness / 2)
    noise = np.random.default_rng(seed).normal(size=(COUNT, *SHAPE, 1))
    return np.stack([unit._field(unit._coefficients(one) * spread[..., None]) for one in noise]) * 3e4 + 1e5


def spectrum(arrays: Array, periodic: tuple[bool, bool]) -> Array:
    """Mean square of the coefficients, shell by shell."""
    unit = Whitening(FieldTransforms(("zscore",)), 1.0, periodic)
    squares = np.mean([np.abs(unit._coefficients(one.astype(np.float64))[..., 0]) ** 2 for one in arrays], axis=0)
    size = wave_numbers(SHAPE, periodic)
    shell = np.rint(size / size[size > 0].min()).astype(int).ravel()
    return np.asarray(np.bincount(shell, squares.ravel())[1:] / np.maximum(np.bincount(shell), 1)[1:])


@pytest.mark.parametrize("periodic", [(False, False), (True, True), (False, True)])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_the_slope_is_taken_out_and_put_back(periodic: tuple[bool, bool], share: float) -> None:
    """P becomes P^(1 - share), to the sampling of 200 fields; the variance 1; the inverse is exact to float32."""
    data = fields(periodic)
    fitted = Whitening(FieldTransforms(("zscore",)), share, periodic).fit(data)
    out = np.stack([fitted.apply(one) for one in data])
    assert out.dtype == np.float32
    assert np.mean(out.astype(np.float64) ** 2) == pytest.approx(1.0, rel=1e-6)
    back = np.stack([fitted.undo(one) for one in out])
    assert np.abs(back - data).max() < fitted.tolerance * data.std()
    before, after = spectrum(data - data.mean(), periodic), spectrum(out, periodic)
    counted = before > 0
    slope = np.polyfit(np.log(before[counted]), np.log(after[counted]), 1)[0]
    assert slope == pytest.approx(1 - share, abs=0.01)


def test_of_a_kind_of_noise_that_is_white_nothing_is_changed() -> None:
    """White noise of variance 1 has no slope: up to the sampling of its spectrum it stays."""
    noise = np.random.default_rng(0).normal(size=(2000, 8, 8, 1))
    fitted = Whitening(FieldTransforms(("zscore",)), 1.0, (False, True)).fit(noise)
    assert np.abs(fitted.apply(noise[0]) - noise[0]).max() < 0.1


def test_a_wave_is_filtered_by_its_length_in_cells_whatever_the_shape() -> None:
    """A cosine of six cells is multiplied by the same number in a field of twice the size."""
    fitted = Whitening(FieldTransforms(("zscore",)), 0.5, (True, True)).fit(fields((True, True)))

    def gain(shape: tuple[int, int]) -> float:
        wave = np.cos(2 * np.pi * np.arange(shape[0]) / 6)[:, None, None] * np.ones((1, shape[1], 1))
        far = fitted.apply((1e5 + 1e4 * wave).astype(np.float32)) - fitted.apply(np.full((*shape, 1), 1e5))
        return float(far[0, 0, 0])

    assert gain((24, 32)) == pytest.approx(gain((48, 64)), rel=1e-3)


@pytest.mark.parametrize("far", [0.0, 1e5])
def test_a_larger_domain_has_longer_waves_that_are_no_weaker_than_the_longest_of_training(far: float) -> None:
    """Fields of no mean, whose P(0) says nothing of long waves, and fields whose means vary."""
    data = fields((True, True)) - 1e5
    data = data - data.mean(axis=(1, 2), keepdims=True) if far == 0 else data + far
    fitted = Whitening(FieldTransforms(("zscore",)), 1.0, (True, True)).fit(data)
    gains = fitted._filter((48, 64))[:, :, 0]
    size = wave_numbers((48, 64), (True, True))
    lowest = fitted.waves[1]
    between = gains[(size > 0) & (size < lowest * 0.99)]
    at_lowest = fitted.factor[0] * np.exp(-0.5 * fitted.log_power[0][1])
    assert between.size
    assert between.max() <= at_lowest * (1 + 1e-9)
    assert between.min() >= (at_lowest if far == 0 else min(at_lowest, gains[0, 0])) * (1 - 1e-9)
    larger = np.kron(data[0], np.ones((2, 2, 1)))
    assert np.abs(fitted.undo(fitted.apply(larger)) - larger).max() < fitted.tolerance * data.std()


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_mean_of_a_field_is_weighed_by_how_far_means_vary(share: float) -> None:
    """Means that vary four times less than the longest wave: P(0) becomes P(0)^(1 - share), as all of P does."""
    data = fields((True, True)) - 1e5
    means = data.mean(axis=(1, 2), keepdims=True)
    data = data - means + means / 4
    fitted = Whitening(FieldTransforms(("zscore",)), share, (True, True)).fit(data)
    before, after = ((each.mean(axis=(1, 2)) ** 2).mean() for each in (data, np.stack([*map(fitted.apply, data)])))
    cells, ratio = np.prod(SHAPE), fitted.factor[0] ** 2
    assert cells * after / ratio == pytest.approx((cells * before / data.var()) ** (1 - share), rel=1e-2)


def test_a_wave_is_as_long_along_an_axis_that_ends_as_along_one_that_closes() -> None:
    """Cosines of 16 cells, along either axis, are multiplied by the same number."""
    fitted = Whitening(FieldTransforms(("zscore",)), 1.0, (False, True)).fit(fields((False, True)))
    waves = np.cos(2 * np.pi * (np.arange(48) + 0.5) / 16) * np.ones((48, 1))
    gains = [
        np.abs(fitted._field(fitted._coefficients(one[..., None]) * fitted._filter(one.shape))).max()
        for one in (waves, waves.T)
    ]
    assert gains[0] == pytest.approx(gains[1], rel=1e-9)
    assert wave_numbers((48,), (False,))[6] == wave_numbers((48,), (True,))[3] == 1 / 16


def test_directions_of_a_periodic_grid_are_alike_and_rolls_commute() -> None:
    data = fields((True, True))
    fitted = Whitening(FieldTransforms(("zscore",)), 0.5, (True, True)).fit(data)
    rolled = fitted.apply(np.roll(data[0], (5, 7), axis=(0, 1)))
    np.testing.assert_allclose(rolled, np.roll(fitted.apply(data[0]), (5, 7), axis=(0, 1)), atol=1e-5)


def test_channels_have_filters_of_their_own_and_transforms_come_first() -> None:
    steep, flat = fields((False, False), 4.0) / 1e5, fields((False, False), 1.0, 1)
    data = np.concatenate([np.exp(steep), flat], axis=-1)
    fitted = Whitening(FieldTransforms(("log", "zscore")), 1.0, (False, False)).fit(data)
    out = np.stack([fitted.apply(one) for one in data])
    for channel in (0, 1):
        after = spectrum(out[..., channel : channel + 1], (False, False))
        np.testing.assert_allclose(after[after > 0], 1.0, rtol=0.15)  # as P changes within a shell
    np.testing.assert_allclose(fitted.undo(out[0]), data[0], rtol=1e-4)


def test_scales_without_any_power_are_neither_lost_nor_blown_up() -> None:
    """Fields of their mean alone along y, and of no mean: what is missing counts as a millionth part of the largest."""
    data = fields((True, True)) - 1e5
    data = (data - data.mean(axis=(1, 2), keepdims=True)).mean(axis=1, keepdims=True) * np.ones((1, SHAPE[0], 1, 1))
    fitted = Whitening(FieldTransforms(("zscore",)), 1.0, (True, True)).fit(data)
    out = fitted.apply(data[0])
    assert np.isfinite(out).all()
    assert np.abs(fitted.undo(out) - data[0]).max() < fitted.tolerance * data.std()


def test_an_iterator_is_read_twice_all_the_same_and_misfits_are_refused() -> None:
    data = fields((False, False))

    def once() -> Iterator[Array]:
        yield from data

    unfitted = Whitening(FieldTransforms(("zscore",)), 0.5, (False, False))
    assert unfitted.fit(once()) == unfitted.fit(data)
    with pytest.raises(UserError, match=r"whiten: fields of shapes \(24, 32, 1\) and \(24, 30, 1\)"):
        unfitted.fit([data[0], data[0][:, :30]])
    with pytest.raises(UserError, match="whiten 2: must lie above 0 and be at most 1"):
        Whitening(FieldTransforms(("zscore",)), 2.0, (False, False))
    with pytest.raises(ValueError, match="1 axes where 2 are whitened"):
        unfitted.fit(data).apply(data[0, 0])
