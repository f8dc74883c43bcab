"""Whether the numbers of two runs compare: the same data, the same split, the same units and grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from beeline.core.data import Example, Examples
from beeline.core.errors import UserError
from beeline.core.offers import Gridded
from beeline.evaluate.evaluation import Evaluator
from beeline.evaluate.sets import fingerprint, read_sets
from beeline.generate.engine import Engine


def check_same_data(entries: Sequence[tuple[Path, Engine, Examples, Examples]]) -> None:
    """Refuse runs whose numbers would not compare, before anything is drawn.

    Args:
        entries: each run with its model, training and held-out examples.

    Raises:
        UserError: naming what differs.
    """
    path, _, *sets = entries[0]
    for other, engine, *others in entries[1:]:
        for name, one, two in zip(("training", "held-out"), sets, others, strict=True):
            if len(one) != len(two):
                raise UserError(
                    f"{other}: its split has {len(two):,} {name} examples, that of {path} {len(one):,}; numbers of "
                    "different splits do not compare: train both on the same data and split"
                )
            if _grid(entries[0][1]) != _grid(engine):
                raise UserError(
                    f"{other}: its fields are declared as {_grid(engine)}, those of {path} as {_grid(entries[0][1])}; "
                    "numbers of different units or grids do not compare"
                )
            if one[0].array.dtype != two[0].array.dtype or one[0].array.shape[-1] != two[0].array.shape[-1]:
                raise UserError(
                    f"{other}: its samples are {_kind(two)}, those of {path} {_kind(one)}; numbers of different "
                    "units or rounding do not compare"
                )


def _grid(engine: Engine) -> str:
    """Quantities, units and lengths of fields in words; empty of other data."""
    if not isinstance(engine.modality, Gridded):
        return ""
    known = engine.modality.geometry()
    channels = ", ".join(f"{name} [{units}]" for name, units in zip(known.channels, known.units, strict=True))
    steps = " x ".join(f"{each:g}" for each in known.spacing)
    turns = f", periodic along {[place for place, each in enumerate(known.periodic) if each]}" if known.periodic else ""
    contrast = f", overdensity of {', '.join(known.overdensity)}" if known.overdensity else ""
    return f"{channels} on cells of {steps} {known.length_unit}{turns}{contrast}".replace(" []", "")


def _kind(examples: Examples) -> str:
    array = examples[0].array
    return f"{array.dtype} with {array.shape[-1]} channels"


def check_same_examples(
    path: Path, evaluator: Evaluator, other: Path, training: Examples, held_out: Examples
) -> list[Example]:
    """Refuse a run that was trained on, or holds out, other examples of the same number.

    Returns:
        the held-out examples as the other run knows them: the same arrays in the same order, with its own conditions.

    Raises:
        UserError: naming which.
    """
    own, theirs = evaluator.sets, read_sets(training, held_out)
    for name, one, two in (("training", own.training, theirs.training), ("held-out", own.held_out, theirs.held_out)):
        if fingerprint(one, conditions=False) != fingerprint(two, conditions=False):
            raise UserError(
                f"{other}: its {name} examples are not those of {path}; numbers of different splits do not compare: "
                "train both on the same data and split"
            )
    return theirs.held_out
