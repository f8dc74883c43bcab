"""Conditions that are a fixed number of numbers: read from text, and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.data.moments import channel_moments, never_varies

Array = np.ndarray[Any, Any]


def parse_numbers(name: str, text: str, size: int) -> list[float]:
    """Numbers separated by commas.

    Args:
        name: of the condition, for the message.
        text: as written on the command line.
        size: how many are needed, for the message.

    Raises:
        UserError: something between the commas is not a number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"condition {name}={text}: need {size} numbers separated by commas") from None


def as_array(name: str, value: Any) -> np.ndarray[Any, Any]:
    """A value as one array.

    Args:
        name: of the condition, for the message.
        value: anything that may be one.

    Raises:
        UserError: its parts have several shapes.
    """
    try:
        return np.asarray(value)
    except ValueError:
        raise UserError(f"condition {name}: need one array, not a {type(value).__name__} of several shapes") from None


def real_array(name: str, value: Any, what: str, wanted: str, fits: Callable[[Array], bool]) -> Array:
    """A value as one array of finite real numbers.

    Args:
        name: of the condition, for the message.
        value: anything that may be one.
        what: holds the numbers, for the message: the map, a point.
        wanted: what form it must have, for the message.
        fits: whether an array has it.

    Raises:
        UserError: it is none, has another form, or holds NaN or infinity.
    """
    array = as_array(name, value)
    if array.dtype.kind not in "fiub" or not fits(array):
        raise UserError(f"condition {name}: need {wanted}, not {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise UserError(f"condition {name}: {what} holds NaN or infinity")
    return array


def fitted_moments(
    name: str, pieces: Iterable[Array], channels: int, where: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over training values.

    Args:
        name: of the condition, for the message.
        pieces: whose last axis is the channels.
        channels: how many.
        where: a channel must not be the same, for the message: everywhere, at every point.

    Raises:
        UserError: a channel never varies, or is never given.
    """
    count, mean, deviation = channel_moments(pieces, channels)
    for channel in np.flatnonzero(never_varies(mean, deviation)):
        what = f"is the same {where}" if count[channel] else "is never given"
        raise UserError(f"condition {name}: channel {channel} {what}; leave it out")
    return tuple(mean.tolist()), tuple(deviation.tolist())


def finite_numbers(name: str, value: Any, size: int) -> Tensor:
    """A value as that many finite float64 numbers (size,).

    Args:
        name: of the condition, for the message.
        value: anything that may hold numbers.
        size: how many it must hold.

    Raises:
        UserError: it does not.
    """
    try:
        numbers = torch.as_tensor(value, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if numbers.numel() != size or not torch.isfinite(numbers).all():
        raise UserError(f"condition {name}={value}: need {size} finite numbers")
    return numbers
