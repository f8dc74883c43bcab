"""How a batch of items comes about: usually from noise, in one walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.generate.plan import Plan
from beeline.samplers.solve import Interlude, sample


@dataclass(frozen=True)
class Stretch:
    """Items that go through the network together.

    Args:
        plan: how samples are drawn.
        predictor: guided, where that was asked for.
        tokens: frames of the items, whose values are zero.
        conditions: of the items.
        key: of the items.
        items: their places among those that were asked for.
        after_step: to be called after every step, for progress.
    """

    plan: Plan
    predictor: Predictor
    tokens: Tokens
    conditions: Conditions
    key: Key
    items: range
    after_step: Callable[[SamplerState], None]

    def down_from(self, start: Tokens, between: Interlude | None = None) -> SamplerState:
        """Walk the whole grid.

        Args:
            start: noise at its first time.
            between: called with the state after every step, and may give another to go on from.
        """

        def after_step(state: SamplerState) -> SamplerState | None:
            self.after_step(state)
            return None if between is None else between(state)

        plan = self.plan
        return sample(plan.solver, self.predictor, start, plan.times, self.conditions, self.key, after_step)


# From frames to the state at t = 0.
Way = Callable[[Stretch], SamplerState]
