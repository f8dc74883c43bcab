"""Which objective trains what a config describes."""

from __future__ import annotations

from typing import Any

import pytest

from beeline.core.errors import UserError
from beeline.model.build import build_objective
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.ddpm import DDPM
from beeline.objectives.flow import Flow
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.path import PREDICTIONS
from beeline.process.sources import Gaussian


@pytest.mark.parametrize("path", ["linear", "vp", "ddpm"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_levels_are_trained_by_ddpm_and_everything_else_by_flow(path: Any, prediction: Any) -> None:
    process = build_process(ProcessConfig(path=path))
    built = build_objective(ObjectiveConfig(prediction), process, Gaussian())
    discrete = path == "ddpm" and prediction in ("noise", "data")
    assert type(built) is (DDPM if discrete else Flow)
    assert (built.outputs, built.prediction) == (1, prediction)


@pytest.mark.parametrize("prediction", ["noise", "data", "v", "velocity"])
def test_a_learned_variance_needs_levels(prediction: Any) -> None:
    config = ObjectiveConfig(prediction, variance="learned")
    built = build_objective(config, build_process(ProcessConfig(path="ddpm")), Gaussian())
    assert type(built) is DDPM
    assert built.outputs == 2
    for path in ("linear", "vp"):
        process = build_process(ProcessConfig(path=path))
        with pytest.raises(UserError, match=r"objective\.variance learned: needs steps between levels"):
            build_objective(config, process, Gaussian())
