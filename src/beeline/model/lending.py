"""What samples take from their conditions on the way to tokens and back: a middle to be told about, what is left out.

    tokens of (normalised x) - middle of what is lent        sample + middle, undone, and the rest of one that is lent

Which of it there is, the normaliser says (``offers.Completing``, ``sharing.Relative``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.offers import Completing
from beeline.core.protocols import Array, Condition, Normaliser
from beeline.core.sharing import Lending, Relative
from beeline.model.codec_checks import starts


def normalised(normaliser: Normaliser, conditions: Sequence[Condition], example: Example) -> Array:
    """The normalised array of an example, relative to the others that its conditions lend, where there are some.

    Args:
        normaliser: fitted.
        conditions: fitted.
        example: with its conditions.
    """
    array, others = normaliser.apply(example.array), _others(conditions, example.condition)
    return normaliser.relative(array, others) if isinstance(normaliser, Relative) and others is not None else array


def native(
    normaliser: Normaliser,
    conditions: Sequence[Condition],
    array: Array,
    condition: Mapping[str, Any],
    like: Array | None,
) -> Array:
    """Undo ``normalised``, completed by another array, or else by the start or the others among its conditions.

    Args:
        normaliser: fitted.
        conditions: fitted.
        array: normalised.
        condition: of the sample.
        like: native array that completes it; None for what conditions hold.
    """
    others = _others(conditions, condition)
    if isinstance(normaliser, Relative) and others is not None:
        array = normaliser.absolute(array, others)
    else:
        others = None  # such a normaliser knows what to take from one sample alone
    found = next((each for each in (like, _start(conditions, condition), others) if each is not None), None)
    if found is None or not isinstance(normaliser, Completing):
        return normaliser.undo(array)
    return normaliser.undo_beside(array, found)


def _others(conditions: Sequence[Condition], condition: Mapping[str, Any]) -> Array | None:
    lent = (each.lent(condition.get(each.name)) for each in conditions if isinstance(each, Lending))
    return next((found for found in lent if found is not None), None)


def _start(conditions: Sequence[Condition], condition: Mapping[str, Any]) -> Array | None:
    given = ((each, condition.get(each.name)) for each in conditions if starts(each))
    return next((np.asarray(each.encode(value).numpy()) for each, value in given if value is not None), None)
