"""The memory that training takes, reckoned before it begins, and what to do where it does not suffice.

Weights, gradients, moments of the optimiser and averages are counted; what a backward pass needs of the forward pass
is measured on a few samples, at two sizes, and is a line through the two:

    A(n) = fixed + n . each                                    n samples at a time
    at the peak = what is held + A + min(G, 0.66 G^2 / A) + working space

As activations A go on the way back, gradients G take their place, the better the more of it there is: what they cannot
is a fit to what processes took (``python -m benchmarks.memory``). They stand beside all activations where there are
several micro-batches, or where activations are computed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from beeline.backbone.dit import DiT
from beeline.core.allocator import return_freed_memory
from beeline.core.data import Batch
from beeline.core.errors import RunError, UserError
from beeline.core.memory import available_memory, held_bytes
from beeline.core.random import Key
from beeline.core.units import size
from beeline.train.trainer import Trainer

_MOST_TRIED = 4  # samples of the larger of the two measurements; the smaller has half as many
# What kernels, gradients of activations and gaps between freed tensors take besides, in activations of one block: in
# fp32, under autocast, and where blocks are computed again; without blocks, as a share of all activations.
_BLOCKS, _BLOCKS_CAST, _BLOCKS_AGAIN, _SHARE = 1.1, 3.0, 3.6, 0.13
_OUT_OF_PLACE, _WORKING_BYTES = 0.66, 5_000_000


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that training takes at its peak.

    Args:
        parts: what does not depend on the batch, by name, gradients among them.
        fixed: activations whatever the number of samples at a time.
        each: activations of one sample.
        batch: samples a step.
        accumulation: micro-batches a step.
        recomputes: whether activations are computed again on the way back.
        available: bytes that there are for all of this, None where the system does not say.
    """

    parts: dict[str, int]
    fixed: int
    each: float
    batch: int
    accumulation: int
    recomputes: bool = False
    available: int | None = None

    @property
    def gradients_apart(self) -> bool:
        """Whether gradients stand beside activations, and do not take their place as these go."""
        return self.accumulation > 1 or self.recomputes

    @property
    def at_a_time(self) -> int:
        """Samples of a micro-batch."""
        return self.batch // self.accumulation

    @property
    def every(self) -> dict[str, int]:
        """All parts by name, those that the micro-batch decides on among them."""
        return self._parts(self.at_a_time, self.gradients_apart)

    def _parts(self, samples: int, apart: bool) -> dict[str, int]:
        activations, gradients = int(self.fixed + self.each * samples), self.parts["gradients"]
        beside = gradients
        if not apart and activations:
            beside = min(gradients, int(_OUT_OF_PLACE * gradients**2 / activations))
        return {**self.parts, "gradients": beside, "activations": activations, "working space": _WORKING_BYTES}

    @property
    def need(self) -> int:
        """Bytes in all."""
        return sum(self.every.values())

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as is known."""
        return self.available is None or self.need <= self.available

    def most_at_a_time(self, apart: bool) -> int:
        """Samples that fit at a time, 0 where not even one does; fewer than now where that is not known.

        Args:
            apart: whether gradients stand beside activations.
        """
        if self.available is None:
            return self.at_a_time // 2
        available, now = self.available, self.at_a_time

        def fits(samples: int) -> bool:
            return sum(self._parts(samples, apart).values()) <= available

        return max(1, now // 2) if fits(now) else next((fewer for fewer in range(now - 1, 0, -1) if fits(fewer)), 0)

    def advice(self) -> str:
        """How to make it fit."""
        most, of_many = self.most_at_a_time(self.gradients_apart), self.most_at_a_time(True)
        if most < 1:
            return "not even one sample at a time fits; take a smaller --model.preset, or fewer tokens a sample"
        smaller = f"--train.batch_size {1 << (most.bit_length() - 1)} fits"
        if of_many < 1:
            return smaller
        parts = next(
            count for count in range(1, self.batch + 1) if not self.batch % count and self.batch // count <= of_many
        )
        return f"{smaller}; so does --train.accumulation {parts}, which keeps the batch"

    def shortage(self) -> str:
        """What is too large, what it needs, and what there is."""
        largest = max(self.every, key=lambda name: self.every[name])
        there = "" if self.available is None else f", {size(self.available)} are there"
        of = f" of {self.at_a_time} samples" if largest == "activations" else ""
        return (
            f"training needs {size(self.need)} of memory{there}; the largest part is {largest}{of}, "
            f"{size(self.every[largest])}"
        )


def plan_memory(trainer: Trainer) -> MemoryPlan:
    """Reckon the memory of a trainer that has not taken a step.

    Args:
        trainer: fresh; it is left as it was.
    """
    groups = {name: held_bytes(tensors) for name, tensors in trainer.tensors().items()}
    groups["weights"] = held_bytes(dict(trainer.network.state_dict()))  # what stays as it is as well
    parts = {
        "weights": groups.pop("weights"),
        "gradients": held_bytes([each for each in trainer.network.parameters() if each.requires_grad]),
        "optimiser": groups.pop("optimiser"),
        "averages": sum(groups.values()),
        "data": trainer.feed.held,
    }
    there = sum(parts.values()) - parts["gradients"]  # is held already
    device, batch, accumulation = trainer.config.device, trainer.batch_size, trainer.config.accumulation
    fixed, each = _line(trainer, batch // accumulation)
    return_freed_memory()
    free, given = available_memory(device), trainer.config.memory
    limits = [*([] if free is None else [free + there]), *([] if given is None else [int(given * 2**30)])]
    recomputes = trainer.network.backbone.recompute
    return MemoryPlan(parts, fixed, each, batch, accumulation, recomputes, min(limits, default=None))


def _line(trainer: Trainer, at_a_time: int) -> tuple[int, float]:
    """Bytes of activations whatever the number of samples, and of each; tried on no more samples than are trained on.

    Args:
        trainer: fresh.
        at_a_time: samples of a micro-batch.
    """
    if at_a_time == 1:
        return 0, float(_activations(trainer, 1))
    few = min(_MOST_TRIED, at_a_time) // 2
    small, large = (_activations(trainer, samples) for samples in (few, 2 * few))
    each = max(0.0, (large - small) / few)
    return max(0, int(small - few * each)), each


def plan_within(trainer: Trainer) -> MemoryPlan:
    """Reckon the memory of a trainer, which computes activations again where that is ``auto`` and they do not fit.

    Args:
        trainer: fresh; it is left as it was, or computes activations again.
    """
    plan = plan_memory(trainer)
    if plan.fits or trainer.config.activation_checkpointing != "auto" or not trainer.network.backbone.recomputes:
        return plan
    trainer.network.backbone.recompute = True
    return plan_memory(trainer)


def _activations(trainer: Trainer, samples: int) -> int:
    """Bytes that samples of the largest form take between forward and backward pass, at their peak."""
    backbone, batch = trainer.network.backbone, _blank_batch(trainer, samples)
    recompute = backbone.recompute
    try:
        backbone.recompute = False
        everything = _kept(trainer, batch)
        if not recompute:
            return int((1 + _share_beside(trainer)) * everything)
        backbone.recompute = True
        outside = _kept(trainer, batch)
    finally:
        backbone.recompute = recompute
    # The input of every block in fp32, and what one block keeps, with its gradients, while it is computed again.
    dit = trainer.network.dit
    depth, width = len(dit.blocks), dit.embed.out_features
    rows, tokens = batch.tokens.values.shape[:2]
    return outside + depth * rows * tokens * width * 4 + int(_BLOCKS_AGAIN * (everything - outside) / depth)


def _share_beside(trainer: Trainer) -> float:
    """What is taken beside activations that are kept, as a share of them."""
    if not isinstance(trainer.network.backbone, DiT):
        return _SHARE
    blocks = _BLOCKS_CAST if trainer.config.precision == "bf16" else _BLOCKS
    return blocks / len(trainer.network.backbone.blocks)


def _kept(trainer: Trainer, batch: Batch) -> int:
    """Bytes that autograd keeps of a forward pass, save parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in trainer.network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that a node keeps with its own graph would hold that graph for ever

    key = Key.range(0, 0, batch.tokens.samples, trainer.config.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = trainer.loss(batch, key)
        total = sum(kept.values())  # while the graph holds them, no two share an address
    del loss
    return total


def _blank_batch(trainer: Trainer, samples: int) -> Batch:
    """Samples of the form with most tokens, one of another form among them where there are several: padded then."""
    codec = trainer.feed.codec
    blanks = sorted((codec.tokenizer.blank(form) for form, _ in codec.forms), key=lambda each: each.values.shape[1])
    chosen = [blanks[-1]] * samples if len(blanks) == 1 else [blanks[0], *[blanks[-1]] * (samples - 1)]
    apart = [codec.placeholder(replace(each, values=each.values.clone())) for each in chosen]
    return codec.batch(apart, trainer.config.packing).to(trainer.config.device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on a GPU or off it."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and bool(re.search("out of memory|allocate memory|not enough memory", str(error)))
    )


def refuse_shortage(plan: MemoryPlan) -> None:
    """Refuse a run that would not fit, before it begins.

    Raises:
        UserError: naming the largest part and the batch that fits.
    """
    if not plan.fits:
        raise UserError(f"{plan.shortage()}. {plan.advice()}")


@contextmanager
def shortage_explained(plan: MemoryPlan, trainer: Trainer) -> Iterator[None]:
    """Tell what to do where memory runs out in spite of the plan; what was saved stays.

    Raises:
        RunError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        saved = "what was saved stays; " if trainer.step else ""
        lowered = replace(plan, available=None)
        raise RunError(
            f"step {trainer.step + 1}: out of memory; {lowered.shortage()}. {saved}{lowered.advice()}"
        ) from None
