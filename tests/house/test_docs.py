"""Pages under docs/ are run: their Python and their commands, from top to bottom in one folder."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

import beeline
from beeline.cli.main import run
from beeline.core.errors import UserError
from beeline.evaluate.contract import CLAUSES
from beeline.model import interop
from tests.conftest import FAST
from tests.house.pages import BLOCK, DOCS, broken, files
from tests.model.peers import Recipe, state
from tests.train.helpers import flags

PAGES = (
    "images",
    "modality",
    "peers",
    "dit",
    "sit",
    "lightningdit",
    "diffusers",
    "finetuning",
    "latents",
    "family",
    "guidance",
    "editing",
    "likelihood",
    "fields",
    "cells",
    "speed",
)


@pytest.mark.parametrize("page", PAGES)
def test_every_line_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training takes a few steps where the page says minutes; a line with an exit code ends with it."""
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text()
    names: dict[str, object] = {}
    quoted = [" ".join(quote.replace("> ", "").split()) for quote in re.findall(r"(?:^> .*\n)+", text, re.MULTILINE)]
    errors = []
    for name, block in files(text).items():
        Path(name).write_text(block)
    for language, block in BLOCK.findall(text):
        if language == "python":
            exec(compile(block, page, "exec"), names)
            continue
        if language in ("diff", "text"):
            continue
        for line in block.splitlines():
            line, _, comment = line.partition("  #")
            if "not run here" in comment:  # it needs a file that is published elsewhere
                continue
            words = shlex.split(re.sub(r"--train\.(budget 3m|steps \d+)", "--train.steps 6", line))
            if "--resume" in words or "--train.steps" in words:
                words += ["--train.steps=6"] if "--resume" in words else flags(SHORT if page == "images" else SHORTER)
                words = [word for word in words if not ("--init" in words and word.startswith("--model.preset="))]
                words = [word for word in words if not ("regression" in words and word.startswith("--sample.steps="))]
            assert words[0] == "beeline"
            capsys.readouterr()
            code, told = run(words[1:]), capsys.readouterr().err
            wanted = int(comment.split()[-1]) if "exit code" in comment else 0
            assert code == wanted, (line, told)
            if code:
                errors.append(told.strip().removeprefix("beeline: "))
    assert [error.replace(str(tmp_path) + os.sep, "") for error in errors] == quoted


def test_a_file_of_ones_own_keeps_the_contract_and_each_change_to_it_breaks_a_clause_as_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "modality.md").read_text()
    (name, good), *others = files(text).items()
    assert not others
    assert good.count("\n") < 120
    exec(compile(next(block for language, block in BLOCK.findall(text) if language == "python"), "data", "exec"), {})
    changed = broken(text, good)
    assert list(changed) == [clause.name for clause in CLAUSES]
    told = [line.strip("| ").partition(" |")[0] for line in text.splitlines() if line.startswith("| ")]
    assert told[2:] == list(changed), "the table has them too, below its head"
    for clause, (changed_file, message) in changed.items():
        Path(name).write_text(changed_file)
        (verdict,) = beeline.check(name, only=[clause]).verdicts
        assert (verdict.status, verdict.text) == ("failed", message), clause
        assert "\n" not in verdict.line()


SHORT = {
    name: value
    for name, value in FAST.items()
    if name not in ("train.batch_size", "train.held_out_every", "train.tensorboard")
}
SHORTER = {**SHORT, "train.batch_size": 16, "train.tensorboard": "false"}


ROWS: dict[str, tuple[str, Recipe]] = {
    "DiT": ("dit", Recipe()),
    "SiT": ("sit", Recipe(outputs=1)),
    "LightningDiT, without switches": ("lightningdit", Recipe(outputs=1)),
    "LightningDiT, as in its paper": ("lightningdit", Recipe(outputs=1, swiglu=True, rope=True, rms=True)),
}


def test_the_table_of_what_leaves_where_is_true(tmp_path: Path) -> None:
    text = (DOCS / "peers.md").read_text()
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    rows = {cells[0]: cells[1:] for cells in table if len(cells) == 5 and cells[1] in WORDS}
    assert len(rows) == 6
    for name, said in rows.items():
        m = peer(name, tmp_path / f"{len(list(tmp_path.iterdir()))}")
        found = [fate(m, layout, tmp_path / f"{len(list(tmp_path.iterdir()))}") for layout in interop.LAYOUTS]
        assert found == said, name


WORDS = ("same bits", "another function", "no place")


def peer(name: str, path: Path) -> interop.Imported:
    if name in ROWS:
        layout, recipe = ROWS[name]
        torch.save(state(recipe), path.with_suffix(".pt"))
        return interop.load(path.with_suffix(".pt"), layout, num_heads=4, null_row=True)  # type: ignore[arg-type]
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=16, out_channels=8, num_layers=2, sample_size=8, num_embeds_ada_norm=5
    )
    if "copies" in name:
        first = network.transformer_blocks[0].norm1.emb
        network.transformer_blocks[1].norm1.emb.load_state_dict(first.state_dict())
    network.save_pretrained(path)
    return interop.load(path)


def fate(m: interop.Imported, layout: Any, path: Path) -> str:
    try:
        interop.save(m, path if layout == "diffusers" else path.with_suffix(".pt"), layout)
    except UserError as error:
        return "another function" if "another function" in str(error) else "no place"
    return "same bits"


def test_the_table_of_guidance_is_what_its_page_computes() -> None:
    text = (DOCS / "guidance.md").read_text()
    names: dict[str, Any] = {}
    exec(
        compile(next(block for language, block in BLOCK.findall(text) if language == "python"), "guidance", "exec"),
        names,
    )
    rows = {
        name: f"| {name} | {mean:.2f} | {sd:.3f} | {passes} |" for name, (mean, sd, passes) in names["rows"].items()
    }
    assert len(rows) == 5
    assert [line for line in text.splitlines() if line.startswith("| scale")] == [*rows.values()]
    for scale in (2, 4):
        precision = scale / 0.5**2 - (scale - 1) / 1.2**2
        assert f"N({scale * 2 / 0.5**2 / precision:.2f}, {precision**-0.5:.3f}²)" in text


def test_e11_no_page_quotes_scores_without_their_protocol() -> None:
    """E11: FIDs of papers are copied about without guidance, steps and size; our pages quote none of them."""
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md", *(DOCS.parent / "src").rglob("*.yaml")]
    assert len(pages) > 10
    for page in pages:
        for line in page.read_text().splitlines():
            assert not re.search(r"\bFID\b.*\d", line), (page, line)
