"""What to show of a model: which samples, on which pages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beeline.core.data import Example, Examples
from beeline.core.offers import NamedChoices
from beeline.core.protocols import Condition
from beeline.evaluate.requests import requests_like
from beeline.generate.engine import Engine, Request

_MOST_PAGES, _MOST_SAMPLES, _MOST_NUMBERS = 48, 320, 2**24
_FEWEST, _MOST_A_CLASS, _MOST_A_PAGE = 4, 16, 64


@dataclass(frozen=True)
class Page:
    """Samples that are shown in one picture.

    Args:
        stem: what the file is called.
        caption: what it shows.
        requests: what to draw.
    """

    stem: str
    caption: str
    requests: Sequence[Request]


def gallery(engine: Engine, held_out: Examples) -> tuple[list[Page], int]:
    """A page for each value of the first condition with a choice, else one page.

    Of dozens of classes, or of large samples, each page holds fewer.

    Args:
        engine: the model.
        held_out: examples whose conditions and forms are borrowed.

    Returns:
        the pages, and how many values have none because there are too many.
    """
    numbers = max(1, held_out[0].array.size)
    for condition in engine.codec.conditions:
        if condition.choices is not None:
            shown = list(condition.choices[:_MOST_PAGES])
            count = _square(min(_MOST_SAMPLES, _MOST_NUMBERS // numbers) // len(shown))
            pages: list[Page] = []
            for choice in shown:
                requests = [_with(each, condition.name, choice) for each in requests_like(held_out, count, engine)]
                stem = _file_stem(
                    f"{condition.name}-{_name(condition, choice) or choice}", [page.stem for page in pages]
                )
                pages.append(Page(stem, caption(condition, choice), requests))
            return pages, len(condition.choices) - len(shown)
    count = max(_FEWEST, min(_MOST_A_PAGE, _MOST_NUMBERS // numbers))
    return [Page("all", "samples", requests_like(held_out, count, engine))], 0


def caption(condition: Condition, value: Any) -> str:
    """A value of a condition in words: its name, or its number after that of the condition."""
    return _name(condition, value) or f"{condition.name} {value}"


def _name(condition: Condition, value: Any) -> str:
    """What a value of a condition is called; empty where it has no name."""
    if isinstance(value, str):
        return value
    names = condition.names if isinstance(condition, NamedChoices) else ()
    choices = list(condition.choices or ())
    return names[choices.index(value)] if len(names) == len(choices) and value in choices else ""


def asked_for(engine: Engine, example: Example, otherwise: str) -> str:
    """What a sample was asked to be, in words: the value of the first condition with a choice.

    Args:
        engine: the model.
        example: the sample.
        otherwise: what to say where there is no such condition, or it was left out.
    """
    for condition in engine.codec.conditions:
        if condition.choices is not None and example.condition.get(condition.name) is not None:
            return caption(condition, example.condition[condition.name])
    return otherwise


def _square(most: int) -> int:
    """The largest number of samples that fills a square picture, within what a page may hold."""
    return max(_FEWEST, min(_MOST_A_CLASS, math.isqrt(most) ** 2))


def _file_stem(name: str, taken: Sequence[str]) -> str:
    """A name that any file system takes, and that no other page has."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    return plain if plain not in taken else f"{plain}-{len(taken)}"


def _with(request: Request, name: str, value: Any) -> Request:
    return Request({**request.condition, name: value}, request.form)
