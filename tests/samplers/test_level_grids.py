"""Grids on the levels of a discrete process, the options of the samplers that walk them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.sources import Gaussian
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import LEVEL_GRIDS, build_grid, check_grid, default_grid
from beeline.samplers.solve import sample
from tests.peers import Analytic, levels_of

WHOLE = (0.001, 1.0)


def levels(name: str, steps: int, count: int = 1000) -> list[int]:
    """Level at each node but the last, which must be t = 0."""
    times = build_grid(name, steps, WHOLE, process=levels_of(levels=count, schedule="cosine"))
    assert times[-1].item() == 0.0
    assert len(times) == steps + 1
    found = (times[:-1] * count - 1).round().long().tolist()
    torch.testing.assert_close((torch.tensor(found).double() + 1) / count, times[:-1], rtol=1e-15, atol=0)
    return found


def test_e02_level_grids_descend_from_their_noisiest_level_to_the_data() -> None:
    """E2: one direction for all grids."""
    assert levels("respaced", 4) == [999, 666, 333, 0]
    assert levels("respaced", 1000) == levels("strided", 1000) == [*range(999, -1, -1)]
    assert levels("strided", 4) == [750, 500, 250, 0]
    assert levels("strided", 50)[:2] == [980, 960]
    assert levels("strided", 30)[:2] == [29 * 33, 28 * 33], "as diffusers where T / steps is not whole"
    assert levels("respaced", 1) == levels("strided", 1) == [999], "one step goes from the noise"
    assert levels("respaced", 3, 5) == [4, 2, 0]


def test_auto_is_the_grid_of_the_samplers_paper() -> None:
    chosen = {(name, count): default_grid(name, count) for name in ("heun", "ddpm", "ddim") for count in (0, 1000)}
    assert chosen == {
        ("heun", 0): "uniform", ("ddpm", 0): "uniform", ("ddim", 0): "uniform",
        ("heun", 1000): "uniform", ("ddpm", 1000): "respaced", ("ddim", 1000): "strided",
    }  # fmt: skip


@pytest.mark.parametrize("name", LEVEL_GRIDS)
def test_level_grids_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"grid {name}: needs the levels of path ddpm"):
        build_grid(name, 4, WHOLE)
    with pytest.raises(UserError, match="steps 51: this process has 50 levels"):
        build_grid(name, 51, WHOLE, process=levels_of(levels=50))
    with pytest.raises(UserError, match="shift 2: means nothing"):
        build_grid(name, 4, WHOLE, shift=2.0, process=levels_of())
    times = build_grid(name, 4, WHOLE, process=levels_of())
    for bad in (times.flip(0), times[:-1]):
        with pytest.raises(UserError, match="grid must"):
            check_grid(bad, (0.0, times[0].item()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "heun", "eta": 0.5}, r"eta 0\.5: belongs to sampler ddim and means nothing to heun"),
        ({"sampler": "ddpm", "eta": 0.5}, r"eta 0\.5: belongs to sampler ddim"),
        ({"sampler": "ddim", "eta": 1.5}, r"eta 1\.5: must be from 0 to 1"),
        ({"sampler": "ddim", "eta": float("nan")}, "eta nan: must be from 0 to 1"),
        ({"sampler": "ddim", "variance": "small"}, "variance small: belongs to sampler ddpm"),
        ({"sampler": "euler", "clip": 1.0}, "clip 1: belongs to samplers ddpm and ddim and means nothing to euler"),
        ({"sampler": "ddpm", "clip": 0.0}, r"clip 0\.0: must be above 0"),
        ({"sampler": "heun", "grid": "respaced"}, "grid respaced: ends at t = 0"),
        ({"sampler": "euler", "grid": "strided"}, "grid strided: ends at t = 0"),
    ],
)
def test_options_that_mean_nothing_to_a_sampler_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SampleConfig(**options)


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"sampler": "ddim"}, {"sampler": "ddim", "eta": 0.5}),
    ({"sampler": "ddpm"}, {"sampler": "ddpm", "variance": "small"}),
    ({"sampler": "ddpm"}, {"sampler": "ddpm", "clip": 0.5}),
    ({"sampler": "ddim"}, {"sampler": "ddim", "clip": 0.5}),
    ({"sampler": "ddim"}, {"sampler": "ddpm"}),
]


@pytest.mark.parametrize(("one", "other"), CHANGES)
def test_every_option_changes_the_samples(one: dict[str, Any], other: dict[str, Any]) -> None:
    process, key = levels_of(), Key.range(0, 0, 3)
    times = build_grid("respaced", 5, WHOLE, process=levels_of())
    start = process.prior(Tokens(torch.zeros(3, 2, 2)), Gaussian(), key.fold("start"), 1.0)
    ends = [
        sample(
            build_sampler(SampleConfig(**options), Gaussian()),
            Analytic(process, learned=False),
            start,
            times,
            Conditions(),
            key,
        ).x.values
        for options in (one, other)
    ]
    assert (ends[0] - ends[1]).abs().max() > 1e-2


def test_a_learned_variance_is_used_where_there_is_one_and_clipping_bounds_the_end() -> None:
    process, key = levels_of(), Key.range(0, 0, 3)
    times = build_grid("respaced", 5, WHOLE, process=levels_of())
    start = process.prior(Tokens(torch.zeros(3, 2, 2)), Gaussian(), key.fold("start"), 1.0)

    def end(learned: bool, clip: float | None) -> torch.Tensor:
        sampler = build_sampler(SampleConfig("ddpm", clip=clip), Gaussian())
        return sample(sampler, Analytic(process, learned=learned), start, times, Conditions(), key).x.values

    assert (end(True, None) - end(False, None)).abs().max() > 1e-2
    assert end(True, None).abs().max() > 0.5
    assert end(True, 0.5).abs().max() == 0.5
