"""Commands on checkpoints of other libraries: what is asked, what means nothing, what is printed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

import beeline
from beeline.cli.console import Display
from beeline.cli.convert import add_arguments, main
from beeline.core.errors import UserError
from beeline.model import interop
from tests.model.peers import Recipe, state
from tests.train.helpers import command, finish

SAID = ["--from-layout", "dit", "--num-heads", "4", "--null-row"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(state(Recipe()), tmp_path / "a.pt")
    return tmp_path / "a.pt"


def run_convert(*words: object) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    main(parser.parse_args([str(word) for word in words]), [], Display("silent"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["b.pt", *SAID, "--layout", "dit", "--vae", "folder"], "--vae: is about encoding images"),
        (["b.pt", *SAID, "--layout", "dit", "--batch-size", "2"], "--batch-size: is about encoding images"),
        (["slim", *SAID, "--size", "64"], "--size: is about encoding images"),
        (["b.pt", "--layout", "diffusers"], "folders; name one"),
        (["b.pt", *SAID, "--layout", "sit"], "reinterpret"),
    ],
    ids=" ".join,
)
def test_flags_that_mean_nothing_to_a_conversion_are_refused(
    words: list[str], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run_convert(checkpoint, tmp_path / words[0], *words[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_raw_weights_of_a_model_of_ours_leave_in_two_steps(checkpoint: Path, tmp_path: Path) -> None:
    run_convert(checkpoint, tmp_path / "slim", *SAID)
    with pytest.raises(UserError, match="second step"):
        run_convert(tmp_path / "slim", tmp_path / "b.pt", "--layout", "dit", "--weights", "raw")
    torch.save({"model": state(Recipe(), 1), "ema": state(Recipe())}, tmp_path / "t.pt")
    run_convert(tmp_path / "t.pt", tmp_path / "b.pt", *SAID, "--layout", "dit", "--weights", "raw")
    assert torch.equal(torch.load(tmp_path / "b.pt")["pos_embed"], state(Recipe())["pos_embed"])
    assert torch.equal(
        torch.load(tmp_path / "b.pt")["blocks.0.attn.qkv.weight"], state(Recipe(), 1)["blocks.0.attn.qkv.weight"]
    )


def test_rotary_buffers_that_were_lost_can_be_said_on_the_command_line(tmp_path: Path) -> None:
    weights = state(Recipe(outputs=1, rms=True, rope=True))
    torch.save({name: each for name, each in weights.items() if "feat_rope" not in name}, tmp_path / "a.pt")
    run_convert(
        tmp_path / "a.pt", tmp_path / "b.pt", "--num-heads", 4, "--null-row", "--use-rope", "--layout", "lightningdit"
    )
    found = torch.load(tmp_path / "b.pt")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_conversion_prints_its_table_and_inspect_names_the_layout(checkpoint: Path, tmp_path: Path) -> None:
    ended = finish(
        command("convert", str(checkpoint), str(tmp_path / "d"), "--layout", "diffusers", *SAID, "--reinterpret")
    )
    lines = ended.stdout.splitlines()
    assert any(line.startswith("transformer_blocks.0-1.attn1.to_q.weight") for line in lines)
    assert any("frequency divisor 128 becomes 127" in line for line in lines)
    assert lines[-1] == str(tmp_path / "d")
    assert beeline.inspect(tmp_path / "d")["layout"] == "diffusers"
    assert interop.load(tmp_path / "d").layout == "diffusers"
