"""Our side: the trainer's own step, and the engine's own sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from beeline.core.matmul import settled
from beeline.core.tokens import Tokens
from beeline.generate.engine import Engine
from beeline.generate.running import running
from beeline.modalities.loading import ModalitySource
from beeline.model.cost import network_cost
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.samplers.config import SampleConfig
from beeline.train.config import RunConfig, TrainConfig
from beeline.train.machine import computing, settle
from beeline.train.setup import prepare
from benchmarks.peers.nets import LABEL, STEPS_OF_A_RUN, Net, Variant
from benchmarks.peers.noise import Noise
from benchmarks.peers.side import Draw


def _products(config: TrainConfig | SampleConfig) -> str:
    """What matrices are multiplied in, and fast where that is another way."""
    return "fp32 fast" if (config.precision, config.matmul) == ("fp32", "fast") else config.precision


class Ours:
    """The trainer and the engine of a net.

    Args:
        net: its sizes.
        variant: options.
        device: cpu or cuda.
        threads: CPU threads.
    """

    def __init__(self, net: Net, variant: Variant, device: str, threads: int) -> None:
        self.net, self.device = net, device
        own = {"batch_size": net.batch, "steps": STEPS_OF_A_RUN, "device": device, "threads": threads}
        options: dict[str, Any] = {**own, "in_memory": True, "tensorboard": False, **variant.train}
        train, _ = settle(TrainConfig(**options))
        data = {"size": net.size, "channels": net.channels, "patch": net.patch, "classes": net.classes}
        sample = SampleConfig(**variant.sample)
        sample = replace(sample, matmul=settled(sample.matmul, train.device)[0])
        config = RunConfig("noise", data, net.config(), train=train, sample=sample)
        self._prepared = prepare(config, ModalitySource("noise", Noise, __name__))
        self.trainer = self._prepared.trainer
        self.precision = _products(self.trainer.config)
        self.sampling_precision = _products(config.sample)
        self.parameters = sum(each.numel() for each in self.trainer.network.parameters() if each.requires_grad)
        self._engine: Engine | None = None
        batch = self.trainer.feed.batch(0, net.batch).to(device)
        self._inputs: tuple[Tokens, Tensor, Any] = (
            batch.tokens,
            torch.linspace(0.1, 0.9, net.batch, device=device),
            batch.conditions,
        )

    def step(self) -> None:
        """The trainer's own."""
        with computing(self.trainer.config):
            self.trainer.train_step()

    def forward(self) -> None:
        """A pass of the engine's network over a training batch, in the precision of sampling."""
        network: Network = self.engine().network
        with torch.no_grad(), running([network], self.device, self._prepared.config.sample):
            network(*self._inputs)

    def forward_flops(self) -> int:
        """Of a pass over a training batch."""
        return self.net.batch * network_cost(self.trainer.network, self._prepared.codec).flops

    def engine(self) -> Engine:
        """Samples with the averaged weights, as they were when it was asked for first."""
        if self._engine is None:
            made, config = self._prepared, self._prepared.config
            start = Starting(made.codec, config.model, config.process, config.objective, config.sample, {})
            process, noise, objective = start.parts()
            network = start.blank_network(process, objective, noise)
            network.load_state_dict(self.trainer.averaged_weights())
            modality = made.source.make(config.data)
            self._engine = Engine(network.to(self.device), start, modality, process, noise)
        return self._engine

    def sampling(self, images: int, passes: int, sampler: str, scale: float) -> tuple[Draw, str]:
        """What draws guided images in one batch, telling the passes of each; and how it does so.

        Args:
            images: how many.
            passes: network passes of an image, both passes of guidance counted; the most steps that cost no more.
            sampler: name of the solver.
            scale: of guidance.
        """
        from beeline.evaluate.curves import steps_for_passes  # what scores samples takes 110 MiB, training none of it

        engine = self.engine()
        name: Any = sampler
        settings = engine.settings(sampler=name, cfg_scale=scale)
        steps = steps_for_passes(engine, settings, [passes], self._prepared.held_out[0])[0]
        labels = {LABEL: [number % self.net.classes for number in range(images)]}
        requests = engine.requests(images, labels)

        def draw(fewer: int | None = None) -> int:
            settings = engine.settings(sampler=name, cfg_scale=scale, steps=fewer or steps)
            return int(engine.generate(requests, 0, settings, images).provenance["passes"])

        return draw, f"{sampler}, {steps} steps"
