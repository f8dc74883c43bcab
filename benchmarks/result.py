"""What a benchmark found: printed, and kept as JSON where a file is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def show(result: Mapping[str, Any], path: Path | None) -> None:
    """Print a line for each finding.

    Args:
        result: findings by name.
        path: of the JSON file, None for none.
    """
    for name, value in result.items():
        print(f"{name}: {value}")
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n")
