"""What a machine and a network can do."""

from __future__ import annotations

import torch

from beeline.model.cost import gemm_peak


def test_the_peak_is_measured_once_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    peaks = {precision: gemm_peak("cpu", precision, 1) for precision in ("fp32", "bf16")}
    assert torch.get_num_threads() == before
    for precision, peak in peaks.items():
        assert 1e8 < peak < 1e15
        assert gemm_peak("cpu", precision, 1) == peak
