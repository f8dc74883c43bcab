"""How far a number computed on a sample may lie from the one on infinitely many: 95 % intervals.

Three ways, because a copy of a sample is harmless in a mean and poison among pairs, and because examples of one
simulation, month or donor are no independent examples:

bootstrap         samples are drawn again with replacement; for means and medians of one number a sample.
group bootstrap   whole groups are drawn again with replacement, each with all its examples. Where the examples of a
                  group are alike, the interval is that of the group means; with groups of one it is the bootstrap.
jackknife         samples are left out, none is repeated; for statistics of pairs and of covariances, where a copy of
                  a sample would be its own nearest neighbour, a pair of kernel value 1, or a rank lost.

With few groups the quantiles of a bootstrap are too narrow: by sqrt((G - 1)/G), and for want of tails. They are moved
out to the levels Phi(-+ sqrt(G/(G - 1)) t), t being that of Student with G - 1 degrees of freedom; of fewer than eight
groups no quantile lies far enough out, and the interval is value -+ t s sqrt(G/(G - 1)), s the deviation of what was
redrawn. Jackknives that leave out fewer than twenty groups take Student's t as well. That is right for means; of two
or three groups any interval is wide, as it should be.

Sources: Efron & Tibshirani 1993, "An introduction to the bootstrap", chapters 11 and 13; Davison & Hinkley 1997,
"Bootstrap methods and their application", section 3.8 (clusters); Hesterberg 2015, "What teachers should know about the
bootstrap", section 5.3 (expanded percentiles); Arvesen 1969 for the jackknife of a statistic of several samples, whose
variances add.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

Array = np.ndarray[Any, Any]
_TAIL = 0.025
_GROUPS, _FEW = 20, 8


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; NaN at both ends where none was asked for.

    Args:
        value: the number.
        low: lower end.
        high: upper end.
        left_out: of a jackknife, for each sample its (G,) values with one group left out each.
        redrawn: of a bootstrap, its (R,) values.
        redrawn_of: how many items or groups they were redrawn of.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    left_out: tuple[Array, ...] = field(default=(), repr=False, compare=False)
    redrawn: Array | None = field(default=None, repr=False, compare=False)
    redrawn_of: int = field(default=0, repr=False, compare=False)


def bootstrap(
    samples: Sequence[Array],
    statistic: Callable[..., float],
    seed: int | None,
    replicates: int = 200,
    groups: Sequence[Array] | None = None,
) -> Estimate:
    """Percentile bootstrap: quantiles over replicates, each sample redrawn with replacement.

    The interval covers redrawing every one of ``samples``, and nothing that was held fixed when they were computed.

    Args:
        samples: independent samples, one number each item.
        statistic: of as many arrays.
        seed: of the redrawing; None leaves the interval out.
        replicates: how often.
        groups: of the items of each sample, which are then redrawn whole, group by group; None where each item is
            one of its own. There is no interval where a sample is of one group.
    """
    value = float(statistic(*samples))
    if seed is None:
        return Estimate(value)
    if groups is not None:
        count = min(len(np.unique(each)) for each in groups)
        if count < 2:
            return Estimate(value)
        places = zip(*(redrawn_groups(each, seed + n, replicates) for n, each in enumerate(groups)), strict=True)
        values = [statistic(*(each[rows] for each, rows in zip(samples, chosen, strict=True))) for chosen in places]
        return _between_quantiles(value, np.array(values), count)
    random = np.random.default_rng(seed)
    redrawn = [
        statistic(*(each[random.integers(0, len(each), len(each))] for each in samples)) for _ in range(replicates)
    ]
    return _between_quantiles(value, np.array(redrawn), min(len(each) for each in samples))


def tail(count: int) -> float:
    """Level of the lower quantile of what was redrawn that ends an interval of 95 %.

    Args:
        count: how many items or groups were redrawn, at least 2.
    """
    return float(special.ndtr(math.sqrt(count / (count - 1)) * special.stdtrit(count - 1, _TAIL)))


def _between_quantiles(value: float, redrawn_R: Array, count: int) -> Estimate:
    if count < 2:
        return Estimate(value)
    if count < _FEW:
        margin = -special.stdtrit(count - 1, _TAIL) * float(np.std(redrawn_R)) * math.sqrt(count / (count - 1))
        ends = (value - margin, value + margin)
    else:
        ends = tuple(np.quantile(redrawn_R, (tail(count), 1 - tail(count))).tolist())
    return Estimate(value, *ends, redrawn=redrawn_R, redrawn_of=count)


def redrawn_groups(group_N: Array, seed: int, replicates: int = 200) -> Iterator[Array]:
    """Places of the examples of as many groups as there are, drawn with replacement; once a replicate.

    A curve is redrawn by way of these: its quantiles over replicates are a band.

    Args:
        group_N: which group each example belongs to: numbers or words.
        seed: of the redrawing.
        replicates: how often.
    """
    code_N = np.unique(np.asarray(group_N), return_inverse=True)[1]
    members = np.split(np.argsort(code_N, kind="stable"), np.cumsum(np.bincount(code_N))[:-1])
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.concatenate([members[group] for group in random.integers(0, len(members), len(members))])


def group_bootstrap(
    values: Sequence[Array],
    statistic: Callable[..., float],
    group_N: Array,
    seed: int | None,
    replicates: int = 200,
) -> Estimate:
    """Percentile bootstrap of a statistic of per-example values, whole groups redrawn with replacement.

    There is no interval of a single group.

    Args:
        values: arrays that belong together, item by item: (N, ...) each, redrawn at the same places.
        statistic: of as many arrays.
        group_N: which group each example belongs to.
        seed: of the redrawing; None leaves the interval out.
        replicates: how often.

    Raises:
        ValueError: an array has another number of examples than there are groups named.
    """
    for each in values:
        if len(each) != len(group_N):
            raise ValueError(f"{len(group_N)} examples have a group, but {len(each)} have a value")
    value, count = float(statistic(*values)), len(np.unique(group_N))
    if seed is None or count < 2:
        return Estimate(value)
    redrawn = [statistic(*(each[rows] for each in values)) for rows in redrawn_groups(group_N, seed, replicates)]
    return _between_quantiles(value, np.array(redrawn), count)


def group_of(count: int, codes: Array | None = None) -> Array:
    """(count,) which of at most 20 groups each item is left out with: every 20th, where each is independent.

    Items of one code are left out together. Codes are merged in their order, each into what is smallest then, so that
    what is left out has about one size.

    Args:
        count: how many items.
        codes: (count,) numbers of what items belong to: a simulation, an input; each its own when None.
    """
    if codes is None:
        return np.arange(count) % min(_GROUPS, max(1, count))
    own, counts = np.unique(codes, return_inverse=True, return_counts=True)[1:]
    sizes = np.zeros(min(_GROUPS, max(1, len(counts))), dtype=np.int64)
    place = np.empty(len(counts), dtype=np.int64)
    for code, members in enumerate(counts.tolist()):
        place[code] = sizes.argmin()
        sizes[place[code]] += members
    return place[own]


def groups_of_answers(codes: Array | None, own_M: Array, answers_N: Array) -> Array:
    """(N,) which group of real samples the samples that answer them are left out with.

    What is particular to an input is in both, so that its absence from both at once says how a number varies; as if the
    two were independent, an interval would be far too wide.

    Args:
        codes: of the real samples, as ``group_of`` took them; None where each is its own.
        own_M: what it gave.
        answers_N: code of the real samples (place, where each is its own) that each sample answers.

    Raises:
        ValueError: there is no such code.
    """
    known, first = np.unique(np.arange(len(own_M)) if codes is None else codes, return_index=True)
    places = np.searchsorted(known, answers_N).clip(max=len(known) - 1)
    if not np.array_equal(known[places], answers_N):
        raise ValueError("samples answer real samples that are not there")
    return np.asarray(own_M[first[places]])


def jackknife(value: float, left_out: Sequence[Array], low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Normal interval: value -+ 1.96 s, s^2 = sum over samples of (G - 1)/G sum_g (v_g - mean v)^2.

    Student's t of G - 1 degrees of freedom takes the place of 1.96 where fewer than twenty groups are left out.

    The interval covers redrawing every sample of which groups were left out. There is none where no group makes a
    difference, as with no hit at all: that is no certainty; nor of a single group, or where one cannot be left out. At
    equal distributions, where the first order of the statistic vanishes, it is too wide rather than too narrow.

    Args:
        value: of the whole.
        left_out: for each independent sample its (G,) values with one group of items left out each.
        low: smallest value that the statistic can take.
        high: largest value that it can take.
    """
    count = min(len(each) for each in left_out)
    if count < 2 or not all(np.isfinite(each).all() for each in left_out):
        return Estimate(value)
    variance = sum((len(each) - 1) / len(each) * np.square(each - each.mean()).sum() for each in left_out)
    if variance == 0:
        return Estimate(value, left_out=tuple(left_out))
    quantile = special.ndtri(1 - _TAIL) if count >= _GROUPS else -special.stdtrit(count - 1, _TAIL)
    margin = float(quantile) * math.sqrt(variance)
    return Estimate(value, max(low, value - margin), min(high, value + margin), tuple(left_out))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """One number less another, with the interval of the difference.

    The two are paired: item i of either stands for the same start, condition or real example, so that leaving a group
    out, or redrawing, does the same to both, and what they share cancels. There is no interval where the numbers were
    not made in one way from as many items.

    Args:
        one: a number, with what its interval was made of.
        other: what is subtracted.
    """
    value = one.value - other.value
    if one.redrawn is not None and other.redrawn is not None and len(one.redrawn) == len(other.redrawn):
        return _between_quantiles(value, one.redrawn - other.redrawn, min(one.redrawn_of, other.redrawn_of))
    sizes = [[len(each) for each in estimate.left_out] for estimate in (one, other)]
    if not sizes[0] or sizes[0] != sizes[1]:
        return Estimate(value)
    return jackknife(value, [a - b for a, b in zip(one.left_out, other.left_out, strict=True)])
