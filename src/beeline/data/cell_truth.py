"""Synthetic single cells whose law is known: cell types with markers, planted effects and interactions.

    library L       ln L ~ N(m, s^2)
    count k_g       negative binomial of mean L r_g and inverse dispersion theta: variance L r_g + (L r_g)^2 / theta
    expression x_g  log1p(k_g / L * T)
    rate r_g        base_g, times e^2 for the markers of the cell type, times e^(effects)

Perturbation i changes a block of genes of its own, the first of which bears its name and falls; a double changes the
blocks of both, and ``interaction`` in addition on genes that no single one changes. Genes that perturbations change are
no markers, and L stands for itself, not for the sum of counts: so the delta of a perturbation is one in all cell types
(unless ``specific`` makes it larger in one and smaller in the next), and that of a double without interaction is the
sum of the two, both exactly.

    E x_g = integral over L of sum over k of NB(k; L r_g, theta) log1p(k / L * T)

Shapes: N cells, G genes, K counts, Q nodes of the quadrature over L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import gammaln

from beeline.core.data import Example
from beeline.core.errors import UserError

Array = np.ndarray[Any, Any]
CONTEXT = "cell_type"
_MARKER = 2.0
_NODES, _TAIL = 10, 1e-13


@dataclass(frozen=True)
class CellTruth:
    """The law of the cells of a small experiment.

    Args:
        genes: G.
        types: names of the cell types.
        singles: number of perturbations.
        changed: genes that each changes, and markers of each cell type.
        fold: size of the planted changes, as a natural logarithm.
        interaction: what a double changes beyond its two singles, as a natural logarithm.
        specific: by how much effects are larger or smaller in one cell type than in the next; 0 for none.
        dispersion: theta.
        library: (m, s) of ln L.
        target: T.
        seed: of base rates and signs.

    Raises:
        UserError: there are fewer genes than are planted.
    """

    genes: int = 60
    types: tuple[str, ...] = ("T", "B", "NK")
    singles: int = 6
    changed: int = 4
    fold: float = 1.5
    interaction: float = 0.0
    specific: float = 0.0
    dispersion: float = 2.0
    library: tuple[float, float] = (7.0, 0.3)
    target: float = 1000.0
    seed: int = 0

    def __post_init__(self) -> None:
        needed = self.changed * (len(self.types) + self.singles + 1)
        if self.genes < needed:
            raise UserError(
                f"genes {self.genes}: {len(self.types)} cell types, {self.singles} perturbations and their "
                f"interactions change {self.changed} each; give at least {needed}"
            )

    @property
    def gene_names(self) -> tuple[str, ...]:
        """G000, G001, ..."""
        return tuple(f"G{gene:03d}" for gene in range(self.genes))

    @property
    def perturbations(self) -> tuple[str, ...]:
        """Names of the single perturbations: each that of the first gene which it changes."""
        return tuple(self.gene_names[self._block(number)[0]] for number in range(self.singles))

    @cached_property
    def _drawn(self) -> tuple[Array, Array, Array]:
        """Base rates, and the changes of each single perturbation and of an interaction on their genes."""
        random = np.random.default_rng(self.seed)
        base = np.exp(random.normal(0.0, 0.7, self.genes))
        signs = random.choice([-1.0, 1.0], (self.singles, self.changed))
        signs[:, 0] = -1.0
        return base / base.sum(), signs * self.fold, random.choice([-1.0, 1.0], self.changed)

    def _block(self, number: int) -> Array:
        first = self.changed * (len(self.types) + number)
        return np.arange(first, first + self.changed)

    def _effect(self, names: Sequence[str], place: int) -> Array:
        """(G,) natural logarithm of the change of rates in a cell type."""
        changes, signs = self._drawn[1:]
        found = np.zeros(self.genes)
        for name in names:
            number = self.perturbations.index(name)
            found[self._block(number)] += changes[number]
        if len(names) > 1:
            found[self._block(self.singles)] += self.interaction * signs
        return found * (1.0 + self.specific * (-1) ** place)

    def rate(self, names: Sequence[str], cell_type: str) -> Array:
        """(G,) r of cells under a set of perturbations.

        Args:
            names: of the perturbations; none of control cells.
            cell_type: one of ``types``.
        """
        place = self.types.index(cell_type)
        own = np.zeros(self.genes)
        own[place * self.changed : (place + 1) * self.changed] = _MARKER
        return np.asarray(self._drawn[0] * np.exp(own + self._effect(names, place)))

    def mean(self, names: Sequence[str], cell_type: str) -> Array:
        """(G,) E x, by quadrature over libraries and summation over counts.

        Args:
            names: of the perturbations.
            cell_type: one of ``types``.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        rate_G, found, theta = self.rate(names, cell_type), np.zeros(self.genes), self.dispersion
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            library = np.exp(self.library[0] + self.library[1] * node)
            share_G = theta / (theta + library * rate_G)
            most_G = stats.nbinom.ppf(1 - _TAIL, theta, share_G).astype(int)
            counts_K = np.arange(1 + most_G.max())
            ways_K = gammaln(counts_K + theta) - gammaln(counts_K + 1.0) - gammaln(theta)
            values_K = np.log1p(counts_K / library * self.target)
            for gene, (share, most) in enumerate(zip(share_G, most_G, strict=True)):
                kept = slice(most + 1)
                chances_K = np.exp(ways_K[kept] + counts_K[kept] * np.log1p(-share) + theta * np.log(share))
                found[gene] += weight * (values_K[kept] @ chances_K)
        return found

    def delta(self, names: Sequence[str], cell_type: str) -> Array:
        """(G,) what the perturbations change in the mean.

        Args:
            names: of the perturbations.
            cell_type: one of ``types``.
        """
        return self.mean(names, cell_type) - self.mean((), cell_type)

    def counts(
        self, names: Sequence[str], cell_type: str, count: int, random: np.random.Generator
    ) -> tuple[Array, Array]:
        """(N, G) counts, int64, and (N,) libraries.

        Args:
            names: of the perturbations.
            cell_type: one of ``types``.
            count: N.
            random: where they are drawn from.
        """
        library_N = np.exp(random.normal(*self.library, count))
        mean_NG = library_N[:, None] * self.rate(names, cell_type)
        spread_NG = random.gamma(self.dispersion, 1.0 / self.dispersion, mean_NG.shape)
        return random.poisson(mean_NG * spread_NG), library_N

    def cells(self, names: Sequence[str], cell_type: str, count: int, random: np.random.Generator) -> Array:
        """(N, G) expression, float32.

        Args:
            names: of the perturbations.
            cell_type: one of ``types``.
            count: N.
            random: where they are drawn from.
        """
        counts_NG, library_N = self.counts(names, cell_type, count, random)
        return np.log1p(counts_NG / library_N[:, None] * self.target).astype(np.float32)

    def examples(
        self, names: Sequence[str], cell_type: str, count: int, seed: int, controls: bool = False
    ) -> list[Example]:
        """Cells as a modality hands them over, all of one group.

        Args:
            names: of the perturbations.
            cell_type: one of ``types``.
            count: how many.
            seed: the same gives the same cells.
            controls: whether each brings along a control cell of its type.
        """
        chosen = [self.perturbations.index(name) for name in names]
        random = np.random.default_rng([self.seed, seed, self.types.index(cell_type), len(chosen), *chosen])
        arrays = self.cells(names, cell_type, count, random)
        beside = self.cells((), cell_type, count, random) if controls else None
        group = f"{' + '.join(names) or 'control'}, {cell_type}"
        return [
            Example(
                array,
                {"perturbation": tuple(names), CONTEXT: cell_type}
                | ({} if beside is None else {"control": beside[place]}),
                group,
            )
            for place, array in enumerate(arrays)
        ]
