"""What a machine is said to be able to do."""

from __future__ import annotations

import pytest
import torch

from beeline.core.device import computes_in_bf16


@pytest.mark.parametrize(("avx512", "amx"), [(False, False), (True, False), (False, True)])
def test_a_cpu_computes_in_bf16_where_it_has_the_instructions(
    avx512: bool, amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert computes_in_bf16("cpu") is (avx512 or amx)
