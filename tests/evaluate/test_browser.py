"""The report in a real browser: at both widths and in both themes nothing is cut off, and letters stay legible."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.test_report import RECORD, report_of

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
WIDTHS = (1280, 390)
DARK, LIGHT = 0, 1

# Each frame is a page of that width: a window of headless Chromium is never narrower than 500 pixels.
WRAPPER = """<!doctype html><meta charset="utf-8"><body>
<iframe src="report.html" style="border:0;width:1280px;height:2000px"></iframe>
<iframe src="report.html" style="border:0;width:390px;height:2000px"></iframe><pre></pre><script>
const measure = (frame) => {
  const page = frame.contentDocument, width = page.documentElement.clientWidth, over = [];
  for (const part of page.querySelectorAll("body *")) {
    const inside = part.parentElement.closest(".scroll, pre, svg");
    const beyond = part.getBoundingClientRect().right > width + 0.5;
    const cut = part.scrollWidth > part.clientWidth + 1 && part.clientWidth && !part.matches(".scroll, pre");
    if (!inside && (beyond || cut)) over.push(part.tagName + "." + part.className + " " + part.scrollWidth);
  }
  const texts = [...page.querySelectorAll(".chart svg")].map((svg) => 11 * svg.getBoundingClientRect().width / 340);
  return {
    width, wide: page.documentElement.scrollWidth, over,
    back: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    ink: frame.contentWindow.getComputedStyle(page.body).color,
    letters: Math.min(...texts), charts: texts.length,
    pictures: [...page.images].filter((image) => !image.naturalWidth).length,
    button: page.querySelector(".theme").textContent,
  };
};
onload = () => {
  document.querySelector("pre").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
};
</script>"""


def browse(folder: Path, scheme: int) -> list[dict[str, Any]]:
    """What the wrapper measures, for each width."""
    words = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1400,1000", "--virtual-time-budget=2000", "--dump-dom", (folder / "wrapper.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    found = re.search(r"<pre>(\[.*\])</pre>", done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def folder(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it, and long words."""
    home = tmp_path_factory.mktemp("browser")
    run = home / ("a" * 90)
    shutil.copytree(small_run, run)
    long = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"
    records = [RECORD, {**RECORD, "metric": long, "meaning": "word " * 30, "failure": "because " * 20}]
    passes = {"passes": [4, 8, 50], "series": [{"metric": long, "space": "pca-32", "values": [9.0, 2.0, 1.0]}]}
    (run / "scores.json").write_text(json.dumps({"protocol": {}, "records": records, "curves": {}}))
    (run / "evaluations").mkdir()
    (run / "evaluations" / "evaluation-001.json").write_text(json.dumps({"curves": {"passes": passes}}))
    pictures = (
        (small_run / "report.html")
        .read_text()
        .partition('<section id="samples">')[2]
        .partition('<section id="training')[0]
    )
    page = report_of(run)
    (home / "report.html").write_text(page.replace("<main>", f'<main><section id="samples">{pictures}', 1))
    (home / "wrapper.html").write_text(WRAPPER)
    return home


@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome on the path")
@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_nothing_is_cut_off_and_dark_is_dark(folder: Path, scheme: int) -> None:
    for width, seen in zip(WIDTHS, browse(folder, scheme), strict=True):
        assert seen["width"] == width
        assert seen["wide"] == width, seen["over"]
        assert seen["over"] == []
        assert seen["charts"] >= 6
        assert seen["letters"] > 9
        assert seen["pictures"] == 0
        back, ink = (sum(map(int, re.findall(r"\d+", seen[name])[:3])) / 765 for name in ("back", "ink"))
        assert (back < 0.2 and ink > 0.8) if scheme == DARK else (back > 0.9 and ink < 0.2)
        assert seen["button"] == ("Light" if scheme == DARK else "Dark")
