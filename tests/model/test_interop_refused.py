"""What a file and its user say that cannot both be, and what is wrong with a file: told in one line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch

from beeline.core.errors import UserError
from beeline.model import interop
from tests.model.peers import Recipe, State, forward, inputs, state

SAID: dict[str, Any] = {"layout": "dit", "num_heads": 4, "null_row": True}
PAPER = Recipe(outputs=1, swiglu=True, rope=True, rms=True, qk_norm=True)


def written(path: Path, contents: Any) -> Path:
    torch.save(contents, path)
    return path


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"null_row": "yes"}, "null_row 'yes'"),
        ({"null_row": 1}, "null_row 1"),
        ({"use_rope": "no"}, "use_rope 'no'"),
        ({"use_rope": True}, "is dit's, which has no rotary positions"),
        ({"input_size": 8.0}, "input_size 8.0"),
        ({"input_size": "8x8"}, "input_size 8x8"),
        ({"input_size": (4, 16)}, "its positions are those of 8x8"),
        ({"weights": "average"}, "unknown weights 'average'"),
    ],
    ids=str,
)
def test_what_is_said_must_make_sense(said: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", state(Recipe()))
    with pytest.raises(UserError, match=message) as caught:
        interop.load(path, **{**SAID, **said})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["scalar", "flat", "whole numbers", "missing", "half a row"])
def test_every_tensor_is_checked_before_it_is_used(kind: str, tmp_path: Path) -> None:
    weights = state(PAPER)
    for name, tensor in weights.items():
        if name == "feat_rope.freqs_sin" and kind == "missing":
            continue  # the cosines tell as much
        wrong: State = {
            "scalar": {name: torch.tensor(1.0)},
            "flat": {name: torch.ones(2, 2, 2, 2, 2)},
            "whole numbers": {name: torch.ones(tensor.shape, dtype=torch.int32)},
            "missing": {},
            "half a row": {name: tensor[..., : tensor.shape[-1] // 2].contiguous()},
        }[kind]
        path = written(tmp_path / "a.pt", {each: weights[each] for each in weights if each != name} | wrong)
        with pytest.raises(UserError) as caught:
            interop.load(path, "lightningdit", num_heads=4, null_row=True)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def lightning_config(**changes: dict[str, Any]) -> dict[str, Any]:
    """The sections of the config that LightningDiT's training files hold."""
    sections: dict[str, dict[str, Any]] = {
        "data": {"num_classes": 5, "image_size": 128},
        "model": {"model_type": "LightningDiT-S/2", "use_rope": False},
        "transport": {"path_type": "Linear", "prediction": "velocity"},
    }
    return {name: {**section, **changes.get(name, {})} for name, section in sections.items()}


def test_the_config_in_a_training_file_of_lightningdit_says_what_its_tensors_do_not(tmp_path: Path) -> None:
    recipe = Recipe(outputs=1, width=384, depth=12, heads=6)
    path = written(tmp_path / "a.pt", {"model": state(recipe, 1), "ema": state(recipe), "config": lightning_config()})
    m = interop.load(path)
    assert (m.layout, m.anatomy.num_heads, m.anatomy.null_row, m.anatomy.classes) == ("lightningdit", 6, True, 5)
    with pytest.raises(UserError, match="only LightningDiT's files have; layout='sit' cannot be"):
        interop.load(path, "sit")
    with pytest.raises(UserError, match="null_row=False cannot be"):
        interop.load(path, null_row=False)


def test_a_config_tells_of_rotary_buffers_that_were_lost(tmp_path: Path) -> None:
    recipe = Recipe(outputs=1, rope=True)
    weights = state(recipe)
    x, t, y = inputs(recipe, 1.0)
    expected = forward(weights, recipe, x, t, y)
    lost = {name: tensor for name, tensor in weights.items() if not name.startswith("feat_rope")}
    config = lightning_config(model={"use_rope": True})
    m = interop.load(written(tmp_path / "a.pt", {"ema": lost, "config": config}), num_heads=4)
    torch.testing.assert_close(m.forward_native(x, t, y), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert "rotary" not in interop.load(tmp_path / "a.pt", num_heads=4, use_rope=False).anatomy.options["positions"]


@pytest.mark.parametrize("layout", ["sit", "lightningdit", None])
@pytest.mark.parametrize("transport", [{"path_type": "Cubic"}, {"prediction": "noises"}])
def test_flows_that_are_not_known_are_refused_whatever_is_said(
    transport: dict[str, str], layout: Any, tmp_path: Path
) -> None:
    weights, word = state(Recipe(outputs=1)), next(iter(transport.values()))
    arguments = argparse.Namespace(**{"num_classes": 5, "path_type": "Linear", "prediction": "velocity", **transport})
    files: dict[str, dict[str, Any]] = {
        "args.pt": {"args": arguments},
        "config.pt": {"config": lightning_config(transport=transport)},
    }
    for name, facts in files.items():
        if layout == "sit" and name == "config.pt":
            continue
        with pytest.raises(UserError, match=f"was trained with .* {word}"):
            interop.load(written(tmp_path / name, {"ema": weights, **facts}), layout, num_heads=4)


def test_a_training_file_of_sit_is_not_taken_for_a_dit(tmp_path: Path) -> None:
    arguments = argparse.Namespace(model="SiT-S/2", num_classes=5, path_type="Linear", prediction="velocity")
    path = written(tmp_path / "a.pt", {"ema": state(Recipe()), "args": arguments})
    with pytest.raises(UserError, match="SiT's script"):
        interop.load(path, "dit", num_heads=4)


@pytest.mark.parametrize(
    "config", [None, "text", {"model": None}, {"model": {"model_type": 7}}, {"model": {"model_type": "Unet"}}], ids=str
)
def test_a_config_of_something_else_tells_nothing(config: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", {"model": state(Recipe()), "config": config})
    with pytest.raises(UserError, match=r"layout=.*num_heads=N.*null_row="):
        interop.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_embedder.proj.weight": torch.ones(32, 4, 2, 4)}, "patches of 2x4; only square ones"),
        ({"blocks.3.attn.qkv.weight": torch.ones(96, 32)}, "block 2 is missing"),
        ({"y_embedder.embedding_table.weight": torch.ones(1, 32)}, "null_row=True leaves no class"),
        ({"final_layer.linear.weight": torch.ones(48, 32)}, "a head of 48 rows fits neither 4 nor 8 channels"),
        ({"blocks.0.attn.rel_pos": torch.ones(3)}, r"blocks\.0\.attn\.rel_pos has no place in a network of dit"),
        ({"feat_rope.freqs_cos": torch.ones(16, 8)}, "only LightningDiT's files have"),
    ],
)
def test_tensors_that_make_no_network_are_named(change: State, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", state(Recipe()) | change)
    with pytest.raises(UserError, match=message):
        interop.load(path, **SAID)


def test_what_the_file_says_of_its_heads_wins_over_no_other_word(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", state(PAPER))
    assert interop.load(path, null_row=True).anatomy.num_heads == 4
    with pytest.raises(UserError, match="has 4 heads, as the file says, not num_heads=8"):
        interop.load(path, num_heads=8, null_row=True)
    turned = state(PAPER)
    turned["feat_rope.freqs_sin"] = turned["feat_rope.freqs_sin"] * 0.5
    with pytest.raises(UserError, match=r"feat_rope\.freqs_sin is not what lightningdit computes"):
        interop.load(written(tmp_path / "b.pt", turned), null_row=True)


def test_a_published_name_tells_the_heads_only_of_its_own_sizes(tmp_path: Path) -> None:
    arguments = argparse.Namespace(model="DiT-S/2", num_classes=5)
    path = written(tmp_path / "a.pt", {"ema": state(Recipe()), "args": arguments})
    with pytest.raises(UserError, match="num_heads=N"):
        interop.load(path)
    assert interop.load(path, num_heads=4).anatomy.null_row


def test_the_step_and_the_average_of_a_training_file_are_its_origin(tmp_path: Path) -> None:
    contents = {"model": state(Recipe(), 1), "ema": state(Recipe()), "train_steps": 70}
    path = written(tmp_path / "a.pt", contents)
    for weights in ("ema", "raw"):
        origin = interop.load(path, **SAID, weights=weights).starting().origin
        assert origin["step"] == 70
        assert origin["ema"]["weights"] == weights
    m = interop.load(path, **SAID)
    assert not m.training
    assert m.starting().sample.cfg_scale == 4.0
    path = written(tmp_path / "b.pt", state(Recipe(null=False)))
    assert interop.load(path, "dit", num_heads=4, null_row=False).starting().sample.cfg_scale == 1.0
