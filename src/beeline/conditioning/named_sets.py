"""Sets of names: read from what people write, and rows of features of names on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from beeline.core.errors import UserError
from beeline.data.moments import channel_moments, never_varies

Array = np.ndarray[Any, Any]
Rows = tuple[tuple[float, ...], ...]

# Digits after the point of a standardised feature: enough for float32, and short in a model's description.
_DIGITS = 6
_MOST_TOLD = 5


def read_set(name: str, value: Any, control: str, doses: bool) -> dict[str, float]:
    """The members of a value and their doses, 1 where none are told.

    Args:
        name: of the condition, for messages.
        value: text, a sequence of names or a mapping from name to dose.
        control: word that adds no member.
        doses: whether members have doses.

    Raises:
        UserError: it is none of these, names one twice, or doses are missing, not wanted or not above 0.
    """
    if isinstance(value, str):
        pairs = _parts(name, value)
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, Iterable) and getattr(value, "ndim", 1) == 1:
        pairs = [(each, None) for each in value]
    else:
        raise UserError(f"condition {name}={value!r}: need A, A+B, a sequence of names, or nothing for the empty set")
    found: dict[str, float] = {}
    for each, dose in pairs:
        if not isinstance(each, str):
            raise UserError(f"condition {name}={value!r}: need names, and {each!r} is a {type(each).__name__}")
        if each in ("", control):
            continue
        if each in found:
            raise UserError(f"condition {name}={_shown(value)}: '{each}' is in the set twice; give each once")
        found[str(each)] = _dose(name, each, dose, doses)
    return found


def _parts(name: str, text: str) -> list[tuple[str, Any]]:
    if not text.strip():
        return []
    pairs: list[tuple[str, Any]] = []
    for part in text.split("+"):
        each, equals, dose = part.partition("=")
        if not each.strip():
            raise UserError(f"condition {name}={text}: a name is missing; need A, A+B, or with doses A=0.5+B=2")
        pairs.append((each.strip(), dose.strip() if equals else None))
    return pairs


def _dose(name: str, each: str, dose: Any, doses: bool) -> float:
    if not doses:
        if dose is not None:
            raise UserError(f"condition {name}: '{each}' comes with a dose, and doses are not told; give names alone")
        return 1.0
    if dose is None:
        raise UserError(f"condition {name}: '{each}' comes without a dose; give it one, such as {each}=0.5")
    try:
        number = float(dose)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(dose, bool) or not 0 < number < math.inf:
        raise UserError(f"condition {name}: dose {dose} of '{each}': need a number above 0")
    return number


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "+".join(map(str, value))


def some_of(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = len(names) - _MOST_TOLD
    return ", ".join(names[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def feature_table(rows: Rows, count: int) -> Array:
    """Rows of features as one float64 array (count, F), NaN where a name has none; F = 0 without any.

    Args:
        rows: of each name, empty where it has none; none at all for no features.
        count: names.
    """
    width = max(map(len, rows), default=0)
    return np.array([row or (math.nan,) * width for row in rows] or [()] * count, dtype=np.float64)


def standardised(name: str, known: Sequence[str], rows: Rows, trained: Sequence[int], identity: bool) -> Rows:
    """Features with zero mean and unit deviation over the trained names; 0 where they do not vary among these.

    What does not vary in training says nothing there, and what the network makes of it elsewhere is chance.

    Args:
        name: of the condition, for messages.
        known: names.
        rows: of each name, empty or NaN where it has none.
        trained: places of the names that training has.
        identity: whether names have something beside their features.

    Raises:
        UserError: a row holds NaN beside numbers, or infinity; a trained name has no features and no identity; or
            features do not vary.
    """
    if not rows:
        return rows
    table = feature_table(rows, len(known))
    absent = np.asarray(np.isnan(table).all(axis=1))
    for place in np.flatnonzero(~absent & ~np.isfinite(table).all(axis=1)).tolist():
        raise UserError(f"condition {name}: features of '{known[place]}' hold NaN or infinity")
    lacking = [known[place] for place in trained if absent[place]]
    if lacking and not identity:
        raise UserError(
            f"condition {name}: {some_of(lacking)} have no features and perturbations have no identities; give "
            "features, or identities"
        )
    _, mean, deviation = channel_moments([table[[place for place in trained if not absent[place]]]], table.shape[1])
    varies = ~never_varies(mean, deviation)
    if not varies.any():
        what = "are the same for every" if len(lacking) < len(trained) else "are given for no"
        raise UserError(
            f"condition {name}: features {what} perturbation of training, so that nothing can be learned from them; "
            "leave them out"
        )
    scaled = np.where(varies, (table - mean) / np.where(varies, deviation, 1.0), 0.0).round(_DIGITS) + 0.0
    return tuple(() if lacks else tuple(row) for lacks, row in zip(absent.tolist(), scaled.tolist(), strict=True))
