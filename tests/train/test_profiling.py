"""Where the time of a step goes: all of it is somewhere, and what is made slow is what is told."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

import beeline
from beeline.core.data import Batch
from beeline.train.feed import Feed
from beeline.train.profiling import PARTS, profile_steps
from tests.conftest import FAST
from tests.train.helpers import command, finish, flags, make_trainer


def test_parts_add_up_to_the_step_and_every_part_of_a_step_is_seen() -> None:
    found = profile_steps(make_trainer(), 2)
    assert set(found.parts) == set(PARTS)
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert min(found.parts.values()) > 0
    own = sum(each.seconds for each in found.operations)
    assert own <= found.seconds
    assert [each.seconds for each in found.operations] == sorted(each.seconds for each in found.operations)[::-1]


def test_what_is_slow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    whole = trainer.feed.batch
    slow = torch.zeros(400, 400)

    def late(first: int, length: int) -> Batch:
        begin = time.perf_counter()
        while time.perf_counter() - begin < 0.2:
            slow.add(slow)
        return whole(first, length)

    feed: Feed = trainer.feed
    monkeypatch.setattr(feed, "batch", late)
    parts = profile_steps(trainer, 2).parts
    assert max(parts, key=lambda name: parts[name]) == "data"


def test_linear_layers_are_products_and_heads_are_attention() -> None:
    found = {each.name: each.part for each in profile_steps(make_trainer(), 1).operations}
    assert found["aten::addmm"] == found["aten::mm"] == "matrix products"
    assert found["aten::_scaled_dot_product_flash_attention_for_cpu"] == "attention"
    assert found["aten::_scaled_dot_product_flash_attention_for_cpu_backward"] == "attention"
    assert found["aten::native_layer_norm"] == found["_Modulated"] == found["_ModulatedBackward"] == "norms"
    assert found["aten::_fused_adamw_"] == "optimiser and clipping"
    assert found["aten::_foreach_lerp_"] == "averages (EMA)"


def test_the_command_prints_parts_and_writes_figures_and_the_record(tmp_path: Path) -> None:
    figures, record = tmp_path / "figures.json", tmp_path / "a" / "trace.json"
    words = flags({**FAST, "train.steps": 20})
    done = finish(command("profile", "digits", *words, "--steps", "2", "--json", str(figures), "--trace", str(record)))
    assert done.returncode == 0, done.stderr
    assert "a step: " in done.stdout
    assert "matrix products" in done.stdout
    assert "optimiser and clipping" in done.stdout
    kept = json.loads(figures.read_text())
    assert sum(kept["parts"].values()) == pytest.approx(kept["seconds"])
    assert json.loads(record.read_text())["traceEvents"]
    assert beeline.profile("digits", {**FAST, "train.steps": 20}, steps=1).steps == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "name what would be trained"), (("digits", "--steps", "0"), "steps 0: must be at least 1"),
     (("digit",), "digits"), (("digits", "--trace", "README.md/there.json"), "README.md")],
)  # fmt: skip
def test_wrong_words_end_with_one_line(words: tuple[str, ...], said: str) -> None:
    done = finish(command("profile", *words))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
