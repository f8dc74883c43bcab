"""The built wheel is all that a user needs: its recipes train in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import FAST
from tests.train.helpers import flags

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_trains_digits_in_an_empty_folder(tmp_path: Path) -> None:
    source, wheels, home = tmp_path / "source", tmp_path / "wheels", tmp_path / "home"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        if name.startswith("src/") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(home)]
    subprocess.run([*install, str(wheel)], check=True)
    assert (home / "beeline" / "recipes" / "digits.yaml").is_file()
    assert (home / "beeline" / "py.typed").is_file()
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(home)}
    words = [str(home / "bin" / "beeline"), "train", "digits", *flags({**FAST, "train.steps": 2})]
    run = subprocess.run(words, cwd=empty, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (empty / "runs" / "digits" / "report.html").is_file()
    where = [sys.executable, "-c", "import beeline; print(beeline.__file__)"]
    found = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(home))
