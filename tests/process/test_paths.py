"""Paths and predictions in float64: derivatives, endpoints, intervals, and every conversion there and back."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.inverse import log_ratio
from beeline.process.linear import Linear
from beeline.process.path import PREDICTIONS, GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.mixture import MixturePredictor


def path_of(**options: Any) -> Any:
    return build_process(ProcessConfig(**options))


def learned() -> Any:
    """A learned schedule that has learned something."""
    path = path_of(path="vdm", log_snr="learned")
    with torch.no_grad():
        path.heights.copy_(0.3 * torch.randn(path.heights.shape, generator=torch.Generator().manual_seed(0)))
    return path.requires_grad_(False)


PATHS = [Linear(), VariancePreserving(), VariancePreserving(0.5, 8.0)]
COSINE, SHIFTED, LEARNED = path_of(path="vp", schedule="cosine"), path_of(path="gvp", time_shift=3.0), learned()
LEVELLED = [build_process(ProcessConfig(path="ddpm", schedule=each)) for each in ("linear", "cosine")]
FROM_DATA: list[Any] = [*PATHS, *LEVELLED, *(path_of(path=each) for each in ("gvp", "sigmoid")), COSINE, SHIFTED]
FROM_LITTLE_NOISE: list[Any] = [path_of(path="ve"), path_of(path="vdm"), LEARNED]
BRIDGES: list[Any] = [path_of(path="bridge", end="map", bridge_noise=s) for s in (1.0, 0.3)]
ALL_PATHS: list[Any] = [*FROM_DATA, *FROM_LITTLE_NOISE]
CONTINUOUS: list[Any] = [each for each in ALL_PATHS if not each.levels]


def inner_times(path: GaussianPath, count: int = 101) -> Tensor:
    return torch.linspace(path.t_min, path.t_max, count, dtype=torch.float64)


@pytest.mark.parametrize("path", [*ALL_PATHS, *BRIDGES])
def test_derivatives_are_those_of_alpha_and_sigma(path: GaussianPath) -> None:
    t = inner_times(path).requires_grad_()
    for value, derivative in ((path.alpha, path.alpha_derivative), (path.sigma, path.sigma_derivative)):
        (exact,) = torch.autograd.grad((value(t) + 0 * t).sum(), t)
        torch.testing.assert_close(derivative(t.detach()), exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("path", [*ALL_PATHS, *BRIDGES])
def test_e03_signal_to_noise_falls_from_data_to_noise(path: GaussianPath) -> None:
    """E3: t = 0 is data and t = 1 is noise, on every path."""
    t = inner_times(path)[1:-1]
    assert (path.alpha(t) > 0).all()
    assert (path.sigma(t) > 0).all()
    assert (log_ratio(path, t).diff() > 0).all()
    zero = torch.zeros(1, dtype=torch.float64)
    if path in FROM_DATA:
        assert path.alpha(zero).item() == pytest.approx(1, abs=1e-15)
        assert path.sigma(zero) == 0
        assert path.alpha(zero + 1) < 0.15
        assert path.sigma(zero + 1) > 0.98
    else:
        assert log_ratio(path, zero + path.t_min) < -3.4
        assert log_ratio(path, zero + path.t_max) > 2


def test_vp_preserves_variance_and_keeps_its_digits_at_small_t() -> None:
    path = VariancePreserving()
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t), rtol=1e-14, atol=0)
    small = torch.tensor([1e-3], dtype=torch.float32)
    torch.testing.assert_close(path.sigma(small).double(), path.sigma(small.double()), rtol=1e-6, atol=0)
    half = torch.tensor([0.5], dtype=torch.float64)
    torch.testing.assert_close(path.alpha(half), torch.exp(-0.25 * half**2 * 19.9 - 0.5 * half * 0.1))


def test_vp_begins_where_a_hundredth_of_noise_is_left() -> None:
    path = VariancePreserving()
    start = torch.tensor(path.interval("v")[0], dtype=torch.float64)
    assert path.sigma(start).item() == pytest.approx(0.01, rel=0.06)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(
    "path", [*CONTINUOUS[:-1], *BRIDGES, VariancePreserving(0.1, 200.0), VariancePreserving(50.0, 60.0)]
)
def test_each_pair_declares_where_it_is_well_posed(path: GaussianPath, prediction: str) -> None:
    low, high = path.interval(prediction)
    assert path.t_min <= low < high <= path.t_max
    t = torch.linspace(low, high, 2001, dtype=torch.float64)
    determinant = path.determinant(t, prediction).abs()
    size = (path.alpha(t) ** 2 + path.sigma(t) ** 2).sqrt().clamp(min=1)  # of x_t: on ve it goes up to 80
    assert (determinant / size).min() >= 1e-3 * (1 - 1e-9)
    assert max((c.abs() / size).max() for c in path.coefficients(t, prediction)) <= 50 * (1 + 1e-9)
    assert (path.determinant(t, "velocity").abs() / determinant / size).max() <= 50 * (1 + 1e-9)
    for edge, end in ((low, path.t_min), (high, path.t_max)):  # and it is as long as it can be
        outside = edge + 1e-6 * (1 if end > edge else -1)
        assert edge == end or not path.is_usable(torch.tensor(outside, dtype=torch.float64), prediction)


def test_intervals_of_the_straight_path() -> None:
    path = Linear()
    assert path.interval("velocity") == (0.0, 1.0)
    assert path.interval("v") == (0.0, 1.0)
    assert path.interval("noise") == (0.0, pytest.approx(0.98))
    assert path.interval("data") == (pytest.approx(0.02), 1.0)
    assert path.interval("score") == (pytest.approx(0.02), pytest.approx(50 / 51))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_usual_vp_path_is_used_nearly_whole(prediction: str) -> None:
    low, high = VariancePreserving().interval(prediction)
    assert low < 0.02
    assert high == 1.0


def test_a_path_on_which_nothing_can_be_read_is_refused() -> None:
    with pytest.raises(UserError, match="nowhere on this path"):
        VariancePreserving(1e9, 1e9).interval("noise")


@pytest.mark.parametrize("betas", [(0.1, 1.0), (0.1, 5.0), (5.0, 6.9)])
def test_a_vp_path_that_never_reaches_noise_is_refused(betas: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="too little noise"):
        ProcessConfig(path="vp", beta_min=betas[0], beta_max=betas[1])


@cache
def interval(path: GaussianPath, prediction: str) -> tuple[float, float]:
    """Found once for many tests."""
    return path.interval(prediction)


def setting(path: GaussianPath, prediction: str, seed: int = 0) -> tuple[Tokens, Tensor, Tensor, Tensor]:
    """x_t, t, x0 and e at random times of the interval, its ends included."""
    generator = torch.Generator().manual_seed(seed)
    low, high = interval(path, prediction)
    t = torch.rand(8, generator=generator, dtype=torch.float64) * (high - low) + low
    t[0], t[-1] = low, high
    x0, e = (torch.randn(8, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    return path.mix(Tokens(x0), e, t), t, x0, e


def exact(path: GaussianPath, x_t: Tokens, t: Tensor, x0: Tensor, e: Tensor, prediction: str) -> Tensor:
    """The prediction written out, one formula each (facts: the table of the process room)."""
    alpha, sigma = (c.view(-1, 1, 1) for c in (path.alpha(t), path.sigma(t)))
    match prediction:
        case "velocity":
            return path.alpha_derivative(t).view(-1, 1, 1) * x0 + path.sigma_derivative(t).view(-1, 1, 1) * e
        case "noise":
            return e
        case "data":
            return x0
        case "velocity_to_data":
            return -path.alpha_derivative(t).view(-1, 1, 1) * x0 - path.sigma_derivative(t).view(-1, 1, 1) * e
        case "score":
            return -(x_t.values - alpha * x0) / sigma**2
        case "v":
            return alpha * e - sigma * x0
        case "edm":
            scale = torch.sqrt(sigma**2 + (0.5 * alpha) ** 2)
            return (sigma / 0.5 * x0 - alpha * 0.5 * e) / scale
    raise AssertionError(prediction)


@pytest.mark.parametrize("source", PREDICTIONS)
@pytest.mark.parametrize("path", ALL_PATHS)
def test_every_prediction_converts_to_every_other(path: GaussianPath, source: str) -> None:
    for target in PREDICTIONS:
        low = max(interval(path, source)[0], interval(path, target)[0])
        high = min(interval(path, source)[1], interval(path, target)[1])
        x_t, t, x0, e = setting(path, source)
        t = t.clamp(low, high)
        x_t = path.mix(Tokens(x0), e, t)
        y = exact(path, x_t, t, x0, e, source)
        torch.testing.assert_close(path.target(Tokens(x0), e, t, source), y, rtol=1e-8, atol=1e-8)
        converted = path.convert(y, x_t, t, source, target)
        wanted = exact(path, x_t, t, x0, e, target)
        torch.testing.assert_close(converted, wanted, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(path.convert(converted, x_t, t, target, source), y, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("path", ALL_PATHS)
def test_e23_scores_and_conversions_belong_to_a_condition(path: GaussianPath) -> None:
    """E23: the score is s(x, t, c) = -E[e | x_t, c] / sigma; c must not be lost on the way."""
    means = torch.tensor([[-2.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
    spreads = torch.stack([torch.eye(2, dtype=torch.float64) * s for s in (0.3, 0.8)])
    predictor = MixturePredictor(path, torch.tensor([0.4, 0.6], dtype=torch.float64), means, spreads)
    t = torch.full((2,), 0.4, dtype=torch.float64)
    x = torch.tensor([[0.3, -0.7], [1.5, 0.2]], dtype=torch.float64).requires_grad_()
    for null in (False, True):
        conditions = Conditions({"component": torch.tensor([0, 1])}, {"component": torch.tensor([null, null])})
        prediction = predictor(Tokens(x[:, None]), t, conditions)
        alpha, sigma = path.alpha(t[:1]), path.sigma(t[:1])
        densities = torch.stack(
            [
                torch.distributions.MultivariateNormal(
                    alpha * means[k], alpha**2 * spreads[k] + sigma**2 * torch.eye(2, dtype=torch.float64)
                ).log_prob(x)
                for k in (0, 1)
            ],
            dim=1,
        )
        mixed = torch.logsumexp(densities + torch.tensor([0.4, 0.6], dtype=torch.float64).log(), dim=1)
        log_p = mixed if null else densities.diagonal()
        (gradient,) = torch.autograd.grad(log_p.sum(), x, retain_graph=True)
        torch.testing.assert_close(prediction.score[:, 0], gradient, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(prediction.e, -sigma * prediction.score)
        torch.testing.assert_close(
            prediction.x0, (x[:, None] + sigma**2 * prediction.score) / alpha, rtol=1e-9, atol=1e-10
        )


def test_a_prediction_says_the_same_whatever_it_was_made_as() -> None:
    path = Linear()
    x_t, t, x0, e = setting(path, "score")
    readings = [Prediction(path, x_t, t, exact(path, x_t, t, x0, e, kind), kind) for kind in PREDICTIONS]
    for prediction in readings:
        torch.testing.assert_close(prediction.x0, x0, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(prediction.e, e, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(prediction.velocity, e - x0, rtol=1e-8, atol=1e-8)
        assert prediction.variance is None


@pytest.mark.parametrize("path", ALL_PATHS)
def test_the_prior_is_the_marginal_of_the_noise_at_its_time(path: GaussianPath) -> None:
    like = Tokens(torch.zeros(4000, 2, 3))
    for t in (0.5, 1.0):
        start = path.prior(like, Gaussian(), Key.range(0, 0, 4000), t)
        sigma = path.sigma(torch.tensor(t, dtype=torch.float64)).item()
        assert start.values.std().item() == pytest.approx(sigma, rel=0.02)
        assert start.values.mean().abs() < 0.02 * max(1, sigma)


def test_mixing_is_per_sample_also_in_packed_rows() -> None:
    segment = torch.tensor([[0, 0, 1, 1, 1, -1]])
    x0 = Tokens(torch.ones(1, 6, 1), segment=segment, keep=segment >= 0, layout=(None, None))  # type: ignore[arg-type]
    mixed = Linear().mix(x0, torch.full((1, 6, 1), 5.0), torch.tensor([0.25, 0.75]))
    assert mixed.values[0, :5, 0].tolist() == [2.0, 2.0, 4.0, 4.0, 4.0]


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'noise'"):
        Linear().coefficients(torch.tensor(0.5), "noize")
    with pytest.raises(UserError, match="did you mean 'linear'"):
        build_process(ProcessConfig(path="linar"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="need 0 < beta_min <= beta_max"):
        ProcessConfig(path="vp", beta_min=2.0, beta_max=1.0)


def test_e18_the_time_input_tells_times_apart() -> None:
    """E18: t in [0, 1] fed raw to waves of period 10,000 is all but constant; 1000 t is not."""
    from beeline.nn.embeddings import sinusoid

    def likeness(one: float, other: float, scaled: bool) -> float:
        t = torch.tensor([one, other], dtype=torch.float64)
        waves = sinusoid(Linear().time_input(t) if scaled else t)
        return torch.nn.functional.cosine_similarity(waves[:1], waves[1:]).item()

    assert likeness(0.0, 1.0, scaled=False) == pytest.approx(0.972, abs=5e-4)
    assert likeness(0.50, 0.51, scaled=False) == pytest.approx(0.999997, abs=1e-6)
    assert likeness(0.0, 1.0, scaled=True) == pytest.approx(0.193, abs=5e-4)
    assert likeness(0.50, 0.51, scaled=True) == pytest.approx(0.675, abs=5e-4)


@pytest.mark.parametrize("path", ["linear", "vp"])
def test_networks_whose_time_runs_from_noise_to_data_see_one_minus_t(path: Any) -> None:
    t = torch.tensor([0.0, 0.25, 1.0])
    process = build_process(ProcessConfig(path=path, time_input="1 - t"))
    assert process.time_input_name == "1 - t"
    assert process.time_input(t).tolist() == [1.0, 0.75, 0.0]
    usual = build_process(ProcessConfig(path=path))
    assert (usual.time_input_name, usual.time_input(t).tolist()) == ("1000 t", [0.0, 250.0, 1000.0])


class Crossing(Linear):
    """A path that stands still at t = 0.2, where its velocity tells nothing: two stretches, of 0.2 and 0.8."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1.0 - self._pace(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self._pace(t)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -self._speed(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return self._speed(t)

    def _pace(self, t: Tensor) -> Tensor:
        return ((t - 0.2).pow(3) + 0.008) / 0.52

    def _speed(self, t: Tensor) -> Tensor:
        return 3.0 * (t - 0.2).square() / 0.52


def test_of_two_stretches_the_longer_is_taken() -> None:
    low, high = Crossing().interval("velocity")
    assert (low, high) == (pytest.approx(0.2132, abs=1e-4), 1.0)  # where the speed is 1e-3
