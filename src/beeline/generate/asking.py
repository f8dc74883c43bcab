"""From what was asked for to single items and batches of them, and from their costs to one line of provenance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from beeline.core.errors import InputWarning, UserError
from beeline.core.offers import Remarking
from beeline.core.tokens import Tokens
from beeline.model.codec import Codec, Encoded, Form
from beeline.samplers.config import Domain

_TOKENS_A_BATCH = 16384
_ITEMS_A_BATCH = 256

Number = TypeVar("Number", int, float)


def column(codec: Codec, name: str, value: Any, n: int) -> list[Any]:
    """One value of a condition for all of n items, or a list of one for each, as a list.

    Args:
        codec: of the model.
        name: of the condition.
        value: as given.
        n: number of items.

    Raises:
        UserError: it is neither.
    """
    if codec.accepts(name, value):
        return [value] * n
    listed = isinstance(value, (list, tuple, range)) or (isinstance(value, (np.ndarray, Tensor)) and value.ndim)
    if listed and len(value) == n:
        return list(value)
    if isinstance(value, (list, tuple)) and codec.condition(name).channels != len(value):
        channels = codec.condition(name).channels
        wanted = f"{channels} numbers" if channels > 1 else "one value"
        raise UserError(f"condition {name}: need {wanted}, or a list of {n} such, not a list of {len(value)}")
    codec.condition(name).encode(value)  # says what is wrong with a single value
    raise UserError(f"condition {name}: need one value of the data's form, or a list of {n}")


def laid_out(codec: Codec, form: Form, domain: Domain) -> Tokens:
    """Empty tokens of a sample, where they lie in the domain that was trained on.

    Token i of n along an axis that had n' in training lies at i, or, over the same domain, at

        (i + 1/2) n' / n - 1/2

    Args:
        codec: of the model.
        form: of the sample.
        domain: cells, for tokens as large as in training; trained, for a domain as large.
    """
    tokenizer, blank = codec.tokenizer, codec.tokenizer.blank(form)
    if domain == "cells" or blank.coords is None:
        return blank
    known = tokenizer.blank(max(codec.forms, key=lambda each: each[1])[0]).layout[0]
    layout = blank.layout[0]
    shares = torch.tensor([old / own for old, own in zip(known.extents, layout.extents, strict=True)])
    return replace(blank, coords=(blank.coords + 0.5) * shares - 0.5, layout=(replace(layout, period=known.period),))


def warn_of(codec: Codec, conditions: Sequence[Mapping[str, Any]]) -> None:
    """Warn of values that a model takes although it was not made for them, each thing once.

    Args:
        codec: of the model.
        conditions: of all samples that are asked for.
    """
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
