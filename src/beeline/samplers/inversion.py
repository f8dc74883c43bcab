"""From data to the noise that gives them: the probability-flow ODE walked up.

    dx/dt = v(x, t), integrated from t_min up to t_max with the data as the start

The flow is a bijection, so walking down again with the same condition gives the data back, up to the solver's error,
and walking down with another one gives what these data would be under it. Noise of data that the predictor knows
exactly is distributed as the prior.

Where the grid stops short of t = 0 a walk down ends with x0 = E[x0 | x]; a walk up begins with the x that this would
take to the data, found by iterating

    x <- alpha x0 + sigma E[e | x],   first x = alpha x0

which shrinks errors by about sigma^2 / (sigma^2 + alpha^2 variance of the data) each time.

Sources: Song et al. 2021, "Score-based generative modeling through stochastic differential equations", section 4.3;
Su et al. 2023, "Dual diffusion implicit bridges", section 3.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.protocols import Predictor, Process, Sampler
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.samplers.config import SampleConfig
from beeline.samplers.solve import Interlude, evaluate, sample

# Solvers whose steps read the two times beside them and nothing else, so that they walk either way.
REVERSIBLE = ("euler", "heun", "midpoint", "rk4", "rk38", "ddim")
_ROUNDS = 3


def check_reversible(settings: SampleConfig, purpose: str) -> None:
    """Refuse samplers that cannot walk up.

    Args:
        settings: of the walk.
        purpose: what asks for it, for the message.

    Raises:
        UserError: the sampler draws noise on its way, or remembers or chooses steps.
    """
    if settings.sampler == "ddim" and settings.eta > 0:
        raise UserError(f"eta {settings.eta:g}: draws noise in every step, which {purpose} cannot undo; use eta 0")
    if settings.sampler in REVERSIBLE:
        return
    stochastic = ("ddpm", "dpmpp_2m_sde", "euler_maruyama", "stochastic_heun")
    why = "draws noise in every step" if settings.sampler in stochastic else "has steps that lead down only"
    raise UserError(f"sampler {settings.sampler}: {why}, and {purpose} needs steps that can be undone; use heun")


def invert(
    sampler: Sampler,
    predictor: Predictor,
    data: Tokens,
    times: torch.Tensor,
    conditions: Conditions,
    process: Process,
    after_step: Interlude | None = None,
) -> SamplerState:
    """Walk a grid from data up to noise.

    Args:
        sampler: a solver whose steps draw nothing and read only the two times beside them.
        predictor: says what is expected where the walk is.
        data: x0.
        times: (n + 1,) the descending nodes of the walk that this one undoes.
        conditions: of the data.
        process: the path.
        after_step: called with each state on the way.

    Returns:
        the state at ``times[0]``.
    """
    # A grid over discrete levels ends at t = 0, below the first level, where the network has never been.
    upwards = times[times >= process.t_min].flip(0)
    with torch.no_grad():
        x, passes = data, 0
        if upwards[0] > 0:
            t = upwards[0]
            alpha, sigma = process.alpha(t).item(), process.sigma(t).item()
            x = data.with_values(alpha * data.values)
            for _ in range(_ROUNDS):
                here = evaluate(x, t, predictor, conditions)
                x = data.with_values(alpha * data.values + sigma * here.e)
                passes = passes + here.passes
        if len(upwards) == 1:
            return replace(sampler.initialise(x, upwards), passes=passes)
        # Nothing is drawn on the way, so no key has a say; finishing is for walks that end at data.
        nobody = Key.range(0, 0, data.samples, data.values.device)
        end = sample(_Unfinished(sampler), predictor, x, upwards, conditions, nobody, after_step)
    return replace(end, passes=end.passes + passes)


class _Unfinished:
    """A solver whose walk ends where its grid ends."""

    def __init__(self, sampler: Sampler) -> None:
        self.initialise = sampler.initialise
        self.step = sampler.step

    def finish(self, state: SamplerState, predictor: Predictor, conditions: Conditions) -> SamplerState:
        """The state as it is."""
        return state
