"""``beeline autoencode``: an autoencoder of single cells, whose latents a run then models in place of components."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli.console import Display
from beeline.core.config import build, parse
from beeline.core.errors import UserError, unknown

if TYPE_CHECKING:
    from beeline.data.autoencoder_folder import CellAutoencoderRecord

_SETTINGS = ("decoder", "latent", "hidden", "linear", "beta", "steps", "batch_size", "learning_rate", "seed")
_SELECTING = (
    "layer",
    "perturbation_key",
    "control",
    "context",
    "labels",
    "numbers",
    "dose",
    "group",
    "min_genes",
    "min_counts",
    "max_mitochondrial",
    "held_out",
    "held_out_populations",
    "min_cells",
    "highly_variable",
)


def autoencode(
    cells: str | Path,
    out: str | Path,
    options: Mapping[str, Any] | Sequence[str] = (),
    device: str = "auto",
    display: Display | None = None,
    **settings: Any,
) -> Path:
    """Train an autoencoder of the counts of single cells; goes on where it was stopped.

    Args:
        cells: an .h5ad file.
        out: folder of the autoencoder, which ``--data.autoencoder`` of a run takes.
        options: which genes and cells, as for the run: ``{"cells.highly_variable": 2000}``, or flags.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        settings: fields of ``beeline.data.autoencoder_folder.AutoencoderOptions`` that differ from their defaults:
            ``decoder`` (nb), ``latent`` (32), ``hidden`` (128), ``linear`` (False), ``beta`` (1), ``steps`` (1000),
            ``batch_size`` (128), ``learning_rate`` (0.004), ``seed`` (0).

    Returns:
        the folder.

    Raises:
        UserError: the cells are not what they are said to be, or the folder holds something else.
        RunError: training has failed.
    """
    from beeline.core.device import find_device
    from beeline.core.files import check_writable
    from beeline.data.autoencoder_folder import AutoencoderOptions
    from beeline.data.latent_store import claimed
    from beeline.train.autoencoding import Autoencoding

    display = display or Display("silent")
    made, target, where = build(AutoencoderOptions, settings), Path(out), find_device(device)
    if target.is_file():
        raise UserError(f"{target}: is a file; name a folder for the autoencoder")
    check_writable(target)
    with display.patience("reading the cells"):
        (found, held_out), selection = _cells(cells, options)
    with claimed(target):
        work = Autoencoding(found, held_out, made, selection, target, where)
        display.message(
            f"{int((~held_out).sum()):,} training cells, {int(held_out.sum()):,} held out, "
            f"{len(found.description.genes):,} genes"
        )
        with display.work("autoencoding") as progress:
            record = work.run(progress)
    _tell(record, target, display)
    return target


def _cells(cells: str | Path, options: Mapping[str, Any] | Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """The cells with the split that a run has, and the options that say so.

    Raises:
        UserError: an option has another use, or the file is not what it is said to be.
    """
    import numpy as np

    from beeline.cli.resolve import flags_of, in_sections
    from beeline.core.config import plain
    from beeline.data.cell_sets import CellSet
    from beeline.modalities.loading import find_expressing_modality

    flags = in_sections("cells", flags_of(options))
    for flag in flags:
        section, _, name = flag.removeprefix("--").partition("=")[0].partition(".")
        if section != "data":
            raise UserError(f"--{section}.{name}: is no option of the cells; those are --cells.KEY")
        if name not in _SELECTING:
            raise unknown("option", f"--cells.{name}", [f"--cells.{each}" for each in _SELECTING])
    kind = find_expressing_modality().cls
    given = parse({"data": kind}, {"data": {"path": str(Path(cells).expanduser())}}, flags)["data"]
    usual = plain(kind())
    modality: Any = build(kind, given, "data")
    training = modality.dataset("train")
    if not isinstance(training, CellSet):
        raise TypeError(type(training))
    held_out = np.ones(len(training.found), dtype=bool)
    held_out[training.cells] = False
    selection = {name: given[name] for name in _SELECTING if plain(given[name]) != usual[name]}
    return (training.found, held_out), selection


def _tell(record: CellAutoencoderRecord, target: Path, display: Display) -> None:
    bounds = record.bounds
    better = bounds["held out"] - bounds["gene means"]
    display.result(
        f"{target}: {len(record.description.genes):,} genes as {record.options.latent} latents, "
        f"{record.options.decoder}; log-likelihood of held-out counts, nats a cell: at least {bounds['held out']:.1f} "
        f"({bounds['training']:.1f} of training cells), gene means alone {bounds['gene means']:.1f}"
    )
    of_share = "held_out_populations" not in record.selection  # others are another matter: they may be far from all
    if of_share and better > 0 and bounds["training"] - bounds["held out"] > better:
        display.result(
            "it knows its training cells much better than those held out; fewer --steps would do, or --hidden"
        )
    if better <= 0:
        display.result("gene means alone are as good on held-out cells: these cells are too few, or beta is too large")
    display.result(f"next: beeline train FILE.h5ad --cells.autoencoder {target}, with the same --cells options")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline autoencode``; those of the cells, --cells.KEY, are read beside them."""
    parser.add_argument("cells", metavar="FILE.h5ad", help="counts of single cells")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the autoencoder goes")
    parser.add_argument("--decoder", help="law of the counts: nb, or zinb with more zeros (nb)")
    parser.add_argument("--latent", type=int, help="numbers that a cell becomes (32)")
    parser.add_argument("--hidden", type=int, help="width of the hidden layers (128)")
    parser.add_argument(
        "--linear", action="store_true", default=None, help="a decoder without hidden layer, for what no cell has shown"
    )
    parser.add_argument("--beta", type=float, help="weight of the KL term (1)")
    parser.add_argument("--steps", type=int, help="of training (1000)")
    parser.add_argument("--batch-size", type=int, help="cells a step (128)")
    parser.add_argument("--learning-rate", type=float, help="the largest (0.004)")
    parser.add_argument("--seed", type=int, help="of weights, order of cells and noise (0)")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    parser.epilog = f"Which genes and cells, as for the run: {', '.join(f'--cells.{name}' for name in _SELECTING)}."


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline autoencode``."""
    given = {name: getattr(arguments, name) for name in _SETTINGS if getattr(arguments, name) is not None}
    autoencode(arguments.cells, arguments.out, flags, arguments.device, display, **given)
