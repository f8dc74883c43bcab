"""The path by its log-SNR: linear, and learned with a slope that no training turns round."""

from __future__ import annotations

import pytest
import torch

from beeline.process.path import PREDICTIONS
from beeline.process.vdm import LearnedLogSNR, LogSNR

T = torch.linspace(0, 1, 2001, dtype=torch.float64)


def trained(seed: int, spread: float) -> LearnedLogSNR:
    path = LearnedLogSNR()
    with torch.no_grad():
        path.heights.copy_(spread * torch.randn(path.heights.shape, generator=torch.Generator().manual_seed(seed)))
    return path


@pytest.mark.parametrize("path", [LogSNR(), LogSNR(-8.0, 6.0), trained(1, 0.5)])
def test_gamma_is_minus_log_snr_between_its_ends(path: LogSNR) -> None:
    with torch.no_grad():
        gamma = path.gamma(T)
        torch.testing.assert_close(2 * (path.sigma(T).log() - path.alpha(T).log()), gamma, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(path.alpha(T) ** 2 + path.sigma(T) ** 2, torch.ones_like(T), rtol=1e-14, atol=0)
        assert gamma[0].item() == pytest.approx(path.gamma_min, rel=1e-12)
        assert gamma[-1].item() == pytest.approx(path.gamma_max, rel=1e-12)
        assert torch.equal(path.time_input(T), gamma)


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_the_learned_schedule_rises_whatever_its_parameters(spread: float) -> None:
    for seed in range(3):
        path = trained(seed, spread)
        with torch.no_grad():
            assert (path.gamma(T).diff() > 0).all()
            assert (path.gamma_derivative(T) > 0).all()
        t = T.clone().requires_grad_()
        (exact,) = torch.autograd.grad(path.gamma(t).sum(), t)
        torch.testing.assert_close(path.gamma_derivative(T), exact, rtol=1e-9, atol=1e-9)


def test_the_learned_schedule_begins_as_the_linear_one() -> None:
    learned, linear = LearnedLogSNR(-8.0, 6.0), LogSNR(-8.0, 6.0)
    torch.testing.assert_close(learned.gamma(T).detach(), linear.gamma(T), rtol=0, atol=0.01)
    torch.testing.assert_close(learned.gamma_derivative(T).detach(), linear.gamma_derivative(T), rtol=0.02, atol=0)


def test_the_schedule_learns_a_given_one_and_is_saved_with_its_module() -> None:
    path = LearnedLogSNR()
    t = T[::20]
    wanted = -13.3 + 26.3 * (0.5 * t + 0.5 * t**3)
    optimiser = torch.optim.Adam(path.parameters(), 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        (path.gamma(t) - wanted).square().mean().backward()
        optimiser.step()
    assert (path.gamma(t) - wanted).abs().max().item() < 0.1
    other = LearnedLogSNR()
    other.load_state_dict(path.state_dict())
    assert torch.equal(other.gamma(T), path.gamma(T))
    assert list(path.state_dict()) == ["heights"]


def test_single_precision_is_enough_and_gradients_reach_the_schedule() -> None:
    path = trained(2, 0.5)
    torch.testing.assert_close(path.gamma(T.float()).double(), path.gamma(T), rtol=1e-5, atol=1e-4)
    for value in (path.alpha, path.sigma, path.gamma_derivative):
        (gradient,) = torch.autograd.grad(value(T.float()).sum(), path.heights)
        assert gradient.abs().min() > 0


def test_a_steep_stretch_does_not_cut_the_interval() -> None:
    """Where the schedule is steep the velocity is large, but for as much less time."""
    steep = LearnedLogSNR()
    with torch.no_grad():
        steep.heights[12:15] = 1.5
        assert steep.gamma_derivative(T).max() > 120
    for prediction in PREDICTIONS:
        low, high = (torch.tensor(end, dtype=torch.float64) for end in LogSNR().interval(prediction))
        edges = torch.tensor(steep.interval(prediction), dtype=torch.float64)
        with torch.no_grad():
            reached = steep.gamma(edges)
        torch.testing.assert_close(reached, LogSNR().gamma(torch.stack([low, high])), rtol=0, atol=1e-3)
