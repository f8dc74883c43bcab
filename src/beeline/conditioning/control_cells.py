"""Control cells of the population that a sample belongs to, which its tokens attend to.

Each cell becomes a token: its leading principal components among the control cells of training, embedded linearly. All
of them lie at the same place, so that attention sums over them and their order means nothing:

    sum_m softmax_m(q . K z_m) V z_m,    z_m = s W (c_m - mean)

What principal components leave out of a cell, a sample takes from one of them (see ``data/projection.py``). Where they
are left out, no token is seen but a learned null, and their mean over training stands in for what is taken from them:
what such a sample is told apart by are its other conditions.

Shapes: M control cells, G genes, k components, S cells of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.attended import ContextEmbedding
from beeline.conditioning.control_cell import ControlCell
from beeline.conditioning.numbers import real_array
from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer
from beeline.core.random import permutation
from beeline.core.tokens import Tokens
from beeline.data.projection import Projection

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ControlPopulation:
    """An array (M, G) of control cells in the genes and on the scale of the training data, in any order.

    Args:
        name: key in ``Example.condition``.
        members: cells that a sample sees where more are given for all samples.
        taken_by: cells of a sample, each of which takes what components leave out from another control cell.
        dropout: share of training samples that see the null; 0 leaves the null out.
        description: of the training data, as text: genes, scale, target.
        layer: of the numbers in files; X when None.
        projection: to the principal components of distinct training cells, once fitted.
    """

    name: str
    members: int = 32
    taken_by: int = 1
    dropout: float = 0.1
    description: str = ""
    layer: str | None = None
    projection: Projection = field(default_factory=Projection)

    route: ClassVar[Route] = "cross"
    choices: ClassVar[None] = None
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.members < 1 or self.taken_by < 1 or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need members >= 1, taken_by >= 1 and 0 <= dropout < 1")

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure the principal components of the training cells, each of them counted once.

        Raises:
            UserError: a value is no population, or the cells span fewer dimensions than there are components.
        """
        seen: set[bytes] = set()

        def distinct() -> Iterator[Array]:
            for value in values:
                for cell in () if value is None else self._cells(value):
                    if (known := cell.tobytes()) not in seen:
                        seen.add(known)
                        yield cell

        return replace(self, projection=self.projection.fit(distinct()))

    def encode(self, value: Any) -> Tensor:
        """Components of each cell, (M, k); None as a single cell of zeros.

        Raises:
            UserError: the value is not a finite array of cells in the genes of training.
        """
        if value is None:
            return torch.zeros(1, self.projection.components)
        return torch.from_numpy(self.projection.along(self._cells(value)))

    def parse(self, text: str) -> Array:
        """The cells of an .h5ad, brought to the genes and the scale of training, or the array of an .npy file.

        Raises:
            UserError: there is no such file, or it lacks genes or is on another scale.
        """
        return np.asarray(self._files.parse(text))

    def taken(self, value: Any) -> Any:
        """The cells of an AnnData, or of the .h5ad that a path names; other forms as they are.

        Raises:
            UserError: genes are missing, or the numbers are on another scale.
        """
        found = self._files.taken(value)
        return found if found is value else np.asarray(found)

    def shared(self, value: Any, n: int) -> Sequence[Array]:
        """The members that each of n samples sees of one population: M of them in turn, in an order that is drawn.

        Sample i begins where what is taken by the samples before it ends, so that the first members of samples, from
        which they take what components leave out, are each member once before one comes again.

        Args:
            value: (all, G) cells.
            n: number of samples.
        """
        cells = self._cells(value)
        order = np.asarray(permutation(0, "control population", 0, len(cells)))
        seen = np.arange(min(self.members, len(cells)))
        return [cells[order[(item * self.taken_by + seen) % len(cells)]] for item in range(n)]

    def lent(self, value: Any) -> Array | None:
        """The cells from which a sample takes what its normaliser leaves out; for None the mean of those of training.

        Args:
            value: (M, G) cells; None where they are left out.
        """
        if value is not None:
            return self._cells(value)
        return self.projection.mean[None] if self.has_null and self.projection.numbers else None

    def remarks(self, values: Iterable[Any]) -> list[str]:
        """What samples without control cells lack.

        Args:
            values: of all samples that are asked for.
        """
        alone = sum(value is None for value in values)
        if not alone:
            return []
        return [
            f"condition {self.name}: left out of {alone:,} samples: they stand about the mean control cell of "
            "training, and what others take from control cells has no spread in them"
        ]

    def context(self, encoded: Tensor, tokens: Tokens, tokenizer: Tokenizer) -> Context:
        """The cells among the tokens of a sample, N = 1, all at one place.

        Args:
            encoded: what ``encode`` gave.
            tokens: of the sample.
            tokenizer: that made them.
        """
        values = encoded[None]
        places = torch.zeros(1, values.shape[1], tokenizer.axes)
        return Context(values, places, torch.ones(values.shape[:2], dtype=torch.bool))

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A linear layer, and a trained vector for the null where the condition is dropped."""
        return ContextEmbedding(self.projection.components, hidden_size, has_null=self.dropout > 0)

    @property
    def _files(self) -> ControlCell:
        """What reads files of cells."""
        return ControlCell(self.name, description=self.description, layer=self.layer)

    def _cells(self, value: Any) -> Array:
        genes = self.projection.numbers

        def fits(rows: Array) -> bool:
            return rows.ndim == 2 and len(rows) > 0 and genes in (0, rows.shape[1])

        wanted = f"rows of {genes} genes" if genes else "rows of genes"
        return real_array(self.name, value, "a cell", wanted, fits).astype(np.float32, copy=False)
