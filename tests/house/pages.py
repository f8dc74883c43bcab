"""What pages under docs/ hold: code that runs, files that it needs, and changes that break them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BROKEN = re.compile(r"^(\w+):\n\n```diff\n(.*?)^```\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGE = re.compile(r"((?:^-.*\n)+)((?:^\+.*\n)+)", re.MULTILINE)


def files(page: str) -> dict[str, str]:
    """Files that a page gives in full, by name."""
    return dict(_FILE.findall(page))


def broken(page: str, good: str) -> dict[str, tuple[str, str]]:
    """By what each change on a page breaks: the good file changed so, and the message that the page promises."""
    found = {}
    for name, changes, message in _BROKEN.findall(page):
        text = good
        for old, new in _CHANGE.findall(changes):
            before, after = (re.sub(r"^[-+]", "", lines, flags=re.MULTILINE) for lines in (old, new))
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        found[name] = (text, " ".join(message.split()))
    return found
