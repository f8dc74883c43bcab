"""Sampling: item i of seed s is one sample, whatever goes with it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import beeline
from beeline.core.errors import UserError
from beeline.generate.engine import Engine
from beeline.generate.load import load
from beeline.generate.write import check_output, write_samples
from tests.conftest import FAST


@pytest.fixture(scope="module")
def engine(small_run: Path) -> Engine:
    """Shaken, so that conditions, times and neighbours really matter."""
    engine = load(small_run)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in engine.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return engine


def test_samples_are_native_arrays(engine: Engine) -> None:
    samples = engine.sample(5, condition={"label": 3}, seed=0, steps=2, cfg_scale=2.0)
    assert isinstance(samples, np.ndarray)
    assert (samples.shape, samples.dtype) == ((5, 8, 8, 1), np.uint8)


def floats(engine: Engine, numbers: list[int], batch_size: int | None = None, **options: Any) -> np.ndarray[Any, Any]:
    """Samples before rounding to pixels, so that small differences show."""
    requests = engine.requests(len(numbers), {"label": 3})
    kept = engine.codec.normaliser
    object.__setattr__(engine.codec, "normaliser", _AsIs())
    try:
        parts = [
            engine.generate(
                [requests[0]] * len(numbers),
                7,
                engine.settings(**{"steps": 4, **options}),
                batch_size,
                first=numbers[0],
            )
        ]
    finally:
        object.__setattr__(engine.codec, "normaliser", kept)
    return np.stack([example.array for part in parts for example in part.examples])


class _AsIs:
    def undo(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return array


def test_an_item_is_the_same_sample_in_any_batch(engine: Engine) -> None:
    together = floats(engine, list(range(12)))
    for batch_size in (1, 5, 12):
        np.testing.assert_allclose(floats(engine, list(range(12)), batch_size), together, rtol=0, atol=1e-5)
    np.testing.assert_allclose(floats(engine, [4, 5, 6]), together[4:7], rtol=0, atol=1e-5)
    assert np.array_equal(floats(engine, list(range(12))), together), "bit-identical at the same batch shape"
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"condition": {"label": 4}},
        {"condition": {}},
        {"steps": 3},
        {"cfg_scale": 2.0},
        {"sampler": "euler"},
        {"grid": "cosine"},
        {"shift": 3.0},
        {"precision": "bf16"},
    ],
)
def test_every_argument_changes_the_samples(engine: Engine, change: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"condition": {"label": 3}, "seed": 0, "steps": 4}
    one, other = engine.sample(4, **usual), engine.sample(4, **{**usual, **change})
    assert not np.array_equal(one, other)


def test_conditions_are_one_for_all_or_one_for_each(engine: Engine) -> None:
    mixed = engine.sample(3, condition={"label": [1, 2, 3]}, steps=2)
    for item, label in enumerate((1, 2, 3)):
        assert np.abs(engine.sample(3, condition={"label": label}, steps=2)[item].astype(int) - mixed[item]).max() <= 1


def test_guidance_channels_can_be_chosen(engine: Engine) -> None:
    everything = engine.sample(2, condition={"label": 1}, steps=2, cfg_scale=3.0)
    assert np.array_equal(
        everything, engine.sample(2, condition={"label": 1}, steps=2, cfg_scale=3.0, guide_channels=(0,))
    )
    for channels in ((1,), (-1,), ()):
        with pytest.raises(UserError, match="this data has 1 channels, counted from 0"):
            engine.sample(2, condition={"label": 1}, steps=2, cfg_scale=3.0, guide_channels=channels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n 0: must be at least 1"),
        ({"condition": {"label": 11}}, "condition label=11: labels are whole numbers from 0 to 9"),
        (
            {"condition": {"label": [1, 2]}, "n": 3},
            "condition label: need one value, or a list of 3 such, not a list of 2",
        ),
        ({"condition": {"labl": 1}}, "unknown condition 'labl'; did you mean 'label'?"),
        ({"steps": 0}, "steps 0: must be at least 1"),
        ({"sampler": "rk9"}, "unknown sampler 'rk9'"),
        ({"cfg": 3}, "unknown key 'cfg'; did you mean 'cfg_scale'?"),
        ({"shape": (8,)}, "shape 8: this data has 2 axes"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"steps": 1.5}, "steps: needs a whole number, not 1.5"),
        ({"cfg_scale": "2"}, "cfg_scale: needs a number, not '2'"),
        ({"guide_channels": [7]}, "guide_channels [7]: this data has 1 channels, counted from 0"),
        ({"seed": -1}, "seed -1: must be at least 0"),
        ({"cfg_scale": float("inf")}, "cfg_scale inf: must be a finite number"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(engine: Engine, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        engine.sample(**{"n": 2, "steps": 2, **arguments})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_sizes_can_be_asked_for(engine: Engine) -> None:
    assert engine.sample(2, condition={"label": 1}, shape=(6, 12), steps=1).shape == (2, 6, 12, 1)  # type: ignore[union-attr]


def test_provenance_says_where_samples_come_from(engine: Engine, tmp_path: Path, small_run: Path) -> None:
    samples = engine.generate(engine.requests(2, {"label": 1}), 5, engine.settings(steps=3, cfg_scale=2.0))
    record = samples.provenance
    assert record["passes"] == 3 * 2 * 2  # Heun asks twice a step, guidance doubles
    assert (record["seed"], record["steps"], record["cfg_scale"], record["step"]) == (5, 3, 2.0, 10)
    assert record["sha256"] == engine.origin["sha256"]
    written = write_samples(engine.modality, samples, tmp_path / "out")
    assert [path.name for path in written] == ["samples.png", "samples.npz", "samples.json"]
    assert json.loads(written[2].read_text())["passes"] == 12
    assert np.array_equal(np.load(written[1])["samples"][0], samples.examples[0].array)
    for name in ("grid.png", "arrays.npz"):
        (tmp_path / name).with_suffix(".json").write_text("not ours")
        first, provenance = write_samples(engine.modality, samples, tmp_path / name)
        assert (tmp_path / name).with_suffix(".json").read_text() == "not ours"
        assert first.name == name
        assert provenance.suffix == ".json"
    with pytest.raises(UserError, match=r"samples are written as \.png, \.npz or into a folder"):
        check_output(tmp_path / "x.gif")
    check_output(tmp_path / "v1.0")


@pytest.mark.parametrize("where", ["", "checkpoints/step-000010", "model.safetensors"])
def test_a_model_opens_from_run_checkpoint_and_file(small_run: Path, where: str) -> None:
    whole = beeline.load(small_run).network.state_dict()
    for name, tensor in beeline.load(small_run / where).network.state_dict().items():
        assert torch.equal(tensor, whole[name])


def test_sampling_uses_the_averaged_weights(small_run: Path) -> None:
    from beeline.model.format import read_tensors

    last = small_run / "checkpoints" / "step-000010"
    averaged, raw = read_tensors(last / "ema.safetensors"), read_tensors(last / "weights.safetensors")
    for name, tensor in beeline.load(small_run).network.state_dict().items():
        assert torch.equal(tensor, averaged[name])
    assert any(not torch.equal(averaged[name], raw[name]) for name in raw)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-50]),
            "model.safetensors: not a complete safetensors file",
        ),
        (
            lambda run: (run / "model.safetensors").write_bytes(b""),
            "model.safetensors: not a complete safetensors file",
        ),
        (
            lambda run: (run / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
            "model.safetensors: not a complete safetensors file",
        ),
        (lambda run: (run / "model.safetensors").unlink(), "this run has saved no model yet"),
        (lambda run: (run / "model.json").unlink(), "model.json is missing"),
        (lambda run: (run / "model.json").write_text("{"), "model.json: not readable as JSON"),
        (lambda run: (run / "model.json").write_text('{"format": 99}'), "format 99; this version reads format 1"),
        (lambda run: (run / "model.json").write_text("[]"), "is not the description of a Beeline model"),
    ],
)
def test_damaged_models_are_named(small_run: Path, tmp_path: Path, damage: Any, message: str) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    damage(run)
    with pytest.raises(UserError) as caught:
        load(run)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        ("config",),
        ("config", "process"),
        ("conventions",),
        ("forms",),
        ("extents",),
        ("tokenizer",),
        ("normaliser", "arguments"),
        ("conditions",),
        ("modality",),
        ("modality", "name"),
        ("modality", "options"),
    ],
)
@pytest.mark.parametrize("damage", [3.5, None, "gone"])
def test_damaged_descriptions_are_named(small_run: Path, tmp_path: Path, keys: tuple[str, ...], damage: Any) -> None:
    (tmp_path / "model.safetensors").symlink_to(small_run / "model.safetensors")
    description = json.loads((small_run / "model.json").read_text())
    place = functools.reduce(lambda record, key: record[key], keys[:-1], description)
    if damage == "gone":
        del place[keys[-1]]
    else:
        place[keys[-1]] = damage
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=r"model\.json: "):
        load(tmp_path)


def test_learned_positions_refuse_what_is_larger_than_they_have_learned(tmp_path: Path) -> None:
    options: dict[str, Any] = {**FAST, "train.steps": 2, "model.positions": "learned"}
    model = beeline.load(beeline.train("digits", tmp_path / "run", options=options))
    assert model.sample(1, shape=(4, 8), steps=1).shape == (1, 4, 8, 1)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="learned"):
        model.sample(1, shape=(8, 10), steps=1)


def test_weights_of_another_network_are_named(small_run: Path, tmp_path: Path) -> None:
    from beeline.model.format import read_tensors, tensors_bytes

    tensors = read_tensors(small_run / "model.safetensors")
    (tmp_path / "model.json").write_bytes((small_run / "model.json").read_bytes())
    first = min(tensors)
    for changed, message in (
        ({name: tensor for name, tensor in tensors.items() if name != first}, f"tensor {first} is missing"),
        ({**tensors, "extra": torch.zeros(1)}, "tensor extra is not of this model"),
        ({**tensors, first: torch.zeros(2, 2)}, f"tensor {first} is \\(2, 2\\), this model has"),
    ):
        (tmp_path / "model.safetensors").write_bytes(tensors_bytes(changed))
        with pytest.raises(UserError, match=message):
            load(tmp_path)


@pytest.mark.parametrize(("path", "message"), [("nowhere", "no such run"), (".", "holds no model.safetensors")])
def test_a_place_without_a_model_is_named(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path / path)
