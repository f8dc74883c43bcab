"""How networks run while samples are drawn: in which precision, and whether compiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch

from beeline.core.matmul import multiplying, settled
from beeline.core.replay import Graphs, check_replayable
from beeline.model.compiling import compiled
from beeline.model.network import Network
from beeline.samplers.config import SampleConfig


@contextmanager
def running(networks: Iterable[Network], device: str, settings: SampleConfig) -> Iterator[None]:
    """Let networks run as it is asked for, for a while.

    Args:
        networks: of the model, and of another that guidance leads away from.
        device: ``cpu`` or ``cuda``.
        settings: settled; say the precision, how fp32 matrices are multiplied, whether blocks are compiled, and whether
            passes are recorded.

    Raises:
        UserError: nothing compiles or records here.
    """
    if settings.cuda_graph:
        check_replayable(device)
    with ExitStack() as stack:
        stack.enter_context(multiplying(settled(settings.matmul, device)[0], device))
        stack.enter_context(torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bf16"))
        for network in networks:
            stack.enter_context(compiled(network, settings.compile))
            stack.enter_context(network.unchanged(Graphs if settings.cuda_graph else None))
        yield
