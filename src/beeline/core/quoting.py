"""Texts made of parts, where double quotes keep together what a part holds: ``cell_type="T cell, CD4+",dose=2``.

A quote opens where a part or value begins: at the start, or after one of ``; , =`` and blanks. It closes before the
next of these, or at the end. A quote within quotes is written twice. Elsewhere a double quote is a letter like others.
"""

from __future__ import annotations

import re

from beeline.core.errors import UserError

_OPENS = r'(^|[;,=])(\s*)"'
_QUOTED = re.compile(_OPENS + r'((?:[^"]|"")*)"(?=\s*(?:[;,=]|$))')


def split_outside(text: str, separator: str, where: str, most: int = -1) -> list[str]:
    """Parts between separators that stand outside of quotes; each keeps its quotes and has no blanks around it.

    Args:
        text: to be split.
        separator: one character.
        where: the text is from, for the message.
        most: splits, at most; -1 for all.

    Raises:
        UserError: a quote is not closed.
    """
    hidden = _QUOTED.sub(lambda found: found[1] + "_" * (len(found[0]) - len(found[1])), text)
    if re.search(_OPENS, hidden):
        raise UserError(f'{where} {text}: a double quote is not closed; write it around a whole value, NAME="VALUE"')
    parts, start = [], 0
    for part in hidden.split(separator, most):
        parts.append(text[start : start + len(part)].strip())
        start += len(part) + len(separator)
    return parts


def unquoted(part: str) -> str:
    """A part without the quotes around it, and with quotes that were written twice once.

    Args:
        part: of ``split_outside``.
    """
    found = _QUOTED.fullmatch(part.strip())
    return part if found is None else found[3].replace('""', '"')
