"""The two ways in which Beeline stops on purpose, the wording of the first, and how it warns without stopping."""

import difflib
import operator
from collections.abc import Iterable

_MOST_NAMES = 40


class UserError(Exception):
    """The input was wrong: one line saying what, where and how to mend it (exit code 2)."""


class RunError(Exception):
    """The work itself failed through nobody's input: one line saying what and when (exit code 1)."""


class InputWarning(UserWarning):
    """The input is unusual and the work goes on: one line saying what and where."""


def whole_number(name: str, value: object, low: int, high: int = 2**63 - 1) -> int:
    """A whole number within bounds.

    Args:
        name: what the number is, for the message.
        value: as given.
        low: smallest that is right.
        high: largest that is right.

    Raises:
        UserError: it is none, or lies outside.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UserError(f"{name} {value!r}: needs a whole number") from None
    if isinstance(value, bool) or number < low:
        raise UserError(f"{name} {value}: must be at least {low}")
    if number > high:
        raise UserError(f"{name} {value}: must be at most {high}")
    return number


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """Describe a name that nothing answers to, with the nearest one that something does.

    Args:
        kind: what the name should have been, for example ``"sampler"``.
        name: the name as given.
        known: every name that would have been right.
    """
    choices = sorted(known)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    more = f" and {len(choices) - _MOST_NAMES} more" if len(choices) > _MOST_NAMES else ""
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(choices[:_MOST_NAMES]) or 'none'}{more}"
    return UserError(f"unknown {kind} '{name}'; {hint}")
