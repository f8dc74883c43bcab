"""A set of named things as one vector, whatever their number and order.

    t_i = identity_i + F f_i + d_i w                       what is known of member i: itself, its features, its log dose
    v_i = t_i + B silu(A t_i)                              which lets the same dose mean another thing of another member
    a   = softmax_i (q . t_i / sqrt D)                     over the n members of the set
    s   = empty + n^(1 + p) sum_i a_i v_i
    out = s + D silu(C s)

B, D, q and p are born as zeros, so that a set begins as the sum of its members on top of the learned vector of the
empty set. One member alone gives no gradient to q and p: where training has singles only, sets stay sums of values.

Source: Zaheer et al. 2017, "Deep sets"; Ilse et al. 2018, "Attention-based deep multiple instance learning",
equation 8 (the weights), to which the power of the count and the sums are added here.
Shapes: N samples, K slots, P known names, F features, D hidden numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SetEmbedding(nn.Module):
    """Members pooled by attention to one vector; a learned vector of the empty set, and another of an unknown one.

    Args:
        identities: of each known name, its row of the table of identities, -1 where it has none.
        features_PF: of each known name, zeros where it has none; F = 0 for no features at all.
        doses: whether members carry a number of their own.
        hidden_size: D.
        has_null: whether there is a vector for "unknown".
    """

    rows: Tensor
    features: Tensor

    def __init__(
        self, identities: tuple[int, ...], features_PF: Tensor, doses: bool, hidden_size: int, has_null: bool
    ) -> None:
        super().__init__()
        self.register_buffer("rows", torch.tensor(identities), persistent=False)
        self.register_buffer("features", features_PF, persistent=False)
        count, width = max(identities) + 1, features_PF.shape[1]
        self.table = nn.Embedding(count, hidden_size) if count else None
        self.read = nn.Linear(width, hidden_size, bias=False) if width else None
        self.dose = nn.Linear(1, hidden_size, bias=False) if doses else None
        for each in (self.table, self.read, self.dose):
            if each is not None:
                nn.init.normal_(each.weight, std=0.02)
        self.query = nn.Linear(hidden_size, 1, bias=False)
        nn.init.zeros_(self.query.weight)
        self.power = nn.Parameter(torch.zeros(1))
        self.member = _Departure(hidden_size)
        self.empty = nn.init.normal_(nn.Parameter(torch.empty(hidden_size)), std=0.02)
        self.whole = _Departure(hidden_size)
        self.null = nn.init.normal_(nn.Parameter(torch.empty(hidden_size)), std=0.02) if has_null else None

    def forward(self, slots_NK2: Tensor, null_N: Tensor) -> Tensor:
        """(N, K, 2) and null mask to (N, D); a slot holds the place of a name plus 1, 0 where empty, and its dose."""
        place_NK = slots_NK2[..., 0].long() - 1
        present_NK = place_NK >= 0
        tokens_NKD = self._tokens(place_NK.clamp(min=0), slots_NK2[..., 1:])
        score_NK = self.query(tokens_NKD)[..., 0] / math.sqrt(len(self.empty))
        score_NK = score_NK.masked_fill(~present_NK, torch.finfo(torch.float32).min)
        weight_NK = score_NK.softmax(dim=-1) * present_NK
        count_N = present_NK.sum(dim=-1).clamp(min=1)
        mean_ND = (weight_NK[..., None] * self.member(tokens_NKD)).sum(dim=-2)
        vectors: Tensor = self.whole(self.empty + count_N[:, None] ** (1.0 + self.power) * mean_ND)
        return vectors if self.null is None else torch.where(null_N[:, None], self.null, vectors)

    def _tokens(self, place_NK: Tensor, dose_NK1: Tensor) -> Tensor:
        tokens = self.empty.new_zeros(())
        if self.table is not None:
            row_NK = self.rows[place_NK]
            tokens = tokens + self.table(row_NK.clamp(min=0)) * (row_NK >= 0)[..., None]
        if self.read is not None:
            tokens = tokens + self.read(self.features[place_NK])
        return tokens if self.dose is None else tokens + self.dose(dose_NK1)


class _Departure(nn.Module):
    """x + B silu(A x), born as x."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first = nn.Linear(size, size)
        self.second = nn.Linear(size, size)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) to the same."""
        return x + self.second(nn.functional.silu(self.first(x)))
