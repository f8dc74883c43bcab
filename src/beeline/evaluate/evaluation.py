"""An evaluation: samples, baselines and real examples through the same measures, and what it takes to do it again."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beeline.core.data import Example, Examples
from beeline.core.errors import UserError
from beeline.core.offers import Baselined, Gridded
from beeline.core.protocols import Modality
from beeline.core.sharing import Divided
from beeline.evaluate.features import SPACES, build_spaces
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.records import Evaluation, Record
from beeline.evaluate.requests import requests_like
from beeline.evaluate.sets import Sets, class_condition, fingerprint, read_sets, spread
from beeline.evaluate.space_measures import MEASURES
from beeline.evaluate.yardstick import Yardstick
from beeline.generate.engine import Engine, Samples
from beeline.generate.load import locate, output_folder, read_description
from beeline.metrics.formula import Formula
from beeline.model.format import library_version
from beeline.samplers.config import SampleConfig

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Drawn:
    """Samples and how long drawing them took.

    Args:
        samples: with provenance.
        seconds: of wall clock.
        is_divided: whether they are what samples are made of, which know what each of them was asked for.
    """

    samples: Samples
    seconds: float
    is_divided: bool = False


class Evaluator:
    """A model, the real examples it is held against, and the measures.

    Args:
        engine: the model.
        path: where it was opened from.
        training: examples that it has seen.
        held_out: examples that it has not, whose conditions and forms are asked for.
        spaces: feature spaces, of ``features.SPACES``.
        which: formulas to compute in every space.
        own_intervals: whether the modality's own metrics get intervals, at twenty times their cost.

    Raises:
        UserError: there is nothing to measure.
    """

    def __init__(
        self,
        engine: Engine,
        path: Path,
        training: Examples,
        held_out: Examples,
        spaces: Collection[str] = SPACES,
        which: Collection[Formula] = MEASURES,
        own_intervals: bool = False,
    ) -> None:
        self.engine = engine
        apart = things_of(engine.modality)
        self.is_divided, self._whole = apart is not None, (training, held_out)
        self.sets = read_sets(*(apart or self._whole))
        self.classes = class_condition(engine.codec.conditions)
        self.modality: dict[str, Any] = read_description(locate(path)[1])["modality"]
        home = output_folder(path) / "features"
        found, self.left_out = build_spaces(spaces, self.sets, self.classes, home)
        self.space_records = {space.name: space.record for space in found}
        own, name = engine.modality.metrics(), Path(self.modality["name"]).stem
        grid = engine.modality.geometry() if isinstance(engine.modality, Gridded) else None
        if not own and not found and grid is None:
            reasons = "; ".join(f"{space}: {reason}" for space, reason in self.left_out.items())
            raise UserError(
                f"{path}: nothing to measure: its modality has no metrics" + (f"; {reasons}" if reasons else "")
            )
        cheap = engine.modality.baselines if isinstance(engine.modality, Baselined) else None
        self.yardstick = Yardstick(self.sets, found, own, name, which, own_intervals, grid, self.classes, cheap)
        self.measures = self.yardstick.measures
        self.left_out |= self.measures.left_out

    @property
    def held_out(self) -> Examples:
        """Held-out examples as the model knows them, whose conditions are asked for."""
        return self._whole[1] if self.is_divided else self.sets.held_out

    @cached_property
    def whole(self) -> Sets:
        """Real examples as the model knows them."""
        return read_sets(*self._whole) if self.is_divided else self.sets

    def draw(
        self,
        n: int,
        seed: int,
        settings: SampleConfig | None = None,
        progress: Progress | None = None,
        engine: Engine | None = None,
        held_out: Sequence[Example] | None = None,
    ) -> Drawn:
        """Generate samples under the conditions of held-out examples: evenly spread, or round and round.

        Args:
            n: how many; of samples that are measured as what they are made of, how many of these.
            seed: sample i depends on (seed, i) alone, so two draws of one seed are paired.
            settings: how; the run's own when None.
            progress: called with (steps done, steps in all).
            engine: another model of the same data; the evaluator's own when None.
            held_out: the held-out examples as that model knows them, in the same order, whose conditions may have
                other values under the same names; the evaluator's own when None.
        """
        held_out, engine = self.held_out if held_out is None else held_out, engine or self.engine
        modality = engine.modality if isinstance(engine.modality, Divided) and self.is_divided else None
        parts = 1 if modality is None else len(modality.divided([held_out[0]]))
        count = -(-n // parts)
        asked = [held_out[place] for place in spread(len(held_out), count)]
        requests = requests_like(asked, count, engine)
        begin = time.monotonic()
        samples = engine.generate(requests, seed, settings, progress=progress)
        seconds = time.monotonic() - begin
        if modality is not None:
            samples = replace(samples, examples=modality.divided(samples.examples)[:n])
        return Drawn(samples, seconds, modality is not None)

    def compare(self, drawn: Drawn) -> list[Record]:
        """A record for each number, with what the same function gives for the baselines and for real examples."""
        examples, seed = drawn.samples.examples, int(drawn.samples.provenance["seed"])
        return self.yardstick.records(examples, seed, paired=not self.is_divided)

    def quick(self, drawn: Drawn) -> dict[Place, Outcome]:
        """The numbers of samples alone, with intervals."""
        seed = int(drawn.samples.provenance["seed"])
        return self.measures(drawn.samples.examples, seed, paired=not self.is_divided)

    def protocol(self, drawn: Drawn, made_by: str) -> dict[str, Any]:
        """Everything that the numbers depend on.

        Args:
            drawn: the samples.
            made_by: the command.
        """
        examples = drawn.samples.examples
        options = self.modality["options"]
        return {
            "made_by": made_by,
            **machine(self.engine),
            "weights": "averaged",
            **drawn.samples.provenance,
            "n": len(examples),
            "seconds": drawn.seconds,
            "samples_per_second": len(examples) / max(drawn.seconds, 1e-9),
            "samples": f"{_types(examples)}, as a user gets them: units and numbers of the data",
            "data": {
                "modality": self.modality["name"],
                "path": options.get("path"),
                "options": options,
                "fingerprint": fingerprint([*self.sets.training, *self.sets.held_out]),
            },
            "sets": {**self.sets.counts, **self.yardstick.of_ceilings(len(examples))},
            "spaces": self.space_records,
            "left_out": self.left_out,
        }


def things_of(modality: Modality) -> tuple[Examples, Examples] | None:
    """What training and held-out samples are measured as, where that is not themselves."""
    if not isinstance(modality, Divided):
        return None
    training, held_out = (modality.things(split) for split in ("train", "held_out"))
    return None if training is None or held_out is None else (training, held_out)


def machine(engine: Engine) -> dict[str, Any]:
    """What computes, and with which software."""
    name = torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else "cpu"
    return {
        "library": library_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": name,
        "threads": torch.get_num_threads(),
    }


def evaluation(evaluator: Evaluator, drawn: Drawn, made_by: str) -> Evaluation:
    """Protocol and records of some samples.

    Args:
        evaluator: of the model.
        drawn: its samples.
        made_by: the command.
    """
    return Evaluation(evaluator.protocol(drawn, made_by), evaluator.compare(drawn))


def _types(examples: Sequence[Example]) -> str:
    return " and ".join(sorted({np.dtype(example.array.dtype).name for example in examples}))
