"""From a name to a solver."""

from __future__ import annotations

from beeline.core.errors import unknown
from beeline.core.protocols import Sampler
from beeline.samplers.euler import Euler
from beeline.samplers.heun import Heun

SAMPLERS: dict[str, type[Sampler]] = {"euler": Euler, "heun": Heun}


def build_sampler(name: str) -> Sampler:
    """The solver of that name.

    Raises:
        UserError: no solver has that name.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    return SAMPLERS[name]()
