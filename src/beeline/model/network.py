"""A backbone with its conditions and its process: the Predictor that training fits and sampling asks.

Shapes: B rows, L tokens a row, C numbers a token, D hidden numbers, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beeline.backbone.config import ModelConfig, condition_width, resolve_sizes
from beeline.backbone.dit import DiT, TokenSpace
from beeline.backbone.seam import Backbone
from beeline.backbone.unet import UNet
from beeline.core.conditions import Conditions
from beeline.core.context import Context, beside
from beeline.core.errors import UserError
from beeline.core.once import Once
from beeline.core.prediction import Prediction
from beeline.core.protocols import Condition, Process, Source, Tokenizer
from beeline.core.replay import Recorder, Replay
from beeline.core.tokens import Tokens
from beeline.model.codec_checks import is_seen
from beeline.nn.embeddings import PerBlock
from beeline.nn.precision import full_precision
from beeline.process.sources import Gaussian


@dataclass(frozen=True)
class _Asked:
    """What a batch is asked to be, embedded.

    Args:
        features: of ``concat`` conditions, appended to the numbers of tokens.
        over: what the backbone says over such places: outputs of noisy numbers and times.
    """

    features: tuple[Tensor, ...]
    over: Callable[[Tensor, Tensor], Tensor]


class Network(nn.Module):
    """Embeds conditions, runs the backbone, and wraps what comes out as a Prediction.

    Args:
        config: sizes and options of the backbone.
        tokenizer: makes the tokens.
        conditions: named inputs.
        process: relates the prediction to data and noise.
        prediction: what the network predicts.
        outputs: 1, or 2 with a learned variance.
        extents: largest number of tokens along each axis.
        companion: what the objective learns beside the network; trains and is saved with it, and predicts nothing.
        source: where noise comes from; a population is saved with the weights. Gaussian noise when None.

    Raises:
        UserError: the options do not fit together or do not fit the data.
    """

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        conditions: Sequence[Condition],
        process: Process,
        prediction: str = "velocity",
        outputs: int = 1,
        extents: tuple[int, ...] = (),
        companion: nn.Module | None = None,
        source: Source | None = None,
    ) -> None:
        super().__init__()
        # Modules where they hold tensors: a learned path is trained with the rest, a population travels with it.
        self.process = process
        self.source = source or Gaussian()
        self.prediction = prediction
        self.outputs = outputs
        self.routes = {condition.name: condition.route for condition in conditions if is_seen(condition)}
        width, depth = condition_width(config), resolve_sizes(config).depth

        def embedder(condition: Condition) -> nn.Module:
            if condition.route == "global" and config.embedders == "per_block":
                return PerBlock(condition.embedder(width, tokenizer) for _ in range(depth))
            return condition.embedder(width, tokenizer)

        attends = "cross" in self.routes.values()
        if attends and config.embedders == "per_block":
            raise UserError("model.embedders per_block: is the way of a peer that attends to nothing; use shared")
        embedders = {condition.name: embedder(condition) for condition in conditions if condition.name in self.routes}
        features = sum(
            tokenizer.lift_width(condition.channels) for condition in conditions if condition.route == "concat"
        )
        self.space = TokenSpace(tokenizer.width, features, tokenizer.axes, tokenizer.identities, extents, attends)
        make = UNet if config.backbone == "unet" else DiT
        self.backbone: Backbone = make(config, self.space, outputs)
        self.embedders = nn.ModuleDict(embedders)
        self.companion = companion
        self._once = Once[_Asked]()

    def forward(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        """What is expected at noisy samples.

        Args:
            x_t: the noisy samples.
            t: (N,) times.
            conditions: of the samples.
        """
        scale = self.process.input_scale(t)
        seen = x_t if scale is None else x_t.with_values(x_t.expand(scale) * x_t.values)
        output = self.output(seen, self.process.time_input(t), conditions)
        mean, *variance = (x_t.only_data(part) for part in output.split(self.space.width, dim=-1))
        return Prediction(self.process, x_t, t, mean, self.prediction, variance[0] if variance else None)

    def output(self, x_t: Tokens, time: Tensor, conditions: Conditions) -> Tensor:
        """(B, L, outputs x C) what the backbone says, mean before variance.

        Args:
            x_t: the noisy samples.
            time: (N,) what the time embedding sees.
            conditions: of the samples.
        """
        given = [*x_t.places(), *conditions.given(), _computed_in(x_t.values)]
        asked = self._once.of(given, lambda: self._asked(x_t, conditions))
        values = torch.cat([x_t.values, *asked.features], dim=-1) if asked.features else x_t.values
        output = asked.over(values, time)
        return output.to(torch.promote_types(output.dtype, torch.float32))

    def _asked(self, x_t: Tokens, conditions: Conditions) -> _Asked:
        features, vectors, contexts = list[Tensor](), list[Tensor](), list[Context]()
        with full_precision(x_t.values):
            for name, route in self.routes.items():
                given, null = conditions.values[name], conditions.null[name]
                if route == "concat":
                    features.append(self.embedders[name](given, x_t.expand(null)))
                elif route == "cross":
                    seen, absent = self.embedders[name](given, null)
                    contexts.append(seen)
                    vectors += [] if absent is None else [absent]
                else:
                    vectors.append(self.embedders[name](given, null))
        if contexts and x_t.segment is not None:
            raise ValueError("samples that share rows cannot attend to conditions of their own")
        vector = sum(vectors[1:], vectors[0]) if vectors else None
        frame = self.backbone.frame_of(x_t, beside(contexts) if contexts else None, self._once.keeps)

        def over(values: Tensor, time: Tensor) -> Tensor:
            return self.backbone.over(values, time, vector, frame)

        recorder: Callable[[], Recorder] | None = self._once.note if self._once.keeps else None
        if recorder is None:
            return _Asked(tuple(features), over)
        replay = Replay[Tensor](recorder())
        return _Asked(tuple(features), lambda *given: replay.of(given, given, over))

    def unchanged(self, recorder: Callable[[], Recorder] | None = None) -> AbstractContextManager[None]:
        """For a while in which no weight changes, compute what does not depend on numbers and times once a batch.

        Args:
            recorder: makes what records the passes of a batch, to be played from the second on; None computes them all.
        """
        return self._once.keeping(recorder)

    def check_extents(self, extents: tuple[int, ...]) -> None:
        """Refuse samples that the backbone cannot place.

        Raises:
            UserError: saying why.
        """
        self.backbone.check_extents(extents)

    @property
    def knows_places(self) -> bool:
        """Whether it is told where tokens lie, between those of training too."""
        told = self.backbone.positions if isinstance(self.backbone, DiT) else "none"
        return told in ("sincos", "rotary", "sincos_rotary")

    @property
    def dit(self) -> DiT:
        """The backbone, where what is asked for is a transformer's.

        Raises:
            UserError: it is none.
        """
        if not isinstance(self.backbone, DiT):
            raise UserError("this asks for a transformer, and the network is of model.backbone unet; use backbone dit")
        return self.backbone


def _computed_in(values: Tensor) -> torch.dtype | None:
    """The precision that autocast takes on the device of a tensor, None where it is off."""
    device = values.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)
