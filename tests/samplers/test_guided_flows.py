"""Guided flows end where a fine Runge-Kutta walk of the guided field ends, for every way to guide, in float64.

The field is written anew here, from the closed form of a mixture of two components with diagonal covariances, so that
neither the wrapper nor the exact predictor is compared with itself.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
import torch

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vp import VariancePreserving
from beeline.samplers.grids import build_grid
from beeline.samplers.guidance import Guided
from beeline.samplers.heun import Heun
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample

Array = np.ndarray[Any, Any]
WEIGHTS = np.array([0.35, 0.65])
MEANS = np.array([[1.5, -0.5, 0.3, 0.9], [-1.0, 0.7, 0.0, -0.4]])
SDS = np.array([[0.5, 0.8, 0.6, 0.4], [0.9, 0.4, 0.7, 0.8]])
STARTS = np.array([[0.0, 0.0, 0.0, 0.0], [1.2, -0.4, 0.3, -1.1], [-0.9, 1.5, -0.6, 0.8]])
SCALES = (0.0, 1.0, 2.0, 4.0)
WINDOW = (0.25, 0.75)
SHARE = 0.7
LINEAR, VP = Linear(), VariancePreserving()


def mixture(path: GaussianPath) -> MixturePredictor:
    weights, means, covariances = map(torch.from_numpy, (WEIGHTS, MEANS, np.stack([np.diag(sd**2) for sd in SDS])))
    return MixturePredictor(path, weights, means, covariances)


def known(count: int) -> Conditions:
    """Every sample is asked for from component 0."""
    zeros = torch.zeros(count, dtype=torch.long)
    return Conditions({"component": zeros}, {"component": zeros.bool()}, {"component": 0.1})


def expectations(x: Array, alpha: float, sigma: float) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(E[x0], E[e]) under component 0 and under the whole mixture, at x (..., 4)."""
    spread = alpha**2 * SDS**2 + sigma**2  # (K, 4)
    solved = (x[..., None, :] - alpha * MEANS) / spread
    x0, e = MEANS + alpha * SDS**2 * solved, sigma * solved
    log = np.log(WEIGHTS) - 0.5 * (spread * solved**2 + np.log(spread)).sum(-1)
    share = np.exp(log - log.max(-1, keepdims=True))
    share = (share / share.sum(-1, keepdims=True))[..., None]
    return (x0[..., 0, :], e[..., 0, :]), ((share * x0).sum(-2), (share * e).sum(-2))


@functools.cache
def references(path: GaussianPath) -> dict[str, Array]:
    """Ends of 4,000 steps of the classical RK4 for every scale, in the window and rescaled: (3, 4) each."""
    high, low = path.interval("velocity")[::-1]
    nodes = torch.linspace(high, low, 8001, dtype=torch.float64)  # with the middles of the steps
    curves = (path.alpha, path.sigma, path.alpha_derivative, path.sigma_derivative)
    alpha, sigma, alpha_slope, sigma_slope = (curve(nodes).tolist() for curve in curves)
    scale = np.array([*SCALES, 3.0, 4.0])[:, None, None]
    step = (low - high) / 4000

    def guided(x: Array, node: int, inside: bool) -> tuple[Array, Array]:
        (x0_c, e_c), (x0_u, e_u) = expectations(x, alpha[node], sigma[node])
        s = scale if inside else np.where(np.arange(6) == 4, 1.0, scale[:, 0, 0])[:, None, None]
        x0, e = x0_u + s * (x0_c - x0_u), e_u + s * (e_c - e_u)
        v_c, v = (alpha[node] * each[1] - sigma[node] * each[0] for each in ((x0_c[5], e_c[5]), (x0[5], e[5])))
        factor = 1 - SHARE + SHARE * v_c.std(-1, keepdims=True) / (v.std(-1, keepdims=True) + 1e-300)  # 0 at t = 0
        size = alpha[node] ** 2 + sigma[node] ** 2
        x0[5] = (alpha[node] * x[5] - sigma[node] * factor * v) / size
        e[5] = (alpha[node] * factor * v + sigma[node] * x[5]) / size
        return x0, e

    def field(x: Array, node: int, inside: bool) -> Array:
        x0, e = guided(x, node, inside)
        return alpha_slope[node] * x0 + sigma_slope[node] * e

    x = np.broadcast_to(STARTS, (6, 3, 4)).copy()
    for node in range(0, 8000, 2):
        inside = WINDOW[0] <= nodes[node + 1].item() <= WINDOW[1]
        one = field(x, node, inside)
        two = field(x + 0.5 * step * one, node + 1, inside)
        three = field(x + 0.5 * step * two, node + 1, inside)
        four = field(x + step * three, node + 2, inside)
        x = x + step / 6 * (one + 2 * two + 2 * three + four)
    if low > 0:
        x = guided(x, 8000, False)[0]  # what samplers end with where the path ends short of the data
    return dict(zip([*(f"scale {scale:g}" for scale in SCALES), "window", "rescaled"], x, strict=True))


def walk(path: GaussianPath, predictor: Predictor, starts: Array, steps: int) -> Array:
    times, count = build_grid("uniform", steps, path.interval("velocity")), len(starts)
    start = Tokens(torch.from_numpy(starts)[:, None])
    return sample(Heun(), predictor, start, times, known(count), Key.range(0, 0, count)).x.values[:, 0].numpy()


def extrapolated(path: GaussianPath, predictor: Predictor, starts: Array = STARTS, order: int = 2) -> Array:
    """Where ever finer walks end, from two of them."""
    coarse, fine = (walk(path, predictor, starts, steps) for steps in (100, 200))
    return fine + (fine - coarse) / (2**order - 1)


@pytest.mark.parametrize("path", [LINEAR, VP])
def test_every_scale_ends_where_a_fine_walk_of_the_guided_field_ends(path: GaussianPath) -> None:
    """All scales in one batch, each sample at its own."""
    scale = torch.tensor(SCALES, dtype=torch.float64).repeat_interleave(3)
    found = extrapolated(path, Guided(mixture(path), scale), np.tile(STARTS, (len(SCALES), 1)))
    expected = np.concatenate([references(path)[f"scale {scale:g}"] for scale in SCALES])
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(np.diff(expected.reshape(len(SCALES), 3, 4), axis=0)).max(axis=(1, 2)).min() > 0.3, "scales differ"


def test_scale_one_has_the_moments_of_the_condition() -> None:
    """The flow of a Gaussian maps z to m + sd z."""
    found = extrapolated(LINEAR, Guided(mixture(LINEAR), 1.0))
    np.testing.assert_allclose(found, MEANS[0] + SDS[0] * STARTS, atol=1e-5)


def test_an_interval_guides_within_it_alone() -> None:
    """Heun's step across an end of the interval is of first order."""
    found = extrapolated(LINEAR, Guided(mixture(LINEAR), 3.0, interval=WINDOW), order=1)
    np.testing.assert_allclose(found, references(LINEAR)["window"], atol=5e-4)
    assert np.abs(found - walk(LINEAR, Guided(mixture(LINEAR), 3.0), STARTS, 100)).max() > 0.1


@pytest.mark.parametrize("path", [LINEAR, VP])
def test_rescaled_guidance_ends_where_its_field_leads(path: GaussianPath) -> None:
    found = extrapolated(path, Guided(mixture(path), 4.0, rescale=SHARE))
    np.testing.assert_allclose(found, references(path)["rescaled"], atol=2e-5)
    assert np.abs(found - references(path)["scale 4"]).max() > 0.1


def test_a_guided_flow_does_not_sample_the_tilted_density() -> None:
    """N(2, 0.5^2) against N(0, 1.2^2) at scale 2: p_c^2 / p_u is N(2.19, 0.370^2), what the flow samples is not."""
    precision = 2 / 0.5**2 - 1 / 1.2**2
    tilted = (2 * 2.0 / 0.5**2 / precision, precision**-0.5)
    assert tilted == (pytest.approx(2.19, abs=0.005), pytest.approx(0.370, abs=0.0005))

    def gaussian(mean: float, sd: float) -> MixturePredictor:
        numbers = ([1.0], [[mean]], [[[sd**2]]])
        return MixturePredictor(LINEAR, *(torch.tensor(each, dtype=torch.float64) for each in numbers))

    guided = Guided(gaussian(2.0, 0.5), 2.0, weak=gaussian(0.0, 1.2))
    end = extrapolated(LINEAR, guided, np.array([[0.0], [1.0]])).flatten()
    mean, deviation = end[0], end[1] - end[0]  # the flow is affine: two points tell its moments
    assert (mean, deviation) == (pytest.approx(2.58, abs=0.005), pytest.approx(0.208, abs=0.0005))
    assert math.dist((mean, deviation), tilted) > 0.3
