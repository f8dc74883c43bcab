"""Everything about a walk from noise to data that can be settled, and refused, before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from beeline.core.batching import collate
from beeline.core.errors import UserError
from beeline.core.matmul import settled
from beeline.core.protocols import Sampler, Source
from beeline.core.tokens import Tokens
from beeline.generate.guidance import check_guidance
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.samplers.build import build_sampler
from beeline.samplers.compatible import SDE_SAMPLERS, check
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid, default_grid
from beeline.samplers.stability import check_steps


@dataclass(frozen=True)
class Plan:
    """How samples will be drawn.

    Args:
        settings: what was asked for, with what auto means.
        solver: takes the steps.
        times: (n + 1,) descending nodes.
        guided: native channels that guidance moves, as a mask of one cell; None for all.
    """

    settings: SampleConfig
    solver: Sampler
    times: Tensor
    guided: Tensor | None

    @classmethod
    def make(cls, settings: SampleConfig, codec: Codec, network: Network, source: Source) -> Plan:
        """Settle how samples of a model are drawn.

        Args:
            settings: what is asked for.
            codec: of the model.
            network: of the model.
            source: where noise comes from.

        Raises:
            UserError: a setting is out of range or does not fit the model.
        """
        check_guidance(settings, [settings.cfg_scale], codec)
        process = network.process
        if settings.sampler == "dopri5":  # chooses its own steps: what a run has stored for others is left aside
            settings = replace(settings, steps=1, grid="uniform", shift=1.0)
        elif settings.grid == "auto":
            settings = replace(settings, grid=default_grid(settings.sampler, process.levels))
        device = next(network.parameters()).device.type
        settings = replace(settings, matmul=settled(settings.matmul, device)[0])
        check(settings, process, network.prediction, network.outputs)
        interval = process.solver_interval(network.prediction)
        times = build_grid(settings.grid, settings.steps, interval, settings.shift, process)
        if settings.sampler in SDE_SAMPLERS:
            check_steps(settings, process, times)
        return cls(settings, build_sampler(settings, source), times, _channel_mask(settings.guide_channels, codec))

    def guided_numbers(self, samples: list[Tokens], codec: Codec) -> Tensor | None:
        """(B, L, C) which numbers of a batch guidance moves, None for all of them."""
        if self.guided is None:
            return None
        return collate([each.with_values(codec.tokenizer.lift(self.guided, each)) for each in samples]).values.bool()


def _channel_mask(channels: tuple[int, ...] | None, codec: Codec) -> Tensor | None:
    if channels is None:
        return None
    tokenizer = codec.tokenizer
    width = tokenizer.width // tokenizer.lift_width(1)
    if not tokenizer.axes:
        raise UserError(f"guide_channels {list(channels)}: this data is a set and has no channels to choose from")
    if not channels or not set(channels) <= set(range(width)):
        raise UserError(f"guide_channels {list(channels)}: this data has {width} channels, counted from 0")
    mask = torch.zeros(*[1] * tokenizer.axes, width)
    mask[..., list(channels)] = 1
    return mask
