"""The folder of an autoencoder of cells: weights, what they are, and which cells they were trained on.

autoencoder.json         genes, target, decoder, libraries, options, bounds, hashes
weights.safetensors      the network
cells.safetensors        a name of each training cell by what it holds, so that none is held out later
begun.json, checkpoint.safetensors    in place of these while it trains
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from beeline.core.config import build, plain
from beeline.core.errors import UserError, whole_number
from beeline.core.files import read_json, sha256
from beeline.data.cell_autoencoder import CellAutoencoder, Libraries
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_network import Decoder
from beeline.data.cell_sets import FoundCells
from beeline.data.counted_cells import identities

Array = np.ndarray[Any, Any]
FORMAT = 1
ABOUT, WEIGHTS, CELLS = "autoencoder.json", "weights.safetensors", "cells.safetensors"
NAMES = "trained_on"


@dataclass(frozen=True)
class AutoencoderOptions:
    """How an autoencoder is made.

    Args:
        decoder: law of the counts, nb or zinb.
        latent: numbers that a cell becomes.
        hidden: width of the hidden layers.
        linear: a decoder without hidden layer, in which what latents do to the logarithms of shares adds up.
        beta: weight of the KL term, reached after a fifth of the steps.
        steps: of training.
        batch_size: cells a step.
        learning_rate: largest, of AdamW.
        seed: of first weights, order of cells and noise.
    """

    decoder: Decoder = "nb"
    latent: int = 32
    hidden: int = 128
    linear: bool = False
    beta: float = 1.0
    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 4e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("latent", "hidden", "steps", "batch_size"):
            whole_number(name, getattr(self, name), 1)
        whole_number("seed", self.seed, 0)
        for name in ("beta", "learning_rate"):
            if not 0 < getattr(self, name) < 1e3:
                raise UserError(f"{name} {getattr(self, name):g}: must be above 0")


@dataclass(frozen=True)
class CellAutoencoderRecord:
    """What an autoencoder of cells is.

    Args:
        options: how it was made.
        selection: options of the data that chose genes and training cells.
        description: genes, scale, target, and genes left out.
        libraries: of the training cells.
        deviations: (k,) mean deviation of the posterior of the training cells.
        bounds: nats a cell: ELBO of training and held-out cells, and of ``gene means``, the law of cells all alike.
        data: name and sha256 of the file of cells.
        weights_sha256: of the weights.
        cells_sha256: of the names of the cells.
        library: what made it.
        format: of the folder.
    """

    options: AutoencoderOptions
    selection: Mapping[str, Any]
    description: CellDescription
    libraries: Libraries
    deviations: tuple[float, ...]
    bounds: Mapping[str, float]
    data: Mapping[str, str]
    weights_sha256: str
    cells_sha256: str
    library: str
    format: int = FORMAT

    def line(self, folder: Path) -> str:
        """What it is, in a line for people.

        Args:
            folder: that it is in.
        """
        return (
            f"cells as {self.options.latent} latents of the autoencoder {folder.name} ({self.options.decoder}, sha256 "
            f"{self.weights_sha256[:12]}): at least {self.bounds['held out']:.1f} nats a held-out cell, gene means "
            f"alone {self.bounds['gene means']:.1f}"
        )


def read_autoencoder(folder: Path) -> CellAutoencoderRecord:
    """What a folder holds.

    Raises:
        UserError: no autoencoder, one that is not finished, or damaged.
    """
    if not (folder / ABOUT).is_file():
        begun = (folder / "begun.json").is_file()
        raise UserError(
            f"autoencoder {folder}: "
            + ("is not finished; run the same beeline autoencode again" if begun else f"holds no {ABOUT}")
        )
    values = read_json(folder / ABOUT)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserError(f"{folder / ABOUT}: is of another format than {FORMAT}; make the autoencoder anew")
    parts = {"options": AutoencoderOptions, "description": CellDescription, "libraries": Libraries}
    try:
        built: dict[str, Any] = {name: build(cls, values[name], name) for name, cls in parts.items()}
        record = CellAutoencoderRecord(**{**values, **built, "deviations": tuple(values["deviations"])})
    except (UserError, TypeError, KeyError) as error:
        raise UserError(f"{folder / ABOUT}: damaged ({error})") from None
    for name, wanted in ((WEIGHTS, record.weights_sha256), (CELLS, record.cells_sha256)):
        if not (folder / name).is_file() or sha256(folder / name) != wanted:
            raise UserError(f"{folder / name}: is missing or not the one that {ABOUT} was written with")
    return record


def latents_in(folder: str | Path) -> int:
    """How many latents the autoencoder of a folder has.

    Raises:
        UserError: the folder holds none.
    """
    return read_autoencoder(Path(folder).expanduser()).options.latent


def as_normaliser(folder: str | Path) -> CellAutoencoder:
    """The autoencoder of a folder with all it takes, weights too, not yet fitted to the cells of a run.

    Raises:
        UserError: the folder holds none.
    """
    folder = Path(folder).expanduser()
    record = read_autoencoder(folder)
    target = record.description.target
    if target is None:
        raise UserError(f"{folder / ABOUT}: damaged (no target)")
    return CellAutoencoder(
        latent=record.options.latent,
        numbers=len(record.description.genes),
        decoder=record.options.decoder,
        target=target,
        libraries=record.libraries,
        deviations=record.deviations,
        weights=base64.b64encode((folder / WEIGHTS).read_bytes()).decode("ascii"),
        sha256=record.weights_sha256,
    )


def check_fits(folder: str | Path, tokens: str, found: FoundCells, held_out: Array) -> str:
    """Refuse an autoencoder of other genes, of another target, or one that knows cells that a run holds out.

    Args:
        folder: of the autoencoder.
        tokens: of the run, which are to be latent.
        found: cells of the run.
        held_out: (N,) which of them it holds out.

    Returns:
        what the autoencoder is, in a line.

    Raises:
        UserError: saying which.
    """
    if (tokens, found.description.scale) != ("latent", "counts"):
        raise UserError("autoencoder: is one of counts, and gives latents; needs scale counts and tokens latent")
    folder = Path(folder).expanduser().absolute()
    record = read_autoencoder(folder)
    one, other = record.description, found.description
    again = "make it with the same --cells options as this run"
    if one.genes != other.genes:
        apart = len(set(one.genes) ^ set(other.genes))
        told = f"{apart} genes are in one of them alone" if apart else "their order differs"
        raise UserError(
            f"autoencoder {folder}: has {len(one.genes):,} genes and this run {len(other.genes):,}, {told}; {again}"
        )
    trained = safetensors.numpy.load_file(folder / CELLS)[NAMES]
    # A held-out cell of the very counts of a training cell of this run is no sign of another split.
    own = identities(found, np.flatnonzero(~held_out))
    known = int(np.isin(identities(found, np.flatnonzero(held_out)), np.setdiff1d(trained, own)).sum())
    if known:
        raise UserError(
            f"autoencoder {folder}: was trained on {known:,} of the {int(held_out.sum()):,} cells that this run holds "
            f"out, which would leak; {again} (its own: {_words(record.selection) or 'none'})"
        )
    if one.target != other.target:
        raise UserError(
            f"autoencoder {folder}: brings counts to {one.target:g} a cell and this run to {other.target:g}, as they "
            f"train on other cells; {again} (its own: {_words(record.selection) or 'none'})"
        )
    return record.line(folder)


def stored(record: CellAutoencoderRecord) -> dict[str, Any]:
    """What autoencoder.json holds."""
    return dict(plain({field.name: getattr(record, field.name) for field in dataclasses.fields(record)}))


def _words(selection: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in selection.items())
