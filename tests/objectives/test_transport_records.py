"""Losses as SiT's transport computes them, recorded for every path, prediction and weighting of its."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.inverse import log_ratio
from beeline.process.path import GaussianPath
from tests.peers import recording, tokens

PATHS = {"Linear": "linear", "GVP": "gvp", "VP": "vp"}
PREDICTIONS = {"velocity": "velocity_to_data", "noise": "noise", "score": "score"}


@dataclass(frozen=True)
class Given:
    values: Tensor

    def sample(self, *_: Any) -> Tensor:
        return self.values


@dataclass(frozen=True)
class Analytic:
    """The net of the references' README with T = 1, whose time runs from noise to data."""

    process: GaussianPath
    kind: str

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        phase = x_t.expand(2.0 * math.pi * (1.0 - t))
        output = 0.7 * x_t.values + 0.2 * torch.sin(3.0 * x_t.values + phase)
        return Prediction(self.process, x_t, t, output, self.kind)


@pytest.mark.parametrize("weighting", ["None", "velocity", "likelihood"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("path", PATHS)
def test_losses_are_the_recorded_ones(
    path: str, prediction: str, weighting: str, real_data: Callable[[str], Path]
) -> None:
    """SiT's options in our terms; its t is our 1 - t, its x0 the noise and its x1 the data.

    - velocity is our velocity_to_data, whatever the weighting says; its score loss is that of sigma times the score,
      our weighting auto of the score.
    - weighting None counts errors of the noise: our snr, which for noise is uniform.
    - weighting velocity counts errors of the velocity: our uniform of velocity, read from the prediction made.
    - weighting likelihood multiplies errors of the noise by d log(sigma / alpha) / dt = 1/2 gamma', the weight of the
      bound of VDM (objectives/vdm.py): maximum likelihood.
    """
    recorded = recording(real_data("parity"), "transport_terms")
    process = build_process(ProcessConfig(path=PATHS[path]))  # type: ignore[arg-type]
    assert isinstance(process, GaussianPath)
    kind: Any = PREDICTIONS[prediction]
    counted: Any = "velocity_to_data" if weighting == "velocity" else kind
    t = 1.0 - torch.from_numpy(recorded["t"]).double()
    objective = Flow(ObjectiveConfig(counted), process, Given(tokens(recorded["x0"]).values.double()))
    objective.density = Given(t)  # type: ignore[assignment]
    batch = Batch(tokens(recorded["x1"]), Conditions())
    data = Batch(batch.tokens.with_values(batch.tokens.values.double()), Conditions())
    loss = objective(Analytic(process, kind), data, Key.range(0, 0, 4))
    if weighting == "likelihood" and prediction != "velocity":
        at = t.clone().requires_grad_()
        loss = loss * torch.autograd.grad(log_ratio(process, at).sum(), at)[0]
    expected = torch.from_numpy(recorded[f"loss_{path}_{prediction}_{weighting}"]).double()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
