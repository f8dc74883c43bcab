"""The report stands alone and says what was run."""

from __future__ import annotations

import html as html_module
import html.parser
import math
import re
import shlex
import shutil
from pathlib import Path

import pytest

from beeline.core.data import Example
from beeline.evaluate.report import ReportContent, _ticks, build_report
from beeline.evaluate.scores import Score, gallery, requests_like
from beeline.generate.load import load
from tests.train.helpers import command, finish


class Checker(html.parser.HTMLParser):
    """Collects sources and checks that tags close in order."""

    void = ("meta", "img", "line", "polyline", "br")

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in self.void:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.stack.pop() == tag


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.stack == []
    return checker


def test_a_runs_report_needs_nothing_beside_it(small_run: Path) -> None:
    page = (small_run / "report.html").read_text()
    checker = check(page)
    assert len(checker.sources) == 11, "a grid for each class, and real images beside them"
    assert all(source.startswith("data:image/png;base64,") for source in checker.sources)
    assert "http" not in page
    for phrase in (
        "label-7",
        "held out, averaged weights",
        "<polyline",
        "beeline train digits --out",
        "parameters",
        "10 steps",
        "train.learning_rate",
        "sha256",
    ):
        assert phrase in page, phrase


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
    page = build_report(ReportContent("<script>", "a & b", facts={"<b>": "</td>"}, config={"x": {"y": "<i>"}}))
    check(page)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_scores_show_their_bounds_and_verdict() -> None:
    scores = [
        Score("agreement", "a", 0.98, 0.95, math.inf, 10, True),
        Score("ratio", "b", 0.5, 0.7, 1.3, 10, False),
        Score("plain", "c", 2.0, -math.inf, math.inf, 10, True),
    ]
    page = build_report(ReportContent("t", "s", scores=scores))
    check(page)
    assert scores[0].line() == "agreement 0.980 (at least 0.95: reached)"
    assert scores[1].line() == "ratio 0.500 (at least 0.7 and at most 1.3: missed)"
    assert scores[2].line() == "plain 2.000"
    assert scores[0].record()["high"] is None
    assert re.search(r'class="bad">0\.500', page)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.31, 1.74), (1.0, 1.0), (0.0, 0.0), (-3e-7, 2e-7), (10, 1300)])
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(set(ticks))


def test_curves_need_two_points_and_survive_flat_ones() -> None:
    assert "<polyline" not in build_report(ReportContent("t", "s", log=[{"step": 1, "loss": 1.0}]))
    flat = build_report(ReportContent("t", "s", log=[{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}]))
    check(flat)
    assert "nan" not in flat


def test_requests_borrow_conditions_and_forms_and_galleries_show_every_class(small_run: Path) -> None:
    engine = load(small_run)
    held_out = engine.modality.dataset("held_out")
    borrowed = requests_like(held_out, len(held_out) + 2, engine)
    assert borrowed[0] == borrowed[len(held_out)]
    assert borrowed[3].condition == held_out[3].condition
    assert borrowed[3].form == (8, 8)
    pages = gallery(engine, held_out)
    assert list(pages) == [f"label-{label}" for label in range(10)]
    assert all(request.condition == {"label": 4} for request in pages["label-4"])
    assert isinstance(held_out[0], Example)
