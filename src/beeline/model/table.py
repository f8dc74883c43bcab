"""What became of each tensor of a trained network in another, as a table to keep and a few lines to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """What became of a tensor.

    Args:
        tensor: its name in the run's network; in the trained one where it was left.
        what: became of it.
        why: or how, in a few words.
        untrained: whether some of its numbers were never trained.
    """

    tensor: str
    what: Literal["loaded", "resized", "re-initialised", "fresh", "left"]
    why: str = ""
    untrained: bool = False

    @property
    def text(self) -> str:
        """What and why."""
        return f"{self.what}: {self.why}" if self.why else self.what


def grouped(told: Mapping[str, str]) -> dict[str, str]:
    """A table of tensors in few lines: blocks of a network as one, layers whose tensors fared alike as one.

    Args:
        told: what became of each tensor.

    Returns:
        names of groups such as ``blocks.0-11``, and what became of them with the number of tensors.
    """
    by_unit: dict[str, dict[str, list[str]]] = {}
    for name, text in told.items():
        by_unit.setdefault(_unit(name), {}).setdefault(text, []).append(name)
    lines: dict[str, str] = {}
    for unit, fates in by_unit.items():
        for text, names in fates.items():
            what, colon, why = text.partition(": ")
            count = f"{len(names)} tensor{'s' if len(names) > 1 else ''}"
            lines[_label(unit, names, len(fates) == 1)] = f"{what} ({count}){colon}{why}"
    return lines


def _unit(name: str) -> str:
    parts = name.removeprefix("backbone.").split(".")
    return ".".join(parts[:2]) if parts[0] == "embedders" else parts[0]


def _label(unit: str, names: Sequence[str], alone: bool) -> str:
    """What to call the tensors of a unit that fared alike; by their own names where others of it did not."""
    own = [name.removeprefix("backbone.") for name in names]
    if unit != "blocks":
        return unit if alone else ", ".join(own)
    numbers = sorted({int(name.split(".")[1]) for name in own})
    span = f"blocks.{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"blocks.{numbers[0]}"
    return span if alone else f"{span} {', '.join(sorted({name.split('.', 2)[2] for name in own}))}"


def lines_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The table that a model's description keeps of what it began from, in few lines.

    Args:
        record: with ``tensors`` and ``left``, texts by name, and ``normaliser`` where there is something to say of it.
    """
    lines = grouped(record["tensors"])
    if left := record.get("left"):
        lines["left behind"] = ", ".join(left)
    if "normaliser" in record:
        lines["normaliser"] = str(record["normaliser"])
    return lines
