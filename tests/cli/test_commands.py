"""Every command as a user meets it: what it prints, how it ends, and that nothing is damaged on the way."""

from __future__ import annotations

import functools
import inspect
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.cli import console
from beeline.cli.console import Display
from beeline.cli.main import run
from beeline.core.errors import RunError
from tests.conftest import FAST, lines_of
from tests.train.helpers import command, finish, flags


def words(*arguments: str) -> list[str]:
    return command(*arguments)


def assert_one_line(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(lines_of(done.stderr)) == 1
    assert lines_of(done.stderr)[0].startswith("beeline: ")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["train"], "name what to train"),
        (["train", "digitz"], "unknown recipe 'digitz'; did you mean 'digits'?"),
        (["train", "missing.yaml"], "missing.yaml: no such file"),
        (["train", "missing.py"], "missing.py: no such modality file"),
        (
            ["train", "digits", "--train.lerning_rate", "1"],
            "unknown key 'train.lerning_rate'; did you mean 'train.learning_rate'?",
        ),
        (["train", "digits", "--data.pattch", "1"], "unknown key 'data.pattch'; did you mean 'data.patch'?"),
        (["train", "digits", "--train.steps", "-3"], "train.steps -3: must be at least 1"),
        (["train", "digits", "--train.steps", "0"], "train.steps 0: must be at least 1"),
        (["train", "digits", "--train.steps"], "--train.steps: needs a value"),
        (["train", "digits", "--train.duration", "5 parsecs"], "duration '5 parsecs'"),
        (
            ["train", "digits", "--train.steps", "5", "--train.budget", "5m"],
            "train.steps and train.budget both say how long",
        ),
        (["train", "digits", "--resum"], "unknown option '--resum'; did you mean '--resume'?"),
        (["train", "digits", "--steps", "3"], "unknown option '--steps'; did you mean '--train.steps'?"),
        (["train", "digits", "--train-steps", "3"], "unknown option '--train-steps'; did you mean '--train.steps'?"),
        (["train", "digits", "--device", "cpu", "--train.device", "cpu"], "say the same; give one of them"),
        (["train", "digits", "--objective.time", "3"], "objective.time: is a section; its keys are"),
        (["train", "digits", "--train.threads", "100000"], "train.threads 100000: must be at most 1024"),
        (["train", "digits", "--train.seed", "9" * 20], "must be at most 9223372036854775807"),
        (["train", "digits", "--train.duration", "1e400 steps"], "must be above 0 and below 1e+12"),
        (["train", "digits", "--train.steps", "9" * 20], "must be at most"),
        (["train", "digits", "--model.mlp_ratio", "1e30"], "model.mlp_ratio 1e+30: must be above 0 and at most 64"),
        (["train", "digits", "--model.mlp_ratio", "0.0001"], "leaves no width"),
        (["train", "digits", "--model.hidden_size", "0"], "model.hidden_size 0: must be above 0"),
        (["train", "clips", "--model.hidden_size", "4", "--model.num_heads", "1"], "too small for 3 axes"),
        (["train", "panels", "--sample.cfg_scale", "2"], "guidance needs a condition that was dropped in training"),
        (["train", "digits", "--sample.cfg_interval", "[0, 0.5]"], "sample.cfg_interval: means nothing at cfg_scale 1"),
        (
            ["train", "digits", "--sample.cfg_scale", "2", "--sample.guide_by", "nowhere"],
            "guide_by nowhere: no such run",
        ),
        (["train", "digits", "--sample.guide_channels", "7"], "guide_channels [7]: this data has 1 channels"),
        (["train", "digits", "--process.path", "vp", "--process.beta_max", "1"], "too little noise"),
        (["train", "digits", "waves"], "'waves': one word too many"),
        (["train", "digits", "--train.device", "cuda:7"], "train.device"),
        (["train", "digits", "--data.patch", "0"], "patch"),
        (["train", "panels", "--model.preset", "DiT-Nano/2"], "this kind of data has no patches"),
        (["train", "panels", "--model.positions", "rotary"], "are a set and have no coordinates"),
        (["train", "digits", "--objective.prediction", "speed"], "unknown objective.prediction 'speed'"),
        (["train", "digits", "--process.path", "vp", "--process.beta_min", "-1"], "process.beta_min"),
        (["train", "--resume", "--out", "nowhere"], "nowhere: no run to resume"),
        (["sample", "nowhere"], "nowhere: no such run"),
        (["sample"], "the following arguments are required: RUN"),
        (["evaluate", "nowhere"], "nowhere: no such run"),
        (["inspect", "nowhere"], "nowhere: no such run"),
    ],
)
def test_wrong_commands_end_with_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(finish(words(*arguments)), message)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--condition", "label=11"], "condition label=11: labels are whole numbers from 0 to 9"),
        (["--condition", "label=x"], "condition label=x: labels are whole numbers from 0 to 9"),
        (["--condition", "lable=1"], "unknown condition 'lable'; did you mean 'label'?"),
        (["--condition", "label"], "--condition label: needs a name and a value"),
        (["-n", "-3"], "n -3: must be at least 1"),
        (["-n", "0"], "n 0: must be at least 1"),
        (["-n", "many"], "argument -n: invalid int value: 'many'"),
        (["--steps", "0"], "steps 0: must be at least 1"),
        (["--sampler", "hein"], "unknown --sampler 'hein'; did you mean 'heun'?"),
        (["--grid", "log"], "unknown --grid 'log'"),
        (["--shape", "8"], "shape 8: this data has 2 axes"),
        (["--out", "/dev/null/x"], "/dev/null/x: cannot be written, /dev/null is no folder to write to"),
        (["--shape", "8xa"], "--shape 8xa: needs whole numbers separated by 'x'"),
        (["--guide-channels", "5", "--cfg-scale", "2"], "guide_channels [5]"),
        (["--cfg-scale", "nan"], "cfg_scale nan: must be a finite number"),
        (["--cfg-scale", "1,x"], "--cfg-scale 1,x: needs a number, or several such as 1,2,4"),
        (["--cfg-scale", "1,inf"], "cfg_scale inf: must be a finite number"),
        (["--cfg-rescale", "0.5"], "cfg_rescale: means nothing at cfg_scale 1, which is no guidance"),
        (["--cfg-interval", "0.5,0.1", "--cfg-scale", "2"], "cfg_interval [0.5, 0.1]: needs two times"),
        (["--guide-by", "nowhere", "--cfg-scale", "2"], "guide_by nowhere: no such run"),
        (["--device", "tpu"], "device tpu: must be cpu, cuda or auto"),
        (["--out", "x.gif"], "samples are written as .png, .npz or into a folder"),
        (["--precision", "fp8"], "unknown --precision 'fp8'"),
        (["--cfgscale", "2"], "unknown option '--cfgscale'; did you mean '--cfg-scale'?"),
    ],
)
def test_wrong_requests_for_samples_end_with_one_line(
    small_run: Path, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(finish(words("sample", str(small_run), *arguments)), message)
    assert list(tmp_path.iterdir()) == []


def test_sampling_writes_pictures_arrays_and_provenance(small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    done = finish(
        words(
            "sample",
            str(small_run),
            "-n",
            "16",
            "--condition",
            "label=3",
            "--seed",
            "0",
            "--steps",
            "3",
            "--cfg-scale",
            "2",
            "--sampler",
            "heun",
            "--out",
            str(out),
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out / name) for name in ("samples.png", "samples.npz", "samples.json")]
    record = json.loads((out / "samples.json").read_text())
    assert (record["passes"], record["sampler"], record["cfg_scale"], record["seed"]) == (12, "heun", 2.0, 0)
    assert np.load(out / "samples.npz")["samples"].shape == (16, 8, 8, 1)


def test_scales_go_round_the_samples_and_provenance_tells_them(small_run: Path, tmp_path: Path) -> None:
    scales = ["--cfg-scale", "1,2,4", "--cfg-interval", "0,0.6", "--cfg-rescale", "0.5", "--guide-by", str(small_run)]
    arguments = ["-n", "4", "--condition", "label=3", "--sampler", "euler", "--steps", "2", "--out", str(tmp_path)]
    assert run(["sample", str(small_run), *arguments, *scales]) == 0
    record = json.loads((tmp_path / "samples.json").read_text())
    assert (record["cfg_scale"], record["passes"]) == ([1.0, 2.0, 4.0, 1.0], [2, 3, 3, 2])
    assert (record["cfg_interval"], record["cfg_rescale"], record["guide_by"]) == ([0.0, 0.6], 0.5, str(small_run))
    assert (record["guide_by_sha256"], record["guide_by_step"]) == (record["sha256"], 10)


def test_several_scales_are_no_setting_of_an_evaluation(small_run: Path) -> None:
    done = finish(words("evaluate", str(small_run), "--cfg-scale", "1,2"))
    assert_one_line(done, "cfg_scale: needs a number, not [1.0, 2.0]")


def test_hyphens_and_underscores_are_equal(small_run: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    assert run(["sample", str(small_run), "-n", "2", "--cfg-scale", "3", "--out", str(one)]) == 0
    assert run(["sample", str(small_run), "-n", "2", "--cfg_scale=3", "--out", str(other)]) == 0
    assert one.read_bytes() == other.read_bytes()
    first, second = (
        finish(words("train", "digits", f"--train.{name}=2", "--print-config"))
        for name in ("checkpoint_every", "checkpoint-every")
    )
    assert first.stdout == second.stdout != ""


def test_conditions_given_again_go_round_the_samples(small_run: Path, tmp_path: Path) -> None:
    mixed, single = tmp_path / "mixed.npz", tmp_path / "single.npz"
    assert (
        run(
            [
                "sample",
                str(small_run),
                "-n",
                "4",
                "--condition",
                "label=1",
                "--condition",
                "label=2",
                "--out",
                str(mixed),
            ]
        )
        == 0
    )
    assert run(["sample", str(small_run), "-n", "4", "--condition", "label=2", "--out", str(single)]) == 0
    difference = np.abs(np.load(mixed)["samples"].astype(int) - np.load(single)["samples"]).reshape(4, -1).max(1)
    assert difference[1] <= 1
    assert difference[3] <= 1


def test_inspect_tells_shapes_parameters_flops_tokens_and_conventions(small_run: Path) -> None:
    done = finish(words("inspect", str(small_run)))
    assert done.returncode == 0, done.stderr
    for phrase in (
        "parameters",
        "FLOPs a pass",
        "tokens: 16",
        "t = 0 is data",
        "1000 t",
        "backbone.embed.weight: [64, 4]",
        "8x8: 1437",
        "label",
        "step: 10",
        "sha256",
    ):
        assert phrase in done.stdout, phrase
    facts = json.loads(finish(words("inspect", str(small_run / "checkpoints" / "step-000008"), "--json")).stdout)
    assert facts["network"]["tokens"] == 16
    assert facts["network"]["FLOPs a pass and sample"] == 2 * facts["network"]["multiply-adds a pass and sample"]
    assert facts["conventions"]["interval"] == [0.0, 1.0]


def test_print_config_is_a_recipe_that_gives_itself_back(tmp_path: Path) -> None:
    done = finish(words("train", "digits", "--print-config", "--train.steps", "7"))
    recipe = tmp_path / "again.yaml"
    recipe.write_text(done.stdout)
    again = finish(words("train", str(recipe), "--print-config"))
    assert again.stdout == done.stdout
    assert "duration: 7 steps" in done.stdout


def test_evaluate_measures_beside_floor_and_ceiling_and_keeps_the_protocol(small_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    done = finish(words("evaluate", str(copy), "-n", "40", "--steps", "2", "--spaces", "pca-32", "--passes", "4", "8"))
    assert done.returncode == 0, done.stderr
    for phrase in (
        "label agreement", "variance ratio", "Frechet distance (pca-32)", "coverage (pca-32)", "; floor ",
        "(resampled values), ceiling ", "(at least 0.95: ", "40 samples at ", "4 network passes each, on cpu",
    ):  # fmt: skip
        assert phrase in done.stdout
    assert "classifier" not in done.stdout + done.stderr
    assert finish(words("evaluate", str(copy), "-n", "10", "--steps", "1", "--spaces", "pca-32")).returncode == 0
    names = ["evaluation-001.json", "evaluation-002.json"]
    assert sorted(path.name for path in (copy / "evaluations").iterdir()) == names
    record = json.loads((copy / "evaluations" / names[0]).read_text())
    assert record["protocol"]["passes"] == 4
    assert {score["n"] for score in record["records"]} == {40}
    assert record["curves"]["passes"]["passes"] == [4, 8]


def test_evaluate_exports_images_for_others(small_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    done = finish(words("evaluate", str(copy), "--export", "12", "--steps", "1", "--seed", "2"))
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.parent == copy / "evaluations"
    with np.load(path) as arrays:
        assert arrays["arr_0"].shape == (12, 8, 8, 1)
        assert arrays["arr_1"].tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--spaces", "pca"], "unknown space 'pca'; did you mean 'pca-32'?"),
        (["--passes", "1", "8"], "passes 1: one step of heun costs 2 network passes here"),
        (["--passes", "four"], "invalid int value: 'four'"),
        (["--export", "0"], "export 0: must be at least 1"),
        (["-n", "0"], "n 0: must be at least 1"),
        (["--seed", "-1"], "seed -1: must be at least 0"),
    ],
)
def test_wrong_requests_for_an_evaluation_end_with_one_line(
    small_run: Path, arguments: list[str], message: str
) -> None:
    before = sorted(small_run.rglob("*"))
    assert_one_line(finish(words("evaluate", str(small_run), *arguments)), message)
    assert sorted(small_run.rglob("*")) == before


def test_overview_version_and_help_explain_themselves() -> None:
    assert "beeline COMMAND --help" in finish(words()).stdout
    assert finish(words("--version")).stdout.startswith("beeline ")
    for verb in ("train", "sample", "evaluate", "inspect"):
        done = finish(words(verb, "--help"))
        assert done.returncode == 0
        assert f"usage: beeline {verb}" in done.stdout
    text = finish(words("train", "--help")).stdout
    assert "--train.learning_rate" in text
    assert "Path to a configuration file" not in text
    assert "--data.KEY" in text
    for order in (("waves", "--help"), ("--device", "cpu", "waves", "-h"), ("--help", "--out", "x", "waves")):
        assert "--data.patch" in finish(words("train", *order)).stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["sample", "--help"], ["evaluate", "--help"], ["inspect", "--help"]]
)
def test_help_loads_neither_torch_nor_numpy(arguments: list[str]) -> None:
    code = (
        f"import sys; from beeline.cli.main import run; run({arguments!r}); "
        "print([name for name in ('torch', 'numpy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_package_loads_nothing() -> None:
    code = "import beeline, sys; print([name for name in ('torch', 'numpy', 'yaml', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sampling_and_the_begin_of_training_load_neither_the_compiler_nor_what_scores_samples(small_run: Path) -> None:
    """They take seconds and 70 and 110 MiB; torch's optimisers load the compiler themselves, later."""
    heavy = ("torch._dynamo", "torch._inductor", "sympy", "sklearn", "pandas", "matplotlib")
    for code in (
        "import beeline.cli.train, beeline.train.setup, beeline.train.loop, beeline.evaluate.ahead",
        f"from beeline.cli.main import run; assert not run(['sample', {str(small_run)!r}, '-n', '1', '--steps', '1'])",
    ):
        asked = f"{code}; import sys; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ZeroDivisionError("by zero"), "failed: ZeroDivisionError: by zero (--debug shows where)"),
        (ZeroDivisionError("two\n lines"), "failed: ZeroDivisionError: two lines (--debug shows where)"),
        (RunError("step 3: no"), "step 3: no"),
        (OSError(13, "Permission denied", "run/log.jsonl"), "run/log.jsonl: Permission denied"),
        (
            OSError(28, "No space left on device", "run/model.json"),
            "run/model.json: No space left on device; make room, then go on with --resume",
        ),
        (RuntimeError("can't allocate memory: you tried"), "not enough memory; fewer samples at a time"),
        (MemoryError(), "not enough memory; fewer samples at a time"),
    ],
)
def test_a_failure_of_ours_is_exit_code_1_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, small_run: Path, error: Exception, line: str
) -> None:
    import beeline.cli.inspect as module

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(module, "inspect", fail)
    done = finish(words("inspect", str(small_run)))
    assert done.returncode == 1
    assert done.stderr.startswith(f"beeline: {line}")
    assert len(lines_of(done.stderr)) == 1
    assert "Traceback" in finish(words("inspect", str(small_run), "--debug")).stderr


def test_a_reader_that_leaves_is_no_failure(small_run: Path) -> None:
    process = subprocess.Popen(
        words("inspect", str(small_run)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    process.wait()


def test_progress_is_plain_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    done = finish(
        words(
            "train",
            "digits",
            "--out",
            str(tmp_path / "run"),
            *flags({**FAST, "train.steps": 4}),
            "--verbosity",
            "debug",
        )
    )
    assert done.returncode == 0
    assert "step 4/4: loss" in done.stderr
    assert "epochs of 1,437 examples" in done.stderr
    assert "\x1b" not in done.stderr
    silent = finish(
        words(
            "train",
            "digits",
            "--out",
            str(tmp_path / "other"),
            *flags({**FAST, "train.steps": 4}),
            "--verbosity",
            "silent",
        )
    )
    assert (silent.stdout, silent.stderr) == ("", "")


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(bars=True)
    with display.work("training"):
        for step in range(1, 4):
            display.step(step, 3, {"loss": 0.25, "samples_per_second": 12.0} if step == 2 else None)
    with display.work("sampling") as progress:
        progress(5, 7)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss 0.2500, 12 samples/s" in shown
    assert "5/7" in shown


def test_a_long_memory_of_the_average_is_warned_about(tmp_path: Path) -> None:
    done = finish(
        words(
            "train",
            "digits",
            "--out",
            str(tmp_path / "run"),
            *flags({**FAST, "train.steps": 4, "train.ema_decay": 0.999}),
        )
    )
    assert "warning: ema_decay 0.999 remembers 1,000 steps, longer than this run" in done.stderr


def test_python_functions_are_the_verbs(small_run: Path, tmp_path: Path) -> None:
    import beeline

    written = beeline.sample(small_run, n=2, condition={"label": 3}, steps=2, out=tmp_path / "two.npz")
    assert written[0] == tmp_path / "two.npz"
    assert beeline.inspect(small_run)["step"] == 10
    with pytest.raises(beeline.UserError, match="holds a run already"):
        beeline.train("digits", out=small_run)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": "3"}, "n '3': needs a whole number"),
        ({"n": 2.5}, "n 2.5: needs a whole number"),
        ({"n": True}, "n True: must be at least 1"),
        ({"seed": "a"}, "seed 'a': needs a whole number"),
        ({"seed": 1.5}, "seed 1.5: needs a whole number"),
        ({"batch_size": "2"}, "batch_size '2': needs a whole number"),
        ({"shape": 8}, "shape 8: needs a list of whole numbers"),
        ({"shape": "8x8"}, "shape '8': needs a whole number"),
        ({"shape": (8.5, 8)}, "shape 8.5: needs a whole number"),
        ({"condition": [3]}, "condition [3]: needs a value by name"),
        ({"condition": {"label": np.array(99)}}, "condition label=99: labels are whole numbers from 0 to 9"),
        ({"shape": []}, "shape : this data has 2 axes"),
        ({"shape": (200000, 200000)}, "shape 200000x200000: more than 268,435,456 cells a sample"),
        ({"cfg_scale": 10**400}, "cfg_scale: needs a number"),
        ({"steps": 10**6}, "steps 1000000: must be at most 100000"),
    ],
)
def test_wrong_arguments_from_python_are_told_as_those_of_the_command(
    small_run: Path, arguments: dict[str, Any], message: str
) -> None:
    import beeline

    for sample in (beeline.load(small_run).sample, functools.partial(beeline.sample, small_run)):
        with pytest.raises(beeline.UserError) as caught:
            sample(**arguments)
        assert message in str(caught.value)


def test_what_is_no_target_no_path_or_no_option_is_told_from_python(tmp_path: Path) -> None:
    import beeline

    with pytest.raises(beeline.UserError, match="3: name a recipe"):
        beeline.train(3)  # type: ignore[arg-type]
    with pytest.raises(beeline.UserError, match="None: name a run folder"):
        beeline.load(None)  # type: ignore[arg-type]
    with pytest.raises(beeline.UserError, match="need a mapping, or a list of flags"):
        beeline.train("digits", options="--train.steps=3")
    run = beeline.train("digits", tmp_path / "run", options={**FAST, "train.steps": np.int64(2)})
    assert beeline.inspect(run)["step"] == 2
    names = ["target", "out", "resume", "options", "display", "dry_run", "init"]
    assert list(inspect.signature(beeline.train).parameters) == names


def test_what_is_made_of_a_checkpoint_goes_to_its_run(small_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    checkpoint = copy / "checkpoints" / "step-000008"
    before = sorted(path.name for path in checkpoint.iterdir())
    for _ in range(2):
        assert run(["sample", str(checkpoint), "-n", "1", "--steps", "1"]) == 0
    assert run(["evaluate", str(checkpoint), "-n", "10", "--steps", "1", "--spaces", "pca-32"]) == 0
    assert sorted(path.name for path in checkpoint.iterdir()) == before
    assert {"drawn-001", "drawn-002"} <= {path.name for path in (copy / "samples").iterdir()}
    moved = tmp_path / "elsewhere"
    shutil.copytree(checkpoint, moved)
    assert finish(words("inspect", str(moved))).returncode == 0


def test_places_where_nothing_can_be_written_are_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in ("/dev/null/run", "/proc/run", str(tmp_path / "file" / "run")):
        done = finish(words("train", "digits", "--out", place, *flags({**FAST, "train.steps": 2})))
        assert_one_line(done, "cannot be ")


def test_every_sampling_option_has_a_flag(small_run: Path) -> None:
    from dataclasses import fields
    from typing import get_type_hints

    from beeline.samplers.config import SampleConfig, SampleOptions

    text = finish(words("sample", "--help")).stdout
    for field in fields(SampleConfig):
        assert f"--{field.name.replace('_', '-')} " in text
    assert set(get_type_hints(SampleOptions)) == {field.name for field in fields(SampleConfig)}


def test_a_long_silence_is_explained_and_a_short_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_SECONDS_OF_SILENCE", 0.0)
    said = threading.Event()
    display = Display(bars=False)
    monkeypatch.setattr(display, "message", lambda text: said.set() if text == "reading" else None)
    with display.patience("reading"):
        assert said.wait(30.0)
    said.clear()
    monkeypatch.setattr(console, "_SECONDS_OF_SILENCE", 30.0)
    with display.patience("reading"):
        pass
    assert not said.is_set()
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    assert all(each.finished.is_set() for each in timers)
