"""Batches from memory: gathered from a strip of all tokens, against put together sample by sample, interleaved.

    python -m benchmarks.feed [--rounds 31] [--json FILE]

CPU milliseconds a batch of 64 on one thread, medians over rounds; the ratio is gathered / put together, the median of
its own rounds. Both give the same batch to the bit, which is asserted. Waves are 16 to 256 samples long in patches of
4; genes are sets of 100 to 400 of 500, each of its own; images are of one form, and the comparison there is with rows
taken from tensors of all examples.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Batch, Example
from beeline.core.protocols import Tokenizer
from beeline.data.normalisers import Standardise
from beeline.model.codec import Codec, Encoded
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer
from beeline.train.shelf import Shelf
from benchmarks.result import show

EXAMPLES, BATCH = 1024, 64


@dataclass(frozen=True)
class Case:
    """Examples, and how they are batched.

    Args:
        name: of them.
        codec: that encoded them.
        examples: encoded.
        packing: several samples a row instead of padding each.
    """

    name: str
    codec: Codec
    examples: Sequence[Encoded]
    packing: bool = False


def cases() -> list[Case]:
    """Waves and genes, padded and packed, and images of one form."""
    random = np.random.default_rng(0)
    waves = [random.normal(size=(length, 1)) for length in random.integers(16, 257, EXAMPLES)]
    genes = [np.where(random.random(500) < share, 1.0, np.nan) for share in random.uniform(0.2, 0.8, EXAMPLES)]
    images = [random.normal(size=(32, 32, 3)) for _ in range(EXAMPLES)]
    made = []
    for name, arrays, tokenizer in (
        ("waves", waves, GridTokenizer((4,))),
        ("genes", genes, SetTokenizer(500)),
        ("images", images, GridTokenizer((4, 4), 3)),
    ):
        codec, examples = encoded(arrays, tokenizer)
        for packing in (False, True) if name != "images" else (False,):
            made.append(Case(f"{name}, {'packed' if packing else 'padded'}", codec, examples, packing))
    return made


def encoded(arrays: Sequence[np.ndarray], tokenizer: Tokenizer) -> tuple[Codec, list[Encoded]]:
    """Examples of some arrays, each of a class."""
    width = arrays[0].shape[-1] if arrays[0].ndim > 1 else 1
    normaliser = Standardise(mean=(0.0,) * width, deviation=(1.0,) * width)
    codec = Codec(normaliser, tokenizer, (ClassLabel("kind", 3),))
    return codec, [
        codec.encode(Example(array.astype(np.float32), {"kind": place % 3})) for place, array in enumerate(arrays)
    ]


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    begin = time.process_time()
    work()
    return 1000 * (time.process_time() - begin)


def measured(case: Case, rounds: int) -> dict[str, float]:
    """Median milliseconds of either, and of their ratio."""
    shelf, random = Shelf(case.codec, case.examples, case.packing), np.random.default_rng(1)
    longest = max(each.tokens.values.shape[1] for each in case.examples) if case.packing else None
    one_form = case.codec.batch(case.examples) if shelf.one_form else None
    taken = []
    for _ in range(rounds):
        indices = random.permutation(len(case.examples))[:BATCH].tolist()

        def put_together(indices: Sequence[int] = indices) -> Batch:
            if one_form is not None:
                return one_form.rows(torch.tensor(indices))
            return case.codec.batch([case.examples[index] for index in indices], case.packing, longest)

        def gathered(indices: Sequence[int] = indices) -> Batch:
            return shelf.batch(indices)

        assert torch.equal(gathered().tokens.values, put_together().tokens.values)
        ways = {"gathered": gathered, "put together": put_together}
        taken.append({name: milliseconds(way) for name, way in ways.items()})
    found = {name: statistics.median(each[name] for each in taken) for name in taken[0]}
    return {**found, "ratio": statistics.median(each["gathered"] / each["put together"] for each in taken)}


def main() -> None:
    """Measure every case and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {case.name: measured(case, arguments.rounds) for case in cases()}
    show({name: {key: round(value, 3) for key, value in each.items()} for name, each in found.items()}, arguments.json)


if __name__ == "__main__":
    main()
