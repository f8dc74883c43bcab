"""Cells as the latents of an autoencoder, and back to cells with the noise of counting.

    apply   z = (m(x) - c) / a                       m the encoder's mean, c and a of the training cells' latents
    undo    y = c + a z                              s the mean deviation of the encoder's posterior
            ln l = b + w y + e                       library over the modelled genes; e a quantile of the residuals
            k_g ~ NB(l rho_g(y + s n), r_g) or ZINB       x = log1p(k T / L)       L = sum k + l (1 / v - 1)

One number a brings the latents to unit size on the whole, so that those that carry nothing stay small. v is the share
of a cell's counts that its modelled genes have, T the target. All draws (n, e, v, k) are functions of z alone: their
seed is a hash of z on a grid so coarse that what batches of another size change in the last places seldom shows, and
counts are quantiles, which follow z without jumps in the other genes. So a cell does not depend on those beside it.

Where a sample starts from a cell x' with counts k' (``Completing``), nothing is drawn anew: each count keeps its place
among all that its gene might have had, from the law that the start decodes to to the law that z decodes to,

    k_g = F_g^-1(u_g) under l' rho_g(y)        u_g uniform in [F_g(k'_g - 1), F_g(k'_g)] under l' rho_g(y')

with y' = c + a apply(x') and u_g from a hash of x'. What the latents leave out, the noise of counting, is that of the
start; counts stay counts, with the zeros they have; and at z = apply(x') it is x' itself. A start without whole counts
is moved by the difference of the decoded means, log1p(T rho(y)) - log1p(T rho(y')), and cut at 0.

Shapes: G genes, k latents.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import safetensors.numpy

from beeline.core.errors import UserError
from beeline.data.cell_network import EPSILON, LOG_DISPERSIONS
from beeline.data.count_laws import CountLaw
from beeline.data.counted_cells import counts_again

Array = np.ndarray[Any, Any]
_LARGEST_LOGARITHM = 16.0


@dataclass(frozen=True)
class Libraries:
    """How many counts a cell has, given its latents.

    Args:
        intercept: b.
        slopes: (k,) w.
        residuals: quantiles of e, ascending and evenly spaced.
        shares: quantiles of v, likewise.
    """

    intercept: float = 0.0
    slopes: tuple[float, ...] = ()
    residuals: tuple[float, ...] = (0.0,)
    shares: tuple[float, ...] = (1.0,)

    def draw(self, latents: Array, uniform: Array) -> tuple[float, float]:
        """Library over the modelled genes, and the share v that they have.

        Args:
            latents: (k,) y, as the encoder has them.
            uniform: (2,).
        """
        residual, share = (
            np.interp(chance, np.linspace(0, 1, len(quantiles)), quantiles)
            for chance, quantiles in zip(uniform, (self.residuals, self.shares), strict=True)
        )
        logarithm = self.intercept + latents @ np.asarray(self.slopes) + residual
        return float(np.exp(np.clip(logarithm, 0.0, _LARGEST_LOGARITHM))), float(share)


@dataclass(frozen=True)
class CellAutoencoder:
    """Log-normalised cells (G,) to columns (k, 1) of latents, and back to cells as they are counted.

    Args:
        latent: k.
        numbers: G.
        decoder: law of the counts.
        target: T.
        libraries: of cells, given their latents.
        deviations: (k,) s.
        weights: the safetensors file of the network, as base64.
        sha256: of that file.
        centre: (k,) c, once fitted.
        scale: a, once fitted.
    """

    latent: int
    numbers: int
    decoder: Literal["nb", "zinb"]
    target: float
    libraries: Libraries
    deviations: tuple[float, ...]
    weights: str
    sha256: str
    centre: tuple[float, ...] = ()
    scale: float = 1.0

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure where the latents of the training arrays lie.

        Raises:
            UserError: they are all the same.
        """
        latents = np.stack([self._mean(array) for array in arrays])
        centre = latents.mean(axis=0)
        scale = float(np.sqrt(np.square(latents - centre).mean()))
        if not scale > 1e-6:
            raise UserError(
                "autoencoder: its latents are the same for all cells; train it for more steps, or lower beta"
            )
        return replace(self, centre=tuple(centre.tolist()), scale=scale)

    def apply(self, array: Array) -> Array:
        """(G,) to (k, 1).

        Raises:
            ValueError: the array has another shape.
        """
        if array.shape != (self.numbers,):
            raise ValueError(f"need shape ({self.numbers},), not {array.shape}")
        return np.asarray((self._mean(array) - self._centre) / self.scale, dtype=np.float32)[:, None]

    def undo(self, array: Array) -> Array:
        """(k, 1) to a cell (G,) with counting noise, which is a function of the latents."""
        random = np.random.default_rng(_seed(np.floor(array[:, 0] / self._grid).astype("<i8").tobytes()))
        noise, chances, uniform = random.normal(size=self.latent), random.random(2), random.random(self.numbers)
        latents = self._native(array)
        library, share = self.libraries.draw(latents, chances)
        counts = self._law(latents + np.asarray(self.deviations) * noise, library).quantile(uniform)
        return self._expression(counts, counts.sum() + library * (1 / share - 1))

    def undo_beside(self, array: Array, like: Array) -> Array:
        """(k, 1) to a cell (G,) whose counts have the places among all possible ones that those of another have.

        Args:
            array: (k, 1).
            like: that cell, (G,), or (M, G) of which the first is taken.
        """
        like = np.atleast_2d(like)[0]
        start, end = self._native(self.apply(like)), self._native(array)
        again = counts_again(like, self.target)
        if again is None:
            shares = [self._shares(each)[0] for each in (start, end)]
            moved = like + np.log1p(self.target * shares[1]) - np.log1p(self.target * shares[0])
            return np.maximum(moved, 0.0).astype(np.float32)
        counts, library = again
        uniform = np.random.default_rng(_seed(like.astype("<f4").tobytes())).random(self.numbers)
        laws = [self._law(each, counts.sum()) for each in (start, end)]
        carried = laws[0].carried(counts, laws[1], uniform)
        return self._expression(carried, library + carried.sum() - counts.sum())

    def mean(self, array: Array) -> Array:
        """(k, 1) to the shares of the genes that latents decode to, (G,) summing to one."""
        return self._shares(self._native(array))[0]

    def _expression(self, counts: Array, library: float) -> Array:
        return np.log1p(counts * (self.target / max(library, 1.0))).astype(np.float32)

    def _native(self, array: Array) -> Array:
        return np.asarray(self._centre + self.scale * array[:, 0].astype(np.float64))

    def _mean(self, array: Array) -> Array:
        hidden = self._hidden("encoder", array.astype(np.float64))
        return self._linear("encoder_mean", hidden)

    def _law(self, latents: Array, library: float) -> CountLaw:
        shares, zeros = self._shares(latents)
        dispersions = np.exp(np.clip(self._tensors["log_dispersion"], *LOG_DISPERSIONS))
        return CountLaw(np.maximum(library * shares, 1e-12), dispersions, zeros)

    def _shares(self, latents: Array) -> tuple[Array, Array | None]:
        hidden = self._hidden("decoder", latents) if "decoder_hidden.0.weight" in self._tensors else latents
        logits = self._linear("decoder_share", hidden)
        shares = np.exp(logits - logits.max())
        zeros = self._linear("decoder_zeros", hidden) if self.decoder == "zinb" else None
        return shares / shares.sum(), None if zeros is None else _logistic(zeros)

    def _hidden(self, name: str, values: Array) -> Array:
        values = self._linear(f"{name}_hidden.0", values)
        values = (values - values.mean()) / np.sqrt(values.var() + EPSILON)
        scale, shift = (self._tensors[f"{name}_hidden.1.{each}"] for each in ("weight", "bias"))
        values = values * scale + shift
        return np.asarray(values * _logistic(values))

    def _linear(self, name: str, values: Array) -> Array:
        return np.asarray(self._tensors[f"{name}.weight"] @ values + self._tensors[f"{name}.bias"])

    @property
    def _grid(self) -> float:
        """Width of a cell of the grid on which latents are hashed: coarse where there are many to tell cells apart."""
        return min(0.5, self.latent / 64)

    @cached_property
    def _centre(self) -> Array:
        return np.asarray(self.centre or (0.0,) * self.latent)

    @cached_property
    def _tensors(self) -> dict[str, Array]:
        held = base64.b64decode(self.weights)
        if hashlib.sha256(held).hexdigest() != self.sha256:
            raise UserError("autoencoder: its weights are not those that were stored; the model is damaged")
        return {name: each.astype(np.float64) for name, each in safetensors.numpy.load(held).items()}


def _logistic(values: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


def _seed(held: bytes) -> int:
    return int.from_bytes(hashlib.sha256(held).digest()[:16], "little")
