"""What was settled once for a run, and why: a record to print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One thing that a run has settled.

    Args:
        name: of the option, or of what was settled.
        value: what it is now.
        why: in a few words.
    """

    name: str
    value: str
    why: str


def table(choices: Sequence[Choice]) -> list[str]:
    """An aligned line for each choice: what, value, why."""
    name = max((len(choice.name) for choice in choices), default=0)
    value = max((len(choice.value) for choice in choices), default=0)
    return [f"{each.name:<{name}}  {each.value:<{value}}  {each.why}".rstrip() for each in choices]
