"""A table of ranks as tiles: the nearer, the darker, those that should be nearest in a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beeline.evaluate.drawing import Drawing
from beeline.evaluate.frame import WIDTH, text
from beeline.evaluate.labels import elided, width_of

_LONGEST, _TALLEST = 104.0, 112.0
_LEAST, _MOST = 9.0, 30.0
_LIGHT = 0.06


@dataclass(frozen=True)
class Tiles:
    """Ranks of what is in the columns for what is in the rows.

    Args:
        title: what is shown.
        rows: names.
        columns: names.
        ranks: a row each, 1 for the nearest; None where there is none.
        own: column that should be the nearest of each row.
        of: how many things are ranked, of which the columns may be some.
        note: how to read it.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    ranks: Sequence[Sequence[float | None]]
    own: Sequence[int]
    of: int
    note: str = ""

    def html(self) -> str:
        """A figure; empty where there is nothing to draw."""
        drawing = self.drawing()
        return "" if drawing is None else drawing.html()

    def drawing(self) -> Drawing | None:
        """The picture; None where there is nothing to draw."""
        if not self.rows or len(self.columns) < 2:
            return None
        left = min(_LONGEST, max(width_of(name) for name in self.rows)) + 8
        top = min(_TALLEST, max(width_of(name) for name in self.columns)) + 22
        wide = min(_MOST, max(_LEAST, (WIDTH - left - 2) / len(self.columns)))
        tall = min(wide, 22.0) if wide >= 12 else 12.0
        across = (WIDTH - left - wide * len(self.columns)) / 2 if wide == _MOST else 0.0
        left += across
        middle = left + wide * len(self.columns) / 2
        parts = [f'<text x="{middle:.1f}" y="10" text-anchor="middle">real change of</text>']
        for number, name in enumerate(self.columns):
            x, y = left + (number + 0.5) * wide + 3.8, top - 5
            shown = text(elided(name, _TALLEST))
            parts.append(f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)">{shown}</text>')
        for number, name in enumerate(self.rows):
            y = top + number * tall
            shown = text(elided(name, _LONGEST))
            parts.append(f'<text x="{left - 6:.1f}" y="{y + tall / 2 + 3.8:.1f}" text-anchor="end">{shown}</text>')
            parts += self._row(number, left, y, (wide, tall))
        return Drawing(self.title, parts, top + tall * len(self.rows) + 6, self._words(), self.note)

    def _row(self, row: int, left: float, y: float, size: tuple[float, float]) -> list[str]:
        parts, (wide, tall) = [], size
        for column, rank in enumerate(self.ranks[row]):
            if rank is None:
                continue
            x, shade = left + column * wide, self._shade(rank)
            told = f"{self.rows[row]}: {self.columns[column]} is number {rank:g} of {self.of}"
            parts.append(
                f'<rect class="tile fill0 bar" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{wide - 1:.1f}" '
                f'height="{tall - 1:.1f}" fill-opacity="{shade:.2f}"><title>{text(told)}</title></rect>'
            )
            if wide >= 12.5 and (rank <= 3 or wide >= 20):
                style = "tile-on" if shade > 0.62 else "tile-off"
                parts.append(
                    f'<text class="{style}" x="{x + wide / 2:.1f}" y="{y + tall / 2 + 3.4:.1f}" '
                    f'text-anchor="middle">{rank:g}</text>'
                )
        mine = left + self.own[row] * wide
        frame = f'x="{mine + 0.7:.1f}" y="{y + 0.7:.1f}" width="{wide - 1.4:.1f}" height="{tall - 1.4:.1f}"'
        return [*parts, f'<rect class="own" {frame}/>']

    def _shade(self, rank: float) -> float:
        far = (rank - 1) / max(1, self.of - 1)
        return _LIGHT + (1 - _LIGHT) * (1 - min(1.0, far)) ** 2.5

    def _words(self) -> str:
        told = (f"{name} {self.ranks[row][self.own[row]]:g}" for row, name in enumerate(self.rows))
        return f"Rank of the own real change among {self.of}: {', '.join(told)}"
