"""A peer's checkpoint fine-tuned on real images, and back in the layout that it came from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

import beeline
from beeline.cli.convert import convert
from beeline.core.errors import UserError
from beeline.model import interop
from tests.conftest import FAST
from tests.model.peers import Recipe, inputs, state

DIGITS = Recipe(channels=1, classes=10)
OPTIONS = {**{name: value for name, value in FAST.items() if name != "model.preset"}, "data.shift": 0}
FAMILY = {
    "dit": DIGITS,
    "sit": DIGITS,
    "lightningdit": replace(DIGITS, outputs=1, swiglu=True, rope=True, rms=True, qk_norm=True),
}


def checkpoint(layout: str, folder: Path) -> interop.Imported:
    """A peer's network with random weights for the digits' shape."""
    if layout == "diffusers":
        torch.manual_seed(0)
        options: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 1}
        network = diffusers.DiTTransformer2DModel(
            **options, out_channels=2, num_layers=2, sample_size=8, num_embeds_ada_norm=10
        )
        network.save_pretrained(folder / "theirs")
        return interop.load(folder / "theirs")
    torch.save(state(FAMILY[layout]), folder / "theirs.pt")
    return interop.load(folder / "theirs.pt", layout, num_heads=4, null_row=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "layout", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("dit", "sit", "lightningdit")), "diffusers"]
)
def test_a_short_fine_tune_lowers_the_held_out_loss_and_leaves_as_it_came(layout: Any, tmp_path: Path) -> None:
    m = checkpoint(layout, tmp_path)
    options = {**OPTIONS, "train.steps": 40, "train.learning_rate": 3e-3, "train.warmup_steps": 2}
    run = beeline.train("digits", tmp_path / "run", options=options, init=m)
    losses = [json.loads(line).get("held_out_loss") for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert losses[-1] < 0.9 * losses[0]
    name = tmp_path / ("ours" if layout == "diffusers" else "ours.pt")
    convert(run, name, layout=layout)
    again = interop.load(name)
    assert (again.layout, again.anatomy.options) == (m.layout, m.anatomy.options)
    x, t, y = inputs(DIGITS, 999.0 if layout in ("dit", "diffusers") else 1.0)
    found = again.forward_native(x, t, y)
    assert not torch.allclose(found, m.forward_native(x, t, y), atol=1e-3)
    engine = beeline.load(run, device="cpu")
    codec = engine.codec
    tokens = codec.batch([codec.placeholder(codec.tokenizer.encode(each.permute(1, 2, 0))) for each in x]).tokens
    output = engine.network.output(tokens, t, again._conditions(y))
    torch.testing.assert_close(again._images(output, 4, 4), found)
    if layout == "diffusers":
        theirs = diffusers.DiTTransformer2DModel.from_pretrained(name).eval()
        torch.testing.assert_close(theirs(x, t, y).sample, found, rtol=0, atol=1e-5 * found.abs().max().item())


def test_the_objective_can_become_flow_and_then_leaves_no_more_as_dit(tmp_path: Path) -> None:
    checkpoint("dit", tmp_path)
    flow = {"process.path": "linear", "objective.prediction": "velocity"}
    m = interop.load(tmp_path / "theirs.pt", "dit", num_heads=4, null_row=True)
    run = beeline.train("digits", tmp_path / "run", options={**OPTIONS, **flow, "train.steps": 4}, init=m)
    facts = beeline.inspect(run)
    assert (facts["conventions"]["path"], facts["conventions"]["prediction"]) == ("linear", "velocity")
    assert facts["config"]["model"]["compatible_with"] == "none"
    with pytest.raises(UserError, match=r"prediction velocity becomes noise.*--model\.compatible_with dit"):
        convert(run, tmp_path / "b.pt", layout="dit")


@pytest.mark.parametrize("layout", ["dit", "sit", "lightningdit", "diffusers"])
def test_a_run_made_for_a_peer_leaves_as_the_peers(layout: Any, tmp_path: Path) -> None:
    """The outputs of the file are those of the run, bit for bit."""
    options = {**FAST, "data.shift": 0, "model.compatible_with": layout, "train.steps": 3}
    run = beeline.train("digits", tmp_path / "run", options=options)
    name = tmp_path / ("file" if layout == "diffusers" else "file.pt")
    convert(run, name, layout=layout)
    engine, again = beeline.load(run, device="cpu"), interop.load(name)
    codec = engine.codec
    batch = codec.batch([codec.with_conditions(codec.tokenizer.blank((8, 8)), {"label": k}) for k in range(4)])
    noisy, t = batch.tokens.with_values(torch.randn(batch.tokens.values.shape)), torch.tensor([0.1, 0.3, 0.7, 0.9])
    assert torch.equal(engine.network(noisy, t, batch.conditions).output, again(noisy, t, batch.conditions).output)


def test_what_a_peer_has_not_is_refused_by_flag(tmp_path: Path) -> None:
    for flag, message in (
        ({"process.path": "vp"}, "process.path is ddpm there, not vp"),
        ({"objective.prediction": "velocity"}, "objective.prediction is noise there, not velocity"),
        ({"model.norm": "rms"}, "model.norm is layer there, not rms"),
    ):
        with pytest.raises(UserError, match=message):
            beeline.train("digits", tmp_path / "run", options={**FAST, "model.compatible_with": "dit", **flag})
    run = beeline.train("digits", tmp_path / "plain", options={**FAST, "train.steps": 2})
    with pytest.raises(UserError, match=r"--model\.compatible_with sit"):
        convert(run, tmp_path / "a.pt", layout="sit")
    assert not (tmp_path / "a.pt").exists()
