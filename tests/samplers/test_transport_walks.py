"""Walks along the flow against recorded ones of SiT, whose time runs from noise to data, and its diffusions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vp import VariancePreserving
from beeline.samplers.diffusion import RATES
from beeline.samplers.dopri5 import DormandPrince
from beeline.samplers.grids import build_grid
from beeline.samplers.runge_kutta import CLASSIC, RungeKutta
from beeline.samplers.solve import sample
from tests.peers import images, recording, tokens
from tests.samplers.exact import last_node, solver


class Trigonometric(GaussianPath):
    """GVP, from its formula."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.cos(0.5 * math.pi * t)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sin(0.5 * math.pi * t)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -0.5 * math.pi * self.sigma(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return 0.5 * math.pi * self.alpha(t)


PATHS: dict[str, GaussianPath] = {"Linear": Linear(), "GVP": Trigonometric(), "VP": VariancePreserving()}
KINDS = {"velocity": "velocity_to_data", "noise": "noise", "score": "score"}
THEIRS = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk38": "rk4"}


@dataclass(frozen=True)
class Analytic:
    """The net of the references' README at T = 1; a prediction of that kind."""

    process: GaussianPath
    kind: str

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        phase = x_t.expand(2.0 * math.pi * (1.0 - t))
        output = 0.7 * x_t.values + 0.2 * torch.sin(3.0 * x_t.values + phase)
        return Prediction(self.process, x_t, t, output, self.kind)


def recorded(
    path: str, prediction: str, real_data: Callable[[str], Path]
) -> tuple[Tokens, Tensor, Analytic, dict[str, np.ndarray]]:
    """Where the recorded walks start, their eleven nodes in our time, and the net that they followed."""
    walks, terms = (recording(real_data("parity"), name) for name in ("transport_ode", "transport_terms"))
    first, last = terms[f"interval_{path}_{prediction}_ode"].tolist()
    times = 1.0 - torch.linspace(first, last, 11, dtype=torch.float64)
    start = tokens(walks["z"].astype(np.float64))
    return start, times, Analytic(PATHS[path], KINDS[prediction]), walks


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("prediction", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_walks_of_fixed_steps_are_the_recorded_ones(
    path: str, prediction: str, name: str, real_data: Callable[[str], Path]
) -> None:
    start, times, net, walks = recorded(path, prediction, real_data)
    states: list[Tensor] = []
    key = Key.range(0, 0, start.samples)
    sample(solver(name), net, start, times, Conditions(), key, lambda state: states.append(state.x.values))
    theirs = torch.from_numpy(walks[f"{path}_{prediction}_{THEIRS[name]}"]).double()
    # Heun alone asks for the velocity at the end, where their sigma = sqrt(1 - exp(...)) of 0.01 cancels in float32.
    near = 4e-5 if (path, prediction, name) == ("VP", "noise", "heun") else 1e-5
    for number, expected in zip((1, 5, 10), theirs, strict=True):
        ours = images(states[number - 1], start)
        torch.testing.assert_close(ours, expected, rtol=0, atol=near * expected.abs().max().item())


def test_a_reversed_walk_is_the_recorded_one(real_data: Callable[[str], Path]) -> None:
    """From data to noise, Euler on an ascending grid."""
    start, times, net, walks = recorded("Linear", "velocity", real_data)
    end = last_node(solver("euler"), net, start.values, times.flip(0))
    expected = torch.from_numpy(walks["Linear_velocity_euler_reverse"]).double()
    torch.testing.assert_close(images(end, start), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("prediction", ["velocity", "noise", pytest.param("score", marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", PATHS)
def test_ours_of_fine_tolerance_is_no_further_from_the_truth_than_the_recorded_adaptive_walk(
    path: str, prediction: str, real_data: Callable[[str], Path]
) -> None:
    start, times, net, walks = recorded(path, prediction, real_data)  # the score's grow to 1e5 in 4,000 steps
    name = f"{path}_{prediction}_dopri5"
    if name not in walks:
        assert name == "VP_noise_dopri5", "where the peer raises"
        return
    fine_times = build_grid("cosine", 300, (times[-1].item(), times[0].item()))  # dense where a score blows up
    fine = last_node(RungeKutta(CLASSIC), net, start.values, fine_times)
    ours = last_node(DormandPrince(1e-9, 1e-9), net, start.values, times[[0, -1]])
    theirs = torch.from_numpy(walks[name][-1]).double()
    truth = images(fine, start)
    assert (images(ours, start) - truth).abs().max() <= (theirs - truth).abs().max()


NAMES = {
    "constant": "constant",
    "vp": "SBDM",
    "sigma": "sigma",
    "linear": "linear",
    "decreasing": "decreasing",
    "increasing_decreasing": "inccreasing-decreasing",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", PATHS)
def test_diffusions_are_the_recorded_ones(path: str, name: str, real_data: Callable[[str], Path]) -> None:
    """SiT's ``SBDM`` is half of the w that makes the flow of VP its SDE: its steps draw sqrt(2 times that)."""
    terms = recording(real_data("parity"), "transport_terms")
    times = 1.0 - torch.from_numpy(terms["t"]).double()
    theirs = torch.from_numpy(np.broadcast_to(terms[f"diffusion_{path}_{NAMES[name]}"].ravel(), 4).copy()).double()
    ours = RATES[name](PATHS[path], times)
    torch.testing.assert_close(ours, (2 if name == "vp" else 1) * theirs, rtol=1e-5, atol=1e-8)
