"""The adaLN-Zero transformer block.

    shift, scale, gate (twice) = Linear(SiLU(c))                c = time embedding + condition embeddings
    x = x + gate . Attention(LN(x) (1 + scale) + shift)
    x = x + gate . FeedForward(LN(x) (1 + scale) + shift)

The linear layer starts at zero, so gates are closed and a fresh block is the identity.
Source: Peebles & Xie 2023, section 3.2. Norms, modulation and the residual stream are fp32 under autocast.

Shapes: B rows, L tokens a row, D hidden numbers, H heads, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from beeline.backbone.config import Sizes
from beeline.core.tokens import expand
from beeline.nn.attention import attention
from beeline.nn.feedforward import FeedForward
from beeline.nn.norms import RMSNorm, layer_norm
from beeline.nn.positions import rotate
from beeline.nn.precision import full_precision


@dataclass(frozen=True)
class Surroundings:
    """What every block of one forward pass shares.

    Args:
        segment: (B, L) sample of each token, or None when rows are samples.
        mask: which tokens may look at which, or None for all.
        rotary: cosines and sines of rotary positions, or None.
    """

    segment: Tensor | None = None
    mask: Tensor | None = None
    rotary: tuple[Tensor, Tensor] | None = None


class Modulation(nn.Module):
    """SiLU, then a linear layer that starts at zero, to a number of vectors for every token.

    Args:
        hidden_size: D.
        vectors: 6 in a block, 2 in the head.
    """

    def __init__(self, hidden_size: int, vectors: int) -> None:
        super().__init__()
        self.vectors = vectors
        self.linear = nn.Linear(hidden_size, vectors * hidden_size)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, c_ND: Tensor, segment: Tensor | None) -> tuple[Tensor, ...]:
        """As many (B, 1 or L, D) tensors as there are vectors, computed once a sample."""
        with full_precision(c_ND):
            modulation = self.linear(nn.functional.silu(c_ND))
        return expand(modulation, segment).chunk(self.vectors, dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LN(x) (1 + scale) + shift: at zero modulation the sub-layer still sees its input (E4)."""
    return layer_norm(x) * (1.0 + scale) + shift


class SelfAttention(nn.Module):
    """Multi-head attention with optional rotary positions and query-key normalisation.

    Args:
        hidden_size: D.
        num_heads: H.
        qk_norm: normalise queries and keys head by head.
    """

    def __init__(self, hidden_size: int, num_heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.q_norm = RMSNorm(hidden_size // num_heads) if qk_norm else nn.Identity()
        self.k_norm = RMSNorm(hidden_size // num_heads) if qk_norm else nn.Identity()

    def forward(self, x_BLD: Tensor, around: Surroundings) -> Tensor:
        """(B, L, D) to the same shape."""
        q, k, v = self.qkv(x_BLD).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.q_norm(q), self.k_norm(k)
        if around.rotary is not None:
            q, k = rotate(q, around.rotary), rotate(k, around.rotary)
        mixed = attention(q, k, v, around.mask)
        y: Tensor = self.projection(mixed.transpose(1, 2).flatten(-2))
        return y


class Block(nn.Module):
    """One adaLN-Zero block; the identity when fresh.

    Args:
        sizes: widths and head count.
        qk_norm: normalise queries and keys.
    """

    def __init__(self, sizes: Sizes, qk_norm: bool) -> None:
        super().__init__()
        self.modulation = Modulation(sizes.hidden_size, 6)
        self.attention = SelfAttention(sizes.hidden_size, sizes.num_heads, qk_norm)
        self.feedforward = FeedForward(sizes.hidden_size, int(sizes.hidden_size * sizes.mlp_ratio), sizes.activation)

    def forward(self, x_BLD: Tensor, c_ND: Tensor, around: Surroundings) -> Tensor:
        """Tokens (B, L, D) under the conditioning vectors of their samples (N, D)."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.modulation(c_ND, around.segment)
        x_BLD = x_BLD + gate * self.attention(modulate(x_BLD, shift, scale), around)
        return x_BLD + gate_mlp * self.feedforward(modulate(x_BLD, shift_mlp, scale_mlp))
