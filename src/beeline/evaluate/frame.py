"""Where values lie in a picture: a frame with axes, about as wide as a telephone, so that letters keep their size."""

from __future__ import annotations

import html
from dataclasses import dataclass

from beeline.evaluate.scales import Scale, short

WIDTH, HEIGHT = 340.0, 208.0
TOP, RIGHT, BOTTOM = 22.0, 12.0, 38.0
LETTER = 6.4


@dataclass(frozen=True)
class Frame:
    """The place of a chart in its picture.

    Args:
        x: horizontal scale.
        y: vertical scale.
        x_name: name and unit of the horizontal axis.
        y_name: of the vertical axis.
        height: of the picture.
        bottom: room under the plot.
    """

    x: Scale
    y: Scale
    x_name: str
    y_name: str
    height: float = HEIGHT
    bottom: float = BOTTOM

    @property
    def left(self) -> float:
        """Where the plot begins, right of the longest number."""
        return 12 + LETTER * max((len(short(tick)) for tick in self.y.ticks), default=0)

    def across(self, x: float) -> float:
        """Place of a value from the left."""
        return self.left + self.x.place(x) * (WIDTH - RIGHT - self.left)

    def down(self, y: float) -> float:
        """Place of a value from the top."""
        return self.height - self.bottom - self.y.place(y) * (self.height - self.bottom - TOP)

    def axes(self) -> list[str]:
        """Lines, numbers and names."""
        scale = ", log scale" if self.y.logarithmic else ""
        parts = [f'<text x="0" y="10">{text(self.y_name)}{scale}</text>']
        for tick in self.y.ticks:
            y = self.down(tick)
            parts.append(line(self.left, WIDTH - RIGHT, y, "grid"))
            parts.append(f'<text x="{self.left - 6:.1f}" y="{y + 3.8:.1f}" text-anchor="end">{short(tick)}</text>')
        for tick in self.x.ticks:
            x = self.across(tick)
            half = LETTER * len(short(tick)) / 2
            anchor = "end" if x + half > WIDTH else "middle"
            x = min(x, WIDTH) if anchor == "middle" else WIDTH
            parts.append(f'<text x="{x:.1f}" y="{self.height - 22:.1f}" text-anchor="{anchor}">{short(tick)}</text>')
        middle = (self.left + WIDTH - RIGHT) / 2
        return [
            *parts,
            f'<text x="{middle:.1f}" y="{self.height - 4:.1f}" text-anchor="middle">{text(self.x_name)}</text>',
        ]


def line(left: float, right: float, y: float, style: str) -> str:
    """A horizontal line.

    Args:
        left: where it begins.
        right: where it ends.
        y: how far down.
        style: classes of the page's style.
    """
    return f'<line class="{style}" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def text(words: str) -> str:
    """Words as they stand in a page."""
    return html.escape(words)
