"""Paths whose noise is the value of a condition: their ends, their answers, and what does not go with them."""

from __future__ import annotations

import pytest
import torch

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.model.format import conventions
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.process.build import build_process, build_source
from beeline.process.config import ProcessConfig
from beeline.samplers.build import build_sampler
from beeline.samplers.compatible import check
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid
from beeline.samplers.likelihood import check_path
from beeline.samplers.solve import sample

CONFIG = ProcessConfig(source="condition", end="control")


def starts(count: int = 6) -> tuple[Tokens, Conditions]:
    generator = torch.Generator().manual_seed(0)
    x0, start = (torch.randn(count, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    return Tokens(x0), Conditions({"control": start}, {"control": torch.zeros(count, dtype=torch.bool)}, {})


@pytest.mark.parametrize("path", ["linear", "gvp"])
def test_a_path_leads_from_data_to_the_start_whatever_the_key(path: str) -> None:
    config = ProcessConfig(path=path, source="condition", end="control")  # type: ignore[arg-type]
    process, source = build_process(config), build_source(config)
    tokens, conditions = starts()
    placed, wanted = process.placed(tokens, conditions), conditions.values["control"]
    noise = source.sample(placed, Key.range(0, 0, 6))
    assert torch.equal(noise, wanted)
    assert torch.equal(noise, source.sample(placed, Key.range(9, 100, 6)))
    assert torch.equal(process.prior(placed, source, Key.range(0, 0, 6), 1.0).values, wanted)
    ones = torch.ones(6, dtype=torch.float64)
    torch.testing.assert_close(process.mix(placed, noise, ones).values, wanted, rtol=0, atol=1e-12)
    assert not process.is_gaussian
    with pytest.raises(ValueError, match="must be placed"):
        source.sample(tokens, Key.range(0, 0, 6))


def test_training_sees_its_own_start_and_sampling_answers_it() -> None:
    """Where every answer is its start moved by one vector, the velocity is that vector and Euler is exact."""
    process, source = build_process(CONFIG), build_source(CONFIG)
    _, conditions = starts()
    moved = torch.tensor([0.5, -2.0], dtype=torch.float64)
    data = Tokens(conditions.values["control"] + moved)

    def predictor(x_t: Tokens, t: torch.Tensor, conditions: Conditions) -> Prediction:
        return Prediction(process, x_t, t, -moved.expand_as(x_t.values), "velocity", None)

    class Batch:
        tokens, partners = data, None
        noise_key = staticmethod(lambda key: key)

    Batch.conditions = conditions  # type: ignore[attr-defined]
    losses = Flow(ObjectiveConfig(), process, source)(predictor, Batch(), Key.range(0, 0, 6))  # type: ignore[arg-type]
    assert losses.max() < 1e-20, "the loss pairs every sample with its own start"
    settings = SampleConfig(sampler="euler", steps=3)
    placed = process.placed(data.with_values(torch.zeros_like(data.values)), conditions)
    times = build_grid("uniform", 3, process.interval("velocity"))
    begin = process.prior(placed, source, Key.range(0, 0, 6), 1.0)
    found = sample(build_sampler(settings, source), predictor, begin, times, conditions, Key.range(0, 0, 6))
    torch.testing.assert_close(found.x.values, data.values, rtol=0, atol=1e-12)


def test_what_does_not_go_with_a_start_is_refused() -> None:
    for words, told in [
        ({"source": "condition"}, "needs process.end"),
        ({"source": "condition", "end": "control", "path": "ve"}, "linear and gvp"),
        ({"end": "control"}, "end belongs to path bridge and to source condition"),
    ]:
        with pytest.raises(UserError, match=told):
            ProcessConfig(**words)  # type: ignore[arg-type]
    process = build_process(CONFIG)
    with pytest.raises(UserError, match="starts from its condition control"):
        check(SampleConfig(sampler="euler_maruyama"), process, "velocity", 1)
    check(SampleConfig(sampler="heun"), process, "velocity", 1)
    with pytest.raises(UserError, match="known end"):
        check_path(process)
    assert conventions(process, "velocity", "linear")["time"].endswith("x_t = alpha x0 + sigma y, y condition control")
