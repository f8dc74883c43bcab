"""One attention function: every kernel gives the same answer, and masks mean what they say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import pad

from beeline.core.matmul import multiplying
from beeline.nn import attention as kernels
from beeline.nn.attention import (
    Groups,
    Runs,
    attention,
    fused_attention,
    grouped,
    packed_mask,
    packed_sight,
    padded_mask,
    plain_attention,
    prefers_plain_product,
)
from tests.nn.kept import kept


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
    "padded": padded_mask(torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()),
    "packed": packed_mask(torch.tensor([[0, 0, 1, 1, 1, -1], [2, 2, 2, 2, 3, 3]])),
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


RAGGED = {
    "none": None,
    "padded": padded_mask(torch.arange(40) < torch.tensor([[40], [7], [13], [1], [39]])),
    "one for all": (torch.arange(40) < 20)[None, None, None],
    "causal": torch.ones(40, 40, dtype=torch.bool).tril(),
    "of each head": torch.ones(2, 40, 40, dtype=torch.bool).tril(3),
    "packed": packed_mask(torch.arange(40)[None] // torch.tensor([[3], [5], [40], [7], [1]])),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("mask", RAGGED.values(), ids=RAGGED.keys())
@pytest.mark.parametrize("heads", [1, 2, 4, 10])
def test_probabilities_computed_again_piece_by_piece_give_the_same_bits(
    mask: Tensor | None, dtype: torch.dtype, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of them is kept: what is kept is queries, keys and values."""
    qkv = torch.randn(3, 5, 2, 40, 8, dtype=dtype, requires_grad=True)
    upstream = torch.randn(5, 2, 40, 8, dtype=dtype)
    monkeypatch.setattr(kernels, "_PIECE_BYTES", heads * 40 * 40 * qkv.element_size())
    found = []
    for share in (1, 2):
        monkeypatch.setattr(kernels, "_KEPT_SHARE", share)
        out = plain_attention(qkv[0], qkv[1], qkv[2], mask)
        found.append((out, *torch.autograd.grad(out, qkv, upstream)))
        bytes_kept = kept(lambda: plain_attention(qkv[0], qkv[1], qkv[2], mask), {qkv.untyped_storage().data_ptr()})
        probabilities = 5 * 2 * 40 * 40 * qkv.element_size()
        assert bytes_kept < probabilities / 2 if share == 1 else bytes_kept >= probabilities
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_few_queries_of_many_keys_are_computed_again_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit what torch's own operations give there; the way back is outside autocast, or inside."""
    q, k, v = (torch.randn(2, 3, length, 4, requires_grad=True) for length in (20, 70, 70))
    found = []
    for share, inside in ((0, False), (0, True), (99, False)):
        monkeypatch.setattr(kernels, "_KEPT_SHARE", share)
        with torch.autocast("cpu", torch.bfloat16):
            out = plain_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), None)
            assert out.dtype == torch.bfloat16
            rounded = plain_attention(q, k, v, None)
            if inside:
                found.append((out, *torch.autograd.grad(out.sum(), (q, k, v))))
        if not inside:
            found.append((out, *torch.autograd.grad(out.sum(), (q, k, v))))
        assert rounded.dtype == torch.bfloat16
        torch.testing.assert_close(rounded, out, rtol=0.02, atol=0.02)
    for outside, within, other in zip(*found, strict=True):
        assert torch.equal(outside, other)
        assert torch.equal(within, other)


def test_bf16_kernels_agree_with_fp64_to_their_precision() -> None:
    q, k, v = queries()
    for kernel in (plain_attention, fused_attention):
        rough = kernel(q.bfloat16(), k.bfloat16(), v.bfloat16(), None).double()
        assert (rough - by_hand(q, k, v, None)).norm() / by_hand(q, k, v, None).norm() < 0.01


def test_masks_let_tokens_see_their_own_sample_and_nothing_else() -> None:
    segment = torch.tensor([[0, 0, 1, -1]])
    mask = packed_mask(segment)
    assert mask[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    keep = torch.tensor([[True, False]])
    assert padded_mask(keep).tolist() == [[[[True, False]]]]


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


PACKED = torch.tensor([[3, 3, 1, 1, 1, -1, -1], [0, 0, 4, 2, 2, 2, 2]])


def together(segment: Tensor) -> tuple[Tensor, Groups]:
    found = grouped(segment)
    assert found is not None
    return found


def test_many_short_groups_do_not_pay() -> None:
    alike = torch.arange(8).repeat_interleave(32)[None]
    assert together(alike)[1] == Groups(((8, 32),))
    assert grouped(torch.arange(8).repeat_interleave(torch.arange(28, 36))[None]) is not None
    assert grouped(PACKED) is None


def test_samples_of_one_length_are_put_together_without_what_fills_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_SCORES_SAVED", -1000)
    order, groups = together(PACKED)
    assert groups == Groups(((2, 2), (1, 3), (1, 1), (1, 4)))
    assert PACKED.flatten()[order].tolist() == [3, 3, 0, 0, 1, 1, 1, 4, 2, 2, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_packed_samples_attend_as_under_the_mask_of_all_tokens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample by sample or under the mask: the same numbers, and the same gradients of everything."""
    generator = torch.Generator().manual_seed(seed)
    owners, lengths = (
        torch.randperm(8, generator=generator).view(2, 4),
        torch.randint(1, 6, (2, 4), generator=generator),
    )
    rows = [owner.repeat_interleave(length) for owner, length in zip(owners, lengths, strict=True)]
    segment = torch.stack([pad(row, (0, 24 - len(row)), value=-1) for row in rows])
    q, k, v = (torch.randn(2, 3, 24, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3))
    monkeypatch.setattr(kernels, "_SCORES_SAVED", -1000)
    order, groups = together(segment)

    def seen(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2).flatten(0, 1)[order].transpose(0, 1)[None]

    def told(found: Tensor) -> list[Tensor]:
        return [found, *torch.autograd.grad(found.square().sum(), (q, k, v))]

    expected = told(seen(attention(q, k, v, packed_mask(segment))))
    for one, other in zip(told(attention(seen(q), seen(k), seen(v), groups)), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_gpu_takes_samples_of_any_lengths_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes and kinds of numbers, which torch works out without a GPU; the script for GPUs checks the numbers."""
    half = torch.bfloat16
    with FakeTensorMode(), torch.no_grad():
        q, k, v = (torch.empty(2, 3, 7, 32, device="cuda") for _ in range(3))
        starts = torch.empty(8, device="cuda", dtype=torch.int32)
        found = attention(q, k, v.to(half), Runs(starts, half))
        assert (found.shape, found.dtype, found.device.type) == (q.shape, half, "cuda")
        segment = torch.empty(2, 7, device="cuda")
        monkeypatch.setattr(kernels, "packed_mask", lambda segment: "mask")
        for flash in (False, True):
            monkeypatch.setattr(kernels, "_has_flash", lambda flash=flash: flash)
            assert packed_sight(segment, starts, half, 32) == (Runs(starts, half) if flash else "mask")
        for size, dtype in ((36, half), (32, torch.float32), (264, half)):
            assert packed_sight(segment, starts, dtype, size) == "mask"
    assert packed_sight(PACKED, torch.empty(1), half, 32) == "mask"


def test_what_is_compiled_is_left_to_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It chooses itself what is kept for the way back."""
    q, k, v = (each.requires_grad_() for each in queries(length=40))
    given = {each.untyped_storage().data_ptr() for each in (q, k, v)}
    alone = kept(lambda: plain_attention(q, k, v, None), given)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert kept(lambda: plain_attention(q, k, v, None), given) >= 2 * 3 * 40 * 40 * 8 > alone
