"""One attention function: every kernel gives the same answer, and masks mean what they say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from beeline.core.matmul import multiplying
from beeline.nn.attention import attention, attention_mask, fused_attention, plain_attention, prefers_plain_product


def by_hand(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    out = torch.empty_like(q)
    batch, heads, length, size = q.shape
    for b in range(batch):
        for h in range(heads):
            for i in range(length):
                scores = torch.stack([q[b, h, i] @ k[b, h, j] / math.sqrt(size) for j in range(length)])
                if mask is not None:
                    allowed = mask.expand(batch, heads, length, length)[b, h, i]
                    scores = torch.where(allowed, scores, float("-inf"))
                out[b, h, i] = torch.softmax(scores, 0) @ v[b, h]
    return out


def queries(dtype: torch.dtype = torch.float64, length: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 4, generator=generator, dtype=dtype) for _ in range(3))
    return q, k, v


MASKS = {
    "none": None,
    "padded": attention_mask(torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool(), None),
    "packed": attention_mask(None, torch.tensor([[0, 0, 1, 1, 1, -1], [2, 2, 2, 2, 3, 3]])),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("kernel", [attention, fused_attention, plain_attention])
def test_every_kernel_is_softmax_attention(kernel: object, mask: Tensor | None) -> None:
    q, k, v = queries()
    expected = by_hand(q, k, v, mask)
    torch.testing.assert_close(kernel(q, k, v, mask), expected, rtol=1e-10, atol=1e-12)  # type: ignore[operator]


def test_short_bf16_sequences_on_a_cpu_take_the_plain_product_and_no_others() -> None:
    assert prefers_plain_product(queries(torch.bfloat16)[0], None)
    assert not prefers_plain_product(queries(torch.float32)[0], None)
    assert not prefers_plain_product(queries(torch.bfloat16, length=2048)[0], None)
    long, mask = queries(torch.bfloat16, length=1024)[0], torch.ones(1, 1, 1, 1024, dtype=torch.bool)
    assert prefers_plain_product(long, None)
    assert not prefers_plain_product(long, mask)
    assert prefers_plain_product(long[:, :, :512], mask[..., :512])
    with torch.autocast("cpu", torch.bfloat16):
        assert prefers_plain_product(queries(torch.float32)[0], None)


def test_bf16_kernels_agree_with_fp64_to_their_precision() -> None:
    q, k, v = queries()
    for kernel in (plain_attention, fused_attention):
        rough = kernel(q.bfloat16(), k.bfloat16(), v.bfloat16(), None).double()
        assert (rough - by_hand(q, k, v, None)).norm() / by_hand(q, k, v, None).norm() < 0.01


def test_masks_let_tokens_see_their_own_sample_and_nothing_else() -> None:
    segment = torch.tensor([[0, 0, 1, -1]])
    mask = attention_mask(None, segment)
    assert mask is not None
    assert mask[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    keep = torch.tensor([[True, False]])
    padded = attention_mask(keep, None)
    assert padded is not None
    assert padded.shape == (1, 1, 1, 2)
    assert attention_mask(None, None) is None


def test_fp32_takes_the_plain_product_where_products_are_fast_and_it_pays() -> None:
    wide, narrow = (torch.zeros(1, 2, 256, size) for size in (64, 32))
    longer = torch.zeros(1, 2, 257, 64)
    assert not prefers_plain_product(wide, None)
    with multiplying("fast", "cpu"):
        assert [prefers_plain_product(each, None) for each in (wide, narrow, longer)] == [True, True, False]
        with torch.no_grad():
            assert [prefers_plain_product(each, None) for each in (wide, narrow, longer)] == [True, False, False]
        with multiplying("exact", "cpu"):
            assert not prefers_plain_product(wide, None)
