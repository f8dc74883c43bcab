"""Five kinds of data through one door, and a sixth from a user's own file."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import beeline
from beeline.cli.console import Display
from beeline.core.errors import UserError
from beeline.core.protocols import Modality
from beeline.modalities.loading import built_in_modalities, find_modality
from beeline.model.codec import Codec
from tests.conftest import FAST, lines_of
from tests.train.helpers import command, finish

PACKAGE = Path(beeline.__file__).parent
ENOUGH = {"clips": 350, "gaussian_fields": 150, "panels": 300, "waves": 300}  # steps to each kind's own truth
SYNTHETIC = list(ENOUGH)
WITH_DATA = ["images", *SYNTHETIC]  # the others need to be told where theirs lie


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "gaussian_fields")) for name in SYNTHETIC],
)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each synthetic recipe by the command that users type, given less time than it asks for."""
    out = tmp_path_factory.mktemp("five") / str(request.param)
    words = ["--out", str(out), "--train.threads", "1", "--train.steps", str(ENOUGH[request.param])]
    done = finish(command("train", str(request.param), *words))
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", SYNTHETIC)
def test_each_recipe_as_it_comes_reaches_its_own_truth(name: str, tmp_path: Path) -> None:
    done = finish(command("train", name, "--out", str(tmp_path / name), "--train.threads", "1"))
    assert done.returncode == 0, done.stderr
    test_each_kind_trains_and_reaches_its_own_truth(tmp_path / name)


def test_each_kind_trains_and_reaches_its_own_truth(trained: Path) -> None:
    record = json.loads((trained / "scores.json").read_text())
    assert any(score["good"] for score in record["records"])
    for score in record["records"]:
        assert score["good"] is not False, score
    assert "<svg" in (trained / "report.html").read_text()


def test_each_kind_is_scored_by_the_same_command(trained: Path) -> None:
    done = finish(command("evaluate", str(trained), "-n", "8", "--steps", "1"))
    assert done.returncode == 0, done.stderr
    record = json.loads(sorted((trained / "evaluations").iterdir())[-1].read_text())
    assert [score["n"] for score in record["records"]] == [8] * len(record["records"])
    assert any(score["value"] is not None for score in record["records"])


def test_each_kind_is_sampled_by_the_same_command(trained: Path, tmp_path: Path) -> None:
    words = command("sample", str(trained), "-n", "4", "--steps", "4", "--out", str(tmp_path / "out"))
    if trained.name == "gaussian_fields":
        missing = finish(words)
        assert missing.returncode == 2
        assert "condition 'under' is missing and was never dropped in training: give it a value" in missing.stderr
        np.save(tmp_path / "map.npy", np.random.default_rng(0).normal(size=(16, 16, 1)))
        words += ["--condition", f"under={tmp_path / 'map.npy'}", "--condition", "law=1.2,-2"]
    done = finish(words)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out" / "samples.npz") as arrays:
        assert sum(len(arrays[name]) if name == "samples" else 1 for name in arrays) == 4
    assert (tmp_path / "out" / "samples.png").stat().st_size > 200


def test_every_built_in_kind_is_a_modality_with_a_recipe_of_its_own() -> None:
    assert set(built_in_modalities()) == {"cells", "fields", "latents", *WITH_DATA}
    for name in WITH_DATA:
        modality = find_modality(name).make({})
        assert isinstance(modality, Modality)
        training, held_out = modality.dataset("train"), modality.dataset("held_out")
        again = modality.dataset("train")
        assert len(training) > len(held_out) > 0
        for one, other in zip(training[:5], again[:5], strict=True):
            assert np.array_equal(one.array, other.array, equal_nan=one.array.dtype.kind == "f")
        codec = Codec.fit(modality, training)
        for example in held_out[:20]:
            (back,) = codec.decode(codec.encode(example).tokens)
            assert back.dtype == example.array.dtype or back.dtype == np.float32
            np.testing.assert_allclose(back.astype(float), example.array.astype(float), rtol=1e-5, atol=1e-5)


def test_the_truth_itself_passes_every_metric_and_noise_fails_one() -> None:
    for name in WITH_DATA:
        modality = find_modality(name).make({})
        training, held_out = modality.dataset("train"), modality.dataset("held_out")
        random = np.random.default_rng(0)
        noise = [
            beeline.Example(
                random.integers(0, 256, one.array.shape).astype(np.uint8)
                if one.array.dtype == np.uint8
                else np.where(np.isnan(one.array), np.nan, 3 * random.normal(size=one.array.shape)),
                one.condition,
            )
            for one in held_out
        ]
        for metric in modality.metrics():
            assert metric.passes(metric.function(training, held_out, held_out)), (name, metric.name)
        assert not all(metric.passes(metric.function(training, held_out, noise)) for metric in modality.metrics()), name


def test_synthetic_kinds_take_at_most_sixty_lines() -> None:
    for name in SYNTHETIC:
        assert len((PACKAGE / "modalities" / f"{name}.py").read_text().splitlines()) <= 60


def test_nothing_outside_a_kinds_file_knows_it() -> None:
    """No identifier, import, argument or text outside names a kind of data; recipes do, that is what they are for."""
    names = {*built_in_modalities(), *(type(find_modality(name).make({})).__name__ for name in built_in_modalities())}
    texts = names - {"cells"}  # which a grid is made of too, and a recipe is called
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "modalities" and path.stem != "loading":
            continue
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        extras = {id(call.args[-1]) for call in calls if call.args and ast.unparse(call.func).endswith("needed")}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = getattr(node, "module", None) or ""
                assert not any(module == f"beeline.modalities.{name}" for name in names), path
                assert not any(alias.name in names for alias in node.names), (path, node.lineno)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in extras:
                assert node.value not in texts, f"{path}:{node.lineno} names {node.value}"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                assert "Modality" in ast.unparse(node) or not any(name in ast.unparse(node) for name in names), path


@pytest.fixture(scope="module")
def outsider(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A user's file that reads a user's data, and a run trained on it."""
    home = tmp_path_factory.mktemp("home")
    rows = np.random.default_rng(0).normal(size=(200, 12, 2))
    np.save(home / "rows.npy", rows)
    (home / "mine.py").write_text(USER_FILE.format(data=home / "rows.npy"))
    run = home / "run"
    done = finish(command("train", str(home / "mine.py"), "--out", str(run), *_fast(), "--data.scale", "2"))
    assert done.returncode == 0, done.stderr
    return home, run


USER_FILE = '''"""Two-channel rows from a file."""

from dataclasses import dataclass

import numpy as np

from beeline import Example, GridTokenizer, Standardise, curves


@dataclass(frozen=True)
class Rows:
    scale: float = 1.0

    def dataset(self, split):
        rows = np.load({str(0)!r} if False else "{data}") * self.scale
        return [Example(row) for row in (rows[:150] if split == "train" else rows[150:])]

    def normaliser(self):
        return Standardise()

    def tokenizer(self):
        return GridTokenizer((3,), channels=2)

    def conditions(self):
        return []

    def metrics(self):
        return []

    def preview(self, samples):
        return curves([sample.array[:, 0] for sample in samples])


MODALITY = Rows
'''.replace("{str(0)!r} if False else ", "")


def _fast() -> list[str]:
    return [f"--{name}={value}" for name, value in {**FAST, "train.steps": 6}.items()]


def test_a_users_file_trains_and_samples_without_the_data(
    outsider: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run = outsider
    data = home / "rows.npy"
    hidden = data.rename(home / "hidden.npy")
    monkeypatch.chdir(tmp_path)
    try:
        done = finish(command("sample", str(run), "-n", "3", "--out", str(tmp_path / "three.npz")))
        assert done.returncode == 0, done.stderr
    finally:
        hidden.rename(data)
    assert np.load(tmp_path / "three.npz")["samples"].shape == (3, 12, 2)
    options = json.loads((run / "model.json").read_text())["modality"]
    assert options["options"] == {"scale": 2.0}
    assert options["text"] == (home / "mine.py").read_text() == (run / "modality.py").read_text()


def test_a_changed_or_vanished_file_is_refused_and_can_be_replaced(outsider: tuple[Path, Path], tmp_path: Path) -> None:
    home, run = outsider
    path, original = home / "mine.py", (home / "mine.py").read_text()
    words = command("sample", str(run), "-n", "1", "--out", str(tmp_path / "one.npz"))
    path.write_text(original + "# changed\n")
    changed = finish(words)
    path.unlink()
    gone = finish(words)
    of_checkpoint = finish(command("inspect", str(run / "checkpoints" / "step-000006")))
    replaced = finish([*words, "--modality", str(run / "modality.py")])
    path.write_text(original)
    for done, message in (
        (changed, "the modality file has changed since training"),
        (gone, "the modality file of this model is gone"),
        (of_checkpoint, "the modality file of this model is gone"),
    ):
        assert done.returncode == 2
        assert message in done.stderr
        assert "--modality" in done.stderr
        assert len(lines_of(done.stderr)) == 1
        assert f"--modality {run / 'modality.py'}" in done.stderr
    assert replaced.returncode == 0, replaced.stderr
    assert finish(words).returncode == 0


def test_resuming_on_a_changed_file_is_refused(outsider: tuple[Path, Path], tmp_path: Path) -> None:
    home, run = outsider
    path, original = home / "mine.py", (home / "mine.py").read_text()
    path.write_text(original + "# changed\n")
    done = finish(command("train", str(path), "--out", str(run), "--resume", "--train.steps", "8"))
    path.write_text(original)
    assert done.returncode == 2
    assert "has changed since this run began" in done.stderr


def assert_refused(text: str, message: str, tmp_path: Path) -> None:
    """A modality file with this text ends training with this line before anything is written."""
    (tmp_path / "mine.py").write_text(text)
    done = finish(command("train", str(tmp_path / "mine.py"), "--out", str(tmp_path / "run"), *_fast()))
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(lines_of(done.stderr)) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must end with 'MODALITY = YourClass'"),
        ("MODALITY = 3\n", "must end with 'MODALITY = YourClass'"),
        (
            "class A:\n    pass\nMODALITY = A\n",
            "MODALITY lacks conditions, dataset, metrics, normaliser, preview, tokenizer",
        ),
        ("import nothing_of_this_name\n", "does not run (ModuleNotFoundError"),
        ("def broken(:\n", "does not run (SyntaxError"),
    ],
)
def test_files_that_are_no_modality_are_told_why(text: str, message: str, tmp_path: Path) -> None:
    assert_refused(text, message, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('np.load("{data}") * np.nan', "holds no number at all"),
        ('np.load("{data}")[:, :, :1]', "does not fit: need 1 axes of at least one cell and 2 channels last"),
        ('np.load("{data}")[:0]', "holds no example"),
        ('np.where(np.arange(200)[:, None, None] == 7, np.inf, np.load("{data}"))', "infinity"),
    ],
)
def test_data_that_cannot_be_learned_from_are_named(
    outsider: tuple[Path, Path], tmp_path: Path, change: str, message: str
) -> None:
    home, _ = outsider
    text = (home / "mine.py").read_text()
    data = home / "rows.npy"
    (tmp_path / "mine.py").write_text(text.replace(f'np.load("{data}")', change.replace("{data}", str(data))))
    with pytest.raises(UserError) as caught:
        beeline.train(str(tmp_path / "mine.py"), tmp_path / "run", options={**FAST, "train.steps": 2})
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_file_can_be_copied_from_the_package_and_used(tmp_path: Path) -> None:
    shutil.copy(PACKAGE / "modalities" / "waves.py", tmp_path / "mine.py")
    options: dict[str, Any] = {**FAST, "train.steps": 2, "data.patch": 8}
    run = beeline.train(str(tmp_path / "mine.py"), tmp_path / "run", options=options)
    arrays = beeline.load(run).sample(3, condition={"kind": 1}, steps=1)
    assert isinstance(arrays, list)
    assert all(array.shape[1:] == (1,) for array in arrays)
    assert len(beeline.load(run).sample(3, shape=(20,), steps=1)) == 3


def test_unconditional_images_need_no_label_anywhere(tmp_path: Path) -> None:
    options: dict[str, Any] = {**FAST, "train.steps": 4, "data.labelled": False, "train.score_samples": 8}
    run = beeline.train("digits", tmp_path / "run", options=options)
    model = beeline.load(run)
    assert len(model.sample(3, steps=1)) == 3
    with pytest.raises(UserError, match="this model is unconditional"):
        model.sample(3, condition={"label": 1}, steps=1)
    with pytest.raises(UserError, match="guidance needs a condition that was dropped in training"):
        model.sample(3, cfg_scale=2.0, steps=1)
    assert (run / "samples" / "all.png").is_file()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return curves", "return curve", "preview() failed (NameError"),
        (
            'if split == "train" else rows[150:]',
            'if split == "train" else row[150:]',
            "dataset('held_out') failed (NameError",
        ),
        ('if split == "train" else rows[150:]', 'if split == "train" else []', "the held_out split holds no example"),
        ("return Standardise()", "return Standardize()", "normaliser() failed (NameError"),
        ("[Example(row) for row in", "[row for row in", "train example 0: is a ndarray, not an Example"),
        (
            "return GridTokenizer((3,), channels=2)",
            "return GridTokenizer((3,), channels=0)",
            "must be whole numbers above 0",
        ),
        ("Example(row)", "Example(row.astype(complex))", "train example 0: need real numbers, found complex128"),
        ("Example(row)", 'Example(row, {"a": 1})', "this model is unconditional"),
        ("Example(row)", "Example(row, [1])", "train example 0: its condition is a list, not a dict"),
        ("Example(row)", "Example(row.tolist())", "train example 0: its array is a list, not a numpy array"),
        ("Example(row)", "Example(np.array(1.0))", "train example 0: its array is a single number"),
        ("Example(row)", "Example(row * 1e39)", "too large for 32-bit arithmetic"),
        ("return [Example(row) for row in", "yield [Example(row) for row in", "dataset('train') gives a generator"),
        (
            "else rows[150:])]",
            "else np.ones((1, 3, 3)))]",
            "held_out example 0: an array of shape (3, 3) does not fit the normaliser",
        ),
        (
            "else rows[150:])]",
            "else [*rows[150:], np.full((12, 2), np.nan)])]",
            "held_out example 50: an array holds NaN",
        ),
        ("return Standardise()", "return None", "normaliser() gives a NoneType, not a Normaliser"),
        ("return []\n\n    def metrics", "return None\n\n    def metrics", "conditions() gives a NoneType, not a list"),
        (
            "return []\n\n    def metrics",
            "return [3]\n\n    def metrics",
            "conditions() gives a int among its conditions",
        ),
        ("return []\n\n    def preview", 'return ["x"]\n\n    def preview', "metrics() gives a str among its metrics"),
        ("return curves([sample.array[:, 0] for sample in samples])", "return None", "preview() gives a NoneType"),
        ("scale: float = 1.0", "scale: Nothing = 1.0", "does not run (NameError"),
        ("MODALITY = Rows", "raise SystemExit(3)", "does not run (SystemExit: 3)"),
        ("MODALITY = Rows", 'raise ValueError("two\\nlines")', "does not run (ValueError: two lines)"),
    ],
)
def test_mistakes_in_a_users_file_are_told_before_any_work(
    outsider: tuple[Path, Path], tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (outsider[0] / "mine.py").read_text()
    assert old in text
    assert_refused(text.replace(old, new), message, tmp_path)


COUNTING = """
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from beeline import AlignedMap, ClassLabel, Example, GridTokenizer, Standardise, Vector, curves

@dataclass(frozen=True)
class Doubling:
    factor: float = 0.5

    def fit(self, arrays):
        return self

    def apply(self, array):
        return (array * self.factor).astype(np.float32)

    def undo(self, array):
        return array / self.factor

@dataclass(frozen=True)
class Counting:
    root: str = "{root}"

    def dataset(self, split):
        random = np.random.default_rng([split == "train"])
        folders = sorted(Path(self.root).iterdir())
        return [
            Example(random.normal(size=(8, 2)), {{"kind": i % len(folders), "law": random.normal(size=2)}}, (split, i))
            for i in range(40)
        ]

    def normaliser(self):
        return Doubling(0.25)

    def tokenizer(self):
        return GridTokenizer((4,), channels=len(np.load(sorted(Path(self.root).iterdir())[0] / "x.npy")))

    def conditions(self):
        return [ClassLabel("kind", classes=len(list(Path(self.root).iterdir()))), Vector("law", 2)]

    def metrics(self):
        return []

    def preview(self, samples):
        return curves([sample.array[:, 0] for sample in samples])

MODALITY = Counting
"""


def test_a_model_opens_without_asking_its_modality_anything(tmp_path: Path) -> None:
    """Classes and channels that were counted in folders, a user's own normaliser: all are in the model."""
    for name in ("a", "b", "c"):
        (tmp_path / "data" / name).mkdir(parents=True)
        np.save(tmp_path / "data" / name / "x.npy", np.zeros(2))
    (tmp_path / "mine.py").write_text(COUNTING.format(root=tmp_path / "data"))
    run = beeline.train(str(tmp_path / "mine.py"), tmp_path / "run", options={**FAST, "train.steps": 2})
    before = beeline.load(run).sample(3, condition={"kind": 2, "law": [0.1, 0.2]}, steps=2)
    shutil.rmtree(tmp_path / "data")
    after = beeline.load(run).sample(3, condition={"kind": 2, "law": [0.1, 0.2]}, steps=2)
    assert np.array_equal(before, after)
    assert finish(command("sample", str(run), "-n", "2", "--out", str(tmp_path / "two"))).returncode == 0
    stored = json.loads((run / "model.json").read_text())
    assert stored["normaliser"] == {"class": "modality:Doubling", "arguments": {"factor": 0.25}}
    for field, value in (("class", "os:system"), ("class", "beeline.cli.main:run"), ("class", "modality:Nothing")):
        changed = json.loads(json.dumps(stored))
        changed["normaliser"][field] = value
        (run / "model.json").write_text(json.dumps(changed))
        with pytest.raises(UserError, match="the model"):
            beeline.load(run)


@pytest.mark.parametrize("where", ["fit", "apply"])
def test_mistakes_in_a_users_own_parts_name_the_file(outsider: tuple[Path, Path], tmp_path: Path, where: str) -> None:
    text = (outsider[0] / "mine.py").read_text().replace("return Standardise()", f'return Failing("{where}")')
    text = text.replace("MODALITY", FAILING + "\n\nMODALITY")
    assert_refused(text, f"{tmp_path}/mine.py: its parts failed (RuntimeError: at {where})", tmp_path)


FAILING = """
@dataclass(frozen=True)
class Failing:
    where: str = "fit"

    def fit(self, arrays):
        return self._maybe("fit")

    def apply(self, array):
        return self._maybe("apply")

    def undo(self, array):
        return array

    def _maybe(self, here):
        if here == self.where:
            raise RuntimeError(f"at {here}")
        return self
"""


def test_an_option_without_a_default_and_a_path_come_by_flag_or_recipe(
    outsider: tuple[Path, Path], tmp_path: Path
) -> None:
    home, out = outsider[0], tmp_path / "run"
    text = (home / "mine.py").read_text().replace("scale: float = 1.0", "root: Path\n    scale: float = 1.0")
    text = text.replace(f'np.load("{home / "rows.npy"}")', 'np.load(self.root / "rows.npy")')
    (tmp_path / "mine.py").write_text(text.replace("import numpy", "from pathlib import Path\nimport numpy"))
    words = command("train", str(tmp_path / "mine.py"), "--out", str(out), *_fast())
    missing = finish(words)
    assert missing.returncode == 2
    assert "data.root" in missing.stderr
    done = finish([*words, "--data.root", str(home)])
    assert done.returncode == 0, done.stderr
    assert finish(command("sample", str(out), "-n", "1")).returncode == 0
    assert vars(beeline.load(out).modality)["root"] == home
    again = finish(command("train", str(out / "config.yaml"), "--out", str(tmp_path / "again")))
    assert again.returncode == 0, again.stderr
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "again" / "model.safetensors").read_bytes()


MAPPED_SET = """
from dataclasses import dataclass
import numpy as np
from beeline import AlignedMap, Example, SetTokenizer, Standardise, curves

@dataclass(frozen=True)
class Mapped:
    def dataset(self, split):
        random = np.random.default_rng([split == "train"])
        maps = random.normal(size=(40, 5, 1))
        return [Example(under[:, 0] + 0.1 * random.normal(size=5), {"under": under}) for under in maps]

    def normaliser(self):
        return Standardise()

    def tokenizer(self):
        return SetTokenizer(5)

    def conditions(self):
        return [AlignedMap("under")]

    def metrics(self):
        return []

    def preview(self, samples):
        return curves([sample.array for sample in samples])

MODALITY = Mapped
"""


def test_a_map_may_lie_under_a_set(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MAPPED_SET)
    run = beeline.train(str(tmp_path / "mine.py"), tmp_path / "run", options={**FAST, "train.steps": 2})
    under = np.random.default_rng(0).normal(size=(5, 1))
    assert len(beeline.load(run).sample(3, condition={"under": under}, steps=1)) == 3
    np.save(tmp_path / "under.npy", under)
    done = finish(command("sample", str(run), "-n", "2", "--condition", f"under={tmp_path}/under.npy"))
    assert done.returncode == 0, done.stderr


METRIC = """return [Metric("odd", "x", lambda training, held_out, samples: {value}, low=0.0)]

    def preview"""


def test_a_score_that_is_no_number_is_null_and_one_that_fails_ends_with_a_report(
    outsider: tuple[Path, Path], tmp_path: Path
) -> None:
    text = (outsider[0] / "mine.py").read_text().replace("import Example,", "import Example, Metric,")
    for value, code, shown in (("float('nan')", 0, "odd nan"), ("1 / 0", 1, "metric 'odd' failed (ZeroDivisionError")):
        path, out = tmp_path / f"mine{code}.py", tmp_path / f"run{code}"
        path.write_text(text.replace("return []\n\n    def preview", METRIC.format(value=value)))
        words = command("train", str(path), "--out", str(out), *_fast(), "--train.score_samples=4")
        done = finish(words)
        assert done.returncode == code
        assert shown in done.stdout + done.stderr
        assert json.loads((out / "scores.json").read_text())["records"][0]["value"] is None
        assert (out / "report.html").is_file()
        again = finish([*words, "--resume"])
        assert again.returncode == 0
        assert "this run is finished" in again.stderr
        assert finish(command("evaluate", str(out), "-n", "2", "--steps", "1")).returncode == code


def test_a_file_that_changes_during_training_does_not_cost_the_end_of_the_run(
    outsider: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text((outsider[0] / "mine.py").read_text())

    class Editing(Display):
        def step(self, step: int, steps: int, record: dict[str, Any] | None) -> None:
            path.write_text("# edited\n")

    options: dict[str, Any] = {**FAST, "train.steps": 2}
    out = beeline.train(str(path), tmp_path / "run", options=options, display=Editing("silent"))
    assert (out / "report.html").is_file()


def test_a_moved_file_is_still_the_runs_own(outsider: tuple[Path, Path], tmp_path: Path) -> None:
    home, moved, out = tmp_path / "mine.py", tmp_path / "moved.py", tmp_path / "run"
    home.write_text((outsider[0] / "mine.py").read_text())
    assert finish(command("train", str(home), "--out", str(out), *_fast())).returncode == 0
    home.rename(moved)
    done = finish(command("train", str(moved), "--out", str(out), "--resume", "--train.steps", "8"))
    assert done.returncode == 0, done.stderr
    assert finish(command("sample", str(out), "-n", "1")).returncode == 0


def test_a_kind_without_metrics_is_measured_by_distances_or_not_at_all(outsider: tuple[Path, Path]) -> None:
    words = command("evaluate", str(outsider[1]), "-n", "10", "--steps", "1", "--spaces")
    done = finish([*words, "pca-32"])
    assert done.returncode == 0, done.stderr
    assert "Frechet distance (pca-32)" in done.stdout
    done = finish([*words, "classifier-a"])
    assert done.returncode == 2
    assert "nothing to measure: its modality has no metrics; classifier-a: examples are no images" in done.stderr


def test_a_group_in_both_splits_is_refused(outsider: tuple[Path, Path], tmp_path: Path) -> None:
    text = (outsider[0] / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(text.replace("Example(row)", 'Example(row, group="one speaker")'))
    done = finish(command("train", str(tmp_path / "mine.py"), "--out", str(tmp_path / "run"), *_fast()))
    assert done.returncode == 2
    assert "group 'one speaker' is in both splits" in done.stderr
