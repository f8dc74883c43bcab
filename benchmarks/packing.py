"""Samples of many lengths in one batch: padded, packed under a mask, and packed and attended to sample by sample.

    python -m benchmarks.packing [--rounds 5] [--json FILE]

A forward pass with its way back over 32 samples, in seconds of process CPU time on one thread, in turns, the median of
the rounds, as a share of padded rows. The rows that samples are packed into are as long as the longest. All three give
the same numbers within rounding, which is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.backbone.dit import DiT, TokenSpace
from beeline.core.batching import collate, pack, unbatch
from beeline.core.tokens import Layout, Tokens
from beeline.nn.attention import packed_mask

SAMPLES = 32
NETS = {
    "tiny": ModelConfig(hidden_size=128, depth=6, num_heads=4),
    "S": ModelConfig(hidden_size=384, depth=4, num_heads=6),
}
LENGTHS = {
    "16, 64 or 256": [16, 64, 256],
    "16 to 256": list(range(16, 257)),
    "64 to 1,024": list(range(64, 1025)),
}


@dataclass(frozen=True)
class Batched:
    """Samples in a batch.

    Args:
        tokens: of it.
        masked: whether samples that share rows are told apart by a mask.
    """

    tokens: Tokens
    masked: bool = False

    def outputs(self, model: DiT, condition: Tensor) -> Tensor:
        """What the network says.

        Args:
            model: asked.
            condition: (N, D) of the samples.
        """
        frame = model.frame_of(self.tokens)
        if self.masked:
            assert self.tokens.segment is not None
            around = replace(frame.around[0], segment=self.tokens.segment, sight=packed_mask(self.tokens.segment))
            frame = replace(frame, around=(around,) * len(model.blocks), order=None)
        return model.over(self.tokens.values, torch.linspace(0, 999, self.tokens.samples), condition, frame)


def samples(lengths: Sequence[int]) -> list[Tokens]:
    """Sets without identities, of lengths that are drawn.

    Args:
        lengths: that there are.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = [lengths[int(torch.randint(len(lengths), (), generator=generator))] for _ in range(SAMPLES)]
    return [
        Tokens(torch.randn(1, length, 4, generator=generator), layout=(Layout((length,), (length,)),))
        for length in drawn
    ]


def seconds(call: Callable[[], object]) -> float:
    """Processor time of a call."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measured(config: ModelConfig, lengths: Sequence[int], rounds: int) -> dict[str, float]:
    """Seconds of each way, and how full packed rows are.

    Args:
        config: of the network.
        lengths: of samples.
        rounds: in turns.
    """
    torch.manual_seed(0)
    model, drawn = DiT(config, TokenSpace(4)), samples(lengths)
    with torch.no_grad():  # the gates of a fresh network are closed
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    condition = torch.randn(SAMPLES, config.hidden_size or 0)
    packed = pack(drawn)
    ways = {"padded": Batched(collate(drawn)), "under a mask": Batched(packed, masked=True), "packed": Batched(packed)}
    with torch.no_grad():
        found = {name: unbatch(way.tokens.with_values(way.outputs(model, condition))) for name, way in ways.items()}
    for name in ways:
        for one, other in zip(found[name], found["padded"], strict=True):
            torch.testing.assert_close(one.values, other.values, rtol=1e-4, atol=1e-5)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(lambda way=way: way.outputs(model, condition).square().mean().backward()))  # type: ignore[misc]
    assert packed.keep is not None
    return {name: statistics.median(each) for name, each in times.items()} | {"full": float(packed.keep.float().mean())}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for name, config in NETS.items():
        for told, lengths in LENGTHS.items():
            found = measured(config, lengths, arguments.rounds)
            shares = {way: found[way] / found["padded"] for way in ("under a mask", "packed")}
            results.append({"net": name, "lengths": told, "full": found["full"], **shares})
            print(
                f"{name}, lengths {told}: padded 1, packed under a mask {shares['under a mask']:.2f}, sample by sample "
                f"{shares['packed']:.2f} (rows {found['full']:.0%} full)",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
