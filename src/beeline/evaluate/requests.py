"""What is asked of a model when it is evaluated and shown, and of the data that it was trained on."""

from __future__ import annotations

from beeline.core.data import Examples
from beeline.core.errors import UserError
from beeline.generate.engine import Engine, Request


def real_examples(engine: Engine, split: str) -> Examples:
    """The examples of a split, which may not be at hand any more.

    Args:
        engine: a trained model.
        split: ``train`` or ``held_out``.

    Raises:
        UserError: they are not.
    """
    try:
        examples = engine.modality.dataset(split)
        count = len(examples)
    except UserError as error:
        raise UserError(
            f"this needs the data that the model was trained on, where they were then: {str(error).partition(';')[0]}"
        ) from error
    except Exception as error:
        raise UserError(f"dataset({split!r}) failed ({type(error).__name__}: {error})") from error
    if not count:
        raise UserError(f"dataset({split!r}) holds no example to compare with")
    return examples


def requests_like(examples: Examples, n: int, engine: Engine) -> list[Request]:
    """What the first n examples, taken round and round, would ask for: their form, and the conditions the model has."""
    picked = [examples[index % len(examples)] for index in range(n)]
    known = {condition.name for condition in engine.codec.conditions}
    return [
        Request(
            {name: value for name, value in example.condition.items() if name in known},
            engine.codec.form(example.array),
        )
        for example in picked
    ]
