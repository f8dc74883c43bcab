"""What a kind of data declares, as a line of text that an option of the modality carries with the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from beeline.core.config import build, plain
from beeline.core.errors import UserError


@dataclass(frozen=True)
class Description:
    """A frozen dataclass that is written as text and read again."""

    def text(self) -> str:
        """All of it as one line of JSON."""
        return json.dumps(plain(self), separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Self:
        """What ``text`` wrote.

        Raises:
            UserError: it is something else.
        """
        try:
            return build(cls, json.loads(text), "description")
        except (json.JSONDecodeError, TypeError, AttributeError):
            raise UserError("description: is written by training; leave it out") from None
