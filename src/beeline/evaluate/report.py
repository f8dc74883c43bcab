"""The one report: a page that stands alone, made of the blocks that it is given.

Style and the few lines of script are inside the page; it is complete without the script, which only adds a switch
between light and dark, and shows the values beneath the pointer.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files

from beeline.evaluate.blocks import Block, Section

_MARK = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><path d="M16 2l12 7v14l-12 7-12-7V9z"/>'
    '<path class="line" d="M5 23L27 9"/></svg>'
)


def build_report(title: str, blocks: Sequence[Block], summary: str = "") -> str:
    """A self-contained HTML page.

    Args:
        title: of the page.
        blocks: what it holds, top down; its sections are listed at its head.
        summary: a sentence under the title.
    """
    shown = [(block, body) for block in blocks if (body := block.html())]
    links = "".join(
        f'<a href="#{block.anchor}">{html.escape(block.title)}</a>' for block, _ in shown if isinstance(block, Section)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_asset('page.css')}</style></head><body>"
        f'<header><div class="brand">{_MARK}Beeline</div><h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>'
        f"{f'<nav>{links}</nav>' if links else ''}</header>"
        f"<main>{''.join(body for _, body in shown)}</main><script>{_asset('page.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return files("beeline.evaluate").joinpath(name).read_text(encoding="utf-8")
