"""What commands say of other libraries' checkpoints, and when."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch

from beeline.cli.evaluate import evaluate
from beeline.cli.initial import starting_of
from beeline.cli.main import run
from beeline.cli.peers import in_flags, table
from beeline.cli.recipes import find_recipe
from beeline.cli.resolve import resolve
from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.generate.load import load
from beeline.model import interop
from tests.conftest import FAST
from tests.model.test_interop_diffusers import transformer

QUICK = {name: value for name, value in FAST.items() if not name.startswith("model.")} | {"train.steps": 2}
SAID = ["--layout", "dit", "--num-heads", "4", "--null-row"]


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """A folder as diffusers trains it: every block has an embedder of its own, and an epsilon that is not the usual."""
    transformer(apart=True, num_embeds_ada_norm=10, norm_eps=1e-3).save_pretrained(tmp_path / "apart")
    return tmp_path / "apart"


def test_the_table_of_a_deep_network_has_a_line_for_all_blocks(apart: Path, tmp_path: Path) -> None:
    lines = table(interop.save(interop.load(apart), tmp_path / "again", "diffusers").rows)
    assert len(lines) == 25
    assert [line for line in lines if "to_q.weight" in line] == [
        line for line in lines if line.startswith("transformer_blocks.0-2.attn1.to_q.weight ")
    ]
    assert any(line.endswith("<- backbone.blocks.0-2.attention.qkv.weight") for line in lines)
    assert any(line.endswith("<- backbone.time.copies.0-2.first.bias") for line in lines)


def test_fine_tuning_keeps_what_a_peer_alone_has(apart: Path, tmp_path: Path) -> None:
    """Embedders of each block, the file's own epsilon and noise levels stay unless a flag asks for another peer."""
    pipeline = tmp_path / "pipeline"
    whole = diffusers.DiTPipeline(
        transformer=diffusers.DiTTransformer2DModel.from_pretrained(apart),
        vae=diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4),
        scheduler=diffusers.DDIMScheduler(clip_sample=False, beta_schedule="scaled_linear"),
    )
    whole.save_pretrained(pipeline)
    start = starting_of(pipeline)
    for flags in ([], ["--model.compatible_with=diffusers"]):
        config = resolve(find_recipe("digits"), flags, start).config
        assert (config.model, config.process) == (start.model, start.process)
        assert (config.model.embedders, config.model.second_norm_epsilon) == ("per_block", 1e-3)
        assert config.process.schedule == "scaled_linear"
    asked = resolve(find_recipe("digits"), ["--model.compatible_with=dit"], start).config
    assert (asked.model.embedders, asked.process.schedule) == ("shared", "linear")


def test_a_model_of_embedders_apart_is_fine_tuned_and_leaves_again(apart: Path, tmp_path: Path) -> None:
    tuned = train("digits", tmp_path / "tuned", options=QUICK, init=apart)
    interop.save(load(tuned), tmp_path / "again", "diffusers")
    again, ours = interop.load(tmp_path / "again").network.state_dict(), load(tuned).network.state_dict()
    assert all(torch.equal(again[name], ours[name]) for name in ours)
    with pytest.raises(UserError, match=r"embedders per_block; leave model.embedders and model.compatible_with out"):
        train("digits", tmp_path / "dit", options={**QUICK, "model.compatible_with": "dit"}, init=apart)


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        (
            "gaussian_fields",
            {"data.periodic": False},
            r"other conditions than one class label \(under, law\); --model.compatible_with none trains",
        ),
        ("gaussian_fields", {}, "periodic axes; --model"),
        ("waves", {}, "tokens that are not square patches of a grid of two axes; --model"),
        ("digits", {"data.shift": 1}, r"class label \(label, shift\); --data.shift 0 takes the shift away, --model"),
        ("digits", {"data.labels": "none", "model.preset": "auto"}, r"one class label \(none\); --model"),
    ],
)
def test_a_run_that_could_not_leave_is_refused_before_it_begins(
    recipe: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^model.compatible_with sit: layout sit has no place for .*{message}"):
        train(recipe, tmp_path / "run", options={"model.compatible_with": "sit", **options})
    assert not (tmp_path / "run").exists()


def test_evaluating_what_has_no_data_says_so(apart: Path, tmp_path: Path) -> None:
    assert run(["convert", str(apart), str(tmp_path / "slim")]) == 0
    shutil.copy(apart / "diffusion_pytorch_model.safetensors", tmp_path / "alone.safetensors")
    (tmp_path / "alone.pt").write_bytes(b"unread")
    for each in (apart, tmp_path / "slim", tmp_path / "alone.pt", tmp_path / "alone.safetensors"):
        with pytest.raises(UserError, match=r"comes from another library, without the data .*; beeline sample draws"):
            evaluate(each)


def test_what_must_be_said_is_asked_for_by_flag(
    real_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = real_data("parity") / "dit_small.pt"
    flags = ("--num-heads N, the", "--null-row if the last of 11", "--no-null-row if it is a class")
    verbs = {"sample": [], "inspect": [], "convert": [str(tmp_path / "slim")]}
    for verb, more in verbs.items():
        assert run([verb, str(file), *more]) == 2
        told = capsys.readouterr().err
        layout = "--from-layout" if verb == "convert" else "--layout"
        assert all(each in told for each in (f"say {layout} dit, sit or lightningdit (their", *flags))
    assert run(["train", "digits", "--out", str(tmp_path / "run"), "--init", str(file)]) == 2
    told = capsys.readouterr().err
    assert all(each in told for each in flags)


def test_every_keyword_has_its_flag() -> None:
    told = "input_size=(rows, columns); num_heads=5 does not; use_rope=False cannot; null_row=True if; layout='sit' is"
    assert in_flags(told, "--layout") == (
        "--input-size HxW; --num-heads 5 does not; --no-use-rope cannot; --null-row if; --layout sit is"
    )


def test_a_lightning_file_without_its_rotary_buffers_turns_by_flag(
    real_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tensors = torch.load(real_data("parity") / "lightning_paper.pt", weights_only=True)
    torch.save({name: each for name, each in tensors.items() if "rope" not in name}, tmp_path / "a.pt")
    for flag, positions in (("--use-rope", "sincos_rotary"), ("--no-use-rope", "sincos")):
        words = ["inspect", str(tmp_path / "a.pt"), "--num-heads", "4", "--null-row", "--json", flag]
        assert run(words) == 0
        assert json.loads(capsys.readouterr().out)["config"]["model"]["positions"] == positions


def test_the_same_command_goes_on_when_the_checkpoint_is_gone(
    real_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "start.pt"
    shutil.copy(real_data("parity") / "dit_small.pt", file)
    flags = [f"--{name}={value}" for name, value in QUICK.items()]
    words = ["train", "digits", "--out", str(tmp_path / "run"), "--resume", "--init", str(file), *SAID, *flags]
    assert run(words) == 0
    file.unlink()
    assert run(words) == 0
    assert "this run is finished" in capsys.readouterr().err
    words[words.index(str(file))] = str(tmp_path / "other.pt")
    assert run(words) == 2
