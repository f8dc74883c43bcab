"""The training step, and all the state that a run carries from step to step.

The draws of a step are named by the global sample numbers of its batch, so nothing but the step number has to be
remembered to continue: no generator, no position in the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

from beeline.core.data import Batch
from beeline.core.errors import RunError, UserError
from beeline.core.protocols import Objective
from beeline.core.random import Key
from beeline.core.replay import Replay
from beeline.model.compiling import check_compilable, compiled
from beeline.model.network import Network
from beeline.nn.low_rank import is_low_rank, merged, plain_name
from beeline.train.adaptation import trained_parameters
from beeline.train.config import TrainConfig, chosen
from beeline.train.coupling import OptimalTransport
from beeline.train.ema import Ema, Tracks
from beeline.train.feed import Feed
from beeline.train.schedule import learning_rate

TIME_BINS = 10
RANGE = "beeline: "  # before the names of what a profile tells apart
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_SUMS = 3
_HOPELESS = 10


class Trainer:
    """Fits a network to examples; parameters that need no gradient stay out of everything that it keeps.

    Args:
        config: settled options (no ``auto`` left).
        steps: steps of the whole run.
        network: fresh, on the CPU.
        objective: what is minimised.
        feed: training batches.
        coupling: says whose noise each sample of a step's batch takes; None where each takes its own.
    """

    def __init__(
        self,
        config: TrainConfig,
        steps: int,
        network: Network,
        objective: Objective,
        feed: Feed,
        coupling: OptimalTransport | None = None,
    ) -> None:
        self.config = config
        self.steps = steps
        self.batch_size = chosen("batch_size", config.batch_size)
        self.network = network.to(config.device)
        self.objective = objective
        self.feed = feed
        self.coupling = coupling
        self.step = 0
        if config.compile:
            check_compilable(self.network)
        self._replay = Replay[tuple[Tensor, Tensor]]() if config.cuda_graph else None
        self.network.backbone.recompute = config.activation_checkpointing is True  # auto: as long as memory suffices
        self._trained = trained_parameters(self.network)
        self._parameters = list(self._trained.values())
        self.ema = Ema(self._trained.items(), config.ema_decay, config.ema_warmup)
        self.tracks = Tracks(self._trained.items()) if config.ema_snapshots else None
        self._optimiser = torch.optim.AdamW(
            self._parameters, betas=config.betas, weight_decay=config.weight_decay, fused=True
        )
        for parameter in self._parameters:  # at birth, so that a checkpoint has them whatever steps were skipped
            self._optimiser.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=config.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        # Sums since the last line of the log: steps, those skipped, gradient norm, loss and count of each time bin.
        self._meter = torch.zeros(_SUMS + 2 * TIME_BINS, dtype=torch.float64, device=config.device)
        self._bad_step = torch.full((), -1, device=config.device)
        self._skipped = 0  # steps one after another that were skipped for their gradients

    def train_step(self) -> None:
        """One update: gradients of every micro-batch, clip, optimise, average.

        Raises:
            RunError: the gradient was not finite, and the weights are untouched by it; or those of many steps were not,
                one after another, that were to be skipped.
        """
        self._meter[0] += 1
        told = self.step + 1 in self.config.skip_steps
        if told or not self._learn():
            self._meter[1] += 1
            self._skipped += not told
        else:
            self._skipped = 0
        self.step += 1
        if self._skipped >= _HOPELESS:
            raise RunError(f"step {self.step}: the last {_HOPELESS} steps were all skipped; nothing is being learned")
        if self.config.device == "cpu":  # where looking costs no synchronisation
            self.check_finite()

    def _learn(self) -> bool:
        """Learn from the batch of this step; False where its gradient is not finite and it is to be skipped."""
        losses = [self._accumulate(batch, key) for batch, key in self._micro_batches()]
        clip = self.config.clip_norm or float("inf")
        with record_function(f"{RANGE}optimiser"):
            norm = torch.nn.utils.clip_grad_norm_(self._parameters, clip)
            bad = ~torch.isfinite(norm)
        if self.config.on_nan == "skip" and bool(bad):
            self._clear_gradients()
            return False
        with record_function(f"{RANGE}log"):
            for loss, t in losses:
                self._measure(loss, t)
            self._meter[2] += norm.to(torch.float64)
        with record_function(f"{RANGE}optimiser"):
            self._update(bad)
        with record_function(f"{RANGE}averages"):
            self.ema.update(self.step)
            if self.tracks is not None:
                self.tracks.update(self.step)
        return True

    def _micro_batches(self) -> Iterator[tuple[Batch, Key]]:
        """The samples of this step, a micro-batch at a time; partners are found among all of them."""
        start, size = self.step * self.batch_size, self.batch_size // self.config.accumulation
        device, seed = self.config.device, self.config.seed
        coupled = None
        if self.coupling is not None:
            batch = self._read(start, self.batch_size)
            coupled = self.coupling(batch, Key.range(seed, start, self.batch_size, device))
        for first in range(0, self.batch_size, size):
            key = Key.range(seed, start + first, size, device)
            if coupled is None:
                yield self._read(start + first, size), key
            else:
                yield coupled.rows(torch.arange(first, first + size, device=device)), key

    def _read(self, first: int, length: int) -> Batch:
        with record_function(f"{RANGE}data"):
            return self.feed.batch(first, length).to(self.config.device)

    def _clear_gradients(self) -> None:
        self._optimiser.zero_grad(set_to_none=not self.config.cuda_graph)  # a recording adds to them in their places

    def _accumulate(self, batch: Batch, key: Key) -> tuple[Tensor, Tensor]:
        """Add the gradient of some samples, recorded or computed; their losses and times."""
        if self._replay is None:
            return self._add_gradient(batch, key)
        parts = [*batch.given(), key.numbers, key.seed, key.purpose]
        return self._replay.of(parts, (batch, key), self._add_gradient)

    def _add_gradient(self, batch: Batch, key: Key) -> tuple[Tensor, Tensor]:
        """Add the gradient of some samples; their losses and times."""
        with compiled(self.network, self.config.compile):
            loss = self.loss(batch, key)
        (loss.sum() / self.batch_size).backward()
        return loss.detach(), self.objective.times(key)

    def loss(self, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample, in the precision of training."""
        with torch.autocast(self.config.device, torch.bfloat16, enabled=self.config.precision == "bf16"):
            return self.objective(self.network, batch, key)

    def _update(self, bad: Tensor) -> None:
        # The fused optimiser skips its update on the device where found_inf is set, without a synchronisation.
        self._optimiser.grad_scale, self._optimiser.found_inf = None, bad.to(torch.float32)  # type: ignore[attr-defined]
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self._optimiser.step()
        self._clear_gradients()
        self._bad_step = torch.where(bad & (self._bad_step < 0), self.step, self._bad_step)

    def _measure(self, loss: Tensor, t: Tensor) -> None:
        bins = (t * TIME_BINS).long().clamp(0, TIME_BINS - 1)
        self._meter[_SUMS : _SUMS + TIME_BINS].index_add_(0, bins, loss.to(torch.float64))
        self._meter[_SUMS + TIME_BINS :].index_add_(0, bins, torch.ones_like(loss, dtype=torch.float64))

    def check_finite(self) -> None:
        """Stop a run whose gradient was not finite.

        Raises:
            RunError: naming the step.
        """
        if (bad := int(self._bad_step)) >= 0:
            raise RunError(
                f"step {bad + 1}: the gradient is not finite; the weights were not touched and nothing was saved since "
                "the last checkpoint. A lower train.learning_rate, train.clip_norm or --train.precision fp32 may help; "
                "--train.on_nan skip passes over such steps"
            )

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return learning_rate(self.config, step, self.steps)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Lend the network its averaged weights; its own come back untouched."""
        own = {name: parameter.data for name, parameter in self._trained.items()}
        try:
            for name, parameter in self._trained.items():
                parameter.data = self.ema.average[name]
            self.network.eval()
            yield
        finally:
            for name, parameter in self._trained.items():
                parameter.data = own[name]
            self.network.train()

    def take_measurements(self) -> dict[str, Any]:
        """Averages since the last call: loss, loss by time, gradient norm; and how many steps were skipped."""
        steps, skipped, norm, *bins = self._meter.tolist()
        self._meter.zero_()
        sums, counts = bins[:TIME_BINS], bins[TIME_BINS:]
        learned = steps > skipped
        return {
            "loss": sum(sums) / sum(counts) if learned else None,
            "loss_by_time": [total / count if count else None for total, count in zip(sums, counts, strict=True)],
            "gradient_norm": norm / (steps - skipped) if learned else None,
            **({"skipped": int(skipped)} if skipped else {}),
        }

    def averaged_weights(self) -> dict[str, Tensor]:
        """What sampling uses: the network's tensors with averaged parameters, low-rank parts merged into them."""
        return merged({**self._state(), **self.ema.average})

    @property
    def is_partial(self) -> bool:
        """Whether some of the network stays as it is, so that checkpoints hold a part of it alone."""
        return any(not parameter.requires_grad for parameter in self.network.parameters())

    def adapter(self) -> dict[str, Tensor] | None:
        """Averages of all that trains, where it is low-rank parts beside a frozen base; None where it is not."""
        if not any(is_low_rank(name) for name in self._trained):
            return None
        return {**self._scales(), **self.ema.average}

    def _state(self) -> dict[str, Tensor]:
        return {plain_name(name): tensor for name, tensor in self.network.state_dict().items()}

    def _scales(self) -> dict[str, Tensor]:
        """Factors of low-rank parts, without which these cannot be merged."""
        return {name: each for name, each in self._state().items() if is_low_rank(name) and name not in self._trained}

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Every tensor that resuming needs beside what the run began with, in groups."""
        optimiser: dict[str, Tensor] = {}
        for name, parameter in self._trained.items():
            for key, value in self._optimiser.state[parameter].items():
                optimiser[f"{name}/{key}"] = value
        frozen = {plain_name(name) for name, each in self.network.named_parameters() if not each.requires_grad}
        return {
            "weights": {name: tensor for name, tensor in self._state().items() if name not in frozen},
            "ema": {**self._scales(), **self.ema.average},
            "optimiser": optimiser,
            "meter": {"sums": self._meter},
            **({"tracks": self.tracks.tensors()} if self.tracks is not None else {}),
        }

    def restore(self, step: int, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Continue from a checkpoint.

        Raises:
            UserError: the tensors are not those of this network.
        """
        mine = self.tensors()
        moments = {
            f"{name}/{key}": parameter if key != "step" else self._meter[0]
            for name, parameter in self._trained.items()
            for key in _MOMENTS
        }
        expected = {**mine, "optimiser": moments}
        for group in mine:
            _check_same(f"checkpoint of step {step}, {group}", tensors[group], expected[group])
        for group in mine.keys() - {"optimiser"}:
            for name, tensor in mine[group].items():
                tensor.copy_(tensors[group][name])
        for name, parameter in self._trained.items():
            saved = {key: tensors["optimiser"][f"{name}/{key}"] for key in _MOMENTS}
            self._optimiser.state[parameter] = {key: value.to(self.config.device) for key, value in saved.items()}
        self.step = step


def _check_same(where: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not, by name and shape, those of this network."""
    for name in sorted(found.keys() ^ expected.keys()):
        raise UserError(f"{where}: tensor {name} is {'not of this network' if name in found else 'missing'}")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise UserError(f"{where}: tensor {name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}")
