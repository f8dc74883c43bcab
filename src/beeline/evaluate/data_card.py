"""The card of the data that a run was trained on, as a section of its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beeline.evaluate.blocks import Block, Section, Table, Text
from beeline.evaluate.scales import short

_KINDS = {"channels": "generated", "maps": "map", "coarse": "coarse map", "points": "points", "parameters": "parameter"}
_SHARES = ("zeros", "missing")


def data_section(card: Mapping[str, Any]) -> Section:
    """A section that says what a run was trained on; empty without a card.

    Args:
        card: what the modality tells of its data: facts, dicts of facts, and of each quantity a dict of its numbers.
    """
    facts = [(name, _text(value)) for name, value in card.items() if name not in (*_KINDS, "notes")]
    quantities = [
        {"quantity": name, "is": kind, **about}
        for key, kind in _KINDS.items()
        for name, about in (card.get(key) or {}).items()
    ]
    head = list(dict.fromkeys(name for each in quantities for name in each))
    rows = [[_shown(name, each.get(name)) for name in head] for each in quantities]
    numbers = [
        place for place, name in enumerate(head) if any(isinstance(each.get(name), float) for each in quantities)
    ]
    blocks: list[Block] = [Table(facts), Table(rows, head, numbers), *(Text(note) for note in card.get("notes") or ())]
    return Section("Data", blocks if card else [], "Of training samples, in physical units." if card else "")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_text(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1%}" if name in _SHARES else short(value)
    return str(value)
