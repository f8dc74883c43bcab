"""Explicit Runge-Kutta methods of fourth order: four evaluations a step.

    k_i = v(x + h sum_(j<i) a_ij k_j, t + c_i h),   h = t' - t < 0
    x  <- x + h sum_i b_i k_i

rk4    the classic method: c = 0, 1/2, 1/2, 1 and b = 1/6, 1/3, 1/3, 1/6
rk38   the 3/8 rule: c = 0, 1/3, 2/3, 1 and b = 1/8, 3/8, 3/8, 1/8 (what torchdiffeq calls rk4)

Source: Hairer, Norsett & Wanner 1993, "Solving ordinary differential equations I", table II.1.2.

Shapes: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Passes
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.samplers.solve import Walker, evaluate


@dataclass(frozen=True)
class Tableau:
    """Coefficients of a method.

    Args:
        nodes: c, where in a step each slope is taken.
        rows: a, how each slope's point is reached from those before it.
        weights: b, how the slopes make the step.
    """

    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


CLASSIC = Tableau((0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
THREE_EIGHTHS = Tableau((0, 1 / 3, 2 / 3, 1), ((), (1 / 3,), (-1 / 3, 1), (1, -1, 1)), (1 / 8, 3 / 8, 3 / 8, 1 / 8))


@dataclass(frozen=True)
class RungeKutta(Walker):
    """Solver of the probability-flow ODE by a tableau.

    Args:
        tableau: of the method.
    """

    tableau: Tableau

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid; draws nothing."""
        t, t_next = (state.times[state.index + k].expand(state.x.samples) for k in (0, 1))
        found, passes = slopes(self.tableau, state.x, t, t_next, predictor, conditions)
        x = advanced(state.x, t, t_next, self.tableau.weights, found)
        return replace(state, x=x, index=state.index + 1, passes=state.passes + passes)


def slopes(
    tableau: Tableau,
    x: Tokens,
    t: Tensor,
    t_next: Tensor,
    predictor: Predictor,
    conditions: Conditions,
    first: Tensor | None = None,
) -> tuple[list[Tensor], Passes]:
    """The slopes k_i of one step, and the network passes that they have cost.

    Args:
        tableau: of the method.
        x: the samples at their times.
        t: (N,) where each is.
        t_next: (N,) where each goes.
        predictor: says which way.
        conditions: of the samples.
        first: k_1, where it is known already.
    """
    found = [] if first is None else [first]
    passes: Passes = 0
    for node, row in list(zip(tableau.nodes, tableau.rows, strict=True))[len(found) :]:
        # The end of the step to the last bit: beyond it the path may not be defined.
        at = t_next if node == 1 else t + node * (t_next - t)
        here = evaluate(advanced(x, t, t_next, row, found), at, predictor, conditions)
        found.append(here.velocity)
        passes = passes + here.passes
    return found, passes


def advanced(x: Tokens, t: Tensor, t_next: Tensor, weights: Sequence[float], found: Sequence[Tensor]) -> Tokens:
    """x + h sum_i w_i k_i.

    Args:
        x: the samples at their times.
        t: (N,) where each is.
        t_next: (N,) where each goes: h is the difference.
        weights: one for each slope.
        found: the slopes; those with weight 0 are left out.
    """
    terms = [weight * slope for weight, slope in zip(weights, found, strict=True) if weight]
    if not terms:
        return x
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return x.with_values(x.values + x.expand((t_next - t).to(x.values)) * total)
