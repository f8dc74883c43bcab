"""What is asked of a model when it is evaluated and shown."""

from __future__ import annotations

from beeline.core.data import Examples
from beeline.generate.engine import Engine, Request


def requests_like(examples: Examples, n: int, engine: Engine) -> list[Request]:
    """What the first n examples, taken round and round, would ask for: their conditions and their form."""
    picked = [examples[index % len(examples)] for index in range(n)]
    return [Request(example.condition, engine.codec.form(example.array)) for example in picked]
