"""Single cells from an AnnData file: populations of a type, answers to a perturbation, in gene space and as AnnData."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from beeline.conditioning.beside import Beside
from beeline.conditioning.control_cell import ControlCell
from beeline.conditioning.control_cells import ControlPopulation
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.perturbations import Perturbations
from beeline.core.data import Example, Examples, Metric
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_files import Scale
from beeline.data.cell_output import as_anndata, h5ad_bytes
from beeline.data.cell_populations import CONTROLS, Grouping, PopulationSet, check_options, divided, grouped
from beeline.data.cell_reading import CellWishes, read_cells
from beeline.data.cell_sets import CONTROL, PERTURBATION, CellSet, FoundCells, from_control
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture, image_grid, scalar_image
from beeline.data.projection import MOST_NUMBERS, Projection
from beeline.metrics.cell_baselines import cell_baselines
from beeline.metrics.cell_metrics import kinds_of, own_metrics
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.rows import RowTokenizer
from beeline.tokenizers.sets import SetTokenizer

_SHOWN = 64


@dataclass(frozen=True)
class Cells:
    """Cells of an .h5ad file, log-normalised, under what was done to them.

    Args:
        path: the file.
        scale: of its numbers: counts, lognorm or scaled; checked, never guessed.
        layer: which of its matrices; X when null.
        perturbation_key: column of obs that says what a cell was under, several joined by "+".
        control: what that column calls control cells.
        context: columns in which a control cell agrees with the cells it stands for, such as cell_type.
        labels: further columns that the network is told, such as donor or batch.
        group: columns that tell what belongs together; no group is in both splits.
        held_out: share of the cells kept from training, between 0 and 1; 0.2 when null.
        held_out_populations: cells to keep from training in its place, such as "cell_type=B cells,condition=stim";
            several between semicolons.
        min_cells: training cells that a gene is seen in, at least.
        highly_variable: how many genes to keep by their variability; null for all.
        start: noise, or control: from a control cell of the same context to a perturbed one (with process.source
            condition and process.end control).
        pairs: pairings of control and perturbed cells by optimal transport, of start control; else how often training
            populations are cut into sets, or their cells beside other control cells.
        controls: control cells of its context that a sample sees, from noise; 0 for none.
        tokens: latent (principal components), genes (a token for each gene) or cells (a sample is a set of cells).
        set_size: cells of a set, of tokens cells.
        genes_in_training: of tokens genes, how many of a cell training sees at a time, drawn anew; null for all.
        components: how many principal components.
        dropout: share of training samples that see the null of a perturbation or label.
        description: genes and scale, as training writes them; leave it out.
    """

    path: str | None = None
    scale: Scale = "counts"
    layer: str | None = None
    perturbation_key: str | None = None
    control: str = "control"
    context: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    held_out: float | None = None
    held_out_populations: str | None = None
    min_cells: int = 3
    highly_variable: int | None = None
    start: Literal["noise", "control"] = "noise"
    pairs: int = 8
    controls: int = 0
    tokens: Literal["latent", "genes", "cells"] = "latent"
    set_size: int = 32
    genes_in_training: int | None = None
    components: int = 32
    dropout: float = 0.1
    description: str | None = None

    def __post_init__(self) -> None:
        if self.path == "":
            raise UserError("path: missing; say where the cells are, --data.path FILE.h5ad")
        if self.held_out is not None and self.held_out_populations is not None:
            raise UserError("held_out and held_out_populations both say what to hold out; give one of them")
        if self.held_out is not None and not 0 < self.held_out < 1:
            raise UserError(f"held_out {self.held_out:g}: must lie between 0 and 1")
        numbers = {"pairs": self.pairs, "controls": self.controls, "set_size": self.set_size}
        check_options(self.perturbation_key, self.start, self.tokens, numbers, self.genes_in_training)

    def settle(self, tokens: int) -> tuple[Cells, Sequence[str]]:
        """Look at the file, choose genes and the split.

        Args:
            tokens: how many tokens a sample can be afforded, about.
        """
        found, kept = self._read
        known = found.description
        share = None if self.held_out_populations is not None else self.held_out or 0.2
        settled = dataclasses.replace(self, path=str(found.path.absolute()), held_out=share, description=known.text())
        told = f"the populations {self.held_out_populations}" if share is None else f"a share of {share:g}"
        reasons = [
            f"found {len(found):,} cells of {len(known.genes):,} genes in {found.path.name}, scale {known.scale}"
            + (f", brought to {known.target:g} counts a cell" if known.target else ""),
            *(f"{count:,} genes are left out: {why}" for why, count in known.counts_left_out.items()),
            f"split: {int((~kept).sum()):,} training cells, {int(kept.sum()):,} held out ({told})",
        ]
        if self.tokens != "genes" and len(known.genes) > MOST_NUMBERS:
            raise UserError(
                f"{len(known.genes):,} genes: principal components are taken of at most {MOST_NUMBERS:,}; keep the "
                "most variable ones, --data.highly_variable 2000"
            )
        if self.start == "noise" and self.tokens != "genes" and not self.controls:
            reasons.append(
                f"samples hold what {self.components} principal components hold of a cell: they vary less than "
                "cells and have fewer zeros; --data.tokens genes has all of it, at a higher cost"
            )
        if isinstance(side := self._sides[0], PopulationSet):
            reasons.append(f"training: {side.said()}")
        if self.start == "control":
            reasons.append(
                f"training: {len(self._sides[0]):,} pairs of a control cell and a cell, by optimal transport"
            )
        return settled, reasons

    def dataset(self, split: str) -> Examples:
        """The cells of a split."""
        return self._sides[0 if split == "train" else 1]

    def normaliser(self) -> Projection | Standardise:
        """Principal components, or one mean and deviation for all genes."""
        if self.tokens == "genes":
            return Standardise(channels=False, lowest=None if self.scale == "scaled" else 0.0)
        lowest = None if self.scale == "scaled" else 0.0
        return Projection(self.components, lowest, rows=self._size > 0, about=self.controls > 0)

    def tokenizer(self) -> SetTokenizer | GridTokenizer | RowTokenizer:
        """A token for each gene, known by its identity; one for each cell of a set; or one of all components."""
        if self.tokens == "genes":
            return SetTokenizer(len(self._known.genes))
        if self._size:
            return RowTokenizer(self.components)
        return GridTokenizer((self.components,), 1)

    def tokens_seen(self) -> int | None:
        """Genes of a cell that training sees at a time."""
        return self.genes_in_training

    def conditions(self) -> Sequence[Condition]:
        """Perturbation, labels, and the control cell that an answer starts from, or the control cells that it sees."""
        found: list[Condition] = []
        if self.perturbation_key is not None:
            found.append(Perturbations(PERTURBATION, control=self.control, dropout=self.dropout))
        for name in self._told:
            values = tuple(sorted(set(self._read[0].labels[name][~self._read[1]])))
            found.append(ClassLabel(name, len(values), self.dropout, values))
        if self.start == "control" or self.controls:
            found += [Beside(name) for name in self.context if name not in self.labels]
        if self.start == "control":
            found.append(ControlCell(CONTROL, description=self._known.text(), layer=self.layer))
        if self.controls:
            text, components = self._known.text(), Projection(self.components)
            seen = (self.controls, self._size or 1, self.dropout if self.tokens == "genes" else 0.0)
            found.append(ControlPopulation(CONTROLS, *seen, text, self.layer, components))
        return found

    def metrics(self) -> Sequence[Metric]:
        """How populations differ, and how much of what perturbations do to their means is predicted."""
        training, held_out = (self.things(split) or self.dataset(split) for split in ("train", "held_out"))
        kinds = kinds_of(training, held_out, self.context)
        found = own_metrics(self._known.genes, self.context, kinds)
        return [each for each in found if self.scale != "scaled" or not each.name.startswith("DE ")]  # no fold changes

    def baselines(self, training: Examples, asked: Sequence[Example], seed: int) -> Mapping[str, Sequence[Example]]:
        """Cheap answers: control cells, shifted ones, means, sums of single effects, resampled cells."""
        return cell_baselines(training, asked, seed, self.context)

    def preview(self, samples: Examples) -> Picture:
        """Cells under one another, the genes that vary most among them side by side."""
        values = np.stack([cell.array for cell in self.divided(samples)])
        shown = np.sort(np.argsort(-values.var(axis=0), kind="stable")[:_SHOWN])
        top = max(float(np.abs(values[:, shown]).max()), 1e-6)
        return image_grid([scalar_image(values[:, shown], -top, top)], tile=480)

    def things(self, split: str) -> Examples | None:
        """Cells one by one, with a control cell where samples see some; None where samples are such cells."""
        side = self.dataset(split)
        return side.things() if isinstance(side, PopulationSet) else None

    def divided(self, samples: Examples) -> list[Example]:
        """The cells of samples, each with one of the control cells that were seen."""
        return divided(samples)

    def card(self) -> dict[str, Any]:
        """Where the cells come from, their genes and populations."""
        found, kept = self._read
        known = found.description
        populations = [found.population(index) for index in range(len(found))]
        names, counts = np.unique(populations, return_counts=True)
        facts: dict[str, Any] = {
            "file": found.path.name,
            "cells": len(found),
            "held out": int(kept.sum()),
            "genes": len(known.genes),
            "scale": known.scale,
            "genes left out": known.counts_left_out,
            "populations": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        }
        return facts | ({"counts a cell": known.target} if known.target else {})

    @property
    def endings(self) -> tuple[str, ...]:
        """Of the files that ``files`` makes."""
        return (".h5ad",)

    def files(self, samples: Examples, provenance: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Samples as AnnData: gene names, what was asked for, provenance."""
        return {".h5ad": h5ad_bytes(self.native(samples, provenance))}

    def native(self, samples: Examples, provenance: Mapping[str, Any] | None = None) -> Any:
        """Samples as an AnnData; of sets a row for each cell, and which set it is of in the column ``set``.

        Args:
            samples: cells, or sets of them.
            provenance: where they come from.
        """
        cells = self.divided(samples)
        values = np.stack([cell.array for cell in cells])
        names = dict.fromkeys(name for cell in cells for name in cell.condition if name != CONTROL)
        obs = {name: [_shown(cell.condition.get(name), self.control) for cell in cells] for name in names}
        if self._size:
            obs["set"] = [str(number) for number, each in enumerate(samples) for _ in divided([each])]
        return as_anndata(values, self._known.genes, obs, provenance or {}, self._known.scale)

    @property
    def _told(self) -> tuple[str, ...]:
        """Columns that the network is told: contexts too where no control cell says where a sample belongs."""
        known = self.start == "control" or self.controls
        return self.labels if known else tuple(dict.fromkeys((*self.context, *self.labels)))

    @property
    def _size(self) -> int:
        """Cells of a set; 0 where a sample is a cell."""
        return self.set_size if self.tokens == "cells" else 0

    @cached_property
    def _read(self) -> tuple[FoundCells, Any]:
        if self.path is None:
            raise UserError("path: missing; say where the cells are, --data.path FILE.h5ad")
        return read_cells(
            CellWishes(
                path=Path(self.path).expanduser(),
                layer=self.layer,
                scale=self.scale,
                perturbation_key=self.perturbation_key,
                control=self.control,
                context=self.context,
                labels=self._told,
                group=self.group,
                held_out_populations=self.held_out_populations,
                held_out=self.held_out or 0.2,
                min_cells=self.min_cells,
                highly_variable=self.highly_variable,
            ),
            None if self.description is None else CellDescription.read(self.description),
        )

    @cached_property
    def _known(self) -> CellDescription:
        """What the file said when the model was trained, so that sampling does without it."""
        if self.description is None:
            return self._read[0].description
        return CellDescription.read(self.description)

    @cached_property
    def _sides(self) -> tuple[CellSet, CellSet] | tuple[PopulationSet, PopulationSet]:
        found, kept = self._read
        if self.controls or self._size:
            return grouped(found, kept, Grouping(self._size, self.controls, self.pairs))
        if self.start == "control":
            return from_control(found, kept, self.pairs, 0)
        return CellSet(found, np.flatnonzero(~kept)), CellSet(found, np.flatnonzero(kept))


def _shown(value: Any, control: str) -> Any:
    return ("+".join(value) or control) if isinstance(value, tuple) else value


MODALITY = Cells
