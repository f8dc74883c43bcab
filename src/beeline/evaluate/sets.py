"""The real examples that an evaluation uses, each read once, evenly spread, and no more of them than memory bears."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from beeline.core.data import Example, Examples, evenly
from beeline.core.protocols import Condition

Array = np.ndarray[Any, Any]
TRAINING_CAP, HELD_OUT_CAP, USED_CAP = 20_000, 10_000, 10_000
_MOST_NUMBERS = 2**27


@dataclass(frozen=True)
class Sets:
    """Examples that were read.

    Args:
        training: for fitting feature spaces.
        used: those of them that samples are compared with.
        held_out: what samples are measured against.
        counts: how many there are, were read and are used, and the caps: for the protocol.
    """

    training: list[Example]
    used: list[Example]
    held_out: list[Example]
    counts: dict[str, Any]

    @property
    def held_out_numbers(self) -> Array:
        """(K,) which of all held-out examples were read."""
        return np.asarray(list(evenly(range(self.counts["held_out"]), self.counts["held_out_cap"])))

    @cached_property
    def groups(self) -> Array:
        """(K,) number of the group of each held-out example; each its own without one."""
        return group_codes(self.held_out)

    def answered(self, n: int) -> Array:
        """(n,) place of the held-out example whose input each sample answers: sample i is of input i mod k."""
        asked = spread(len(self.held_out), n)
        return np.asarray(asked)[np.arange(n) % len(asked)]

    def sample_groups(self, n: int) -> Array:
        """(n,) number of the group of the held-out example that each sample answers."""
        return np.asarray(self.groups[self.answered(n)])


def read_sets(training: Examples, held_out: Examples) -> Sets:
    """Read at most 20,000 training and 10,000 held-out examples, fewer of large ones (2^27 numbers at most).

    Args:
        training: examples that the model has seen.
        held_out: examples that it has not.
    """
    caps = {name: _cap(each, most) for name, each, most in _named(training, held_out)}
    read = {name: [each[index] for index in evenly(each, caps[name])] for name, each, _ in _named(training, held_out)}
    used = [read["train"][index] for index in evenly(read["train"], USED_CAP)]
    counts: dict[str, Any] = {"reference": "held out", "train_used": len(used)}
    for name, each, _ in _named(training, held_out):
        counts |= {name: len(each), f"{name}_read": len(read[name]), f"{name}_cap": caps[name]}
    first = next((each.group for each in read["held_out"] if each.group is not None), None)
    if first is not None:
        counts["intervals"] = f"redraw {len(set(group_codes(read['held_out'])))} held-out groups, such as {first}"
    return Sets(read["train"], used, read["held_out"], counts)


def _named(training: Examples, held_out: Examples) -> list[tuple[str, Examples, int]]:
    return [("train", training, TRAINING_CAP), ("held_out", held_out, HELD_OUT_CAP)]


def _cap(examples: Examples, most: int) -> int:
    return max(1, min(most, _MOST_NUMBERS // max(1, examples[0].array.size)))


def fingerprint(examples: Sequence[Example], conditions: bool = True) -> str:
    """sha256 of arrays, and of conditions unless they are left out, in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{example.array.shape} {example.array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(example.array).data)
        for name in sorted(example.condition) if conditions else ():
            value = np.asarray(example.condition[name])
            digest.update(name.encode() + (repr(value.tolist()).encode() if value.dtype.hasobject else value.tobytes()))
    return digest.hexdigest()


def class_condition(conditions: Sequence[Condition]) -> Condition | None:
    """The condition that says what class an example is of: the first with finitely many values."""
    return next((condition for condition in conditions if condition.choices is not None), None)


def classes_of(examples: Sequence[Example], condition: Condition | None) -> Array:
    """(N,) place of each example's class among the choices; -1 where it is not known, or is none of them."""
    if condition is None or condition.choices is None:
        return np.full(len(examples), -1)
    places = {_code(condition, choice): place for place, choice in enumerate(condition.choices)}
    values = [example.condition.get(condition.name) for example in examples]
    return np.array([-1 if value is None else places.get(_code(condition, value), -1) for value in values])


def _code(condition: Condition, value: Any) -> tuple[float, ...]:
    """What the network is told, which is one for all ways to write a class."""
    return tuple(condition.encode(value).flatten().tolist())


def spread(count: int, n: int) -> Array:
    """n of ``count`` indices, evenly spread; all of them where there are no more."""
    n = min(n, count)
    return np.arange(n) * count // max(1, n)


def group_codes(examples: Sequence[Example]) -> Array:
    """(N,) a number for the group of each example, in the order in which they come; each its own without one."""
    places: dict[str, int] = {}
    names = (f"example {i}" if each.group is None else f"group {each.group!r}" for i, each in enumerate(examples))
    return np.array([places.setdefault(name, len(places)) for name in names], dtype=np.int64)


def unfit(samples: Sequence[Example], held_out: Sequence[Example]) -> str | None:
    """Why samples cannot be compared with held-out examples, number by number; None where they can."""
    return not_finite(samples) or one_shape(samples, held_out[:1])


def not_finite(samples: Sequence[Example]) -> str | None:
    """Why samples are no samples; None where all of their numbers are finite."""
    bad = sum(not np.isfinite(each.array).all() for each in samples)
    return f"{bad:,} of {len(samples):,} samples have numbers that are not finite" if bad else None


def one_shape(*sets: Sequence[Example]) -> str | None:
    """Why examples cannot be compared number by number; None where they can: one shape, no missing number."""
    if not all(np.isfinite(example.array).all() for examples in sets for example in examples):
        return several_shapes(*sets) or "examples have missing numbers"
    return several_shapes(*sets)


def several_shapes(*sets: Sequence[Example]) -> str | None:
    """Why examples cannot be compared cell by cell; None where all have one shape."""
    shapes = {example.array.shape for examples in sets for example in examples}
    return f"examples have {len(shapes)} shapes" if len(shapes) > 1 else None
