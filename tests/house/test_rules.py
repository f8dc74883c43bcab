"""The rules of the house, as tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import beeline
from beeline.cli.main import VERBS
from beeline.cli.recipes import recipe_names
from tests.conftest import FAST
from tests.train.helpers import command, finish

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "beeline"
ROOMS = {
    "core": 0, "process": 1, "nn": 1, "data": 1, "metrics": 1, "tokenizers": 2, "conditioning": 2, "samplers": 2,
    "objectives": 3, "backbone": 3, "model": 4, "modalities": 5, "generate": 6, "train": 6, "evaluate": 7, "serve": 7,
    "cli": 8,
}  # fmt: skip
OUTSIDE = {"__init__.py", "__main__.py"}
ERRORS_HERE = [*range(1, 15), *range(16, 24), *range(29, 34), 35, 37, 38, 39, 41, 42, 43]


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "beeline"]


def test_imports_go_down_the_rooms_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] in OUTSIDE:
            continue
        own = parts[0]
        for name in imports_of(path):
            other = (*name.split("."), "")[1]
            assert other, f"{path}: imports beeline itself"
            assert other == own or ROOMS[other] < ROOMS[own], f"{path}: {own} imports {other}"


def test_every_folder_is_a_room_with_a_sentence() -> None:
    for folder in PACKAGE.iterdir():
        if folder.is_dir() and folder.name not in ("recipes", "__pycache__"):
            assert folder.name in ROOMS
            assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_configs_are_free_of_torch() -> None:
    found = list(PACKAGE.rglob("config.py"))
    assert len(found) > 5
    for path in found:
        module = ".".join(("beeline", *path.relative_to(PACKAGE).with_suffix("").parts))
        code = f"import sys, {module}; print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert done.stdout == "False\n", module


def test_files_functions_and_signatures_stay_small() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 320, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno < 70, f"{path}:{node.lineno} {node.name}"
                count = len(node.args.args) + len(node.args.kwonlyargs)
                assert count <= 11, f"{path}:{node.lineno} {node.name}"


REMEMBERING = {"rand", "randn", "rand_like", "randn_like", "randint", "randperm", "normal_", "uniform_", "Generator"}


def test_draws_of_training_and_sampling_are_named_by_keys() -> None:
    for room in ("process", "samplers", "objectives", "generate", "train", "evaluate"):
        for file in (PACKAGE / room).glob("*.py"):
            names = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
            assert not names & REMEMBERING, (file.name, names & REMEMBERING)


def test_everything_is_written_by_way_of_one_file() -> None:
    writing = re.compile(r"\.write_(text|bytes)\(|open\([^)]*\"[wa]b?\"|np\.save|\.save_file\(")
    found = {
        str(file.relative_to(PACKAGE)): match
        for file in PACKAGE.rglob("*.py")
        if (match := writing.findall(file.read_text()))
    }
    assert found.keys() == {"core/files.py", "generate/write.py"}
    assert "np.savez(buffer" in (PACKAGE / "generate" / "write.py").read_text()


def test_the_core_needs_nothing_but_what_it_declares() -> None:
    """Packages of the extras are imported inside the work alone, so that the core does without them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for name, needs in project["optional-dependencies"].items() if name != "dev" for each in needs]
    core, more = (
        {re.split(r"[>=<]", each)[0].replace("-", "_").lower() for each in names}
        for names in (project["dependencies"], extras)
    )
    core |= {"yaml", "pil", "sklearn", "beeline", *sys.stdlib_module_names}
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        inside = {node for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef) for node in ast.walk(outer)}
        for node in ast.walk(tree):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            known = core | more if node in inside else core
            for module in modules:
                assert module.partition(".")[0].lower() in known, (file.name, module)


def test_everything_public_is_documented() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        synthetic = path.parent.name == "modalities" and path.stem not in ("images", "loading", "__init__")
        protocols = path.name == "protocols.py"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                nested = any(
                    node in ast.walk(outer) and node is not outer
                    for outer in ast.walk(tree)
                    if isinstance(outer, ast.FunctionDef)
                )
                if not nested and not synthetic and not protocols:
                    assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"


def test_every_known_error_on_this_ground_has_a_test_named_after_it() -> None:
    names = set(re.findall(r"def test_e(\d\d)_", "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))))
    assert {f"{number:02}" for number in ERRORS_HERE} <= names


def test_the_walk_in_the_readme_leads_to_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    walk = readme.partition("## The walk")[2].partition("\n## ")[0]
    paths = re.findall(r"\]\((src/[^)]+)\)", walk)
    assert len(paths) == 11
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_path_in_the_documents_exists() -> None:
    for document in ("README.md", "CONTRIBUTING.md"):
        for path in re.findall(r"`((?:src|tests|benchmarks)/[\w./-]+)`", (ROOT / document).read_text()):
            assert (ROOT / path).exists(), (document, path)


def test_recipes_open_with_score_hardware_time_command_and_origin() -> None:
    for name in recipe_names():
        text = (PACKAGE / "recipes" / f"{name}.yaml").read_text()
        header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
        for word in ("score:", "hardware:", "time:", "command:", "data:"):
            assert word in header, (name, word)
        assert f"beeline train {name}" in header
        assert set(yaml.safe_load(text)) <= {"modality", "data", "model", "process", "objective", "train", "sample"}


def test_no_file_names_a_registry_or_a_folder_outside() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    paths = [ROOT / name for name in tracked] or [p for p in ROOT.rglob("*") if p.suffix in (".py", ".md", ".toml")]
    for path in paths:
        if path.name == "LICENSE" or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not re.search(r"pypi\.org|pythonhosted|download\.pytorch|--(extra-)?index-url", text), path
        if path != ROOT / "tests" / "conftest.py":
            assert "/work/" not in text, path
            assert "../shared" not in text, path


def test_the_public_surface_is_pinned() -> None:
    """Names of the package and flags of the commands: a change here is a change for users."""
    surface = ["# names", *sorted(beeline.__all__)]
    for verb in VERBS:
        text = finish(command(verb, "--help")).stdout
        surface += [f"# {verb}", *sorted(set(re.findall(r"^  (-n|--[\w.-]+)", text, flags=re.MULTILINE)))]
    pinned = (ROOT / "tests" / "house" / "surface.txt").read_text().split("\n")
    assert [line for line in pinned if line] == surface


def test_public_names_are_found_and_others_are_not() -> None:
    for name in beeline.__all__:
        assert getattr(beeline, name) is not None
        assert name in dir(beeline)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = beeline.nothing


def test_rooms_with_the_name_of_a_verb_are_both(small_run: Path) -> None:
    code = """
import beeline
verb = beeline.train
import beeline.train.loop as loop, beeline.evaluate.report
from beeline.train.folder import RunFolder
assert callable(loop.run) and callable(beeline.evaluate.report.build_report) and callable(verb)
for each in (verb, beeline.train):
    try:
        each("digits", RUN)
    except beeline.UserError as error:
        assert "holds a run already" in str(error)
    else:
        raise AssertionError
""".replace("RUN", repr(str(small_run)))
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_readmes_python_runs(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block, with the run folder of the text in place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(small_run)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        if "MODALITY" in block:
            (tmp_path / "steps.py").write_text(block)
            beeline.train(
                str(tmp_path / "steps.py"), tmp_path / "own", options={**FAST, "train.steps": 2, "data.count": 500}
            )
        else:
            exec(compile(block, "README.md", "exec"), {})


def test_the_readmes_commands_are_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    verbs = [line.split()[1] for line in lines if line.startswith("beeline ")]
    assert set(verbs) == set(VERBS)
    for line in lines:
        if line.startswith("beeline "):
            flags = re.findall(r"--[\w.-]+", line)
            text = finish(command(line.split()[1], "--help")).stdout
            for flag in flags:
                assert flag in text or flag.startswith("--data."), (line, flag)
