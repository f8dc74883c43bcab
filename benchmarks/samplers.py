"""What a solver's own arithmetic costs beside the network: share of an S/4 forward pass at batch 64.

python -m benchmarks.samplers [--batch 64] [--rounds 5] [--steps 10] [--threads 2] [--json FILE]

Every sampler walks with a predictor that answers at once; its time, a network pass, is set beside the median forward
pass of DiT-S/4 on 32x32x4 latents (fp32, its class conditions included), measured between the walks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from beeline.backbone.config import ModelConfig
from beeline.conditioning.label import ClassLabel
from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Layout, Tokens
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.samplers.build import SAMPLERS, build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.solve import sample
from beeline.tokenizers.grid import GridTokenizer
from benchmarks.result import show

INTERVAL = (0.98, 0.02)


class Ready:
    """A predictor whose answer lies ready."""

    def __init__(self, answer: torch.Tensor) -> None:
        self.answer = answer
        self.process = Linear()

    def __call__(self, x_t: Tokens, t: torch.Tensor, conditions: Conditions) -> Prediction:
        """The same velocity everywhere."""
        return Prediction(self.process, x_t, t, self.answer[: x_t.samples], "velocity")


def seconds_a_pass(name: str, tokens: Tokens, predictor: Ready, steps: int) -> float:
    """Time of a walk, a network pass."""
    times = torch.linspace(*INTERVAL, steps + 1, dtype=torch.float64)
    solver = build_sampler(SampleConfig(sampler=name), Gaussian())  # type: ignore[arg-type]
    key = Key.range(0, 0, tokens.samples)
    begin = time.perf_counter()
    end = sample(solver, predictor, tokens, times, Conditions(), key)
    spent = end.passes if isinstance(end.passes, int) else int(end.passes.max())
    return (time.perf_counter() - begin) / spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer, label = GridTokenizer((4, 4), channels=4), ClassLabel("label", 1000)
    network = Network(ModelConfig(preset="DiT-S/4"), tokenizer, [label], Linear(), extents=(8, 8)).eval()
    blank = tokenizer.blank((32, 32))
    batch = arguments.batch
    tokens = Tokens(
        torch.randn(batch, 64, 64),
        coords=None if blank.coords is None else blank.coords.expand(batch, -1, -1),
        layout=(Layout((8, 8), (32, 32)),) * batch,
    )
    conditions = Conditions({"label": torch.zeros(batch, dtype=torch.long)}, {"label": torch.zeros(batch) > 0})
    forward: list[float] = []
    spent: dict[str, list[float]] = {name: [] for name in SAMPLERS}
    ready = Ready(torch.randn_like(tokens.values))
    with torch.no_grad():
        network(tokens, torch.full((batch,), 0.5), conditions)
        for _ in range(arguments.rounds):
            begin = time.perf_counter()
            network(tokens, torch.full((batch,), 0.5), conditions)
            forward.append(time.perf_counter() - begin)
            for name, found in spent.items():
                found.append(seconds_a_pass(name, tokens, ready, arguments.steps))
    whole = statistics.median(forward)
    result: dict[str, object] = {f"forward pass of S/4, batch {batch}, ms": round(1000 * whole, 1)}
    result |= {f"{name}, share of a pass": f"{statistics.median(each) / whole:.4%}" for name, each in spent.items()}
    show(result, arguments.json)


if __name__ == "__main__":
    main()
