"""``beeline check``: hold a modality to the contract."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli.console import Display
from beeline.cli.recipes import find_data
from beeline.cli.resolve import data_section, flags_of
from beeline.core.config import parse
from beeline.core.errors import UserError
from beeline.core.files import check_writable, write_json

if TYPE_CHECKING:
    from beeline.evaluate.contract import Contract
    from beeline.modalities.loading import ModalitySource

_LACKING = "name what to check: a modality's .py file or name, a recipe, or a folder of images"


def check(
    target: str | Path,
    options: Mapping[str, Any] | Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    display: Display | None = None,
) -> Contract:
    """Hold a modality to the contract that Beeline's own keep.

    Args:
        target: a .py file with a modality, the name of one, a recipe, or a folder or file of images.
        options: of the modality, as a mapping (``{"data.patch": 4}``) or as flags (``["--data.patch=4"]``).
        only: names of clauses to look at; all of them when empty.
        quick: leave out the clauses that train a network.
        display: where verdicts go; silent when None.

    Returns:
        the verdicts; ``broken`` names the clauses that do not hold.

    Raises:
        UserError: there is no such modality, option or clause.
    """
    from beeline.evaluate.contract import clauses_named, hold
    from beeline.evaluate.contract_subject import Subject

    display = display or Display("silent")
    clauses_named(only)
    source, values = _find(str(target), flags_of(options))
    subject = Subject(source, values)
    return hold(subject, only, quick, lambda verdict: display.result(verdict.line()), display.work)


def _find(target: str, flags: Sequence[str]) -> tuple[ModalitySource, Mapping[str, Any]]:
    """A modality and its options, from a recipe's and flags."""
    from beeline.modalities.loading import find_modality

    recipe = find_data(target)
    source, given = find_modality(str(recipe.values["modality"])), dict(recipe.values.get("data") or {})
    section = data_section(source)
    if not section:
        for flag in flags:
            raise UserError(f"{flag.partition('=')[0]}: {target} has no options")
        return source, given
    return source, parse(section, {"data": given}, flags)["data"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline check``; the modality's own, --data.KEY, are read beside them."""
    parser.add_argument(
        "target", nargs="?", metavar="FILE|NAME", help="a modality's .py file or name, a recipe or a folder"
    )
    parser.add_argument(
        "--only", metavar="CLAUSE", action="append", default=[], help="look at this clause (several times)"
    )
    parser.add_argument("--quick", action="store_true", help="leave out the clauses that train a network")
    parser.add_argument("--json", metavar="FILE", help="write the verdicts there")


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline check``."""
    if arguments.target is None:
        raise UserError(_LACKING)
    if arguments.json is not None:
        check_writable(Path(arguments.json))
    contract = check(arguments.target, flags, arguments.only, arguments.quick, display)
    if arguments.json is not None:
        write_json(Path(arguments.json), contract.as_json())
    if contract.broken:
        raise UserError(
            f"{contract.modality}: breaks {len(contract.broken)} of {len(contract.verdicts)} clauses: "
            f"{', '.join(contract.broken)}"
        )
