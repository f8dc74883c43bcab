"""What a codec refuses: examples that are none, names that cannot be, paths that cannot end where they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.protocols import Condition, Tokenizer
from beeline.core.sharing import Referring

_LARGEST = 1e30


def starts(condition: Condition) -> bool:
    """Whether a condition is another sample of the kind of the data, at which a path ends."""
    return condition.route == "start"


def is_seen(condition: Condition) -> bool:
    """Whether the network has an embedder for a condition."""
    return condition.route not in ("start", "beside")


def matters(condition: Condition) -> bool:
    """Whether samples may depend on a condition: the network sees it, or paths start from it."""
    return condition.route != "beside"


def check_end(end: str, conditions: Sequence[Condition], tokenizer: Tokenizer) -> None:
    """Refuse a path whose end is neither a start nor a map of the form of the data.

    Raises:
        UserError: saying why.
    """
    by_name = {condition.name: condition for condition in conditions}
    if end not in by_name:
        raise UserError(
            f"process.end {end}: these data have no such condition"
            + (f", only {', '.join(by_name)}" if by_name else "; they are unconditional")
        )
    condition = by_name[end]
    if starts(condition):
        return
    if condition.route != "concat":
        raise UserError(f"process.end {end}: a bridge ends at a map of the form of the data, which {end} is not")
    width = tokenizer.lift_width(condition.channels)
    if width != tokenizer.width:
        raise UserError(
            f"process.end {end}: a token of this map holds {width} numbers, one of the data {tokenizer.width}; a "
            "bridge ends at a map with the channels of the data"
        )


def check_through(condition: Condition, told: Mapping[str, Any]) -> None:
    """Refuse a value that a network knows through another condition alone, where that one is left out.

    Args:
        condition: any.
        told: conditions of a sample by name.

    Raises:
        UserError: naming both.
    """
    through = condition.through if isinstance(condition, Referring) else ""
    if through and told.get(condition.name) is not None and told.get(through) is None:
        raise UserError(
            f"condition {condition.name}={told[condition.name]}: the network knows it through '{through}' alone, which "
            f"is left out; give {through}, or leave {condition.name} out too, as a column of a given file as well"
        )


def check_example(example: object) -> None:
    """Refuse what is no example.

    Raises:
        UserError: saying why.
    """
    if not isinstance(example, Example):
        raise UserError(f"is a {type(example).__name__}, not an Example")
    if not isinstance(example.condition, Mapping):
        raise UserError(f"its condition is a {type(example.condition).__name__}, not a dict of values by name")
    if not isinstance(example.array, np.ndarray):
        raise UserError(f"its array is a {type(example.array).__name__}, not a numpy array")
    if example.array.dtype.kind not in "fiub":
        raise UserError(f"need real numbers, found {example.array.dtype}")
    if not example.array.ndim:
        raise UserError("its array is a single number; need at least one axis and the channels")
    example.observed_numbers()
    if example.array.dtype.kind == "f" and example.array.size:
        if np.isinf(example.array).any():
            raise UserError("need real numbers, found infinity")
        largest = np.nanmax(np.abs(example.array)) if not np.isnan(example.array).all() else 0.0
        if largest > _LARGEST:
            raise UserError(f"holds a number of size {largest:g}, too large for 32-bit arithmetic; use other units")


def check_names(names: Sequence[str]) -> None:
    """Refuse names that two conditions share, or that no module can have.

    Raises:
        UserError: naming the first.
    """
    for name in names:
        if not name.isidentifier() or hasattr(nn.ModuleDict, name) or names.count(name) > 1:
            raise UserError(f"condition '{name}': a condition needs a name of its own, of letters, digits and '_'")
