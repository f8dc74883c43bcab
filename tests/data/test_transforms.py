"""Transforms of physical quantities: exact inverses within and beyond the training range, domains, streamed fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from beeline.core.errors import UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.data import transforms
from beeline.data.transforms import KINDS, FieldTransforms

RANDOM = np.random.default_rng(0)
SKEW = RANDOM.lognormal(mean=3, sigma=2, size=(6, 40, 50))
SPARSE = np.where(RANDOM.random(SKEW.shape) < 0.7, 0.0, SKEW)
SIGNED = 1e5 * RANDOM.standard_t(df=3, size=SKEW.shape)
DATA = {"zscore": SIGNED, "log": SKEW, "log10p1": SPARSE, "asinh": SIGNED, "quantile": SIGNED, "occupancy": SPARSE}


def fitted(kind: str) -> FieldTransforms:
    return FieldTransforms((kind,)).fit(list(DATA[kind][..., None]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_transform_comes_back_inside_and_outside_the_training_range(kind: str) -> None:
    train, transform = DATA[kind], fitted(kind)
    beyond = np.concatenate([train.ravel(), 3 * train.max() * np.linspace(0.5, 1, 99)])
    if train.min() < 0:
        beyond = np.concatenate([beyond, 3 * train.min() * np.linspace(0.5, 1, 99)])
    if kind == "log":
        beyond = np.concatenate([beyond, [train.min() / 50]])
    values = beyond.astype(np.float32)[:, None]
    normalised = transform.apply(values)
    assert normalised.dtype == np.float32
    back = transform.undo(normalised)
    error = np.abs(back.astype(np.float64) - values)
    assert (error <= transform.tolerance * (np.abs(values) + train.std())).all(), error.max()
    assert (back == 0)[values == 0].all() or kind != "occupancy"


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_out_has_zero_mean_and_unit_deviation(kind: str) -> None:
    out = fitted(kind).apply(DATA[kind][..., None])
    density = out[..., -1][DATA[kind] > 0] if kind == "occupancy" else out[..., 0]
    assert density.mean() == pytest.approx(0, abs=2e-3)
    assert density.std() == pytest.approx(1, abs=2e-3)


def test_known_answers() -> None:
    x = np.array([[1.0], [9.0], [99.0]])
    given: dict[str, Any] = {"mean": (0.0,), "deviation": (1.0,), "scale": (3.0,)}
    assert FieldTransforms(("log10p1",), **given).apply(x)[:, 0] == pytest.approx([np.log10(2), 1, 2])
    assert FieldTransforms(("asinh",), **given).apply(x)[:, 0] == pytest.approx(np.arcsinh(x[:, 0] / 3))
    scale = FieldTransforms(("asinh",)).fit([np.array([[0.0], [-2.0], [4.0], [8.0]])]).scale
    assert scale == (4.0,)
    uniform = FieldTransforms(("quantile",)).fit([np.linspace(0, 1, 10001)[:, None]])
    z = np.asarray(uniform.apply(np.array([[0.5], [0.8413447]]))) * uniform.deviation + uniform.mean
    assert z[:, 0] == pytest.approx([0, 1], abs=5e-3)


def test_a_quantile_of_equal_numbers_is_their_middle_and_beyond_all_the_outermost_quarter_goes_on() -> None:
    """Of 60 % zeros the middle is the 30th percentile; of even numbers the line is that of the last 64 of 257 knots."""
    dry = np.where(np.arange(10_000) < 6_000, 0.0, np.linspace(1, 2, 10_000))[:, None]
    transform = FieldTransforms(("quantile",)).fit([dry])
    at_zero = transform.apply(np.zeros((1, 1))) * transform.deviation + transform.mean
    assert at_zero.item() == pytest.approx(ndtri(0.3), abs=5e-3)
    even = FieldTransforms(("quantile",)).fit([np.linspace(0, 1, 10_001)[:, None]])
    last, before = ndtri(256.5 / 257), ndtri(192.5 / 257)
    wanted = last + (2.0 - 256.5 / 257) * (last - before) * 257 / 64
    beyond = even.apply(np.array([[2.0], [-1.0]])) * even.deviation + even.mean
    assert beyond[:, 0] == pytest.approx([wanted, -wanted], rel=1e-4)


def test_an_occupancy_makes_two_channels_of_one_and_takes_its_threshold_at_zero() -> None:
    transform = fitted("occupancy")
    assert transform.channels == 2
    out = transform.apply(SPARSE[..., None])
    assert set(np.unique(out[..., 0])) == {-1.0, 1.0}
    assert (out[..., 1][SPARSE == 0] == 0).all()
    assert transform.undo(np.array([[-1e-6, 2.0], [1e-6, 0.0]], dtype=np.float32))[:, 0] == pytest.approx(
        [0, np.exp(transform.mean[1])], rel=1e-5
    )


def test_a_fit_does_not_depend_on_how_the_data_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "_MOST", 1000)
    data = np.stack([SPARSE, SIGNED, SIGNED, SKEW], axis=-1)
    kinds = ("occupancy", "quantile", "asinh", "log")
    whole = FieldTransforms(kinds).fit([data])
    streamed = FieldTransforms(kinds).fit(iter(data))
    assert streamed.knots == whole.knots
    assert streamed.scale == whole.scale
    assert streamed.mean == pytest.approx(whole.mean, rel=1e-10)
    assert streamed.deviation == pytest.approx(whole.deviation, rel=1e-10)


def test_the_numbers_looked_at_are_an_even_choice() -> None:
    """Of every column of a grid alike: a stride would fall on some of them alone."""
    chosen = transforms._Even()
    chosen.add(np.broadcast_to(np.arange(64.0), (8192, 64)))
    assert 2**16 <= len(chosen.values) <= 2**17
    counts = np.bincount(chosen.values.astype(int), minlength=64)
    assert counts.max() / counts.min() < 1.01
    late = transforms._Even()
    late.add(np.arange(500_000.0))
    assert late.values.mean() == pytest.approx(250_000, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "low", "message"),
    [
        ("log", 0.0, "rain: transform log takes numbers above 0, 1 of 4 are not (the least is 0); asinh takes any"),
        ("log10p1", -1.5, "rain: transform log10p1 takes numbers above -1, 1 of 4 are not (the least is -1.5)"),
        ("occupancy", -2.0, "rain: transform occupancy takes numbers at least 0, 1 of 4 are not (the least is -2)"),
    ],
)
def test_what_lies_outside_the_domain_is_refused_by_name(kind: str, low: float, message: str) -> None:
    values = np.array([low, 1, 2, 3])[:, None]
    for work in (FieldTransforms((kind,), ("rain",)).fit, lambda pieces: fitted(kind).apply(pieces[0])):
        with pytest.raises(UserError) as caught:
            work([values])
        assert message.replace("rain", "rain" if "rain" in str(caught.value) else "channel 0") in str(caught.value)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(UserError, match="v: is the same everywhere in the training data; leave it out"):
        FieldTransforms(("zscore", "quantile"), ("u", "v")).fit([np.stack([SKEW, 0 * SKEW + 7], axis=-1)])
    with pytest.raises(UserError, match="u: is 0 everywhere"):
        FieldTransforms(("occupancy",), ("u",)).fit([np.zeros((5, 1))])
    with pytest.raises(UserError, match="unknown transform 'lgo'; did you mean 'log'"):
        FieldTransforms(("lgo",))


def test_absent_numbers_stay_absent_and_fitted_numbers_travel() -> None:
    data = np.stack([SKEW, SPARSE], axis=-1)
    data[0, 0, 0] = np.nan
    transform = FieldTransforms(("quantile", "occupancy"), ("a", "b")).fit([data])
    again = rebuild_part(describe_part(transform), "")
    assert again == transform
    assert np.isnan(again.apply(data)[0, 0, 0]).all()
    assert np.isfinite(again.apply(data[1:])).all()
