"""Bits per dimension of held-out and of training examples, beside Gaussians that know every number by itself.

The likelihood is that of ``generate/likelihood.py``, on any path that has one; where the objective has a variational
bound (``objectives/bounds.py``) the bound stands beside it. Held-out bits above those of training examples are what
overfitting costs; both above the floor mean that nothing was learned of how numbers go together.

    floor = mean over x, numbers of [1/2 log(2 pi v) + ((x - m)^2 + w) / (2 v)] / log 2,   v = variance + w

in native units, with m and the variance of the training examples number by number, and w = 1/12 of whole numbers, by
which their dequantisation spreads them; 0 of others. It is the same bound, in expectation over dequantisation.

Shapes: N examples, M training examples, D numbers an example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from beeline.core.data import Example
from beeline.core.offers import Affine
from beeline.core.protocols import Normaliser
from beeline.core.random import Key
from beeline.evaluate.records import Evaluation, Record
from beeline.evaluate.sets import Sets, one_shape, spread
from beeline.generate.engine import Engine
from beeline.generate.likelihood import Likelihoods, log_likelihood
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import bootstrap
from beeline.objectives.bounds import WholeBound, build_bound
from beeline.samplers.likelihood import LikelihoodSettings

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]
FLOOR = "independent Gaussians"
# Probes differ less than examples do, and the mean over examples is unbiased with any number of them.
_SETTINGS = LikelihoodSettings(trace="hutchinson", probes=2)
_ITEMS_A_BATCH = 128


@dataclass(frozen=True)
class Measured:
    """Likelihoods as an evaluation holds them.

    Args:
        records: one a number.
        protocol: how they were computed.
    """

    records: list[Record]
    protocol: dict[str, Any] = field(default_factory=dict)

    def added_to(self, evaluation: Evaluation) -> Evaluation:
        """An evaluation with these records after its own, and their protocol under ``likelihood``."""
        protocol = {**evaluation.protocol, "likelihood": self.protocol}
        return replace(evaluation, protocol=protocol, records=[*evaluation.records, *self.records])


def measure_likelihood(engine: Engine, sets: Sets, n: int, seed: int, progress: Progress | None = None) -> Measured:
    """Bits per dimension of at most n held-out and n training examples, with intervals over examples.

    Args:
        engine: the model.
        sets: real examples.
        n: how many of each, above 0, evenly spread.
        seed: of dequantisation, probes, the noise of a bound, and intervals.
        progress: called with (batches done, batches in all).

    Raises:
        UserError: the model has no likelihood.
    """
    chosen = {
        name: [each[index] for index in spread(len(each), n)]
        for name, each in (("held out", sets.held_out), ("train", sets.used))
    }
    baseline = independent_gaussians(sets.training, chosen["held out"])
    walks = {
        name: log_likelihood(engine, examples, seed, _SETTINGS, progress=_part(progress, place, 2))
        for place, (name, examples) in enumerate(chosen.items())
    }
    formula = _formula(walks["held out"])
    records = _records(formula, {name: walk.bits for name, walk in walks.items()}, baseline, seed)
    held_out = walks["held out"]
    told: dict[str, Any] = {
        **{name: value for name, value in held_out.provenance.items() if name not in engine.origin},
        "prior_gap_nats": float(held_out.prior_gap.mean()),
        "standard_error_nats": float(held_out.standard_error.mean()),
        "n": {name: len(examples) for name, examples in chosen.items()},
    }
    bound, reason = _bound(engine, chosen["held out"])
    if bound is None:
        told["bound_left_out"] = reason
    else:
        bits = {name: bound_bits(engine, bound, examples, seed) for name, examples in chosen.items()}
        records += _records(_bound_formula(bound), bits, baseline, seed)
        told["bound_passes"] = bound.passes
    return Measured(records, told)


def independent_gaussians(training: Sequence[Example], asked: Sequence[Example]) -> float:
    """Mean bits per dimension under Gaussians fitted number by number; NaN where there are none to fit.

    Args:
        training: real examples.
        asked: whose bits are told.
    """
    if one_shape(training, asked) is not None:
        return math.nan
    real_MD, asked_ND = (
        np.stack([each.array.ravel() for each in some]).astype(np.float64) for some in (training, asked)
    )
    spread_by = 1.0 / 12.0 if asked[0].array.dtype.kind in "iub" else 0.0
    variance_D = real_MD.var(axis=0) + spread_by
    if not (variance_D > 0).all():
        return math.nan
    squares_ND = np.square(asked_ND - real_MD.mean(axis=0)) + spread_by
    nats = 0.5 * (np.log(2 * math.pi * variance_D) + squares_ND / variance_D)
    return float(nats.mean() / math.log(2.0))


def bound_bits(engine: Engine, bound: WholeBound, examples: Sequence[Example], seed: int) -> Array:
    """(N,) the whole bound of each example, bits a number.

    Args:
        engine: the model.
        bound: of its objective.
        examples: on levels, without dequantisation.
        seed: example i meets the noise of (seed, i).
    """
    found = []
    for start in range(0, len(examples), _ITEMS_A_BATCH):
        some = examples[start : start + _ITEMS_A_BATCH]
        batch = engine.codec.batch([engine.codec.encode(each) for each in some]).to(str(engine.device))
        key = Key.range(seed, start, len(some), engine.device).fold("likelihood")
        found.append(bound(engine.network, batch, key).total.double().cpu())
    return torch.cat(found).numpy()


def _bound(engine: Engine, examples: Sequence[Example]) -> tuple[WholeBound | None, str]:
    bound = build_bound(engine.starting().objective, engine.process, engine.source)
    if bound is None:
        return None, "this objective has none"
    reason = why_no_bound(bound.data_levels, engine.codec.normaliser, examples)
    return (None if reason else bound), reason


def why_no_bound(data_levels: int, normaliser: Normaliser, examples: Sequence[Example]) -> str:
    """Why the variational bound of a model says nothing of the probability of some data; empty where it does.

    Args:
        data_levels: that the bound counts on.
        normaliser: of the data.
        examples: some of them.
    """
    if not isinstance(normaliser, Affine) or not np.allclose(normaliser.unit(), 2.0 / (data_levels - 1), rtol=1e-6):
        return f"its first term needs data on {data_levels} levels from -1 to 1"
    if any(each.array.dtype.kind not in "iub" for each in examples):
        return "its first term needs whole numbers"
    return ""


def _records(formula: Formula, bits: dict[str, Array], baseline: float, seed: int) -> list[Record]:
    """One for held-out examples, whose ceiling is what training examples reach, and one for those."""
    found = {name: bootstrap([each], np.mean, seed) for name, each in bits.items()}
    return [
        Record(
            *(formula.metric, formula.formula, formula.meaning, name, len(bits[name]), seed),
            *(estimate.value, estimate.low, estimate.high),
            floors={FLOOR: baseline} if name == "held out" and math.isfinite(baseline) else {},
            ceiling=found["train"].value if name == "held out" else math.nan,
            better=formula.better,
            n_ceiling=len(bits["train"]) if name == "held out" else 0,
        )
        for name, estimate in found.items()
    ]


def _formula(walk: Likelihoods) -> Formula:
    whole = walk.provenance["dequantised"]
    noise = walk.provenance["noise"]
    beside = f", of data plus noise of {noise:.2g} once normalised" if noise else ""
    if whole is True:
        meaning = f"-log2 probability a number by the flow's ODE, dequantised: an upper bound{beside}"
        return Formula("bits per dimension", "bits-ode-dequantised-1", meaning, "lower")
    meaning = f"-log2 density a number by the flow's ODE, native units{beside}; may be negative"
    return Formula("bits per dimension", "bits-ode-density-1", meaning, "lower")


def _bound_formula(bound: WholeBound) -> Formula:
    meaning = "variational upper bound on -log2 probability a number, all its terms"
    return Formula("bits per dimension, bound", bound.formula, meaning, "lower")


def _part(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Progress of one of several equal parts of the work."""
    if progress is None:
        return None
    return lambda done, count: progress(place * count + done, parts * count)
