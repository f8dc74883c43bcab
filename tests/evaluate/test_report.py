"""The report stands alone, says what was run, and survives whatever lies in a run folder."""

from __future__ import annotations

import html as html_module
import html.parser
import json
import math
import re
import shlex
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from beeline.evaluate.blocks import Block, Card, Cards, Code, Fold, Markup, Pictures, PictureTable, Section, Table, Text
from beeline.evaluate.charts import Chart
from beeline.evaluate.records import Record
from beeline.evaluate.report import build_report
from beeline.evaluate.run_report import run_report
from beeline.evaluate.score_table import gauge, score_cards, score_table
from beeline.generate.load import load
from beeline.train.folder import RunFolder
from tests.train.helpers import command, finish

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class Checker(html.parser.HTMLParser):
    """Collects sources, anchors and drawn numbers, and checks that tags close in order."""

    void = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.drawn: list[str] = []

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.void:
            self.handle_endtag(tag)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            kept = {"src": self.sources, "href": self.links, "id": self.anchors}.get(name)
            if name in ("points", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "viewbox"):
                kept = self.drawn
            if kept is not None:
                kept.append(value or "")
        if tag not in self.void:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.stack.pop() == tag


def check(page: str) -> Checker:
    """A page whose tags close, whose links lead somewhere, that loads nothing and draws nothing but numbers."""
    checker = Checker()
    checker.feed(page)
    assert checker.stack == []
    assert [link for link in checker.links if link[1:] not in checker.anchors] == []
    assert all(source.startswith("data:image/png;base64,") for source in checker.sources)
    for text in checker.drawn:
        assert all(math.isfinite(float(number)) for number in re.split(r"[ ,]", text)), text
    return checker


def report_of(run: Path) -> str:
    """The page as the folder now would have it, without pictures."""
    return run_report(RunFolder(run), load(run))


def test_a_runs_report_needs_nothing_beside_it(small_run: Path) -> None:
    page = (small_run / "report.html").read_text()
    checker = check(page)
    assert "http" not in page
    assert "url(" not in page
    for anchor in (
        "samples", "from-noise-to-data", "nearest-training-examples", "training", "speed", "what-was-run",
        "make-it-again", "files",
    ):  # fmt: skip
        assert anchor in checker.anchors, anchor
    for phrase in (
        "label 7", "real, held out", "held out, averaged weights", "<polyline", "Gradient norm", "Learning rate",
        "Loss by time", "t\u00a0=\u00a01.00", "expected data", "nearest in training",
        "from its nearest training example",
        "beeline train digits --out", "parameters", "10 steps", "train.learning_rate", "sha256", "FLOP a second",
    ):  # fmt: skip
        assert phrase in page, phrase
    # 11 grids; 2 stages of a walk of 2 steps and its end, 3 samples, with what is expected at the stages; 8 pairs.
    assert len(checker.sources) == 11 + 3 * (3 + 2) + 2 * 8


def test_the_commands_in_the_report_make_the_run_again(small_run: Path, tmp_path: Path) -> None:
    """Both: with the recipe and its flags, and from the run's own config. Names with spaces survive."""
    run = tmp_path / "a run"
    shutil.copytree(small_run, run)
    (run / "report.html").unlink()
    assert finish(command("train", "--out", str(run), "--resume")).returncode == 0
    page = html_module.unescape((run / "report.html").read_text())
    commands = re.findall(r"^.*?(beeline train .*)$", page, flags=re.MULTILINE)
    assert len(commands) == 2
    for line in commands:
        words = shlex.split(line, comments=True)
        done = finish(command(*words[1:]))
        assert done.returncode == 0, done.stderr
        again = Path(words[words.index("--out") + 1])
        assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
        shutil.rmtree(again)


def test_text_from_outside_is_escaped() -> None:
    bad = "<i a='\"'>&"
    blocks: list[Block] = [
        Text(bad),
        Section(bad, [Fold(bad, [Text(bad)])], bad),
        Cards([Card(bad, bad, bad)]),
        Table([[bad, bad]], [bad, bad]),
        Pictures({bad: PIXEL}, [bad]),
        PictureTable([bad], [(bad, [PIXEL]), (bad, [bad])]),
        Code([bad]),
        Chart(bad, {bad: [(0, 1), (1, 2)], bad + bad: [(0, 1), (1, 2)]}, bad, bad, levels={bad: 1}, note=bad),
        score_table([{"metric": bad, "meaning": bad, "space": bad, "floor_name": bad, "floor": 1.0, "failure": bad}]),
    ]
    page = build_report(bad, blocks, bad)
    check(page)
    assert "<i a" not in page
    assert page.count("&lt;i a") > 20
    assert Text(Markup("<b>x</b>")).html() == "<p><b>x</b></p>"


def test_an_empty_report_and_empty_blocks_leave_nothing_behind() -> None:
    empty: list[Block] = [
        Text(""),
        Section("a", [Table([]), Cards([]), Pictures({}), Code([]), PictureTable([], []), Fold("b", [])]),
    ]
    page = build_report("t", empty)
    check(page)
    for tag in ("<section", "<nav", "<table", "<details", "<figure"):
        assert tag not in page


def test_files_that_are_missing_empty_or_damaged_do_not_break_the_page(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "log.jsonl").unlink()
    (run / "evaluations").mkdir()
    for damage in ("", "[]", "{", '{"records": [], "curves": null}', '{"scores": []}'):
        for name in ("scores.json", "ema_widths.json", "model-note.json", "evaluations/evaluation-001.json"):
            (run / name).write_text(damage)
        page = report_of(run)
        check(page)
        assert "make-it-again" in page
        assert "<polyline" not in page


RECORD = {
    "metric": "Frechet distance", "formula": "frechet-1", "meaning": "between Gaussians", "space": "pca-32", "n": 1000,
    "seed": 0, "value": 2.0, "low": 1.5, "high": 2.5, "floor": 42.0, "floor_name": "class means", "ceiling": 1.0,
    "good_low": None, "good_high": None, "good": None, "failure": None,
}  # fmt: skip


def test_measurements_of_these_weights_are_shown_and_of_others_are_not(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    sha = load(run).origin["sha256"]
    bins = {"edges": [i / 10 for i in range(11)], "values": [0.5 + i / 10 for i in range(10)]}
    passes = {"passes": [4, 8, 50], "series": [{"metric": "Recall", "space": "pca-32", "values": [0.1, 0.2, None]}],
              "seconds_per_sample": [0.1, 0.2, 1.2]}  # fmt: skip
    (run / "evaluations").mkdir()
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    lines = [{k: v for k, v in line.items() if k != "held_out_loss_by_time"} | {"data_wait": 0.25} for line in lines]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "ema_widths.json").write_text('{"widths": [0.05, 0.1], "losses": [0.4, 0.3], "plain": 0.35}')
    for about, shown in ((sha, True), ("0" * 64, False)):
        scores = {"protocol": {"sha256": about, "sampler": "heun"}, "records": [RECORD],
                  "curves": {"held_out_loss_by_time": bins}}  # fmt: skip
        (run / "scores.json").write_text(json.dumps(scores))
        evaluation = {
            "protocol": {"sha256": about, "sampler": "euler"},
            "records": [{**RECORD, "meaning": "told later"}],
            "curves": {"passes": passes},
        }
        (run / "evaluations" / "evaluation-002.json").write_text(json.dumps(evaluation))
        (run / "evaluations" / "evaluation-003.json").write_text('{"protocol": {}, "records": [], "curves": {}}')
        page = report_of(run)
        check(page)
        for phrase in (
            "between Gaussians",
            "told later",
            "sampler euler",
            "1 more",
            "class means",
            "Recall, pca-32",
            "Time to draw a sample",
            "0.9 to 1: held out 1.4",
        ):
            assert (phrase in page) == shown, phrase
        for phrase in ("25.0% of the time", "Waiting for data", "rebuilt after training", "own average"):
            assert phrase in page, phrase


def test_evaluating_renews_the_report_of_the_weights_it_is_about(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "ema_widths.json").write_text('{"widths": [0.05, 0.1], "losses": [0.4, 0.3]}')
    earlier = min((run / "checkpoints").iterdir())
    for of, renewed in ((earlier, False), (run, True)):
        done = finish(command("evaluate", str(of), "-n", "4", "--steps", "1", "--spaces", "pca-32"))
        assert done.returncode == 0, done.stderr
        assert ("report.html" in done.stdout) == renewed
        page = (run / "report.html").read_text()
        assert ("rebuilt after training" in page) == renewed
    assert check(page).sources == check((small_run / "report.html").read_text()).sources


def test_scores_show_their_bounds_and_verdict() -> None:
    def scored(metric: str, value: float, **more: Any) -> dict[str, Any]:
        return Record(metric, f"m/{metric}", "how", "modality", 10, 0, value, **more).as_json()

    records = [
        scored("agreement", 0.98, good_low=0.95),
        scored("ratio", 0.5, good_low=0.7, good_high=1.3),
        scored("plain", 2.0),
        scored("broken", math.nan, good_low=0.0, failure="it broke"),
    ]
    rows = [row for row in score_table(records).html().split("<tr>") if "<td" in row]
    for row, phrases in zip(
        rows,
        (("0.980", "at least 0.95", "reached"), ("0.500", "missed"), ("2.00",), ("failed: it broke",)),
        strict=True,
    ):
        assert all(phrase in row for phrase in phrases), row
    assert "reached" not in rows[2]
    assert "missed" not in rows[2]
    assert [card.good for card in score_cards(records)] == [True, False, False]


@pytest.mark.parametrize(
    ("value", "floor", "ceiling", "where", "words"),
    [
        (0.75, 0.0, 1.0, 107.5, "75%"),
        (25.0, 100.0, 0.0, 107.5, "75%"),
        (-1.0, 0.0, 1.0, 10.0, "below the floor"),
        (120.0, 100.0, 0.0, 10.0, "below the floor"),
        (2.0, 0.0, 1.0, 140.0, "beyond the ceiling"),
    ],
)
def test_the_bar_runs_from_floor_to_ceiling_whichever_is_larger(
    value: float, floor: float, ceiling: float, where: float, words: str
) -> None:
    better = "lower" if floor > ceiling else "higher"
    drawn = gauge({**RECORD, "value": value, "floor": floor, "ceiling": ceiling, "better": better})
    assert f'cx="{where:.1f}"' in drawn
    assert words in drawn
    assert ('class="beyond"' in drawn) == (words[-1] != "%")


@pytest.mark.parametrize("missing", [{"floor": None}, {"ceiling": None}, {"value": None}, {"floor": 1.0}])
def test_there_is_no_bar_without_two_ends(missing: dict[str, Any]) -> None:
    assert gauge({**RECORD, **missing}) == ""


@pytest.mark.parametrize(("floor", "ceiling", "better"), [(1.0, 0.8, "higher"), (0.2, 0.3, "lower"), (9.0, 1.0, None)])
def test_there_is_no_bar_where_a_baseline_beats_real_examples_or_nobody_knows(
    floor: float, ceiling: float, better: str | None
) -> None:
    """Class means have a precision of 1: from there to the ceiling, nothing is the way of a model."""
    assert gauge({**RECORD, "value": 0.5, "floor": floor, "ceiling": ceiling, "better": better}) == ""


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_can_be_read_in_light_and_dark() -> None:
    """AA: 4.5 to 1 for all text, and for the curves too, whose names are told by their colour."""
    style = files("beeline.evaluate").joinpath("page.css").read_text()
    pairs = dict(re.findall(r"--(\w+): light-dark\((#\w{6}, #\w{6})\)", style))
    assert len(pairs) >= 14
    for theme in (0, 1):
        colours = {name: pair.split(", ")[theme] for name, pair in pairs.items()}
        for back in ("paper", "card"):
            for name in ("ink", "soft", "good", "bad", *(f"ink{number}" for number in range(6))):
                light, dark = sorted((luminance(colours[back]), luminance(colours[name])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, back, name)
