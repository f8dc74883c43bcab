"""Values that tell groups apart, as text."""

from __future__ import annotations

from typing import Any

import numpy as np


def shown(value: Any) -> str:
    """A value that tells groups apart, as text that no other value of its dtype has; 200.0 as 200.

    Args:
        value: text or a number.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, np.integer, np.bool_)):
        return str(int(value))
    return str(value + type(value)(0)).removesuffix(".0")  # with 0 added, -0.0 is 0.0


def as_shown(text: str, dtype: np.dtype[Any]) -> str:
    """What a user's word for a value is shown as among those of a dtype.

    Args:
        text: the word.
        dtype: of the values.
    """
    if dtype.kind not in "fiub":
        return text
    try:
        return shown(dtype.type(float(text))) if dtype.kind == "f" else shown(int(text.removesuffix(".0")))
    except ValueError:
        return text
