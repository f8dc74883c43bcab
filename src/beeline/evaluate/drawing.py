"""A picture under its name and legend: inside a page, or as an SVG file that stands alone, in light and dark.

The file has its name, its legend and the page's colours inside it, and follows the theme of whoever looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from beeline.evaluate.frame import LETTER, WIDTH, text

_MARGIN, _TITLE, _ROW = 14.0, 31.0, 17.0
_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif"
_CLASSES = r"text|grid|cloud|ring|plain|violin|tile|leader|own|narrow|level\d?|hit|dot|on|fill\d|ink\d"
_KEPT = re.compile(rf"^\.(?:chart \.?)?(?:{_CLASSES})\b")


@dataclass(frozen=True)
class Drawing:
    """A picture that is drawn.

    Args:
        title: what is shown.
        parts: elements of an SVG.
        height: of the picture, which is as wide as a telephone.
        words: the picture in words, for those who cannot see it.
        note: how to read it.
        legend: number of the colour of each name.
        dashed: name of the dashed lines; none when empty.
    """

    title: str
    parts: Sequence[str]
    height: float
    words: str
    note: str = ""
    legend: Mapping[str, int] = field(default_factory=dict)
    dashed: str = ""

    def html(self) -> str:
        """A figure of a page."""
        label = text(f"{self.title}. {self.words}")
        note = f"<p>{text(self.note)}</p>" if self.note else ""
        return (
            f'<figure class="card chart"><figcaption><b>{text(self.title)}</b><output></output></figcaption>{note}'
            f'{self._legend()}<svg viewBox="0 0 {WIDTH:g} {self.height:g}" role="img" aria-label="{label}">'
            f"{''.join(self.parts)}</svg></figure>"
        )

    def svg(self) -> str:
        """A file that stands alone."""
        rows = _rows([*self.legend, *([self.dashed] if self.dashed else [])])
        top = _MARGIN + _TITLE + _ROW * len(rows) - 4
        width, height = WIDTH + 2 * _MARGIN, top + self.height + _MARGIN
        light, dark = (_style(theme) for theme in (0, 1))
        keys = "".join(
            self._key(name, _MARGIN + left, _MARGIN + _TITLE + _ROW * number)
            for number, row in enumerate(rows)
            for name, left in row
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="{text(f"{self.title}. {self.words}")}">'
            f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>"
            f'<rect class="paper" width="{width:g}" height="{height:g}" rx="12"/>'
            f'<text class="title" x="{_MARGIN:g}" y="{_MARGIN + 11:g}">{text(self.title)}</text>{keys}'
            f'<g transform="translate({_MARGIN:g} {top:g})">{"".join(self.parts)}</g></svg>\n'
        )

    def _legend(self) -> str:
        """Names with their colours."""
        entries = [f'<span><i class="block key{ink}"></i>{text(name)}</span>' for name, ink in self.legend.items()]
        if self.dashed:
            entries.append(f'<span><i class="level level0"></i>{text(self.dashed)}</span>')
        return f'<div class="legend">{"".join(entries)}</div>' if len(entries) > 1 else ""

    def _key(self, name: str, x: float, y: float) -> str:
        if name in self.legend:
            mark = f'<circle class="fill{self.legend[name]}" cx="{x + 4.5:g}" cy="{y - 3.8:.1f}" r="4.5"/>'
        else:
            mark = f'<line class="level level0" x1="{x - 2:g}" x2="{x + 11:g}" y1="{y - 3.8:.1f}" y2="{y - 3.8:.1f}"/>'
        return f'{mark}<text x="{x + 15:g}" y="{y:g}">{text(name)}</text>'


def _rows(names: Sequence[str]) -> list[list[tuple[str, float]]]:
    """Names with their places from the left, as many in a row as have room; none where there is only one name."""
    rows: list[list[tuple[str, float]]] = []
    left = WIDTH
    for name in names if len(names) > 1 else ():
        width = 15 + LETTER * len(name) + 12
        if left + width > WIDTH:
            rows.append([])
            left = 0.0
        rows[-1].append((name, left))
        left += width
    return rows


def _style(theme: int) -> str:
    """The rules of the page that pictures need, with the colours of a theme: 0 light, 1 dark."""
    page = files("beeline.evaluate").joinpath("page.css").read_text(encoding="utf-8")
    pairs = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", page)}
    rules = re.findall(r"(\.[^{}@;]+?)\s*\{([^{}]*)\}", page)
    kept = "".join(f"{name}{{{body.strip()}}}" for name, body in rules if _KEPT.match(name))
    colours = {name: pair[theme] for name, pair in pairs.items()}
    rest = "" if theme else f"text{{{_FONT}}}"
    rest += ".paper{fill:var(--card);stroke:var(--line)}.title{fill:var(--ink);font-size:14px;font-weight:600}"
    kept = kept.replace(".chart ", "") + rest
    return re.sub(r"var\(--([\w-]+)\)", lambda found: colours[found[1]], kept)
