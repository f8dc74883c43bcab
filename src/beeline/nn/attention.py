"""The one attention function, and who may look at whom where rows are padded or packed.

    softmax(q k' / sqrt(d)) v

Packed rows are attended to sample by sample, not under a mask of all tokens against all: on CPUs samples of one length
are put together, on GPUs a kernel takes samples of any lengths (``benchmarks/packing.py``).

Shapes: B rows, H heads, L tokens a row, D numbers a head.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from beeline.core.matmul import multiplies_fast
from beeline.nn.precision import full_precision

# Above this many tokens the plain product's L x L scores take more time than it saves; with a mask, which it has to
# write into them, sooner. Measured in bf16 on a processor that computes in it, with all scores kept for the way back.
_PLAIN_LENGTH, _PLAIN_LENGTH_MASKED = 1024, 512
_PLAIN_LENGTH_FP32, _PLAIN_HEAD_FP32 = 256, 64
_KEPT_SHARE = 1.0  # probabilities are kept up to this share of queries, keys and values
_PIECE_BYTES = 1 << 21  # of scores that are computed again at once, if not those of a head alone are more
# A group of packed samples has to save so many scores to pay for its operations (``benchmarks/packing.py``).
_SCORES_SAVED = 4096
# What the flash kernel takes: numbers a head in multiples of 8, at most 256, on GPUs of this capability or a later one.
_FLASH_MULTIPLE, _FLASH_HEAD, _FLASH_CAPABILITY = 8, 256, (8, 0)


@dataclass(frozen=True)
class Groups:
    """A single row of samples behind one another, those of one length together.

    Args:
        sizes: number of samples and tokens a sample of each group, in order.
    """

    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Runs:
    """Rows of samples behind one another, of which no lengths are known.

    Args:
        starts: (M + 1,) int32 where samples and what fills rows begin, all rows behind one another, and the end.
        dtype: bfloat16 or float16, in which they are attended to.
    """

    starts: Tensor
    dtype: torch.dtype


Sight = Tensor | Runs | Groups | None


def attention(q_BHLD: Tensor, k_BHLD: Tensor, v_BHLD: Tensor, sight: Sight = None) -> Tensor:
    """Attend, with the kernel that is fastest for this dtype, length, mask and device.

    On CPUs the fused kernel runs at the same speed in bf16 as in fp32, far below the matrix product, so short
    sequences take the plain product (``benchmarks/attention.py``). Its softmax keeps fp32 statistics inside, of scores
    that the matrix product has rounded to bf16. In fp32 they do so where products are the fast ones (``core/matmul``),
    on the way back or with heads of 64 and more: narrow heads alone lose more by their strides than they gain.

    Args:
        q_BHLD: queries.
        k_BHLD: keys.
        v_BHLD: values.
        sight: who may look at whom: a boolean mask, broadcastable to (B, H, L, L), True where a query may look; samples
            in packed rows; None for everywhere.
    """
    if isinstance(sight, Groups):
        return grouped_attention(q_BHLD, k_BHLD, v_BHLD, sight)
    if isinstance(sight, Runs):
        return run_attention(q_BHLD, k_BHLD, v_BHLD, sight)
    kernel = plain_attention if prefers_plain_product(q_BHLD, sight) else fused_attention
    return kernel(q_BHLD, k_BHLD, v_BHLD, sight)


def prefers_plain_product(q: Tensor, mask: Tensor | None) -> bool:
    """Whether the plain product is the faster kernel for such queries under such a mask."""
    if q.device.type != "cpu":
        return False
    dtype = computed_in(q)
    if dtype == torch.bfloat16:
        return q.shape[-2] <= (_PLAIN_LENGTH if mask is None else _PLAIN_LENGTH_MASKED)
    pays = torch.is_grad_enabled() or q.shape[-1] >= _PLAIN_HEAD_FP32
    return dtype == torch.float32 and pays and q.shape[-2] <= _PLAIN_LENGTH_FP32 and multiplies_fast("cpu")


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """torch's fused kernel: memory linear in the length."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Matrix product, softmax, matrix product.

    On the way back the L x L probabilities are computed again, a few at a time, where they would take more memory than
    queries, keys and values do; otherwise they are kept.
    """
    trained = torch.is_grad_enabled() and any(each.requires_grad for each in (q, k, v))
    scores, given = q.numel() // q.shape[-1] * k.shape[-2], q.numel() + k.numel() + v.numel()
    if trained and scores > _KEPT_SHARE * given and not torch.compiler.is_compiling():
        dtype = computed_in(q)
        found: Tensor = _Recomputed.apply(q.to(dtype), k.to(dtype), v.to(dtype), mask)
        return found
    return _probabilities(q, k, mask) @ v


def _probabilities(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1)


class _Recomputed(torch.autograd.Function):
    """Plain attention that keeps its queries, keys and values alone: the same operations, piece by piece."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """o = P v,  P = softmax(q k' / sqrt(d))."""
        with full_precision(q):
            out = q.new_empty(*q.shape[:-1], v.shape[-1])
            for at, seen in _pieces(q, k, mask):
                torch.matmul(_probabilities(q[at], k[at], seen), v[at], out=out[at])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        """Keep what is given."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """dv = P' do,  dP = do v',  dS = P (dP - sum dP P),  dq = dS k / sqrt(d),  dk = dS' q / sqrt(d)."""
        q, k, v, mask = ctx.saved_tensors
        grad_q, grad_k, grad_v = (each.new_empty(each.shape) for each in (q, k, v))
        root = math.sqrt(q.shape[-1])
        with full_precision(q):
            for at, seen in _pieces(q, k, mask):
                found = _probabilities(q[at], k[at], seen)
                torch.matmul(found.transpose(-2, -1), grad[at], out=grad_v[at])
                of_scores = torch.ops.aten._softmax_backward_data(
                    grad[at] @ v[at].transpose(-2, -1), found, -1, found.dtype
                )
                torch.matmul(of_scores, k[at], out=grad_q[at])
                torch.matmul(of_scores.transpose(-2, -1), q[at] / root, out=grad_k[at])
            return grad_q.div_(root), grad_k, grad_v, None


def _pieces(q: Tensor, k: Tensor, mask: Tensor | None) -> Iterator[tuple[tuple[slice, slice], Tensor | None]]:
    """Few enough heads of few enough samples for their scores to stay in the cache, and what they may look at."""
    number, heads, length = q.shape[:3]
    room = max(1, _PIECE_BYTES // max(1, length * k.shape[2] * q.element_size()))
    samples, at_once = max(1, room // max(1, heads)), min(max(1, heads), room)
    seen = None if mask is None else mask.expand(number, heads, length, k.shape[2])
    for begin in range(0, number, samples):
        for head in range(0, heads, at_once):
            at = slice(begin, begin + samples), slice(head, head + at_once)
            yield at, None if seen is None else seen[at]


def padded_mask(keep: Tensor) -> Tensor:
    """(B, 1, 1, L) True where a token may be looked at: the real ones.

    Args:
        keep: (B, L) True where a token is real.
    """
    return keep[:, None, None, :]


def packed_mask(segment: Tensor) -> Tensor:
    """(B, 1, L, L) True where a token may look: at its own sample, and from padding at padding, lest a row be empty.

    Args:
        segment: (B, L) sample of each token, -1 for padding.
    """
    return (segment[:, :, None] == segment[:, None, :])[:, None]


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, groups: Groups) -> Tensor:
    """Each group of a single row as a batch of samples of one length."""
    parts = [each[0].split([number * length for number, length in groups.sizes], dim=1) for each in (q, k, v)]
    found = []
    for size, *of_group in zip(groups.sizes, *parts, strict=True):
        samples = (each.unflatten(1, size).transpose(0, 1) for each in of_group)
        found.append(attention(*samples).transpose(0, 1).flatten(1, 2))
    return torch.cat(found, dim=1)[None]


def run_attention(q: Tensor, k: Tensor, v: Tensor, runs: Runs) -> Tensor:
    """torch's kernel for samples of any lengths behind one another; it is asked for no length."""
    from torch.nn.attention.varlen import varlen_attn  # brings torch's compiler: seconds and 70 MiB

    rows, _, length, _ = q.shape
    q, k, v = (each.transpose(1, 2).flatten(0, 1).to(runs.dtype) for each in (q, k, v))
    found = varlen_attn(q, k, v, runs.starts, runs.starts, length, length)
    assert isinstance(found, Tensor)
    return found.unflatten(0, (rows, length)).transpose(1, 2)


def packed_sight(segment: Tensor, starts: Tensor | None, dtype: torch.dtype, head_size: int) -> Sight:
    """Who may look at whom in packed rows, as the kernel that there is takes it: runs, or a mask.

    Args:
        segment: (B, L) sample of each token, -1 for padding.
        starts: as ``Runs`` has them, None where they are not known.
        dtype: in which it is attended.
        head_size: numbers a head.
    """
    takes = dtype in (torch.bfloat16, torch.float16) and head_size % _FLASH_MULTIPLE == 0 and head_size <= _FLASH_HEAD
    if starts is not None and takes and segment.is_cuda and _has_flash():
        return Runs(starts, dtype)
    return packed_mask(segment)


@functools.cache
def _has_flash() -> bool:
    return torch.backends.cuda.is_flash_attention_available() and (
        torch.cuda.get_device_capability() >= _FLASH_CAPABILITY
    )


def computed_in(tensor: Tensor) -> torch.dtype:
    """The dtype of products of a tensor, which autocast may change."""
    device = tensor.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return tensor.dtype


def grouped(segment: Tensor) -> tuple[Tensor, Groups] | None:
    """Where the tokens of packed rows lie when samples of one length are put together, without what fills rows.

    Args:
        segment: (B, L) sample of each token, -1 for padding; on the CPU.

    Returns:
        (T,) places of the T tokens of samples in all rows behind one another, and the groups that they form; None where
        so many short groups would take longer than a mask of all tokens.
    """
    owners, lengths = segment.flatten().unique_consecutive(return_counts=True)
    begins = lengths.cumsum(0) - lengths
    members: dict[int, list[int]] = {}
    for owner, begin, length in zip(owners.tolist(), begins.tolist(), lengths.tolist(), strict=True):
        if owner >= 0:
            members.setdefault(length, []).append(begin)
    sizes = tuple((len(at), length) for length, at in members.items())
    saved = segment.numel() * segment.shape[1] - sum(number * length**2 for number, length in sizes)
    if saved < _SCORES_SAVED * len(sizes):
        return None
    places = [(torch.tensor(at)[:, None] + torch.arange(length)).flatten() for length, at in members.items()]
    return torch.cat(places), Groups(sizes)
