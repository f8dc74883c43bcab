"""What a machine and a network can do."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from beeline.model.cost import count_flops, gemm_peak
from tests.train.helpers import make_trainer


def test_the_peak_is_measured_once_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    peaks = {precision: gemm_peak("cpu", precision, 1) for precision in ("fp32", "bf16")}
    assert torch.get_num_threads() == before
    for precision, peak in peaks.items():
        assert 1e8 < peak < 1e15
        assert gemm_peak("cpu", precision, 1) == peak


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_fused_kernel_counts_as_the_products_that_it_stands_for(precision: str) -> None:
    trainer = make_trainer()
    codec = trainer.feed.codec
    batch = codec.batch([codec.placeholder(codec.tokenizer.blank(codec.forms[0][0]))] * 3)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        fused = count_flops(trainer.network, batch.tokens, batch.conditions)
        with sdpa_kernel(SDPBackend.MATH):
            assert fused == count_flops(trainer.network, batch.tokens, batch.conditions)
    alone = count_flops(trainer.network, batch.tokens, batch.conditions)
    assert alone == fused
