"""Normalisers, tokenizers and conditions as records that travel with a model.

Each is a frozen dataclass: its fields, fitted numbers among them, are all there is to know. A model stores class and
fields, so that opening it asks nothing of the modality or of the data it came from.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from beeline.core.config import build, plain
from beeline.core.errors import UserError

# Module names under which users' modality files are loaded begin with this.
USER_MODULE = "beeline_modality_"
_FROM_FILE = "modality"


def describe_part(part: Any) -> dict[str, Any]:
    """Class and fields of a part, as JSON can hold them.

    Raises:
        UserError: the part is not a dataclass, or is defined where a trained model could not find it again.
    """
    cls = type(part)
    if not dataclasses.is_dataclass(part):
        raise UserError(f"{cls.__name__}: must be a dataclass, so that its fields can be stored with the model")
    home = _FROM_FILE if cls.__module__.startswith(USER_MODULE) else cls.__module__
    if home != _FROM_FILE and home.split(".")[0] != "beeline":
        raise UserError(f"{cls.__name__}: must come from Beeline or be defined in the modality's own file")
    return {"class": f"{home}:{cls.__qualname__}", "arguments": plain(part)}


def rebuild_part(record: Mapping[str, Any], user_module: str) -> Any:
    """The part that ``describe_part`` described.

    Args:
        record: class and fields.
        user_module: name of the loaded module of the model's modality, for classes of a user's own.

    Raises:
        UserError: there is no such part, or its fields have changed.
    """
    home, _, name = str(record["class"]).partition(":")
    if home != _FROM_FILE and home.split(".")[0] != "beeline":
        raise UserError(f"the model asks for {record['class']}, which is no part of Beeline or of its modality file")
    try:
        cls = getattr(importlib.import_module(user_module if home == _FROM_FILE else home), name)
    except (ImportError, AttributeError):
        raise UserError(f"the model needs {record['class']}, which is not there") from None
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UserError(f"the model needs {record['class']}, which is not a dataclass")
    return build(cls, record["arguments"], name)
