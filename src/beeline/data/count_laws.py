"""Laws of counts: the negative binomial (NB), and the same with more zeros (ZINB).

    NB(k; m, r)  = G(k + r) / (G(r) k!)  (r / (r + m))^r  (m / (r + m))^k         mean m, variance m + m^2 / r
    ln NB        = lnG(k + r) - lnG(r) - ln k! - r s(ln m - ln r) - k s(ln r - ln m)           s(x) = ln(1 + e^x)
    ZINB(k)      = p [k = 0] + (1 - p) NB(k; m, r)                                p = 1 / (1 + e^-l)
    ln ZINB(0)   = ln(e^l + NB(0)) - s(l)           ln ZINB(k > 0) = ln NB(k) - s(l)

G is the gamma function, r the inverse dispersion. Means and dispersions are given as logarithms, so that no mean is
so small that it has no gradient.

A count is drawn by its quantile: the smallest k with F(k) >= u, u uniform. It is carried from one law to another at
the same place among all counts: u uniform in [F(k - 1), F(k)] of the one is a quantile of the other (Rueschendorf
2009, "On the distributional transform"). Counts of the one law become counts of the other, and where both are the
same nothing changes.

Sources: Lopez et al. 2018 (scVI), equations of the generative process; Townes et al. 2019 on whether zeros are more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

Array = np.ndarray[Any, Any]
_SATURATED = 1e-12


def log_nb(counts: Tensor, log_mean: Tensor, log_dispersion: Tensor) -> Tensor:
    """ln NB of counts, of the shape that all three broadcast to.

    Args:
        counts: k, 0 or more.
        log_mean: ln m.
        log_dispersion: ln r.
    """
    dispersion = log_dispersion.exp()
    ways = torch.lgamma(counts + dispersion) - torch.lgamma(dispersion) - torch.lgamma(counts + 1.0)
    apart = log_mean - log_dispersion
    return ways - dispersion * softplus(apart) - counts * softplus(-apart)


def log_zinb(counts: Tensor, log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor) -> Tensor:
    """ln ZINB of counts, of the shape that all four broadcast to.

    Args:
        counts: k, 0 or more.
        log_mean: ln m of the NB within.
        log_dispersion: ln r.
        zero_logits: l.
    """
    plain = log_nb(counts, log_mean, log_dispersion)
    return torch.where(counts == 0, torch.logaddexp(zero_logits, plain), plain) - softplus(zero_logits)


@dataclass(frozen=True)
class CountLaw:
    """A law for each of G genes.

    Args:
        mean: (G,) m, above 0.
        dispersion: (G,) r.
        zeros: (G,) p; None for none beside those of the NB.
    """

    mean: Array
    dispersion: Array
    zeros: Array | None = None

    def quantile(self, uniform: Array) -> Array:
        """(G,) counts, the smallest k with F(k) >= u.

        Args:
            uniform: (G,) u, inside (0, 1).
        """
        from scipy.stats import nbinom

        if self.zeros is not None:
            uniform = np.maximum((uniform - self.zeros) / np.maximum(1 - self.zeros, _SATURATED), 0.0)
        found = nbinom.ppf(np.minimum(uniform, 1 - _SATURATED), self.dispersion, self._chance)
        return np.maximum(found, 0.0)  # scipy says -1 of 0

    def below(self, counts: Array) -> Array:
        """(G,) F(k), the chance of k or fewer; 0 of k = -1.

        Args:
            counts: (G,) whole numbers, -1 or more.
        """
        from scipy.stats import nbinom

        found = np.asarray(nbinom.cdf(counts, self.dispersion, self._chance))
        return found if self.zeros is None else np.where(counts < 0, 0.0, self.zeros + (1 - self.zeros) * found)

    def carried(self, counts: Array, to: CountLaw, uniform: Array) -> Array:
        """(G,) counts at the same place of another law.

        Args:
            counts: (G,) of this law.
            to: the other law.
            uniform: (G,) where within the chance of its count each lies, inside (0, 1).
        """
        low, high = self.below(counts - 1.0), self.below(counts)
        found = to.quantile(low + uniform * (high - low))
        far = low > 1 - 1e3 * _SATURATED  # so far above its mean that its place cannot be told from 1
        found = np.where(far, np.rint(counts * to.mean / self.mean), found)
        same = (to.mean == self.mean) & (to.dispersion == self.dispersion)
        if self.zeros is not None and to.zeros is not None:
            same &= self.zeros == to.zeros
        return np.where(same, counts, found)

    @property
    def _chance(self) -> Array:
        return self.dispersion / (self.dispersion + self.mean)
