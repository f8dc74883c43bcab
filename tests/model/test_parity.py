"""Our network with the official DiT's weights gives the official DiT's outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.conditioning.label import ClassLabel
from beeline.core.batching import collate
from beeline.core.conditions import Conditions
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.tokenizers.grid import GridTokenizer


class RawTime(Linear):
    """The official network takes integer times as they are."""

    def time_input(self, t: Tensor) -> Tensor:
        return t


def from_official(weights: dict[str, Tensor], patch: int, channels: int) -> dict[str, Tensor]:
    """Official names and layouts to ours."""
    ours = {
        "backbone.embed.weight": weights["x_embedder.proj.weight"].permute(0, 2, 3, 1).flatten(1),
        "backbone.embed.bias": weights["x_embedder.proj.bias"],
        "embedders.y.table.weight": weights["y_embedder.embedding_table.weight"],
    }
    simple = {"t_embedder.mlp.0": "time.first", "t_embedder.mlp.2": "time.second"}
    simple["final_layer.adaLN_modulation.1"] = "modulation.linear"
    depth = sum(name.endswith("attn.qkv.weight") for name in weights)
    for block in range(depth):
        for theirs, mine in (
            ("attn.qkv", "attention.qkv"),
            ("attn.proj", "attention.projection"),
            ("mlp.fc1", "feedforward.first"),
            ("mlp.fc2", "feedforward.second"),
            ("adaLN_modulation.1", "modulation.linear"),
        ):
            simple[f"blocks.{block}.{theirs}"] = f"blocks.{block}.{mine}"
    for theirs, mine in simple.items():
        for kind in ("weight", "bias"):
            ours[f"backbone.{mine}.{kind}"] = weights[f"{theirs}.{kind}"]
    for kind in ("weight", "bias"):
        head = weights[f"final_layer.linear.{kind}"].unflatten(0, (patch * patch, 2 * channels))
        ours[f"backbone.head.{kind}"] = torch.cat([head[:, :channels].flatten(0, 1), head[:, channels:].flatten(0, 1)])
    return ours


@pytest.mark.parametrize(("name", "patch", "channels", "depth"), [("dit_small", 2, 4, 2), ("dit_p4c3", 4, 3, 3)])
def test_official_weights_give_official_outputs(
    name: str, patch: int, channels: int, depth: int, real_data: Callable[[str], Path]
) -> None:
    folder = real_data("parity")
    weights = torch.load(folder / f"{name}.pt", weights_only=True)
    recorded = np.load(folder / f"{name}_io.npz")
    tokenizer = GridTokenizer((patch, patch), channels)
    config = ModelConfig(hidden_size=64, depth=depth, num_heads=4, activation="gelu")
    network = Network(config, tokenizer, [ClassLabel("y", 10)], RawTime(), outputs=2)
    network.load_state_dict(from_official(weights, patch, channels))
    images = torch.from_numpy(recorded["x"]).permute(0, 2, 3, 1)
    tokens = collate([tokenizer.encode(image) for image in images])
    y, t = torch.from_numpy(recorded["y"]).long(), torch.from_numpy(recorded["t"]).float()

    def outputs(null: bool) -> Tensor:
        with torch.no_grad():
            prediction = network(tokens, t, Conditions({"y": y}, {"y": torch.full((4,), null)}))
        assert prediction.variance is not None
        halves = []
        for half in (prediction.output, prediction.variance):
            singles = [tokens.with_values(half[i : i + 1]) for i in range(4)]
            halves.append(torch.stack([tokenizer.decode(single) for single in singles]).permute(0, 3, 1, 2))
        return torch.cat(halves, dim=1)

    for null, key in ((False, "out"), (True, "out_null")):
        expected = torch.from_numpy(recorded[key])
        torch.testing.assert_close(outputs(null), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
