"""The U-Net behind the backbone seam: the same tokens in and out, conditions that count, and what it cannot do."""

from __future__ import annotations

import builtins
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beeline.backbone.config import ModelConfig
from beeline.backbone.dit import TokenSpace
from beeline.backbone.unet import UNet
from beeline.cli.inspect import inspect
from beeline.cli.recipes import Recipe, find_recipe
from beeline.cli.resolve import resolve
from beeline.cli.train import train
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.points import Points
from beeline.core.batching import collate, pack
from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.core.tokens import Tokens
from beeline.generate.load import load
from beeline.model.cost import count_flops
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import FAST, randomise_zeros

SMALL = ModelConfig(backbone="unet", unet_channels=(8, 16))
LABEL, UNDER = ClassLabel("label", 3), AlignedMap("under", mean=(0.0,), deviation=(1.0,))


def network(conditions: list[Condition], patch: int = 1) -> Network:
    torch.manual_seed(0)
    made = Network(SMALL, GridTokenizer((patch, patch)), conditions, Linear(), extents=(7, 6))
    randomise_zeros(made, 0.3)
    return made.eval()


def said(model: Network, array: Tensor, label: int = 0, under: Tensor | None = None, time: float = 0.4) -> Tensor:
    tokenizer = GridTokenizer((1, 1))
    tokens = tokenizer.encode(array)
    under = torch.zeros_like(array) if under is None else under
    values = {"label": torch.tensor([label]), "under": tokenizer.lift(under)}
    null = {name: torch.tensor([False]) for name in values}
    with torch.no_grad():
        output = model(tokens, torch.tensor([time]), Conditions(values, null)).output
    return tokenizer.decode(tokens.with_values(output))


def test_it_answers_to_data_time_label_and_map() -> None:
    """Sides that do not halve are padded and cut."""
    model = network([LABEL, UNDER])
    array = torch.randn(7, 5, 1, generator=torch.Generator().manual_seed(1))
    before = said(model, array)
    assert before.shape == array.shape
    others = (
        said(model, array + 1),
        said(model, array, 1),
        said(model, array, under=array),
        said(model, array, time=0.6),
    )
    for changed in others:
        assert not torch.allclose(changed, before, atol=1e-3)


class Echo(nn.Module):
    """Stands for the model inside: says what it is shown."""

    def forward(self, picture: Tensor, time: Tensor, class_labels: Tensor) -> SimpleNamespace:
        self.shown = picture
        return SimpleNamespace(sample=picture)


def test_tokens_lie_on_the_picture_as_on_the_grid_and_back() -> None:
    net, echo = UNet(SMALL, TokenSpace(1, axes=2, extents=(3, 5))), Echo()
    net.net = echo
    array = torch.arange(15.0).reshape(3, 5, 1)
    tokens = GridTokenizer((1, 1)).encode(array)
    answered = net.over(tokens.values, torch.tensor([400.0]), None, net.frame_of(tokens))
    assert torch.equal(answered, tokens.values)
    assert torch.equal(echo.shown[0, 0], nn.functional.pad(array[..., 0], (0, 1, 0, 1)))


@pytest.mark.parametrize("periodic", [(True, True), (False, True), (True, False)])
def test_a_field_that_is_rolled_along_periodic_axes_is_answered_by_the_rolled_answer(
    periodic: tuple[bool, bool],
) -> None:
    tokenizer = GridTokenizer((1, 1), periodic=periodic)
    torch.manual_seed(0)
    model = Network(SMALL, tokenizer, [], Linear(), extents=(8, 6))
    randomise_zeros(model, 0.3)
    array = torch.randn(8, 6, 1)

    def answer(array: Tensor) -> Tensor:
        tokens = tokenizer.encode(array)
        with torch.no_grad():
            output = deepcopy(model).eval()(tokens, torch.tensor([0.4]), Conditions()).output
        return tokenizer.decode(tokens.with_values(output))

    for axis, turns in enumerate(periodic):
        same = torch.allclose(answer(array.roll(2, axis)), answer(array).roll(2, axis), atol=1e-4)
        assert same == turns, axis
    with pytest.raises(UserError, match="a periodic axis of 7 tokens is not a multiple of 2"):
        answer(torch.randn(7, 7, 1))


@pytest.mark.parametrize(
    ("tokenizer", "conditions", "message"),
    [
        (GridTokenizer((2,)), [], "needs grids along 2 axes, these data have 1 axes"),
        (GridTokenizer((2, 2, 2)), [], "needs grids along 2 axes, these data have 3 axes"),
        (GridTokenizer((2, 2)), [Points("seen", 2)], "attends to no conditions of route cross"),
    ],
)
def test_what_is_no_picture_is_refused(tokenizer: GridTokenizer, conditions: list[Condition], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Network(SMALL, tokenizer, conditions, Linear())


def test_batches_of_several_shapes_and_packed_rows_are_refused() -> None:
    model, tokenizer = network([]), GridTokenizer((1, 1))
    singles = [tokenizer.encode(torch.zeros(*shape, 1)) for shape in ((4, 4), (6, 4))]

    def ask(tokens: Tokens) -> None:
        model(tokens, torch.full((2,), 0.4), Conditions())

    with pytest.raises(UserError, match=r"train\.packing: model\.backbone unet takes a sample a row"):
        ask(pack(singles))
    with pytest.raises(UserError, match="needs samples of one shape in a batch, and there are 4x4 and 6x4 tokens"):
        ask(collate(singles))
    with pytest.raises(UserError, match=r"train\.activation_checkpointing: belongs to model\.backbone dit"):
        model.backbone.recompute = True
    with pytest.raises(UserError, match=r"network is of model\.backbone unet"):
        _ = model.dit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "unet", "hidden_size": 64}, "hidden_size belongs to backbone dit and means nothing to unet"),
        ({"backbone": "unet", "preset": "DiT-Tiny"}, "preset belongs to backbone dit"),
        ({"unet_channels": (8, 8)}, "unet_channels belongs to backbone unet and means nothing to dit"),
        ({"backbone": "unet", "unet_channels": ()}, "need multiples of 8"),
        ({"backbone": "unet", "unet_channels": (12,)}, "need multiples of 8"),
    ],
)
def test_options_of_the_other_backbone_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(**options)


def test_a_flag_takes_the_place_of_what_a_recipe_says_of_the_other_backbone() -> None:
    recipe = find_recipe("digits")
    own = {"preset": "DiT-Tiny", "positions": "rotary"}
    found = resolve(Recipe(recipe.target, recipe.name, {**recipe.values, "model": own}), ["--model.backbone=unet"])
    assert found.config.model == ModelConfig(backbone="unet")
    back = {"backbone": "unet", "unet_channels": [8]}
    found = resolve(Recipe(recipe.target, recipe.name, {**recipe.values, "model": back}), ["--model.backbone=dit"])
    assert found.config.model == ModelConfig()


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "diffusers":
            raise ImportError(name)
        return usual(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs the package diffusers: pip install 'beeline\[vae\]'"):
        UNet(SMALL, TokenSpace(1, axes=2))


def test_its_products_are_counted() -> None:
    """Of one level without attention's small change: the first convolution alone is 9 products a cell and pair."""
    model, tokenizer = network([]), GridTokenizer((1, 1))
    flops = [count_flops(model, tokenizer.encode(torch.zeros(side, side, 1)), Conditions()) for side in (8, 16)]
    assert flops[0] > 2 * 9 * 64 * 1 * 8
    assert 3.5 < flops[1] / flops[0] < 4.5, "four times the cells"


def test_it_trains_samples_and_is_told_by_inspect(tmp_path: Path) -> None:
    options = {name: value for name, value in FAST.items() if name != "model.preset"}
    wanted = {"model.backbone": "unet", "model.unet_channels": "8,16", "train.steps": 4}
    run = train("digits", tmp_path / "run", options={**options, **wanted, "data.patch": 1})
    engine = load(run)
    samples = engine.sample(2, {"label": 3}, steps=2)
    assert samples[0].shape == (8, 8, 1)
    assert not np.array_equal(samples, engine.sample(2, {"label": 7}, steps=2)), "labels reach it"
    facts = inspect(run)["network"]
    assert facts["backbone"] == "UNet"
    assert facts["parameters"] == sum(each.numel() for each in engine.network.parameters())
    assert facts["tokens"] == 64
