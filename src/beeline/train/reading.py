"""Batches by global sample number, read as they are needed: for data larger than memory.

Reading starts in this process. Where training is found waiting for it, processes of its own take over, which read
ahead; the numbers of a batch do not depend on who reads it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import count

from torch.utils.data import DataLoader, Dataset

from beeline.core.data import Batch, Examples, located
from beeline.core.errors import UserError
from beeline.data.order import Order, ways_of
from beeline.model.codec import Codec
from beeline.train.variation import Variation

_LOOKED_AT = 4  # batches after which it is known whether training waits
_WAIT_TO_BEAR = 0.1  # share of the time
_AHEAD = 4  # batches that each process reads ahead

Stretch = tuple[int, int]


class Reader(Dataset[Batch | UserError]):
    """Reads, varies and encodes the examples of a batch.

    Args:
        codec: batches examples.
        examples: of the training split.
        seed: of the order and of the variation.
        packing: several samples a row instead of padding each.
        row_length: tokens a row where packing is on.
        variation: how examples are varied, None for not at all.
    """

    def __init__(
        self,
        codec: Codec,
        examples: Examples,
        seed: int,
        packing: bool = False,
        row_length: int | None = None,
        variation: Variation | None = None,
    ) -> None:
        self.codec = codec
        self.examples = examples
        self.seed = seed
        self.packing = packing
        self.row_length = row_length
        self.variation = variation
        self._order = Order(len(examples), seed)

    def __getitem__(self, stretch: Stretch) -> Batch | UserError:
        """The samples first ... first + length - 1, or what is wrong with one of them."""
        first, length = stretch
        indices = self._order.indices(first, length)
        ways = [0] * length
        if self.variation is not None:
            ways = ways_of(self.seed, first, length, self.variation.augmentation.ways)
        encoded = []
        for index, way in zip(indices, ways, strict=True):
            try:
                example = self.examples[index]
                encoded.append(
                    self.codec.encode(example if self.variation is None else self.variation.example(example, way))
                )
            except (UserError, OSError) as error:
                reason = getattr(error, "strerror", None) or error
                return UserError(located("train", self.examples, index, reason))
        return self.codec.batch(encoded, self.packing, self.row_length)


class Stretches:
    """The stretches of sample numbers behind one another, without end.

    Args:
        first: number of the first sample.
        length: samples a stretch.
    """

    def __init__(self, first: int, length: int) -> None:
        self.first = first
        self.length = length

    def __iter__(self) -> Iterator[Stretch]:
        return ((first, self.length) for first in count(self.first, self.length))


class ReadingFeed:
    """Batches that are read when they are needed, or ahead by processes of their own.

    Args:
        reader: reads a batch.
        workers: processes; as many as training needs not to wait when None, none while it does not wait.
    """

    def __init__(self, reader: Reader, workers: int | None = None) -> None:
        self.reader = reader
        self.codec = reader.codec
        self.size = len(reader.examples)
        self.held = 0
        self.waited = 0.0
        self.workers = workers or 0
        self._wanted = workers
        self._batches = 0
        self._begin: float | None = None
        self._ahead: Iterator[Batch | UserError] | None = None
        self._next: Stretch | None = None

    def batch(self, first: int, length: int) -> Batch:
        """The samples with numbers first ... first + length - 1.

        Raises:
            UserError: an example cannot be read; its name is in the message.
        """
        begin = time.monotonic()
        if self._begin is None:
            self._begin = begin
        given = self._read_ahead(first, length) if self.workers else self.reader[first, length]
        self.waited += time.monotonic() - begin
        if isinstance(given, UserError):
            self.close()
            raise given
        self._batches += 1
        if self._wanted is None and self._batches == _LOOKED_AT:
            self._decide()
        return given

    def _decide(self) -> None:
        """Let processes read where training waits: as many as keep up with it, one core left to training."""
        assert self._begin is not None
        elapsed = max(time.monotonic() - self._begin, 1e-9)
        share = self.waited / elapsed
        if share > _WAIT_TO_BEAR:
            keeping_up = -(-share // max(1.0 - share, 0.05))
            self.workers = int(min(keeping_up, max(1, len(os.sched_getaffinity(0)) - 1)))

    def _read_ahead(self, first: int, length: int) -> Batch | UserError:
        if self._ahead is None or self._next != (first, length):
            self.close()
            loader = DataLoader(
                self.reader,
                batch_size=None,
                sampler=Stretches(first, length),
                num_workers=self.workers,
                prefetch_factor=_AHEAD,
                multiprocessing_context="fork",
                worker_init_fn=_ignore_interrupts,
            )
            self._ahead = iter(loader)
        self._next = (first + length, length)
        try:
            return next(self._ahead)
        except RuntimeError as error:
            return UserError(
                f"a process that reads the training data has died ({error}); --train.workers 0 reads without"
            )

    def close(self) -> None:
        """Let go of the processes that read ahead."""
        self._ahead = self._next = None


def _ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the one that trains decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
