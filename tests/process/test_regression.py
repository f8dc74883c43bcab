"""The baseline of one pass: it learns the mean or the median, gives one answer, and refuses what speaks of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beeline.cli.train import train
from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.generate.config import EditConfig
from beeline.generate.editor import Editor
from beeline.generate.engine import Engine
from beeline.generate.load import load
from beeline.model.build import build_objective
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig, TimeConfig
from beeline.process.regression import Regression
from beeline.process.sources import Gaussian
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid
from beeline.samplers.solve import sample
from tests.conftest import FAST

DATA = ObjectiveConfig(prediction="data")


class Answer(nn.Module):
    """Says the same two numbers to everything, and remembers what it was shown."""

    def __init__(self, process: Regression) -> None:
        super().__init__()
        self.process, self.said, self.shown = process, nn.Parameter(torch.zeros(2)), list[tuple[Tensor, Tensor]]()

    def forward(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        self.shown.append((x_t.values, self.process.time_input(t)))
        return Prediction(self.process, x_t, t, self.said.expand_as(x_t.values), "data")


def skewed(count: int) -> Tokens:
    """Numbers whose mean is not their median."""
    draws = torch.from_numpy(np.random.default_rng(0).exponential(size=(count, 3, 2))).float()
    return Tokens(draws)


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_what_it_learns_is_the_mean_or_the_median(loss: Any) -> None:
    process, data = Regression(), skewed(400)
    model = Answer(process)
    objective = build_objective(ObjectiveConfig(prediction="data", loss=loss), process, Gaussian())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(120):
        optimiser.zero_grad()
        objective(model, Batch(data, Conditions()), Key.range(step, 0, 400)).mean().backward()
        optimiser.step()
    numbers = data.values.flatten(0, 1)
    expected = numbers.mean(dim=0) if loss == "mse" else numbers.median(dim=0).values
    torch.testing.assert_close(model.said.detach(), expected, rtol=0, atol=0.03)
    assert not any(shown.any() for shown, _ in model.shown), "neither data nor noise is seen"
    assert all((time == 1000).all() for _, time in model.shown), "nor any other time than the last"


def test_e32_one_pass_is_the_whole_answer_and_knows_no_seed() -> None:
    """E32: without noise each condition has one answer; it is called a regression, and takes one evaluation."""
    process = Regression()
    model = Answer(process)
    nn.init.constant_(model.said, 0.7)
    times = build_grid("uniform", 1, process.solver_interval("data"))
    states = []
    for seed in (0, 1):
        key = Key.range(seed, 0, 4)
        start = process.prior(Tokens(torch.ones(4, 3, 2)), Gaussian(), key, times[0].item())
        assert not start.values.any()
        states.append(
            sample(build_sampler(SampleConfig("one_pass", 1), Gaussian()), model, start, times, Conditions(), key)
        )
    assert torch.equal(states[0].x.values, states[1].x.values)
    assert (states[0].x.values == 0.7).all()
    assert states[0].passes == 1 == len(model.shown) // 2


@pytest.mark.parametrize("kind", ["velocity", "noise", "score", "v", "edm"])
def test_only_the_data_can_be_predicted(kind: Any) -> None:
    process, x = Regression(), Tokens(torch.ones(1, 3, 2))
    with pytest.raises(UserError, match=f"prediction {kind}: process.path regression has no noise"):
        build_objective(ObjectiveConfig(prediction=kind), process, Gaussian())
    with pytest.raises(UserError, match="data alone can be predicted"):
        process.convert(x.values, x, torch.ones(1), "data", kind)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": TimeConfig(density="logit_normal")}, "objective.time: means nothing"),
        ({"weighting": "snr"}, "objective.weighting: means nothing"),
        ({"coupling": "optimal_transport"}, "objective.coupling: means nothing"),
        ({"loss": "vlb"}, "has no density to bound"),
    ],
)
def test_options_of_noise_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_objective(ObjectiveConfig(prediction="data", **options), Regression(), Gaussian())
    with pytest.raises(UserError, match=r"time_shift belongs to paths .* means nothing to path regression"):
        ProcessConfig(path="regression", time_shift=2.0)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    out: Path = tmp_path_factory.mktemp("runs") / "baseline"
    options = {name: value for name, value in FAST.items() if name != "sample.steps"}
    return load(train("digits", out, options={**options, "objective.family": "regression", "train.steps": 4}))


def test_a_trained_one_samples_in_one_pass_and_refuses_the_rest(baseline: Engine) -> None:
    requests = baseline.requests(2, {"label": 3})
    first, second = (baseline.generate(requests, seed) for seed in (0, 1))
    assert first.provenance["passes"] == 1
    assert all((a.array == b.array).all() for a, b in zip(first.examples, second.examples, strict=True))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"sampler": "heun"}, "sampler heun: this model is a regression, which has no path to walk"),
        ({"steps": 20}, "steps 20: this model is a regression, which answers in one pass"),
        ({"cfg_scale": 2.0}, "cfg_scale 2: this model is a regression"),
        ({"preset": "best"}, "sampler dpmpp_2m: this model is a regression"),
    ]
    for options, message in refused:
        with pytest.raises(UserError, match=message):
            baseline.sample(1, **options)
    with pytest.raises(UserError, match="cfg_scale 3: this model is a regression"):
        baseline.sample(2, cfg_scale=[1.0, 3.0])
    with pytest.raises(UserError, match="likelihood: this model is a regression"):
        baseline.log_likelihood(first.examples)
    for how in ("invert", "renoise", "inpaint", "interpolate"):
        with pytest.raises(UserError, match=f"{how}: this model is a regression"):
            Editor(baseline, EditConfig(how), baseline.defaults)


def test_no_other_model_samples_in_one_pass(small_run: Path) -> None:
    with pytest.raises(
        UserError, match=r"sampler one_pass: belongs to models trained with objective\.family regression"
    ):
        load(small_run).sample(1, sampler="one_pass", steps=1)
