"""What all edits share: a model, how its samples are drawn, and the walk from data to noise.

Edits are walks of the engine that begin, or are led, otherwise than samples are: item i of seed s depends on (s, i) and
on its own input alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch

from beeline.core.batching import collate, unbatch
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.offers import Mixing
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.generate.config import OWN_OPTIONS, EditConfig
from beeline.generate.engine import Engine, Request, Samples
from beeline.generate.plan import Plan
from beeline.generate.walk import Stretch, Way
from beeline.samplers.config import SampleConfig
from beeline.samplers.inpainting import check_inpainting
from beeline.samplers.inversion import check_reversible, invert
from beeline.samplers.renoising import remaining

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Editor:
    """Edits samples of one model.

    Args:
        engine: the model.
        edit: what is done.
        settings: how samples are drawn.
        seed: item i depends on (seed, i) alone.
        batch_size: items at a time; chosen by their number of tokens when None.
        progress: called with (steps done, steps in all).

    Raises:
        UserError: the edit means nothing to the model or to the sampler.
    """

    engine: Engine
    edit: EditConfig
    settings: SampleConfig
    seed: int = 0
    batch_size: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        how, process, settings = self.edit.how, self.engine.process, self.settings
        if process.is_regression:
            raise UserError(f"{how}: this model is a regression, which has no noise that could be changed")
        if process.known_end is not None:
            raise UserError(
                f"{how}: this model's path leads from data to their condition '{process.known_end}', not to noise; "
                "edits need one that leads to noise"
            )
        if settings.domain != "cells":
            raise UserError(f"{how}: an edit keeps the cells that it is given; leave domain {settings.domain} out")
        if how == "inpaint" and isinstance(normaliser := self.engine.codec.normaliser, Mixing):
            raise UserError(
                f"inpaint: the data of this model are {normaliser.mixing()}, and no cell stands alone; "
                "train without to keep some of them"
            )
        if how == "interpolate" and not process.is_gaussian:
            raise UserError("interpolate: the noise of this model is drawn from a population, and has nothing between")
        if how in ("invert", "interpolate"):
            check_reversible(settings, how, only_down=self.edit.seeds is not None)
        if how == "inpaint":
            check_inpainting(settings, self.edit.resample)
        _ = self.kept if how == "renoise" else self.plan

    def showing(self, progress: Progress) -> Editor:
        """The same, telling how far it has come."""
        return replace(self, progress=progress)

    @cached_property
    def plan(self) -> Plan:
        """How samples are drawn."""
        return Plan.make(self.settings, self.engine.codec, self.engine.network, self.engine.source)

    @cached_property
    def kept(self) -> torch.Tensor:
        """The nodes from the time on up to which noise is added."""
        return remaining(self.plan.times, self.edit.strength, self.engine.process.levels)

    def encoded(self, inputs: Sequence[Example]) -> list[Tokens]:
        """The tokens of some data."""
        return [self.engine.codec.encode(each).tokens for each in inputs]

    def requests(self, inputs: Sequence[Example]) -> list[Request]:
        """Samples of the conditions and forms of some data, from which they take what a normaliser leaves out."""
        return [Request(each.condition, self.engine.codec.form(each.array), like=each.array) for each in inputs]

    def inverted(self, inputs: Sequence[Example]) -> Inverted:
        """Noise of the inputs, without guidance, and what they are after a walk up and down."""
        data, process = self.encoded(inputs), self.engine.process
        noise, errors = list[Tokens](), list[float]()

        def way(stretch: Stretch) -> SamplerState:
            """Up to noise and down again, both ends kept."""
            x0, plan = rows(data, stretch), stretch.plan
            top = invert(
                plan.solver, stretch.predictor, x0, plan.times, stretch.conditions, process, stretch.after_step
            )
            end = stretch.down_from(top.x)
            noise.extend(unbatch(top.x))
            errors.extend(x0.sample_mean((end.x.values - x0.values).square()).sqrt().tolist())
            return replace(end, passes=top.passes + end.passes)

        settings = replace(
            self.settings, cfg_scale=1.0, cfg_interval=None, cfg_rescale=0.0, guide_channels=None, guide_by=None
        )
        return Inverted(self.generate(self.requests(inputs), way, 2, settings), noise, errors)

    def generate(
        self, requests: Sequence[Request], way: Way, walks: float = 1, settings: SampleConfig | None = None
    ) -> Samples:
        """Draw samples that come about in some way.

        Args:
            requests: at least one.
            way: from empty frames to samples.
            walks: how long it is, in walks of the whole grid.
            settings: in place of the edit's.
        """

        def progress(done: int, steps: int) -> None:
            if self.progress is not None:
                self.progress(done, round(walks * steps))

        settings = settings or self.settings
        return self.engine.generate(requests, self.seed, settings, self.batch_size, progress, way=way)

    def told(self, samples: Samples, before: Samples | None = None, **facts: Any) -> Samples:
        """Samples whose provenance says what was done.

        Args:
            samples: as they were drawn.
            before: those of the walk up, whose passes are told beside theirs.
            facts: more to say.
        """
        told: dict[str, Any] = {"how": self.edit.how}
        told |= {name: value for name, value in asdict(self.edit).items() if OWN_OPTIONS.get(name) == self.edit.how}
        passes = samples.provenance["passes"]
        if before is not None and before is not samples:
            passes = {"inversion": before.provenance["passes"], "regeneration": passes}
        return replace(samples, provenance={**samples.provenance, "passes": passes, "edit": {**told, **facts}})


@dataclass(frozen=True)
class Inverted:
    """Data after a walk up and down.

    Args:
        samples: where they came out.
        noise: what is at the top.
        errors: root mean square distance of each from where it began.
    """

    samples: Samples
    noise: list[Tokens]
    errors: list[float]


def rows(singles: Sequence[Tokens], stretch: Stretch) -> Tokens:
    """The tokens of the items of a stretch."""
    return collate([singles[item] for item in stretch.items]).to(stretch.tokens.values.device)
