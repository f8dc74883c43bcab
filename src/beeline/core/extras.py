"""Packages of the extras of ``pyproject.toml``, imported where they are needed and not before."""

from __future__ import annotations

import importlib
from typing import Any

from beeline.core.errors import UserError


def needed(package: str, what: object, extra: str) -> Any:
    """A package of an extra.

    Args:
        package: its name.
        what: what needs it, for the message.
        extra: that brings it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(f"{what}: needs the package {package}; pip install 'beeline[{extra}]'") from None
