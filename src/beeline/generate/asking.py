"""From what was asked for to single items and batches of them, and from their costs to one line of provenance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from beeline.conditioning.field_beside import FieldPoints
from beeline.conditioning.field_map import FieldMap
from beeline.conditioning.map import AlignedMap
from beeline.core.errors import InputWarning, UserError
from beeline.core.offers import Mixing, Remarking, Taking
from beeline.core.sharing import Sharing
from beeline.core.tokens import Tokens
from beeline.model.codec import Codec, Encoded, Form
from beeline.model.codec_checks import starts
from beeline.samplers.config import Domain

_TOKENS_A_BATCH = 16384
_ITEMS_A_BATCH = 256

Number = TypeVar("Number", int, float)


def by_name(condition: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Conditions as they were given, none for None.

    Raises:
        UserError: they do not come by name.
    """
    if condition is not None and not isinstance(condition, Mapping):
        raise UserError(f"condition {condition!r}: needs a value by name, such as {{'label': 3}}")
    return condition or {}


def columns_of(codec: Codec, condition: Mapping[str, Any], n: int) -> dict[str, list[Any]]:
    """The values of n items, by the names of conditions.

    Args:
        codec: of the model.
        condition: one value for all of a condition, or a list of one for each, by its name however it is spelled.
        n: number of items.

    Raises:
        UserError: there is no such condition, it is given twice, or a value does not fit.
    """
    found: dict[str, list[Any]] = {}
    for spelled, value in condition.items():
        name = codec.condition(spelled).name
        if name in found:
            raise UserError(f"condition {name}: is given twice, also as '{spelled}'; give it once")
        found[name] = column(codec, name, value, n)
    return found


def column(codec: Codec, name: str, value: Any, n: int) -> list[Any]:
    """One value of a condition for all of n items, or a list of one for each, as a list; starts are taken in turn.

    Args:
        codec: of the model.
        name: of the condition.
        value: as given.
        n: number of items.

    Raises:
        UserError: it is neither.
    """
    condition = codec.condition(name)
    if isinstance(condition, Taking):
        value = type(value)(map(condition.taken, value)) if type(value) in (list, tuple) else condition.taken(value)
    if codec.accepts(name, value):
        if isinstance(condition, Sharing) and value is not None:
            return list(condition.shared(value, n))
        return [value] * n
    listed = isinstance(value, (list, tuple, range)) or (isinstance(value, (np.ndarray, Tensor)) and value.ndim)
    if listed and len(value) == n:
        every = list(map(condition.taken, value)) if isinstance(condition, Taking) else list(value)
        return _shared_out(condition, every) if isinstance(condition, Sharing) else every
    if listed and starts(condition) and len(value):
        if n > len(value):
            message = f"condition {name}: {n} samples start from {len(value)}, so that answers repeat: each has one"
            warnings.warn(message, InputWarning, stacklevel=2)
        return [value[item % len(value)] for item in range(n)]
    if isinstance(value, (list, tuple)) and condition.channels != len(value):
        channels = condition.channels
        wanted = f"{channels} numbers" if channels > 1 else "one value"
        raise UserError(f"condition {name}: need {wanted}, or a list of {n} such, not a list of {len(value)}")
    condition.encode(value)  # says what is wrong with a single value
    raise UserError(f"condition {name}: need one value of the data's form, or a list of {n}")


def _shared_out(condition: Sharing, values: Sequence[Any]) -> list[Any]:
    """Values of which the same one is given for several items, such as a file, shared out among these."""
    found, items = list(values), dict[int, list[int]]()
    for item, value in enumerate(values):
        items.setdefault(id(value), []).append(item)
    for places in items.values():
        if len(places) > 1 and values[places[0]] is not None:
            for place, part in zip(places, condition.shared(values[places[0]], len(places)), strict=True):
                found[place] = part
    return found


def laid_out(codec: Codec, form: Form, domain: Domain, knows_places: bool = True) -> Tokens:
    """Empty tokens of a sample, where they lie in the domain that was trained on.

    Token i of n along an axis that had n' in training lies at i, or, over the same domain, at

        (i + 1/2) n' / n - 1/2

    Args:
        codec: of the model.
        form: of the sample.
        domain: cells, for tokens as large as in training; trained, for a domain as large.
        knows_places: whether the network is told where tokens lie.

    Raises:
        UserError: a condition is read by the size of cells, which the domain of training changes.
    """
    tokenizer, blank = codec.tokenizer, codec.tokenizer.blank(form)
    if domain == "cells":
        return blank
    if blank.coords is None or not knows_places:
        raise UserError("domain trained: this network is not told where its tokens lie; leave domain out")
    known = tokenizer.blank(max(codec.forms, key=lambda each: each[1])[0]).layout[0]
    layout = blank.layout[0]
    if known.extents != layout.extents:
        if isinstance(codec.normaliser, Mixing):
            raise UserError(
                f"domain trained: fields are {codec.normaliser.mixing()} by waves a cell, which finer cells change; "
                "leave domain out, or train without"
            )
        _check_conditions(codec)
    shares = torch.tensor([old / own for old, own in zip(known.extents, layout.extents, strict=True)])
    return replace(blank, coords=(blank.coords + 0.5) * shares - 0.5, layout=(replace(layout, period=known.period),))


def _check_conditions(codec: Codec) -> None:
    for each in codec.conditions:
        why = "is attended to by its place among cells" if each.route == "cross" else ""
        if isinstance(each, AlignedMap) and each.shown == "gradient":
            why = "is shown as differences from cell to cell, which finer cells change"
        if why:
            raise UserError(f"domain trained: the condition {each.name} {why}; leave domain out, or train without")


def look_over(codec: Codec, conditions: Sequence[Mapping[str, Any]]) -> None:
    """Warn of values that a model takes although it was not made for them, each thing once.

    Args:
        codec: of the model.
        conditions: of all samples that are asked for.

    Raises:
        UserError: points are placed by the coordinates of training under a map that lies elsewhere.
    """
    points = [each for each in codec.conditions if isinstance(each, FieldPoints) and each.coordinates]
    maps = [each for each in codec.conditions if isinstance(each, FieldMap)]
    for condition, one, under in product(conditions, points, maps):
        places = getattr(condition.get(under.name), "places", {}) if condition.get(one.name) is not None else {}
        for dim, known in zip(under.dims, one.coordinates, strict=True):
            if dim in places and not np.array_equal(places[dim].coordinate, known):
                raise UserError(
                    f"condition {one.name}: its places are coordinates of training, and {under.name} lies elsewhere "
                    f"along {dim}; leave one of them out"
                )
    for each in codec.conditions:
        if isinstance(each, Remarking):
            for line in each.remarks(condition.get(each.name) for condition in conditions):
                warnings.warn(line, InputWarning, stacklevel=3)


def batches_of(encoded: Sequence[Encoded], batch_size: int | None) -> list[tuple[int, int]]:
    """Consecutive stretches of items that go through the network together.

    Args:
        encoded: the items.
        batch_size: items at a time; chosen by their number of tokens when None.
    """
    if batch_size is None:
        longest = max(item.tokens.values.shape[1] for item in encoded)
        batch_size = max(1, min(_ITEMS_A_BATCH, _TOKENS_A_BATCH // longest))
    return [(start, min(start + batch_size, len(encoded))) for start in range(0, len(encoded), batch_size)]


def told(numbers: Sequence[Number]) -> Number | list[Number]:
    """A number of every sample for provenance: a single one where it is the same for all."""
    return numbers[0] if len(set(numbers)) == 1 else list(numbers)
