"""The one attention function, and the mask that padding and packing need.

    softmax(q k' / sqrt(d)) v

Shapes: B rows, H heads, L tokens a row, D numbers a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from beeline.core.matmul import multiplies_fast

# Above this many tokens the plain product's L x L scores take more time or memory than it saves; with a mask, which it
# has to write into them, sooner.
_PLAIN_LENGTH, _PLAIN_LENGTH_MASKED = 1024, 512
_PLAIN_LENGTH_FP32, _PLAIN_HEAD_FP32 = 256, 64


def attention(q_BHLD: Tensor, k_BHLD: Tensor, v_BHLD: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend, with the kernel that is fastest for this dtype, length, mask and device.

    On CPUs the fused kernel runs at the same speed in bf16 as in fp32, far below the matrix product, so short
    sequences take the plain product (``benchmarks/attention.py``). Its softmax keeps fp32 statistics inside, of scores
    that the matrix product has rounded to bf16. In fp32 they do so where products are the fast ones (``core/matmul``),
    on the way back or with heads of 64 and more: narrow heads alone lose more by their strides than they gain.

    Args:
        q_BHLD: queries.
        k_BHLD: keys.
        v_BHLD: values.
        mask: boolean, broadcastable to (B, H, L, L), True where a query may look; None for everywhere.
    """
    kernel = plain_attention if prefers_plain_product(q_BHLD, mask) else fused_attention
    return kernel(q_BHLD, k_BHLD, v_BHLD, mask)


def prefers_plain_product(q: Tensor, mask: Tensor | None) -> bool:
    """Whether the plain product is the faster kernel for such queries under such a mask."""
    if q.device.type != "cpu":
        return False
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype
    if dtype == torch.bfloat16:
        return q.shape[-2] <= (_PLAIN_LENGTH if mask is None else _PLAIN_LENGTH_MASKED)
    pays = torch.is_grad_enabled() or q.shape[-1] >= _PLAIN_HEAD_FP32
    return dtype == torch.float32 and pays and q.shape[-2] <= _PLAIN_LENGTH_FP32 and multiplies_fast("cpu")


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """torch's fused kernel: memory linear in the length."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Matrix product, softmax, matrix product: keeps all L x L scores."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v


def attention_mask(keep: Tensor | None, segment: Tensor | None) -> Tensor | None:
    """Which tokens may look at which: (B, 1, 1 or L, L) boolean, or None when all may.

    Tokens look at the real tokens of their own sample. Packed padding (segment -1) looks at padding, so that no
    row of the softmax is empty.

    Args:
        keep: (B, L) True where a token is real.
        segment: (B, L) sample of each token.
    """
    if segment is not None:
        return (segment[:, :, None] == segment[:, None, :])[:, None]
    if keep is not None:
        return keep[:, None, None, :]
    return None
