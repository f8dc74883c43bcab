"""Passes that are recorded once a batch and played give the samples that computed ones give, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.generate.engine import Engine
from tests.generate.test_engine import engine, floats
from tests.tape import Tape, taped

__all__ = ["engine", "taped"]

WALKS: dict[str, tuple[dict[str, Any], int]] = {
    "one pass a step": ({"sampler": "euler", "steps": 6}, 2),
    "two passes a step": ({"sampler": "heun", "steps": 3}, 2),
    "steps that look back": ({"sampler": "dpmpp_3m", "steps": 6}, 2),
    "noise in each step": ({"sampler": "euler_maruyama", "steps": 6}, 2),
    "guided": ({"cfg_scale": 3.0, "sampler": "dpmpp_2m", "steps": 6}, 2),
    "guided for a while": ({"cfg_scale": 3.0, "cfg_interval": (0.3, 0.7), "sampler": "euler", "steps": 8}, 6),
    "bf16": ({"precision": "bf16", "sampler": "euler"}, 2),
}


@pytest.mark.parametrize("walk", WALKS)
def test_recorded_passes_are_passes(walk: str, engine: Engine, taped: type[Tape]) -> None:
    options, recordings = WALKS[walk]
    plain = floats(engine, list(range(5)), 3, **options)
    played = floats(engine, list(range(5)), 3, **options, cuda_graph=True)
    assert np.array_equal(plain, played)
    assert taped.recorded_computations == recordings, "one a batch; where guidance begins and ends, one more each"
    assert taped.played > taped.recorded_computations


def test_a_cpu_has_nothing_to_record(engine: Engine) -> None:
    with pytest.raises(UserError, match="cuda_graph: records what a GPU does, and this runs on the cpu"):
        engine.sample(1, cuda_graph=True)
