"""What counts of genes are when all cells are alike but for their library: the answer that an autoencoder has to beat.

    k_g ~ NB(l p_g, r_g)        p_g = sum of counts of the gene / sum of all        r_g of the largest likelihood

Shapes: N cells, G genes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.data.cell_network import LOG_DISPERSIONS
from beeline.data.count_laws import log_nb

_GOLDEN = 0.6180339887498949
_ROUNDS = 20


def mean_law(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Shares p and inverse dispersions r, (G,) each, float64.

    Args:
        counts: (N, G).
    """
    counts = counts.double()
    shares = counts.sum(dim=0) / counts.sum()
    log_mean = _log_mean(counts, shares)
    low, high = (torch.full_like(shares, bound) for bound in LOG_DISPERSIONS)
    for _ in range(_ROUNDS):  # golden section, all genes at once
        one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        right = log_nb(counts, log_mean, other).sum(dim=0) > log_nb(counts, log_mean, one).sum(dim=0)
        low, high = torch.where(right, one, low), torch.where(right, high, other)
    return shares, (0.5 * (low + high)).exp()


def mean_likelihood(counts: Tensor, shares: Tensor, dispersions: Tensor) -> Tensor:
    """(N,) ln p of each cell's counts under that law.

    Args:
        counts: (N, G).
        shares: (G,) p.
        dispersions: (G,) r.
    """
    counts = counts.double()
    return log_nb(counts, _log_mean(counts, shares), dispersions.log()).sum(dim=1)


def _log_mean(counts: Tensor, shares: Tensor) -> Tensor:
    return counts.sum(dim=1, keepdim=True).clamp(min=1.0).log() + shares.clamp(min=1e-9).log()
