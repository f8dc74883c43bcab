"""A net as it is trained and sampled here, by the library's own trainer and engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from beeline.core.protocols import Objective
from beeline.generate.engine import Engine
from beeline.model.build import build_network
from beeline.model.codec import Codec
from beeline.model.cost import network_cost
from beeline.model.starting import Starting
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.samplers.config import SampleConfig
from beeline.train.config import TrainConfig
from beeline.train.supply import supply
from beeline.train.trainer import Trainer
from benchmarks.peers.nets import LABEL, STEPS_OF_A_RUN, Net
from benchmarks.peers.noise import Noise

_DEVIATION = 0.1  # of what starts at zero


class Subject:
    """A net with its data; trainers and engines share its weights.

    Args:
        net: its sizes.
        device: cpu or cuda.
        seed: of its weights.
    """

    def __init__(self, net: Net, device: str, seed: int = 0) -> None:
        self.net, self.device = net, device
        self._modality = Noise(net.size, net.channels, net.patch, net.classes)
        training = self._modality.dataset("train")
        self._feed, self._codec, _ = supply(self._options(), Codec.fit(self._modality, training), training, None)
        self._start = Starting(self._codec, net.config(), ProcessConfig(), ObjectiveConfig(), SampleConfig(), {})
        self._process, self._source, self._objective = self._start.parts()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            network = build_network(net.config(), self._process, self._objective, self._codec, self._source)
            # A fresh net is the identity behind closed gates: checks of it would be vacuous, and zeros draw less power.
            for parameter in network.parameters():
                if not parameter.any():
                    parameter.normal_(std=_DEVIATION)
        self.network = network.to(device)

    def _options(self, **options: Any) -> TrainConfig:
        own = {"steps": STEPS_OF_A_RUN, "batch_size": self.net.batch, "device": self.device, "in_memory": True}
        # One average, as the peers keep; nothing is left to be chosen.
        fixed = {"ema_snapshots": 0, "activation_checkpointing": False, "learning_rate": 1e-4, "matmul": "exact"}
        whole: dict[str, Any] = {"precision": "fp32", **own, **fixed, **options}
        return TrainConfig(threads=torch.get_num_threads(), **whole)

    def trainer(self, change: Callable[[Objective], Objective] | None = None, **options: Any) -> Trainer:
        """A fresh trainer of the weights as they are.

        Args:
            change: makes another objective of that of the net.
            options: of ``TrainConfig``, those of fp32 with exact products otherwise.
        """
        self.network.zero_grad()
        config, objective = self._options(**options), self._objective
        objective = objective if change is None else change(objective)
        return Trainer(config, STEPS_OF_A_RUN, self.network.train(), objective, self._feed)

    def engine(self, precision: str, compiled: bool, played: bool = False) -> Engine:
        """What samples with the weights as they are.

        Args:
            precision: fp32 or bf16.
            compiled: whether blocks are.
            played: whether passes are recorded once and played.
        """
        options: dict[str, Any] = {"precision": precision, "matmul": "exact"}
        options |= {"compile": compiled, "cuda_graph": played}
        start = replace(self._start, sample=SampleConfig(**options))
        return Engine(self.network, start, self._modality, self._process, self._source)

    def labels(self, images: int) -> dict[str, list[int]]:
        """The condition of some images."""
        return {LABEL: [number % self.net.classes for number in range(images)]}

    def forward_flops(self) -> int:
        """Operations of a pass over one sample; one multiply or one add is one."""
        return network_cost(self.network, self._codec).flops
