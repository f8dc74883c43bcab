"""Conditions that are a fixed number of numbers: read from text, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.errors import UserError


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
