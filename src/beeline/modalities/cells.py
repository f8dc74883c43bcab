"""Single cells from an AnnData file: populations of a type, answers to a perturbation, in gene space and as AnnData."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from beeline.conditioning.cell_conditions import (
    beside_conditions,
    control_condition,
    features_by_name,
    features_known,
    told_conditions,
)
from beeline.core.data import Example, Examples, Expression, Metric
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.data.autoencoder_folder import as_normaliser, check_fits, latents_in
from beeline.data.cell_asked import cells_as_anndata, counts_of
from beeline.data.cell_autoencoder import CellAutoencoder
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_columns import condition_names
from beeline.data.cell_components import CellComponents
from beeline.data.cell_files import Scale
from beeline.data.cell_knowledge import PerturbationFeatures, check_answerable, lasting, perturbation_features
from beeline.data.cell_options import check_genes, check_options, labels_of, told_columns
from beeline.data.cell_output import h5ad_bytes
from beeline.data.cell_populations import Grouping, PopulationSet, divided, grouped
from beeline.data.cell_reading import CellWishes, cells_brought, read_cells
from beeline.data.cell_sets import CellSet, FoundCells, from_control
from beeline.data.cell_told import card_of, picture_of, said_of, said_of_examples, smooth_remark
from beeline.data.gene_scale import GeneScale
from beeline.data.pictures import Picture
from beeline.data.projection import MOST_NUMBERS
from beeline.data.scarce_cells import warn_of_incomparable, warn_of_scarce
from beeline.metrics.cell_baselines import cell_baselines
from beeline.metrics.cell_metrics import kinds_of, own_metrics
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.rows import RowTokenizer
from beeline.tokenizers.sets import SetTokenizer

_MOST_VARIABLE = 2000
_RELATED = 16  # principal components that tell which genes go together


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
        batch: column of batches, which the network is told; entries may be missing.
        donor: column of donors, likewise; in group too where no donor may be in both splits.
        labels: further columns that the network is told as classes; entries may be missing.
        numbers: columns of numbers that the network is told, such as age or time; entries may be missing.
        dose: column of doses above 0, one for each cell's perturbations or joined by "+" as they are.
        features: what perturbations are known by: coexpression (of the gene that one is named after, in training
            cells), or a file .csv, .tsv or .npz with numbers for each name; their names alone when null.
        feature_size: how many features of co-expression.
        identity: whether each perturbation of training is also known by itself, with features.
        group: columns that tell what belongs together; no group is in both splits.
        held_out: share of the cells kept from training, between 0 and 1; 0.2 when null.
        held_out_populations: cells to keep from training in its place, such as "cell_type=B cells,condition=stim";
            several between semicolons, double quotes around a value that holds one of ,;=
        min_genes: genes seen in a cell, at least, for it to be looked at; null for no limit.
        min_counts: counts of a cell, at least.
        max_mitochondrial: share of a cell's counts in genes whose names start with MT- or mt-, at most.
        min_cells: training cells that a gene is seen in, at least.
        highly_variable: how many genes to keep by their variability; null for all, and of over 5,000 for 2,000 where
            tokens are latent.
        start: noise, or control: from a control cell of the same context to a perturbed one (with process.source
            condition and process.end control).
        pairs: pairings of control and perturbed cells by optimal transport, of start control; else how often training
            populations are cut into sets, or their cells beside other control cells.
        controls: control cells of its context that a sample sees, from noise; 0 for none.
        tokens: latent (principal components), genes (a token for each gene) or cells (a sample is a set of cells).
        set_size: cells of a set, of tokens cells.
        genes_in_training: of tokens genes, how many of a cell training sees at a time, drawn anew; null for all.
        components: how many principal components.
        autoencoder: folder that beeline autoencode made of the same cells; its latents in place of components.
        dropout: share of training samples that see the null of a perturbation, label or number.
        controls_dropout: share of them that see the null of control cells, which can then be left out of a question.
        counts: whether files of samples hold counts too, of libraries as in training, where the scale is counts.
        description: genes and scale, as training writes them; leave it out.
    """

    path: str | None = None
    scale: Scale = "counts"
    layer: str | None = None
    perturbation_key: str | None = None
    control: str = "control"
    context: tuple[str, ...] = ()
    batch: str | None = None
    donor: str | None = None
    labels: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    dose: str | None = None
    features: str | None = None
    feature_size: int = 32
    identity: bool = True
    group: tuple[str, ...] = ()
    held_out: float | None = None
    held_out_populations: str | None = None
    min_genes: int | None = None
    min_counts: int | None = None
    max_mitochondrial: float | None = None
    min_cells: int = 3
    highly_variable: int | None = None
    start: Literal["noise", "control"] = "noise"
    pairs: int = 8
    controls: int = 0
    tokens: Literal["latent", "genes", "cells"] = "latent"
    set_size: int = 32
    genes_in_training: int | None = None
    components: int = 32
    autoencoder: str | None = None
    dropout: float = 0.1
    controls_dropout: float = 0.0
    counts: bool = True
    description: str | None = None

    def __post_init__(self) -> None:
        check_options(vars(self))

    def settle(self, tokens: int) -> tuple[Cells, Sequence[str]]:
        """Look at the file, choose genes and the split.

        Args:
            tokens: how many tokens a sample can be afforded, about.
        """
        found, kept = self._read
        known = found.description
        components = self._has_components
        if components and self.highly_variable is None and len(known.genes) > MOST_NUMBERS:
            chosen, reasons = dataclasses.replace(self, highly_variable=_MOST_VARIABLE).settle(tokens)
            why = f"principal components are taken of at most {MOST_NUMBERS:,} genes, not of {len(known.genes):,}"
            return chosen, [f"the {_MOST_VARIABLE:,} most variable genes are kept: {why}", *reasons]
        features = self._features
        if self.perturbation_key is not None:
            check_answerable(found, kept, features)
        share = None if self.held_out_populations is not None else self.held_out or 0.2
        settled = dataclasses.replace(self, path=str(found.path.absolute()), held_out=share, description=known.text())
        settled = dataclasses.replace(settled, features=lasting(self.features))
        reasons = said_of(found, kept, f"the populations {self.held_out_populations}" if share is None else None, share)
        reasons += [] if features is None else features.told(str(self.features))
        if self.autoencoder is not None:
            reasons.append(check_fits(self.autoencoder, self.tokens, found, kept))
            settled = dataclasses.replace(settled, autoencoder=str(Path(self.autoencoder).expanduser().absolute()))
        check_genes(len(known.genes) if components else 0)
        warn_of_incomparable(found, kept, self.held_out_populations)
        if self.start == "noise" and components and not self.controls:
            reasons.append(smooth_remark(self.components))
        if isinstance(self._sides[0], PopulationSet):
            warn_of_scarce(self._sides[0])
        return settled, [*reasons, *said_of_examples(self._sides[0])]

    def dataset(self, split: str) -> Examples:
        """The cells of a split."""
        return self._sides[0 if split == "train" else 1]

    def normaliser(self) -> CellComponents | GeneScale | CellAutoencoder:
        """Principal components, latents of an autoencoder, or mean and deviation of each gene."""
        if self.autoencoder is not None:
            return as_normaliser(self.autoencoder)
        if self.tokens == "genes":
            return GeneScale(None if self.scale == "scaled" else 0.0)
        lowest = None if self.scale == "scaled" else 0.0
        return CellComponents(self.components, lowest, self._size > 0, self.controls > 0, target=self._known.target)

    def tokenizer(self) -> SetTokenizer | GridTokenizer | RowTokenizer:
        """A token for each gene, known by its identity; one for each cell of a set; or one of all components."""
        if self.tokens == "genes":
            return SetTokenizer(len(self._known.genes), components=_RELATED)
        if self._size:
            return RowTokenizer(self.components)
        latent = self.components if self.autoencoder is None else latents_in(self.autoencoder)
        return GridTokenizer((latent,), 1)

    def tokens_seen(self) -> int | None:
        """Genes of a cell that training sees at a time."""
        return self.genes_in_training

    def conditions(self) -> Sequence[Condition]:
        """Perturbation, labels, and the control cell that an answer starts from, or the control cells that it sees."""
        found = told_conditions(*self._read, self.control, self.dropout, self._features, self.identity)
        if self.start == "control" or self.controls:
            shown = (self.controls, self._size, self.controls_dropout, self.components)
            control = control_condition(*shown, self._known.text(), self.layer)
            found += beside_conditions(self._read[0].contexts, [each.name for each in found], control.name)
            found.append(control)
        return found

    def metrics(self) -> Sequence[Metric]:
        """How populations differ, and how much of what perturbations do to their means is predicted."""
        training, held_out = (self.things(split) or self.dataset(split) for split in ("train", "held_out"))
        found = own_metrics(self._known.genes, self._contexts, kinds_of(training, held_out, self._contexts))
        return [each for each in found if self.scale != "scaled" or not each.name.startswith("DE ")]  # no fold changes

    def expression(self) -> Expression:
        """Genes and populations, for the pictures of an evaluation."""
        kinds = self._contexts or tuple(condition_names(labels_of(vars(self))))
        return Expression(self._known.genes, self._contexts, kinds, self.scale != "scaled")

    def baselines(self, training: Examples, asked: Sequence[Example], seed: int) -> Mapping[str, Sequence[Example]]:
        """Cheap answers: control cells, shifted ones, means, sums of single effects, ridge on features, ..."""
        features = vars(self).get("_recalled") or features_by_name(self._features)
        return cell_baselines(training, asked, seed, self._contexts, features)

    def recalling(self, conditions: Sequence[Condition]) -> Cells:
        """The same, with the features of perturbations that a model was trained with, wherever their file is by now."""
        known = dataclasses.replace(self)
        vars(known)["_recalled"] = features_known(conditions)  # no option, and so no field
        return known

    def preview(self, samples: Examples) -> Picture:
        """Cells under one another, the genes that vary most among them side by side."""
        return picture_of(self.divided(samples))

    def things(self, split: str) -> Examples | None:
        """Cells one by one, with a control cell where samples see some; None where samples are such cells."""
        side = self.dataset(split)
        return side.things() if isinstance(side, PopulationSet) else None

    def divided(self, samples: Examples) -> list[Example]:
        """The cells of samples, each with one of the control cells that were seen."""
        return divided(samples)

    def card(self) -> dict[str, Any]:
        """Where the cells come from, their genes and populations."""
        return card_of(*self._read)

    @property
    def endings(self) -> tuple[str, ...]:
        """Of the files that ``files`` makes."""
        return (".h5ad",)

    def files(self, samples: Examples, provenance: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Samples as AnnData: gene names, what was asked for, provenance."""
        return {".h5ad": h5ad_bytes(self.native(samples, provenance))}

    def brought(self, path: Path) -> list[Example]:
        """Cells of an .h5ad, in the genes and on the scale of the model, with what its columns say of them."""
        if self._size:
            raise UserError(f"{path}: holds cells, and a sample of this model is a set of them (tokens cells)")
        return cells_brought(path, self._known, self._wishes(path))

    def native(self, samples: Examples, provenance: Mapping[str, Any] | None = None) -> Any:
        """Samples as an AnnData; of sets a row for each cell, and which set it is of in the column ``set``.

        Args:
            samples: cells, or sets of them.
            provenance: where they come from.
        """
        known, about, cells, components = self._known, provenance or {}, self.divided(samples), self._has_components
        how = (self._contexts, components, components or self.start == "control", about)
        found = counts_of(cells, known, *how) if self.counts else None
        columns = condition_names((*self.context, *labels_of(vars(self)), *self.numbers))
        made = cells_as_anndata(cells, known, columns, self.control, about, self.dose, found)
        if self._size:
            made.obs["set"] = [str(number) for number, each in enumerate(samples) for _ in divided([each])]
        return made

    @property
    def _contexts(self) -> tuple[str, ...]:
        """Names of the conditions that say the context."""
        return tuple(condition_names(self.context))

    @property
    def _has_components(self) -> bool:
        return self.tokens != "genes" and self.autoencoder is None

    @property
    def _size(self) -> int:
        """Cells of a set; 0 where a sample is a cell."""
        return self.set_size if self.tokens == "cells" else 0

    @cached_property
    def _read(self) -> tuple[FoundCells, Any]:
        if self.path is None:
            raise UserError("path: missing; say where the cells are, --data.path FILE.h5ad")
        known = None if self.description is None else CellDescription.read(self.description)
        return read_cells(self._wishes(Path(self.path).expanduser()), known)

    def _wishes(self, path: Path) -> CellWishes:
        return CellWishes.of(vars(self), path, told_columns(vars(self)))

    @cached_property
    def _features(self) -> PerturbationFeatures | None:
        """What perturbations are known by beside their names, from training cells or a file."""
        if self.features is None:
            return None
        return perturbation_features(*self._read, self.features, self.feature_size, self.layer)

    @cached_property
    def _known(self) -> CellDescription:
        """What the file said when the model was trained, so that sampling does without it."""
        return self._read[0].description if self.description is None else CellDescription.read(self.description)

    @cached_property
    def _sides(self) -> tuple[CellSet, CellSet] | tuple[PopulationSet, PopulationSet]:
        found, kept = self._read
        if self.controls or self._size:
            return grouped(found, kept, Grouping(self._size, self.controls, self.pairs))
        if self.start == "control":
            return from_control(found, kept, self.pairs, 0)
        return CellSet(found, np.flatnonzero(~kept)), CellSet(found, np.flatnonzero(kept))


MODALITY = Cells
