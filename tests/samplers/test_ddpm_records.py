"""Ancestral and DDIM sampling step by step against recorded walks of the official code, with its own noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.sources import Gaussian
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.ddim import DDIM
from beeline.samplers.grids import build_grid
from beeline.samplers.guidance import Guided
from beeline.samplers.solve import Watched, sample
from tests.peers import (
    TOKENIZER,
    Analytic,
    Recorded,
    assert_near,
    images,
    labels,
    levels_of,
    official_network,
    recording,
    tokens,
)

DDPM: dict[str, Any] = {"sampler": "ddpm", "grid": "respaced"}
DDIM_WALK: dict[str, Any] = {"sampler": "ddim", "grid": "strided"}
TOY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ddpm10_toy": (DDPM, {}),
    "ddpm10_toy_clip": ({**DDPM, "clip": 1.0}, {}),
    "ddpm10_toy_fixed": ({**DDPM, "clip": 1.0}, {"learned": False}),
    "ddpm10_toy_fixed_small": ({**DDPM, "variance": "small", "clip": 1.0}, {"learned": False}),
    "ddpm10_toy_xstart": (DDPM, {"kind": "data"}),
    "ddpm10_toy_cos": ({**DDPM, "clip": 1.0}, {}),
    "ddim10_toy": (DDIM_WALK, {}),
    "ddim10_toy_clip": ({**DDIM_WALK, "clip": 1.0}, {}),
    "ddim10_toy_eta0.5": ({**DDIM_WALK, "eta": 0.5}, {}),
    "ddim_on_10_toy": ({**DDIM_WALK, "grid": "respaced"}, {}),
}


def walked(
    options: dict[str, Any], predictor: Predictor, start: Tokens, source: Source, conditions: Conditions
) -> tuple[list[Tensor], list[Prediction]]:
    """The samples after each of ten steps, and the predictions they were made from."""
    settings = SampleConfig(steps=10, **options)
    states: list[Tensor] = []
    seen: list[Prediction] = []
    times = build_grid(settings.grid, 10, (0.001, 1.0), process=levels_of())
    key = Key.range(0, 0, start.samples)
    end = sample(
        build_sampler(settings, source),
        Watched(predictor, seen.append),
        start,
        times,
        conditions,
        key,
        lambda state: states.append(state.x.values),
    )
    assert end.passes == sum(each.passes for each in seen), "a walk to t = 0 costs nothing at its end"
    assert len(seen) == 10
    return states, seen


@pytest.mark.parametrize("name", TOY)
def test_walks_of_the_analytic_net_are_the_recorded_ones(name: str, real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "diffusion_samples")
    options, net = TOY[name]
    process = levels_of(schedule="cosine" if name.endswith("cos") else "linear")
    start = tokens(recorded["z"])
    noise = recorded.get(f"{name}_noise")
    source = Gaussian() if noise is None else Recorded([tokens(each) for each in noise])
    states, seen = walked(options, Analytic(process, **net), start, source, Conditions())
    bound = options.get("clip", float("inf"))
    # A clipped x0 is at most 1 in size but was read, with the rounding of float32, from one of hundreds.
    relative = 1e-5 if bound > 1 else 3e-5
    for index, (state, prediction) in enumerate(zip(states, seen, strict=True)):
        assert_near(images(state, start), recorded[name][index], relative)
        assert_near(images(prediction.x0.clamp(-bound, bound), start), recorded[f"{name}_pred_xstart"][index], relative)


@pytest.mark.parametrize("name", ["ddpm10_dit", "ddpm10_dit_cfg4", "ddim10_dit", "ddim10_dit_cfg4"])
def test_walks_of_the_official_network_are_the_recorded_ones(name: str, real_data: Callable[[str], Path]) -> None:
    """E19: guidance at 4 moves three channels of four; the records hold the guided samples first."""
    recorded = recording(real_data("parity"), "diffusion_samples")
    process = levels_of()
    guided = name.endswith("cfg4")
    start, conditions = tokens(recorded["cfg_z" if guided else "z"][:2]), labels(recorded["y"])
    predictor: Predictor = official_network(real_data("parity"), process)
    if guided:
        moved = torch.ones(8, 8, 4)
        moved[..., 3] = 0
        predictor = Guided(predictor, 4.0, TOKENIZER.encode(moved).values.bool())
        conditions = labels(recorded["cfg_y"][:2])
    noise = recorded.get(f"{name}_noise")
    source = Gaussian() if noise is None else Recorded([tokens(each[:2]) for each in noise])
    states, _ = walked(DDPM if name.startswith("ddpm") else DDIM_WALK, predictor, start, source, conditions)
    for index, state in enumerate(states):
        assert_near(images(state, start), recorded[name][index][:2], 1e-4)


def test_ddim_walks_up_to_the_noise_as_recorded(real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "diffusion_samples")
    start, states = tokens(recorded["rev_x"]), []
    up = build_grid("strided", 10, (0.001, 1.0), process=levels_of())[:-1].flip(0)
    sampler = DDIM(Gaussian())
    state = sampler.initialise(start, up)
    with torch.no_grad():
        for index in range(9):
            state = sampler.step(state, Analytic(levels_of()), Conditions(), Key.range(0, 0, 2).fold("step", index))
            states.append(state.x.values)
    for index, values in enumerate(states):
        assert_near(images(values, start), recorded["ddim_reverse10_toy"][index], 1e-5)
