"""The adaLN-Zero transformer block.

    shift, scale, gate (twice) = Linear(SiLU(c))                c = time embedding + condition embeddings
    x = x + gate . Attention(LN(x) (1 + scale) + shift)
    x = x + gate . CrossAttention(LN(x) (1 + scale) + shift, context)            where there is one; of its own linear
    x = x + gate . FeedForward(LN(x) (1 + scale) + shift)

LN is LayerNorm without parameters, or RMSNorm with weights; without shifts there are four vectors.
The linear layer starts at zero, so gates are closed and a fresh block is the identity.
Source: Peebles & Xie 2023, section 3.2. Norms, modulation and the residual stream are fp32 under autocast.

Shapes: B rows, L tokens a row, M tokens of a context, D hidden numbers, H heads, N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beeline.backbone.config import ModelConfig, Sizes
from beeline.backbone.frame import Looked, Surroundings
from beeline.core.tokens import expand
from beeline.nn.attention import attention
from beeline.nn.feedforward import FeedForward
from beeline.nn.norms import LayerNorm, RMSNorm, build_norm, modulated_layer_norm
from beeline.nn.positions import rotate
from beeline.nn.precision import full_precision

_Vectors = tuple[Tensor | None, Tensor, Tensor, Tensor | None, Tensor, Tensor]


class Modulation(nn.Module):
    """SiLU, then a linear layer that starts at zero, to a number of vectors for every token.

    Args:
        hidden_size: D.
        vectors: 6 in a block, 4 in one that does not shift, half as many of cross-attention, 2 in the head.
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


def modulate(norm: nn.Module, x: Tensor, shift: Tensor | None, scale: Tensor) -> Tensor:
    """LN(x) (1 + scale) + shift: at zero modulation the sub-layer still sees its input (E4)."""
    if shift is None:
        normed: Tensor = norm(x)
        return normed * (1.0 + scale)
    if isinstance(norm, LayerNorm) and not norm.affine:
        return modulated_layer_norm(x, shift, scale, norm.epsilon)
    return torch.addcmul(shift, norm(x), 1.0 + scale)


class SelfAttention(nn.Module):
    """Multi-head attention with optional rotary positions and query-key normalisation.

    Args:
        hidden_size: D.
        num_heads: H.
        qk_norm: normalise queries and keys head by head: ``rms``, ``layer`` (with weights and biases), or None.
        adjacent: which numbers of a head turn together, see ``rotate``.
    """

    def __init__(self, hidden_size: int, num_heads: int, qk_norm: str | None = None, adjacent: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.adjacent = adjacent
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.q_norm = _head_norm(qk_norm, hidden_size // num_heads)
        self.k_norm = _head_norm(qk_norm, hidden_size // num_heads)

    def forward(self, x_BLD: Tensor, around: Surroundings) -> Tensor:
        """(B, L, D) to the same shape."""
        q, k, v = self.qkv(x_BLD).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.q_norm(q), self.k_norm(k)
        if around.rotary is not None:
            q, k = (rotate(each, around.rotary, self.adjacent) for each in (q, k))
        mixed = attention(q, k, v, around.sight)
        y: Tensor = self.projection(mixed.transpose(1, 2).flatten(-2))
        return y


class CrossAttention(nn.Module):
    """Attention of tokens to those of conditions; nothing comes of it where there are none.

    Args:
        hidden_size: D.
        num_heads: H.
        qk_norm: normalise queries and keys head by head, as in ``SelfAttention``.
        adjacent: which numbers of a head turn together, see ``rotate``.
    """

    def __init__(self, hidden_size: int, num_heads: int, qk_norm: str | None = None, adjacent: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.adjacent = adjacent
        self.q = nn.Linear(hidden_size, hidden_size)
        self.kv = nn.Linear(hidden_size, 2 * hidden_size)
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.q_norm = _head_norm(qk_norm, hidden_size // num_heads)
        self.k_norm = _head_norm(qk_norm, hidden_size // num_heads)

    def forward(self, x_BLD: Tensor, around: Surroundings) -> Tensor:
        """(B, L, D) to the same shape."""
        context = around.context
        assert context is not None
        q = self.q_norm(self.q(x_BLD).unflatten(-1, (self.num_heads, -1)).transpose(1, 2))
        if around.rotary is not None and context.rotary is not None:
            q = rotate(q, around.rotary, self.adjacent)
        k, v = context.pair or self.pair(context)
        mixed = attention(q, k, v, context.mask)
        y: Tensor = self.projection(mixed.transpose(1, 2).flatten(-2))
        return y * context.is_there

    def pair(self, context: Looked) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, D / H) of the tokens of conditions, which know nothing of those of the data."""
        k, v = self.kv(context.values).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        k = self.k_norm(k)
        return (k if context.rotary is None else rotate(k, context.rotary, self.adjacent)), v


def _head_norm(kind: str | None, size: int) -> nn.Module:
    match kind:
        case "rms":
            return RMSNorm(size)
        case "layer":
            return LayerNorm(size, epsilon=1e-5, affine=True)
    return nn.Identity()


class Block(nn.Module):
    """One adaLN-Zero block; the identity when fresh.

    Args:
        sizes: widths and head count.
        config: norms, shift and rotary pairs.
        attends: whether there are tokens of conditions to attend to.
    """

    def __init__(self, sizes: Sizes, config: ModelConfig, attends: bool = False) -> None:
        super().__init__()
        width = sizes.hidden_size
        qk_norm, adjacent = config.qk_norm_kind if config.qk_norm else None, config.rotary_pairs == "adjacent"
        self.shift = config.shift
        self.modulation = Modulation(width, 6 if config.shift else 4)
        self.norm = build_norm(config.norm, width)
        self.attention = SelfAttention(width, sizes.num_heads, qk_norm, adjacent)
        self.second_norm = build_norm(config.norm, width, config.second_norm_epsilon)
        self.feedforward = FeedForward(width, sizes.inner_size, sizes.activation)
        if attends:
            self.cross_modulation = Modulation(width, 3 if config.shift else 2)
            self.cross_norm = build_norm(config.norm, width)
            self.cross = CrossAttention(width, sizes.num_heads, qk_norm, adjacent)

    def forward(self, x_BLD: Tensor, c_ND: Tensor, around: Surroundings) -> Tensor:
        """Tokens (B, L, D) under the conditioning vectors of their samples (N, D)."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self._vectors(c_ND, around.segment)
        x_BLD = torch.addcmul(x_BLD, gate, self.attention(modulate(self.norm, x_BLD, shift, scale), around))
        if around.context is not None:
            *shift_cross, scale, gate = self.cross_modulation(c_ND, around.segment)
            normed = modulate(self.cross_norm, x_BLD, shift_cross[0] if shift_cross else None, scale)
            x_BLD = torch.addcmul(x_BLD, gate, self.cross(normed, around))
        y_BLD = self.feedforward(modulate(self.second_norm, x_BLD, shift_mlp, scale_mlp))
        return torch.addcmul(x_BLD, gate_mlp, y_BLD)

    def _vectors(self, c_ND: Tensor, segment: Tensor | None) -> _Vectors:
        vectors = self.modulation(c_ND, segment)
        if self.shift:
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = vectors
            return shift, scale, gate, shift_mlp, scale_mlp, gate_mlp
        scale, gate, scale_mlp, gate_mlp = vectors
        return None, scale, gate, None, scale_mlp, gate_mlp
