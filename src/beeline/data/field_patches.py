"""Patches of grids: as small as can be afforded, and dividing the axes that close upon themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from beeline.core.errors import UserError
from beeline.data.field_description import FieldDescription

_LEAST = 16


def asked_patch(patch: int | tuple[int, ...] | None, known: FieldDescription) -> tuple[int, ...] | None:
    """The patch that was asked for, one number an axis; None where it is left open.

    Args:
        patch: cells along each axis, or one number for all.
        known: the fields.

    Raises:
        UserError: it has other axes, or does not divide a periodic one.
    """
    if patch is None:
        return None
    given = (patch,) if isinstance(patch, int) else patch
    sides = given * len(known.axes) if len(given) == 1 else given
    text = "x".join(map(str, sides))
    if len(sides) != len(known.axes):
        raise UserError(f"patch {text}: the fields lie on ({', '.join(known.dims)})")
    for axis, side in zip(known.axes, sides, strict=True):
        if axis.periodic and side > 0 and axis.size % side:
            fitting = [each for each in range(1, axis.size + 1) if axis.size % each == 0]
            raise UserError(
                f"patch {text}: {axis.name} is periodic and its {axis.size} cells do not divide into patches of "
                f"{side}; {', '.join(map(str, fitting))} do"
            )
    return sides


def check_chosen(patch: tuple[int, ...], known: FieldDescription, tokens: int) -> None:
    """Refuse a patch that leaves next to nothing to attend to, because periodic axes do not divide.

    Args:
        patch: chosen.
        known: the fields.
        tokens: how many tokens a sample can be afforded.

    Raises:
        UserError: naming those axes.
    """
    count = token_count(known.shape, patch)
    if any(known.periodic) and count < min(_LEAST, tokens, math.prod(known.shape)):
        axes = " and ".join(f"{axis.name} ({axis.size} cells)" for axis in known.axes if axis.periodic)
        raise UserError(
            f"patch: about {tokens} tokens a sample can be afforded, and no patch that divides the periodic {axes} "
            f"makes more than {count} of them; say which, --data.patch, or bring the fields to another grid"
        )


def token_count(shape: Sequence[int], patch: Sequence[int]) -> int:
    """How many tokens a grid makes."""
    return math.prod(-(-extent // side) for extent, side in zip(shape, patch, strict=True))


def chosen_patch(shape: Sequence[int], periodic: Sequence[bool], tokens: int) -> tuple[int, ...]:
    """The smallest patch, as nearly cubic as the axes allow, with at most so many tokens.

    Args:
        shape: cells along each axis.
        periodic: whether each axis is, so that patches must divide it; empty where none is.
        tokens: at most.
    """
    turns = periodic or (False,) * len(shape)
    for side in range(1 if math.prod(shape) <= tokens else 2, max(shape) + 1):
        patch = tuple(
            max(each for each in range(1, min(side, extent) + 1) if not turn or extent % each == 0)
            for extent, turn in zip(shape, turns, strict=True)
        )
        if token_count(shape, patch) <= tokens:
            return patch
    return tuple(shape)
