"""How fp32 matrices are multiplied is measured, chosen, kept to, and undone."""

from __future__ import annotations

import pytest
import torch

from beeline.core import matmul
from beeline.core.matmul import Matmul, compared, multiplies_fast, multiplying, settled
from beeline.train.config import TrainConfig
from beeline.train.machine import computing, settle

Found = tuple[dict[Matmul, float], dict[Matmul, float]]


@pytest.mark.parametrize(
    ("seconds", "error", "chosen", "why"),
    [
        (0.4, 1.5, "fast", "measured: 2.5 times as quick, and as exact"),
        (0.4, 1e4, "exact", "measured: fast products are 2.5 times as quick, and less exact"),
        (0.9, 1.0, "exact", "measured: fast products are 1.1 times as quick"),
    ],
)
def test_fast_products_are_taken_where_they_are_quicker_and_as_exact(
    monkeypatch: pytest.MonkeyPatch, seconds: float, error: float, chosen: str, why: str
) -> None:
    found: Found = {"exact": 1.0, "fast": seconds}, {"exact": 1e-7, "fast": error * 1e-7}
    monkeypatch.setattr(matmul, "compared", lambda: found)
    matmul._measured.cache_clear()
    try:
        assert settled("auto", "cpu") == (chosen, why)
        config, choices = settle(TrainConfig(device="cpu", threads=1))
        assert config.matmul == chosen
        assert {each.name: (each.value, each.why) for each in choices}["train.matmul"] == (chosen, why)
    finally:
        matmul._measured.cache_clear()


def test_both_ways_are_measured_against_double_precision() -> None:
    before = torch.get_float32_matmul_precision()
    seconds, errors = compared()
    assert min(seconds.values()) > 0
    assert 1e-9 < errors["exact"] < 1e-5
    assert 1e-9 < errors["fast"] < 1e-2
    assert torch.get_float32_matmul_precision() == before


def test_a_way_is_kept_to_for_a_while_and_what_was_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "compared", None)
    before = torch.get_float32_matmul_precision()
    config, choices = settle(TrainConfig(device="cpu", threads=1, matmul="fast"))
    assert "train.matmul" not in {each.name for each in choices}
    with computing(config):
        assert multiplies_fast("cpu")
        with multiplying("exact", "cpu"):
            assert not multiplies_fast("cpu")
        assert multiplies_fast("cpu")
    assert torch.get_float32_matmul_precision() == before
    assert settled("auto", "cuda")[0] == "exact", "TF32 is a choice"
