"""The answer of a regression: one evaluation, no noise, no walk.

x <- x0(0),  at the first node; the grid has one step, which ends at t = 0
"""

from __future__ import annotations

from dataclasses import replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.solve import Walker, evaluate


class OnePass(Walker):
    """Goes from the start to the data expected there at once."""

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """The whole way; draws nothing."""
        here = evaluate(state.x, state.times[state.index], predictor, conditions)
        return replace(state, x=state.x.with_values(here.x0), index=state.index + 1, passes=state.passes + here.passes)
