"""Network passes of a walk where what does not depend on time is computed once, against every time.

python -m benchmarks.once [--rounds 7] [--json FILE]

Seconds of process CPU time on one thread, in turns, the median of the rounds, as a share of computing everything in
every pass: positions, embedded conditions, keys and values of what is attended to. Guided passes, two rows a sample,
whose batch of both evaluations is made once either way; the numbers are the same to the bit, which is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.control_cells import ControlPopulation
from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example
from beeline.core.protocols import Condition
from beeline.data.normalisers import Standardise
from beeline.data.projection import Projection
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.samplers.guidance import Guided
from beeline.tokenizers.grid import GridTokenizer

PASSES = 4
RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """A network and what it is asked.

    Args:
        name: of it.
        model: its sizes.
        shape: of a sample.
        patch: of its tokens.
        condition: of samples.
        value: of the condition.
        batches: samples at a time.
    """

    name: str
    model: ModelConfig
    shape: tuple[int, ...]
    patch: tuple[int, ...]
    condition: Condition
    value: Any
    batches: Sequence[int]


def cases() -> list[Case]:
    """A class, a coarse map, and a population of control cells."""
    cells = RANDOM.normal(size=(64, 20)).astype(np.float32)
    controls = ControlPopulation("controls", projection=Projection(components=10)).fit([cells])
    coarse = CoarseMap("coarse", (1, 1), mean=(0.0,), deviation=(1.0,), extents=(8, 8), dropout=0.1)
    label = ClassLabel("label", 2, dropout=0.1)
    s4 = ModelConfig(preset="DiT-S/4")
    small = ModelConfig(preset="DiT-Nano", hidden_size=128, depth=2, num_heads=2)
    return [
        Case("S4, a class", s4, (32, 32, 3), (4, 4), label, 0, (1, 8)),
        Case("S4, a map of 8x8", s4, (32, 32, 3), (4, 4), coarse, RANDOM.normal(size=(8, 8, 1)), (1, 8)),
        Case("2 blocks of 128, 32 control cells", small, (1, 10), (1,), controls, cells[:32], (16, 128)),
    ]


class Walk:
    """Guided passes of one batch.

    Args:
        case: what is asked.
        batch: samples.
    """

    def __init__(self, case: Case, batch: int) -> None:
        torch.manual_seed(0)
        width = case.shape[-1]
        normaliser = Standardise(mean=(0.0,) * width, deviation=(1.0,) * width)
        tokenizer = GridTokenizer(case.patch, width)
        codec = Codec(normaliser, tokenizer, (case.condition,), forms=((case.shape[:-1], 1),))
        example = Example(RANDOM.normal(size=case.shape).astype(np.float32), {case.condition.name: case.value})
        self.network = Network(case.model, tokenizer, codec.conditions, Linear()).eval()
        for parameter in self.network.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
        self.batch = codec.batch([codec.encode(example)] * batch)

    def __call__(self, once: bool) -> tuple[float, list[Tensor]]:
        """CPU seconds a pass, and what was said."""
        tokens, guided = self.batch.tokens, Guided(self.network, 3.0)
        outputs = []
        begin = time.process_time()
        with torch.no_grad(), self.network.unchanged() if once else nullcontext():
            for step in range(PASSES):
                t = torch.full((tokens.samples,), 1 - step / PASSES, dtype=torch.float64)
                outputs.append(guided(tokens.with_values(tokens.values + step), t, self.batch.conditions).output)
        return (time.process_time() - begin) / PASSES, outputs


def measured(walk: Walk, rounds: int) -> Mapping[str, float]:
    """Seconds a pass of both ways and their ratio, medians of the rounds.

    Raises:
        AssertionError: they do not say the same.
    """
    every, kept, ratios = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        (slow, one), (quick, other) = walk(once=False), walk(once=True)
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
        every.append(slow)
        kept.append(quick)
        ratios.append(quick / slow)
    return {
        "every": statistics.median(every),
        "once": statistics.median(kept),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| network | samples | ms a pass | once | once / every pass |\n|---|---|---|---|---|")
    for case in cases():
        for batch in case.batches:
            walk = Walk(case, batch)
            walk(once=False)
            found = measured(walk, asked.rounds)
            rows.append({"case": case.name, "samples": batch, **found})
            times = f"{1000 * found['every']:.1f} | {1000 * found['once']:.1f}"
            ratio = f"{found['ratio']:.2f} ({found['least']:.2f} to {found['most']:.2f})"
            print(f"| {case.name} | {batch} | {times} | {ratio} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
