"""What is settled before a walk reaches the walk: where it starts, which way it goes, what guidance moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.conditioning.label import ClassLabel
from beeline.core.protocols import Process
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.data.normalisers import Standardise
from beeline.generate.engine import Engine
from beeline.modalities.waves import Waves
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.samplers.build import SAMPLERS
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid, default_grid
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import randomise_zeros
from tests.peers import levels_of


def two_channel_engine(prediction: str = "velocity", process: Process | None = None) -> Engine:
    """Untrained, for rows of two channels in patches of four; most training rows were shorter than a patch."""
    torch.manual_seed(0)
    process = process or Linear()
    tokenizer, conditions = GridTokenizer((4,), channels=2), (ClassLabel("label", 3),)
    config = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4)
    network = Network(config, tokenizer, conditions, process, prediction)
    randomise_zeros(network, 0.3)
    codec = Codec(
        Standardise(mean=(0.0, 0.0), deviation=(1.0, 1.0)), tokenizer, conditions, forms=(((1,), 5), ((7,), 3))
    )
    start = Starting(codec, config, ProcessConfig(), ObjectiveConfig(prediction), SampleConfig(), {})  # type: ignore[arg-type]
    return Engine(network, start, Waves(), process, Gaussian())


def test_e19_channels_that_are_not_guided_take_the_conditional_step() -> None:
    """E19: one Euler step moves guided channels as full guidance does and leaves the others to the condition."""
    engine = two_channel_engine()

    def end(**options: Any) -> np.ndarray[Any, Any]:
        samples = engine.sample(2, {"label": 1}, shape=(7,), sampler="euler", steps=1, **options)
        assert isinstance(samples, np.ndarray)
        return samples

    conditional, everything = end(), end(cfg_scale=3.0)
    for channel, other in ((0, 1), (1, 0)):
        one = end(cfg_scale=3.0, guide_channels=[channel])
        np.testing.assert_allclose(one[..., channel], everything[..., channel], atol=1e-5)
        np.testing.assert_allclose(one[..., other], conditional[..., other], atol=1e-5)
    assert np.abs(everything - conditional).min() > 1e-3


# Dopri5 goes back where it erred, and one pass is of regressions.
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("dopri5", "one_pass")])
@pytest.mark.parametrize("prediction", ["velocity", "noise"])
def test_e01_the_engine_walks_from_noise_of_the_first_time_down_to_the_last(prediction: str, sampler: Any) -> None:
    """E1: a walk up the grid would start from noise where the network expects data."""
    engine = two_channel_engine(prediction)
    grid = build_grid(default_grid(sampler, 0), 4, Linear().interval(prediction), process=Linear())
    asked: list[tuple[Tokens, Tensor]] = []
    engine.network.register_forward_pre_hook(lambda _, given: asked.append(given[:2]))
    engine.sample(1, {"label": 1}, seed=3, shape=(7,), sampler=sampler, steps=4)
    times = torch.cat([t for _, t in asked])
    assert (times.diff() <= 0).all()
    assert all((times - node).abs().min() < 1e-6 for node in grid[:4])
    assert times.max().item() == pytest.approx(grid[0].item())
    start = Linear().prior(asked[0][0], Gaussian(), Key.range(3, 0, 1).fold("start"), grid[0].item())
    torch.testing.assert_close(asked[0][0].values, start.values)


@pytest.mark.parametrize(("sampler", "first"), [("heun", None), ("ddpm", 0.001), ("ddim", 0.001)])
def test_solvers_stop_where_the_velocity_is_well_posed_and_steps_between_levels_do_not(
    sampler: Any, first: float | None
) -> None:
    process = levels_of()
    engine = two_channel_engine("data", process)
    asked: list[Tensor] = []
    engine.network.register_forward_pre_hook(lambda _, given: asked.append(given[1]))
    samples = engine.generate(engine.requests(1, {"label": 1}, (7,)), 0, engine.settings(sampler=sampler, steps=4))
    wanted = process.solver_interval("data")[0] if first is None else first
    assert torch.cat(asked).min().item() == pytest.approx(wanted)
    assert samples.provenance["grid"] == {"heun": "uniform", "ddpm": "respaced", "ddim": "strided"}[sampler]
