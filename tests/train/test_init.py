"""``beeline train --init PATH``: what a run takes from a trained network, what trains, and how it is resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import beeline
from beeline.cli.convert import convert
from beeline.cli.initial import starting_of
from beeline.cli.inspect import inspect
from beeline.cli.train import train
from beeline.core.memory import held_bytes
from beeline.evaluate.requests import real_examples
from beeline.evaluate.widths import held_out_probe
from beeline.generate.load import load
from beeline.model.format import read_network, read_tensors
from beeline.train.adaptation import adapt
from beeline.train.memory import plan_memory
from beeline.train.trainer import Trainer
from tests.conftest import FAST, lines_of, randomise_zeros
from tests.data.images import folder_of, save
from tests.train.helpers import command, fingerprint, finish, make_trainer, train_command

FROZEN: dict[str, Any] = {"train.freeze": "backbone.time.*"}
LORA: dict[str, Any] = {"train.lora_rank": 2}
LONG: dict[str, Any] = {"train.steps": 12, "train.held_out_every": 4}
PRETRAINING, FINE_TUNING = 40, 20


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits that has learned something."""
    options = {**FAST, "train.steps": PRETRAINING, "train.batch_size": 64, "train.held_out_every": 0}
    return train("digits", tmp_path_factory.mktemp("init") / "pretrained", options=options)


def tuned(start: Path, out: Path, target: Any = "digits", **options: Any) -> Path:
    """A run begun from a trained network; an option that is None is left out."""
    given = {**FAST, "train.steps": 4, **{name.replace("__", "."): value for name, value in options.items()}}
    given = {name: value for name, value in given.items() if value is not None}
    return train(str(target), out, options=given, init=start)


def began(run: Path) -> dict[str, Any]:
    description = json.loads((run / "model.json").read_text())
    record: dict[str, Any] = description["began"]
    assert json.loads((run / "init.json").read_text()) == record
    return record


def drawn(path: Path, label: Any = 3) -> np.ndarray[Any, Any]:
    return np.asarray(beeline.load(path).sample(2, condition={"label": label}, seed=1))


def held_out(model: Path, settings: Path) -> float:
    """The loss of a model on held-out examples, as a run measures it."""
    engine = load(model)
    config = json.loads((settings / "model.json").read_text())["config"]
    loss: float = held_out_probe(engine, config, real_examples(engine, "held_out"))(1, engine.network)["held_out_loss"]
    return loss


def test_a_run_begins_as_the_very_network_that_it_is_given(pretrained: Path, tmp_path: Path) -> None:
    run = tuned(pretrained, tmp_path / "run")
    kept, given = (read_tensors(path / "model.safetensors") for path in (run / "init", pretrained))
    assert kept.keys() == given.keys()
    assert all(torch.equal(tensor, given[name]) for name, tensor in kept.items())
    record = began(run)
    assert set(record["tensors"].values()) == {"loaded"}
    assert (record["path"], record["step"]) == (str(pretrained / "model.safetensors"), PRETRAINING)
    told = inspect(run)["began from"]
    assert told["sha256"] == record["sha256"] == inspect(pretrained)["sha256"]
    assert told["tensors"]["blocks.0-1"] == "loaded (20 tensors)"
    assert "began from" not in inspect(pretrained)
    assert np.array_equal(drawn(run / "init"), drawn(pretrained))


def test_fine_tuning_lowers_the_loss_it_began_with(pretrained: Path, tmp_path: Path) -> None:
    more = {
        **FAST,
        "train.batch_size": 64,
        "train.learning_rate": 2e-3,
        "train.warmup_steps": 2,
        "train.held_out_every": 0,
    }
    low_rank = {
        "train.lora_rank": 8,
        "train.lora_layers": "*.linear,*.qkv,*.first,*.second",
        "train.learning_rate": 1e-2,
    }
    for name, its in (("full", {}), ("low_rank", low_rank)):
        options = {**more, **its, "train.steps": FINE_TUNING}
        run = train("digits", tmp_path / name, options=options, init=pretrained)
        before, after = held_out(run / "init", run), held_out(run, run)
        assert before == pytest.approx(held_out(pretrained, run))
        assert after < 0.99 * before, name


def test_options_come_from_the_network_unless_flags_give_them(small_run: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "modality: images\ndata: {patch: 4}\nmodel: {preset: DiT-S, qk_norm: true}\n"
        "objective: {prediction: noise}\ntrain: {batch_size: 8}\n"
    )
    words = command("train", str(recipe), "--init", str(small_run), "--print-config")
    asked = yaml.safe_load(finish(words).stdout)
    assert asked["model"]["preset"] == "DiT-Nano"
    assert not asked["model"]["qk_norm"]
    assert (asked["data"]["patch"], asked["train"]["batch_size"]) == (2, 8)
    assert asked["objective"]["prediction"] == "velocity"
    assert asked["objective"]["time"]["density"] == "logit_normal"  # as in the recipe of the network
    flags = ["--data.patch", "4", "--objective.prediction", "noise", "--process.path", "vp", "--model.qk_norm", "true"]
    changed = yaml.safe_load(finish([*words, *flags]).stdout)
    assert (changed["data"]["patch"], changed["process"]["path"]) == (4, "vp")
    assert (changed["objective"]["prediction"], changed["model"]["qk_norm"]) == ("noise", True)
    assert changed["objective"]["time"] == asked["objective"]["time"]
    out = str(tmp_path / "run")
    done = finish([*words[:-1], "--out", out, "--dry-run", *flags[:4], "--train.steps=2", "--train.threads=1"])
    assert done.returncode == 0, done.stderr
    assert "taken from --init: model.preset DiT-Nano (recipe: DiT-S), model.qk_norm False (recipe: True)" in done.stdout
    assert "changed by flags: objective.prediction noise (trained: velocity)" in done.stdout
    assert "embed.weight: resized (1 tensor): patch 2x2 to 4x4" in done.stdout
    assert not Path(out).exists()


def test_a_ddpm_with_a_learned_variance_becomes_a_flow(tmp_path: Path) -> None:
    ddpm = {"process.path": "ddpm", "objective.prediction": "noise", "objective.variance": "learned"}
    ddpm |= {"process.schedule": "cosine"}
    start = train("digits", tmp_path / "ddpm", options={**FAST, **ddpm, "train.steps": 2})
    flow = {"process.path": "linear", "objective.prediction": "velocity"}
    run = train("digits", tmp_path / "flow", options={**FAST, **flow, "train.steps": 2}, init=start)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["process"]["path"], config["objective"]["variance"]) == ("linear", "none")
    assert began(run)["tensors"]["backbone.head.weight"] == "resized: variance rows left"
    again = tuned(start, tmp_path / "same", train__steps=2)
    assert yaml.safe_load((again / "config.yaml").read_text())["process"]["schedule"] == "cosine"
    assert set(began(again)["tensors"].values()) == {"loaded"}


def test_a_flow_becomes_a_noise_predictor(small_run: Path, tmp_path: Path) -> None:
    run = tuned(small_run, tmp_path / "run", objective__prediction="noise", process__path="vp")
    assert json.loads((run / "model.json").read_text())["conventions"]["prediction"] == "noise"
    assert set(began(run)["tensors"].values()) == {"loaded"}
    assert drawn(run).shape == (2, 8, 8, 1)


def test_other_images_classes_sizes_and_channels(small_run: Path, tmp_path: Path) -> None:
    images = folder_of(tmp_path / "colour", {"cat": 12, "dog": 12, "owl": 12}, size=(12, 12))
    run = tuned(small_run, tmp_path / "run", images, train__batch_size=4)
    record = began(run)
    changed = {name: text for name, text in record["tensors"].items() if text != "loaded"}
    further = "resized: channels 1 to 3, further ones start at zero"
    assert changed == {
        "backbone.embed.weight": further,
        "backbone.head.weight": further,
        "backbone.head.bias": further,
        "embedders.label.table.weight": "re-initialised: 3 classes where 10 were trained, null row kept",
    }
    assert set(record["untrained"]) == changed.keys()
    assert drawn(run, "dog").shape == (2, 12, 12, 3)
    again = tuned(run, tmp_path / "again", images, train__batch_size=4, data__labelled="false")
    assert began(again)["left"] == {"embedders.label.table.weight": "nothing here takes it"}


def test_a_peers_network_with_all_that_it_predicts(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """diffusers' DiT: embedders for each block, discrete levels, a learned variance."""
    peer = real_data("parity") / "diffusers_random"
    images = folder_of(tmp_path / "images", {"cat": 8, "dog": 8}, size=(16, 16), channels=4)
    run = tuned(peer, tmp_path / "run", images, train__batch_size=4, model__preset=None, data__channels="rgba")
    start = starting_of(peer)
    kept = read_tensors(run / "init" / "model.safetensors")
    told = began(run)["tensors"]
    tables = {f"embedders.label.copies.{block}.table.weight" for block in range(2)}
    assert {name for name, text in told.items() if text != "loaded"} == tables
    assert all(torch.equal(kept[name], start.tensors[name]) for name in kept.keys() - tables)
    assert all(torch.equal(kept[name][-1], start.tensors[name][-1]) for name in tables)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["process"]["path"], config["objective"]["variance"]) == ("ddpm", "learned")
    assert config["model"]["embedders"] == "per_block"
    train(None, run, resume=True, options={"train.steps": 6})
    assert yaml.safe_load((run / "config.yaml").read_text())["model"] == config["model"]
    assert drawn(run, "dog").shape == (2, 16, 16, 4)


def test_a_part_of_the_digits(small_run: Path, tmp_path: Path) -> None:
    """Fewer classes of the same pictures, as a folder."""
    engine = load(small_run)
    for example in real_examples(engine, "train"):
        label = int(example.condition["label"])
        if label < 3:
            save(tmp_path / "few" / str(label) / f"{len(list(tmp_path.rglob('*.png'))):04}.png", example.array)
    run = tuned(small_run, tmp_path / "run", tmp_path / "few")
    assert {text for text in began(run)["tensors"].values() if text != "loaded"} == {
        "re-initialised: 3 classes where 10 were trained, null row kept"
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.hidden_size", "128"], "has hidden_size 64 and num_heads 1, this one 128"),
        (["--model.preset", "DiT-Micro"], "has hidden_size 64 and num_heads 1, this one 128 and 2"),
        (["--model.preset", "auto"], "model.preset auto: the network to begin from has its sizes"),
        (["--model.mlp_ratio", "2"], "tensor backbone.blocks.0.feedforward.first.weight is (256, 64)"),
        (["--train.freeze", "backbone.blocks.7.*"], "train.freeze 'backbone.blocks.7.*': no parameter has such a name"),
        (["--train.freeze", "*"], "train.freeze: freezes everything"),
        (["--train.lora_rank", "2", "--train.lora_layers", "*.qkw"], "no linear layer has such a name; near it: *.qkv"),
        (["--train.lora_alpha", "2"], "lora_alpha belongs to lora_rank"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(flags: list[str], message: str, small_run: Path, tmp_path: Path) -> None:
    done = finish(train_command(tmp_path / "run", "--init", str(small_run), *flags, model__preset=None))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(lines_of(done.stderr)) == 1
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_other_axes_and_missing_networks_are_refused(small_run: Path, tmp_path: Path) -> None:
    for target, init, message in (
        ("waves", str(small_run), "reads tokens along 2 axes, these data have 1"),
        ("digits", str(tmp_path / "nothing"), "no such run"),
    ):
        done = finish(train_command(tmp_path / "run", "--init", init, recipe=target))
        assert done.returncode == 2
        assert message in done.stderr
    done = finish(train_command(tmp_path / "run", train__lora_rank=2))
    assert done.returncode == 2
    assert "a fresh network has nothing to adapt; name a trained one with --init PATH" in done.stderr


def test_frozen_parameters_stay_and_take_no_room(small_run: Path, tmp_path: Path) -> None:
    run = tuned(small_run, tmp_path / "run", train__freeze=["backbone.blocks.*", "backbone.time.*"])
    before, after = (read_tensors(path / "model.safetensors") for path in (run / "init", run))
    assert before.keys() == after.keys()
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == {name for name in before if name.startswith(("backbone.blocks.", "backbone.time."))}
    checkpoint = run / "checkpoints" / "step-000004"
    for group in ("weights", "ema"):
        assert read_tensors(checkpoint / f"{group}.safetensors").keys() == before.keys() - still
    assert {name.partition("/")[0] for name in read_tensors(checkpoint / "optimiser.safetensors")} == (
        before.keys() - still
    )
    whole = read_network(checkpoint / "ema.safetensors")
    assert all(torch.equal(tensor, after[name]) for name, tensor in whole.items())
    assert not (run / "adapter.safetensors").exists()


def lora_trainer() -> Trainer:
    """Of a network with additions that are not zero any more."""
    trainer = make_trainer()
    network = trainer.network
    randomise_zeros(network)  # behind closed gates nothing learns
    config = type(trainer.config)(**{**vars(trainer.config), "lora_rank": 3, "lora_alpha": 6.0})
    adapt(network, config, ["embedders.label.table.weight"])
    return Trainer(config, trainer.steps, network, trainer.objective, trainer.feed)


def test_the_merged_model_is_the_adapted_network_to_the_bit() -> None:
    trainer, plain = lora_trainer(), make_trainer()
    for _ in range(3):
        trainer.train_step()
    assert any(name.endswith(".lora_B") and tensor.any() for name, tensor in trainer.ema.average.items())
    plain.network.load_state_dict(trainer.averaged_weights())
    plain.network.eval()
    batch = trainer.feed.batch(0, 16)
    time = torch.linspace(100, 900, 16)
    with torch.no_grad(), trainer.averaged():
        one = trainer.network.output(batch.tokens, time, batch.conditions)
        other = plain.network.output(batch.tokens, time, batch.conditions)
    assert one.any()
    assert torch.equal(one, other)


def test_only_additions_and_what_was_never_trained_learn() -> None:
    trainer = lora_trainer()
    before = {name: tensor.clone() for name, tensor in trainer._state().items()}
    names = set(trainer.tensors()["weights"])
    for _ in range(3):
        trainer.train_step()
    moved = {name for name, tensor in trainer._state().items() if not torch.equal(tensor, before[name])}
    assert moved == trainer._trained.keys() == {name for name in names if not name.endswith(".lora_scale")}
    layers = {f"backbone.blocks.{n}.attention.{each}.weight" for n in (0, 1) for each in ("qkv", "projection")}
    parts = {f"{layer}.lora_{part}" for layer in layers for part in "AB"}
    assert moved == parts | {"embedders.label.table.weight"}
    frozen = {name for name, each in trainer.network.named_parameters() if not each.requires_grad}
    assert all(trainer.network.get_parameter(name).grad is None for name in frozen)
    plan = plan_memory(trainer)
    assert plan.parts["gradients"] == sum(4 * each.numel() for each in trainer._parameters)
    assert plan.parts["weights"] == held_bytes(dict(trainer.network.state_dict()))


@pytest.fixture(scope="module")
def adapted(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished LoRA run whose network to begin from is gone."""
    folder = tmp_path_factory.mktemp("adapted")
    shutil.copytree(small_run, folder / "start")
    done = finish(train_command(folder / "run", "--init", str(folder / "start"), **LORA, **LONG))
    assert done.returncode == 0, done.stderr
    assert "additions of rank 2 to 4 layers" in done.stderr
    shutil.rmtree(folder / "start")
    return folder / "run"


def test_checkpoints_are_small_and_the_model_is_complete(adapted: Path, small_run: Path) -> None:
    def room(path: Path) -> int:
        return sum(file.stat().st_size for file in path.glob("*.safetensors"))

    latest = adapted / "checkpoints" / "step-000012"
    assert room(latest) < 0.1 * room(small_run / "checkpoints" / "step-000010")
    assert (adapted / "adapter.safetensors").stat().st_size < 0.1 * (adapted / "model.safetensors").stat().st_size
    whole = read_tensors(adapted / "model.safetensors")
    assert whole.keys() == read_tensors(small_run / "model.safetensors").keys()
    for path in (adapted / "adapter.safetensors", latest / "ema.safetensors"):
        assert all(torch.equal(tensor, whole[name]) for name, tensor in read_network(path).items())
    assert np.array_equal(drawn(adapted), drawn(latest))


@pytest.mark.parametrize(
    "options",
    [
        LORA,
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"train.freeze": "backbone.blocks.*"}, marks=pytest.mark.slow),
        pytest.param({"init": None, **FROZEN}, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit_without_what_it_began_from(
    options: dict[str, Any], small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, out, undisturbed = tmp_path / "start", tmp_path / "run", tmp_path / "undisturbed"
    shutil.copytree(small_run, start)
    first = [] if "init" in options else ["--init", str(start)]  # what is frozen at random is kept as well
    words = {**LONG, **{name: value for name, value in options.items() if name != "init"}}
    assert finish(train_command(undisturbed, *first, **words)).returncode == 0
    original, steps = Trainer.train_step, iter((2, 7))

    def killed_at(step: int) -> Callable[[Trainer], None]:
        def train_step(trainer: Trainer) -> None:
            if trainer.step == step:
                raise MemoryError("killed")
            original(trainer)

        return train_step

    for number, step in enumerate(steps):  # once before the first checkpoint, once after it
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train_step", killed_at(step))
            again = ["--resume"] if number else first
            assert finish(train_command(out, *again, **words)).returncode == 1
        if start.exists():
            shutil.rmtree(start)
    assert finish(train_command(out, "--resume", **words)).returncode == 0
    assert fingerprint(out) == fingerprint(undisturbed)


def test_the_same_network_may_be_named_again_and_no_other(adapted: Path, small_run: Path, pretrained: Path) -> None:
    done = finish(command("train", "--out", str(adapted), "--resume", "--init", str(small_run)))
    assert done.returncode == 0, done.stderr  # the same bytes elsewhere
    done = finish(command("train", "--out", str(adapted), "--resume", "--init", str(pretrained)))
    assert done.returncode == 2
    assert "this run began from" in done.stderr
    done = finish(command("train", "--out", str(small_run), "--resume", "--init", str(pretrained)))
    assert done.returncode == 2
    assert "this run began from nothing" in done.stderr


def test_a_run_whose_beginning_is_gone_says_so(adapted: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(adapted, tmp_path / "run"))
    shutil.rmtree(out / "init")
    done = finish(command("train", "--out", str(out), "--resume", "--train.steps", "22"))
    assert done.returncode == 2
    assert f"{out}/init: is gone" in done.stderr
    done = finish(command("sample", str(out / "checkpoints" / "step-000012")))
    assert done.returncode == 2
    assert "holds only what its run trains" in done.stderr


@pytest.mark.parametrize("options", [LORA, pytest.param({"train.freeze": "backbone.blocks.*"}, marks=pytest.mark.slow)])
def test_other_widths_and_raw_weights_can_be_had(options: dict[str, Any], small_run: Path, tmp_path: Path) -> None:
    run = tuned(small_run, tmp_path / "run", **{"train.steps": 20, **options})
    whole = read_tensors(run / "model.safetensors")
    slim = {name: read_tensors(path / "model.safetensors") for name, path in {
        "ema": convert(run, tmp_path / "slim"),
        "raw": convert(run, tmp_path / "raw", weights="raw"),
        "checkpoint": convert(run / "checkpoints" / "step-000020", tmp_path / "checkpoint"),
        "width": convert(run, tmp_path / "width", ema_width=0.1),
    }.items()}  # fmt: skip
    frozen = {name for name in whole if ".blocks." in name and ("train.freeze" in options or "attention" not in name)}
    for name, tensors in slim.items():
        assert tensors.keys() == whole.keys()
        same = {each for each, tensor in tensors.items() if torch.equal(tensor, whole[each])}
        assert same == whole.keys() if name in ("ema", "checkpoint") else frozen <= same < whole.keys(), name
        assert len(beeline.load(tmp_path / ("slim" if name == "ema" else name)).sample(1, condition={"label": 1})) == 1
    assert convert(run, tmp_path / "auto", ema_width="auto").is_dir()


def test_a_width_of_an_adapted_run_is_the_merged_average_of_its_track(small_run: Path, tmp_path: Path) -> None:
    """At the step of a checkpoint the track of width 0.1 is kept as it is."""
    run = tuned(small_run, tmp_path / "run", **{"train.steps": 20, **LORA})
    tracks = read_tensors(run / "checkpoints" / "step-000020" / "tracks.safetensors")
    track = {name.removeprefix("0.1/"): tensor for name, tensor in tracks.items() if name.startswith("0.1/")}
    base = read_tensors(run / "init" / "model.safetensors")
    found = read_tensors(convert(run, tmp_path / "width", ema_width=0.1) / "model.safetensors")
    layer = "backbone.blocks.1.attention.qkv.weight"
    wanted = base[layer] + track[f"{layer}.lora_B"] @ track[f"{layer}.lora_A"]
    torch.testing.assert_close(found[layer], wanted, atol=1e-6, rtol=1e-5)
    assert not torch.equal(found[layer], base[layer])


def test_a_kill_before_the_config_leaves_a_place_where_a_run_can_begin(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("beeline.train.folder.RunFolder.write_config", lambda *_: 1 / 0)
        assert finish(train_command(out, "--init", str(small_run), train__steps=2)).returncode == 1
    assert (out / "init").is_dir()
    assert finish(train_command(out, train__steps=2)).returncode == 0
    assert not (out / "init").exists()
    assert not (out / "init.json").exists()


def test_a_checkpoint_can_be_begun_from(small_run: Path, tmp_path: Path) -> None:
    checkpoint = small_run / "checkpoints" / "step-000008"
    run = tuned(checkpoint, tmp_path / "run", train__steps=1)
    assert began(run)["step"] == 8
    given = read_tensors(checkpoint / "ema.safetensors")
    assert all(
        torch.equal(each, given[name]) for name, each in read_tensors(run / "init" / "model.safetensors").items()
    )
