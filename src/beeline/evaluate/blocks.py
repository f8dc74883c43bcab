"""What a report is made of: sections of text, cards, tables, pictures and code, each of which writes its own HTML.

Text from outside is escaped here; only ``Markup`` is taken as it stands. An empty block leaves nothing behind.
"""

from __future__ import annotations

import base64
import html
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

_SMALL, _CROWDED = 80, 320


class Block(Protocol):
    """A piece of a page."""

    def html(self) -> str:
        """As HTML; empty where there is nothing to show."""
        ...


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Cell = str | Markup | bytes | None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def html(self) -> str:
        """A paragraph."""
        return f"<p>{_shown(self.text)}</p>" if self.text else ""


@dataclass(frozen=True)
class Section:
    """Blocks under a heading, to which the head of the page leads; left out where all are empty.

    Args:
        title: the heading.
        blocks: what it holds.
        note: a sentence under the heading.
    """

    title: str
    blocks: Sequence[Block]
    note: str = ""

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def html(self) -> str:
        """The section."""
        body = "".join(block.html() for block in self.blocks)
        if not body:
            return ""
        return f'<section id="{self.anchor}"><h2>{_shown(self.title)}</h2>{Text(self.note).html()}{body}</section>'


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown when asked for."""

    summary: str
    blocks: Sequence[Block]

    def html(self) -> str:
        """The fold."""
        body = "".join(block.html() for block in self.blocks)
        return f"<details><summary>{_shown(self.summary)}</summary>{body}</details>" if body else ""


@dataclass(frozen=True)
class Grid:
    """Charts beside and below one another."""

    blocks: Sequence[Block]

    def html(self) -> str:
        """The grid."""
        body = "".join(block.html() for block in self.blocks)
        return f'<div class="grid-of-charts">{body}</div>' if body else ""


@dataclass(frozen=True)
class Card:
    """A number to remember.

    Args:
        name: what it is.
        value: as it is to be read.
        note: a few words beneath.
        good: whether it is what a good model reaches; None where nobody says.
    """

    name: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True)
class Cards:
    """Numbers to remember, side by side."""

    cards: Sequence[Card]

    def html(self) -> str:
        """The cards."""
        shown = "".join(
            f'<div class="card number{_verdict(card.good)}"><span>{_shown(card.name)}</span><b>{_shown(card.value)}</b>'
            f"<small>{_shown(card.note)}</small></div>"
            for card in self.cards
        )
        return f'<div class="numbers">{shown}</div>' if shown else ""


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Args:
        rows: cells.
        head: names of the columns; none where the first column names the rows.
        numbers: columns that hold numbers, which are set flush right.
    """

    rows: Sequence[Sequence[Cell]]
    head: Sequence[str] = ()
    numbers: Sequence[int] = ()

    def html(self) -> str:
        """A table in a card that scrolls by itself where the page is narrow."""
        if not self.rows:
            return ""
        head = self._row(self.head, 'th scope="col"', "th")
        rows = "".join(self._row(row, "td", "td") for row in self.rows)
        kind = "scores" if self.head else "facts"
        return (
            f'<div class="card scroll"><table class="{kind}">{f"<thead>{head}</thead>" if self.head else ""}'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _row(self, cells: Sequence[Cell], opening: str, closing: str) -> str:
        flush = [' class="n"' if column in self.numbers else "" for column in range(len(cells))]
        shown = (f"<{opening}{style}>{_shown(cell)}</{closing}>" for style, cell in zip(flush, cells, strict=True))
        return f"<tr>{''.join(shown)}</tr>"


@dataclass(frozen=True)
class Pictures:
    """Pictures in their own size, each with its name.

    Args:
        pictures: PNG bytes by caption.
        compared: captions of pictures of something else, set apart.
    """

    pictures: Mapping[str, bytes]
    compared: Sequence[str] = ()

    def html(self) -> str:
        """The pictures."""
        shown = "".join(
            f'<figure class="card picture{" compared" if name in self.compared else ""}">'
            f"<figcaption>{_shown(name)}</figcaption>{image(png, name)}</figure>"
            for name, png in self.pictures.items()
        )
        return f'<div class="pictures">{shown}</div>' if shown else ""


@dataclass(frozen=True)
class PictureTable:
    """Pictures in rows and columns that mean something.

    Args:
        head: names of the columns, after that of the rows' names.
        rows: names and cells: PNG bytes, or text.
        together: rows that belong together, after each of which there is some room.
    """

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    together: int = 1

    def html(self) -> str:
        """A table in a card that scrolls by itself where the page is narrow."""
        if not self.rows:
            return ""
        head = "".join(f'<th scope="col">{_shown(name)}</th>' for name in self.head)
        rows = "".join(self._row(index, *row) for index, row in enumerate(self.rows))
        return (
            '<div class="card scroll"><table class="strip">'
            f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _row(self, index: int, name: str, cells: Sequence[Cell]) -> str:
        begin = ' class="begin"' if index % self.together == 0 else ""
        shown = (f"<td>{_shown(cell, f'{name}, {column}')}</td>" for cell, column in zip(cells, self.head, strict=True))
        return f'<tr{begin}><th scope="row">{_shown(name)}</th>{"".join(shown)}</tr>'


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    lines: Sequence[str]

    def html(self) -> str:
        """The lines."""
        return f'<pre class="card">{_shown(chr(10).join(self.lines))}</pre>' if self.lines else ""


def image(png: bytes, name: str) -> str:
    """A picture in its own size; one too large for that is scaled down, and smoothed only then.

    Args:
        png: its bytes.
        name: what it shows.
    """
    width, height = png_size(png)
    style = ' class="large"' if width > _CROWDED else ' class="small"' if width <= _SMALL else ""
    source = base64.b64encode(png).decode()
    return (
        f'<img{style} alt="{html.escape(name)}" width="{width}" height="{height}" style="--w:{width}px" '
        f'src="data:image/png;base64,{source}">'
    )


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height that a PNG file states in its head."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _shown(cell: Cell, name: str = "") -> str:
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        return image(cell, name)
    return cell if isinstance(cell, Markup) else html.escape(cell)


def _verdict(good: bool | None) -> str:
    return "" if good is None else " good" if good else " bad"
