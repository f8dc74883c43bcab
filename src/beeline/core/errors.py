"""The two ways in which Beeline stops on purpose, and the wording of the first."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The input was wrong: one line saying what, where and how to mend it (exit code 2)."""


class RunError(Exception):
    """The work itself failed through nobody's input: one line saying what and when (exit code 1)."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Describe a name that nothing answers to, with the nearest one that something does.

    Args:
        kind: what the name should have been, for example ``"sampler"``.
        name: the name as given.
        known: every name that would have been right.
    """
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(choices) or 'none'}"
    return UserError(f"unknown {kind} '{name}'; {hint}")
