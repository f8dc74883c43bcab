"""The command `beeline` for benchmarks that train runs as a user would."""

from __future__ import annotations

import math
import subprocess
import sys


def run(*words: str) -> None:
    """Run the command, whose results are in the files that it writes; what it says meanwhile is shown.

    Args:
        words: arguments.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "beeline", *words, "--quiet"], check=True, stdout=subprocess.DEVNULL)


def told(value: float | None, form: str = ".3g") -> str:
    """A number for a table, nothing where there is none.

    Args:
        value: None or not finite where it could not be measured.
        form: of its figures.
    """
    return "" if value is None or not math.isfinite(value) else f"{value:{form}}"
