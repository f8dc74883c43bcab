"""Pages under docs/ are run: their Python and their commands, from top to bottom in one folder."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import FAST
from tests.train.helpers import command, finish, flags

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


PAGES = ("images", "peers", "dit", "sit", "lightningdit", "diffusers", "finetuning", "latents")


@pytest.mark.parametrize("page", PAGES)
def test_every_line_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training takes a few steps where the page says minutes; a line with an exit code ends with it."""
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text()
    names: dict[str, object] = {}
    quoted = [" ".join(quote.replace("> ", "").split()) for quote in re.findall(r"(?:^> .*\n)+", text, re.MULTILINE)]
    errors = []
    for language, block in BLOCK.findall(text):
        if language == "python":
            exec(compile(block, page, "exec"), names)
            continue
        for line in block.splitlines():
            line, _, comment = line.partition("  #")
            if "not run here" in comment:  # it needs a file that is published elsewhere
                continue
            words = shlex.split(re.sub(r"--train\.(budget 3m|steps \d+)", "--train.steps 6", line))
            if "--resume" in words or "--train.steps" in words:
                words += ["--train.steps=6"] if "--resume" in words else flags(SHORT if page == "images" else SHORTER)
                words = [word for word in words if not ("--init" in words and word.startswith("--model.preset="))]
            done = finish(command(*words[1:]))
            code = int(comment.split()[-1]) if "exit code" in comment else 0
            assert done.returncode == code, (line, done.stderr)
            if code:
                errors.append(done.stderr.strip().removeprefix("beeline: "))
    assert [error.replace(str(tmp_path) + os.sep, "") for error in errors] == quoted


SHORT = {
    name: value
    for name, value in FAST.items()
    if name not in ("train.batch_size", "train.held_out_every", "train.tensorboard")
}
SHORTER = {**SHORT, "train.batch_size": 16, "train.tensorboard": "false"}
