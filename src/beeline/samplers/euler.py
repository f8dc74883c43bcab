"""Euler's method: first order, one evaluation a step.

x <- x + (t' - t) v(x, t),  t' < t
"""

from __future__ import annotations

from dataclasses import replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.solve import Walker, evaluate


class Euler(Walker):
    """First-order solver of the probability-flow ODE."""

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid; draws nothing."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        here = evaluate(state.x, t, predictor, conditions)
        x = state.x.with_values(state.x.values + (t_next - t).item() * here.velocity)
        return replace(state, x=x, index=state.index + 1, passes=state.passes + here.passes)
