"""Where training batches come from: memory, where the data fit, or the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from beeline.core.data import Deferred, Examples, evenly, located
from beeline.core.errors import UserError
from beeline.core.memory import available_memory
from beeline.core.offers import Augmentation
from beeline.core.units import size
from beeline.model.codec import Codec, Encoded
from beeline.train.config import TrainConfig
from beeline.train.feed import Feed, HeldFeed
from beeline.train.reading import Reader, ReadingFeed
from beeline.train.shelf import Shelf
from beeline.train.variation import Variation

_SHARE_OF_MEMORY = 0.4
_LOOKED_AT = 256  # examples whose form stands for that of data which are not held
_WEIGHED = 16  # examples of which it is reckoned what all of them take
_AT_A_TIME = 16  # examples that a thread encodes before it asks for more


def supply(
    config: TrainConfig, codec: Codec, training: Examples, augmentation: Augmentation | None
) -> tuple[Feed, Codec, str]:
    """A feed of the training examples, the codec that knows their forms, and where the examples are kept and why.

    Args:
        config: settled.
        codec: fitted.
        training: examples.
        augmentation: how they are varied, None for not at all.

    Raises:
        UserError: an example does not fit, or the options ask for what cannot be.
    """
    if config.packing:
        codec.check_packing()
    variation = None if augmentation is None or augmentation.ways == 1 else Variation(augmentation, codec)
    need = held_bytes(codec, training)
    device, reason = _kept_on(config, need)
    if config.packing and device is None:
        raise UserError("train.packing needs the data in memory; leave train.in_memory out, or packing")
    if device is not None:
        encoded = encode_all(codec, training, "train")
        codec = codec.with_forms(encoded)
        table = None if variation is None or config.packing else variation.table(training[0])
        if variation is None or (table is not None and len(codec.forms) == 1):
            labels = None if variation is None else variation.labels()
            return HeldFeed(codec, encoded, config.seed, config.packing, device, table, labels), codec, reason
        reason = "data are read as they are needed: varied examples are held in rows of one form only"
        longest = max(example.tokens.values.shape[1] for example in encoded) if config.packing else None
    else:
        codec, longest = codec.with_forms(encode_some(codec, training, "train", _LOOKED_AT)), None
    reader = Reader(codec, training, config.seed, config.packing, longest, variation)
    return ReadingFeed(reader, config.workers), codec, reason


def held_bytes(codec: Codec, examples: Examples) -> int:
    """Bytes of all encoded examples, reckoned from some of them."""
    return Shelf(codec, encode_some(codec, examples, "train", _WEIGHED)).bytes_of(len(examples))


def _kept_on(config: TrainConfig, need: int) -> tuple[str | None, str]:
    """The device in whose memory data are kept, None where they are read instead, and why."""
    free = available_memory(config.device)
    device = config.device if free is None or need < free else "cpu"
    if config.in_memory is False:
        return None, "data are read as needed: as asked"
    if config.in_memory:
        return device, f"data are kept in {_memory_of(device)}: as asked"
    where = _memory_of(config.device)
    if free is None or need <= _SHARE_OF_MEMORY * free:
        return device, f"data are kept in {where}: {size(need)} of {'?' if free is None else size(free)} free"
    return None, f"data are read as they are needed: {size(need)} would not fit well in {size(free)} of {where}"


def _memory_of(device: str) -> str:
    return "the GPU's memory" if device == "cuda" else "memory"


def encode_all(codec: Codec, examples: Examples, split: str) -> list[Encoded]:
    """Encode every example, naming the first that does not fit.

    Args:
        codec: fitted.
        examples: of one split.
        split: its name, for the message.

    Raises:
        UserError: an example does not fit.
    """
    return encode_some(codec, examples, split, len(examples))


def encode_some(codec: Codec, examples: Examples, split: str, most: int) -> list[Encoded]:
    """Encode at most so many examples, spread evenly, naming the first that does not fit."""

    def encode(index: int) -> Encoded:
        try:
            return codec.encode(examples[index])
        except UserError as error:
            raise UserError(located(split, examples, index, error)) from None

    indices: Sequence[int] = list(evenly(examples, most))
    if not isinstance(examples, Deferred):
        return [encode(index) for index in indices]
    parts = [indices[begin : begin + _AT_A_TIME] for begin in range(0, len(indices), _AT_A_TIME)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # decoding of files lets go of the interpreter
        return [each for part in pool.map(lambda part: [encode(index) for index in part], parts) for each in part]
