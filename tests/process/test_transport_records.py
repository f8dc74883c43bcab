"""Paths, targets, drifts and scores as SiT's own transport module recorded them, whose time is 1 - t."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beeline.core.prediction import Prediction
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from tests.peers import images, recording, tokens

PEER: dict[str, Any] = {"Linear": "linear", "GVP": "gvp", "VP": "vp"}
KINDS = {"velocity": "velocity_to_data", "noise": "noise", "score": "score"}


def assert_recorded(found: torch.Tensor, recorded: np.ndarray[Any, Any]) -> None:
    """Equal to 1e-5 of the largest value."""
    np.testing.assert_allclose(found, recorded, rtol=0, atol=1e-5 * np.abs(recorded).max())


@pytest.mark.parametrize("name", PEER)
def test_paths_targets_drifts_and_scores_are_the_recorded_ones(name: str, real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "transport_terms")
    process = build_process(ProcessConfig(path=PEER[name], time_input="1 - t"))
    data, noise = tokens(recorded["x1"]), tokens(recorded["x0"])
    t = torch.from_numpy(1.0 - recorded["t"])
    x_t = process.mix(data, noise.values, t)
    assert_recorded(images(x_t.values, x_t), recorded[f"{name}_xt"])
    target = process.target(data, noise.values, t, "velocity_to_data")
    assert_recorded(images(target, x_t), recorded[f"{name}_ut"])
    # The analytic net of the references' README; it sees the peer's time.
    phase = x_t.expand(2 * math.pi * process.time_input(t))
    output = 0.7 * x_t.values + 0.2 * torch.sin(3 * x_t.values + phase)
    for theirs, ours in KINDS.items():
        prediction = Prediction(process, x_t, t, output, ours)
        drift = prediction.as_kind("velocity_to_data")
        assert_recorded(images(drift, x_t), recorded[f"{name}_{theirs}_drift"])
        assert_recorded(images(prediction.score, x_t), recorded[f"{name}_{theirs}_score"])
