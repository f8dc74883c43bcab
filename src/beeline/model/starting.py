"""A trained network with everything that reading its outputs takes, wherever it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.core.parts import describe_part
from beeline.core.protocols import Objective, Process, Source
from beeline.model.build import build_network, build_objective
from beeline.model.codec import Codec
from beeline.model.format import FORMAT, conventions, library_version
from beeline.model.network import Network
from beeline.nn.unfilled import Unfilled
from beeline.objectives.config import ObjectiveConfig
from beeline.process.build import build_process, build_source
from beeline.process.config import ProcessConfig
from beeline.samplers.config import SampleConfig

# A population's tensor in the network that it is part of.
MEMBERS = "source.members"


@dataclass(frozen=True)
class Starting:
    """What sampling or fine-tuning starts from: a run of ours, or a peer's checkpoint in our terms.

    Args:
        codec: between native arrays and tokens.
        model: options of the network.
        process: its path.
        objective: what it was trained for.
        sample: how it is sampled unless asked otherwise.
        tensors: weights, by the names of ``Network``.
        origin: where it comes from, for provenance.
    """

    codec: Codec
    model: ModelConfig
    process: ProcessConfig
    objective: ObjectiveConfig
    sample: SampleConfig
    tensors: Mapping[str, Tensor]
    origin: Mapping[str, Any] = field(default_factory=dict)

    def parts(self) -> tuple[Process, Source, Objective]:
        """Path, source of noise and objective.

        Raises:
            UserError: a name is unknown or a number out of range.
        """
        process, source = build_process(self.process), build_source(self.process, self.tensors.get(MEMBERS))
        return process, source, build_objective(self.objective, process, source, self.codec)

    def blank_network(self, process: Process, objective: Objective, source: Source | None = None) -> Network:
        """The network with weights of no meaning, for those at hand to be loaded into.

        Args:
            process: its path.
            objective: what it was trained for.
            source: where noise comes from; Gaussian when None.

        Raises:
            UserError: the options do not fit together.
        """
        with Unfilled():
            return build_network(self.model, process, objective, self.codec, source)


def describe(
    start: Starting, modality: Mapping[str, Any], config: Mapping[str, Any], training: Mapping[str, Any]
) -> dict[str, Any]:
    """Contents of model.json.

    Args:
        start: the model.
        modality: name, hash, text and options of its kind of data.
        config: of the whole run, in plain values.
        training: how many examples it has seen, and their fingerprint.
    """
    process, _, objective = start.parts()
    return {
        "format": FORMAT,
        "library": library_version(),
        "modality": dict(modality),
        "config": dict(config),
        "conventions": conventions(process, objective.prediction, start.process.path),
        "normaliser": describe_part(start.codec.normaliser),
        "tokenizer": describe_part(start.codec.tokenizer),
        "conditions": [describe_part(part) for part in start.codec.conditions],
        "forms": [[list(form), count] for form, count in start.codec.forms],
        "extents": list(start.codec.extents),
        "training": dict(training),
    }
