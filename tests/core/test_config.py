"""Every option in one place, every mistake in one line."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beeline.backbone.config import ModelConfig
from beeline.cli.resolve import config_sections
from beeline.core.config import build, flatten, leaves, parse, plain
from beeline.core.errors import UserError
from beeline.core.yaml_text import read_yaml, write_yaml
from beeline.train.config import RunConfig, TrainConfig

SECTIONS = config_sections()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--train.lerning_rate=1", "unknown key 'train.lerning_rate'; did you mean 'train.learning_rate'?"),
        ("--trian.steps=3", "unknown key 'trian.steps'; did you mean 'train.steps'?"),
        ("--train.steps=many", "train.steps: needs a whole number or nothing, not many"),
        ("--train.batch_size=1.5", "train.batch_size: needs a whole number or nothing, not 1.5"),
        ("--model.qk_norm=maybe", "model.qk_norm: needs true or false, not maybe"),
        ("--model.positions=sinus", "unknown model.positions 'sinus'; did you mean 'sincos'?"),
        ("--train.betas=[0.9]", "train.betas: needs a list of 2, each a number, not [0.9]"),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(flag: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(SECTIONS, {}, [flag])
    assert str(caught.value) == message


def test_wrong_keys_and_types_in_a_file_are_told_alike() -> None:
    with pytest.raises(UserError, match=r"did you mean 'train\.batch_size'"):
        parse(SECTIONS, {"train": {"batchsize": 3}}, [])
    with pytest.raises(UserError, match=r"train\.batch_size: needs a whole number or nothing, not many"):
        parse(SECTIONS, {"train": {"batch_size": "many"}}, [])
    with pytest.raises(UserError, match="train: is a section"):
        parse(SECTIONS, {"train": 3}, [])


def test_flags_win_over_files_and_files_over_defaults() -> None:
    given = {"train": {"batch_size": 8, "learning_rate": 0.5}}
    values = parse(SECTIONS, given, ["--train.batch_size=16", "--objective.time.shift=2"])
    assert values["train"]["batch_size"] == 16
    assert values["train"]["learning_rate"] == 0.5
    assert values["train"]["seed"] == TrainConfig().seed
    assert values["objective"]["time"]["shift"] == 2.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": -3}, "train.steps -3: must be at least 1"),
        ({"batch_size": 0}, "train.batch_size 0: must be at least 1"),
        ({"learning_rate": -1.0}, "train.learning_rate -1.0: must be above 0"),
        ({"learning_rate": float("nan")}, "train.learning_rate nan: must be above 0"),
        ({"ema_decay": 1.0}, "train.ema_decay 1.0: must be at least 0 and below 1"),
        ({"batch_size": 10, "accumulation": 3}, "train.batch_size 10 does not divide into 3 micro-batches"),
        ({"steps": 3, "budget": "5m"}, "train.steps and budget both say how long to train; give one of them"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(TrainConfig, {**plain(TrainConfig()), **changes}, "train")
    assert str(caught.value) == message


def test_options_that_would_be_ignored_are_refused() -> None:
    for section, values in (
        ("process", {"beta_max": 10.0}),
        ("model", {"rotary_period": 50.0}),
        ("objective", {"time": {"mean": 1.0}}),
    ):
        with pytest.raises(UserError, match="mean"):
            build(SECTIONS[section], values, section)


NUMBERS = st.floats(1e-6, 1e3)


@given(
    st.builds(
        TrainConfig,
        batch_size=st.integers(1, 10**6),
        learning_rate=NUMBERS,
        clip_norm=NUMBERS,
        betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
        threads=st.none() | st.integers(1, 64),
        duration=st.text(max_size=20),
    ),
    st.builds(ModelConfig, hidden_size=st.none() | st.integers(1, 4096), qk_norm=st.booleans()),
)
def test_a_config_survives_yaml_and_json(train: TrainConfig, model: ModelConfig) -> None:
    config = RunConfig("images", {"patch": [2, 2]}, model=model, train=train)
    stored = plain(config)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(write_yaml(stored))
        assert read_yaml(path) == stored
    assert plain(build(RunConfig, json.loads(json.dumps(stored)))) == stored


def test_yaml_numbers_mean_what_people_mean(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("train: {learning_rate: 1e-3, weight_decay: 1E5, duration: 5m}\n")
    assert read_yaml(path) == {"train": {"learning_rate": 1e-3, "weight_decay": 1e5, "duration": "5m"}}


def test_yaml_keys_can_be_merged(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("train: &usual {seed: 1, threads: 2}\nother: {<<: *usual, seed: 3}\n")
    assert read_yaml(path)["other"] == {"seed": 3, "threads": 2}


def test_lists_come_with_or_without_brackets() -> None:
    for text in ("0.8,0.9", "[0.8, 0.9]"):
        assert parse({"train": TrainConfig}, {}, [f"--train.betas={text}"])["train"]["betas"] == (0.8, 0.9)


def test_a_wrong_key_of_a_file_names_the_file() -> None:
    with pytest.raises(UserError, match=r"mine\.yaml: unknown key 'train\.sed'"):
        parse({"train": TrainConfig}, {"train": {"sed": 1}}, [], "mine.yaml: ")
    with pytest.raises(UserError, match=r"mine\.yaml: train\.seed: needs a whole number, not x"):
        parse({"train": TrainConfig}, {"train": {"seed": "x"}}, [], "mine.yaml: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: [", "line 1: not YAML"),
        ("a: 1\na: 2\n", "given twice"),
        ("- 1\n", "need sections"),
        ("", "need sections"),
    ],
)
def test_broken_yaml_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_yaml(path)
    assert "recipe.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_option_has_a_help_text() -> None:
    from beeline.core.config import section_parser

    text = section_parser(SECTIONS).format_help()
    for section, cls in SECTIONS.items():
        for name in leaves(cls, section):
            after = text.partition(f"--{name} ")[2].split("--")[0]
            explanation = after.partition("(type:")[0].split(maxsplit=1)
            assert len(explanation) == 2, f"{name} has no line in its dataclass's Args"


def test_flattening_keeps_every_leaf() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}
