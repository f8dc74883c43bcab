"""Log-likelihood of native samples under a trained model, in nats a sample and bits a number.

    data of floats          log p(native) = log p(normalised) + sum over numbers of log u
    data of whole numbers   log P(x) >= E[log p(x + z)],  z uniform on [-1/2, 1/2) a number, u z once normalised
    bits a number           -log p / (D log 2)

u is what one native unit is after normalising, so that P is told of levels one unit apart: the 256 of 8-bit images.
The inequality is Jensen's for P(x) = E[p(x + z)], which is a probability of rounded samples: bits a number of whole
numbers are an upper bound, and so is their mean over any number of draws of z. Likelihoods are given the conditions.

Source: Theis, van den Oord & Bethge 2016, "A note on the evaluation of generative models", section 3.1, with levels in
the middle of their cells. What p is the density of, and how far the prior matters, is told in samplers/likelihood.py.

Shapes: N items, D numbers a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.data import Batch, Example, Examples, name_of
from beeline.core.errors import UserError, whole_number
from beeline.core.offers import Affine, Mixing
from beeline.core.random import Key
from beeline.generate.engine import Engine
from beeline.model.codec import Encoded
from beeline.process.sources import Gaussian
from beeline.samplers.config import SampleConfig
from beeline.samplers.likelihood import Likelihood, LikelihoodSettings, check_path
from beeline.samplers.likelihood import log_likelihood as walked_up

Array = np.ndarray[Any, Any]
_TOKENS_A_BATCH = 8192
_ITEMS_A_BATCH = 128


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihoods of N native samples; (N,) float64 each.

    Args:
        nats: log p of each sample given its conditions, of whole numbers a lower bound on log P; in native units.
        bits: -nats / (D log 2), bits a number.
        standard_error: of ``nats``: over draws where there are several, else over probes, which leaves dequantisation
            out; 0 where nothing was drawn, NaN where a single draw or probe tells nothing.
        prior_gap: bound, in its mean over data, on what the prior takes from the mean of ``nats``.
        numbers: D of each sample.
        provenance: the model, the walk and what the density has: noise beside the data, dequantisation, passes.
    """

    nats: Array
    bits: Array
    standard_error: Array
    prior_gap: Array
    numbers: Array
    provenance: dict[str, Any]


def check_likelihood(engine: Engine, settings: SampleConfig | None = None) -> None:
    """Refuse, before any work, models and settings that have no likelihood.

    Args:
        engine: the model.
        settings: how samples are drawn beside it; the run's own when None.

    Raises:
        UserError: saying why.
    """
    check_path(engine.process)
    if not isinstance(engine.source, Gaussian):
        raise UserError(
            "likelihood: noise without its mean lives on a subspace, where data have no density; it needs source "
            "gaussian"
        )
    if not engine.codec.tokenizer.exact:
        raise UserError(
            "likelihood: this model's tokens are not all of a sample (its tokenizer is lossy), so the samples "
            "themselves have no density; it needs an exact tokenizer"
        )
    if isinstance(normaliser := engine.codec.normaliser, Mixing):
        raise UserError(f"likelihood: the data of this model are {normaliser.mixing()}; train without for a density")
    if not isinstance(normaliser, Affine):
        raise UserError(
            f"likelihood: {type(normaliser).__name__} does not say what a native unit is after "
            "normalising; a normaliser that shifts and scales says it by a method unit()"
        )
    settings = settings or engine.defaults
    if settings.cfg_scale != 1:
        raise UserError(
            f"cfg_scale {settings.cfg_scale:g}: a guided walk has the density of guided samples, which is not the "
            "model's; likelihood needs cfg_scale 1"
        )


def log_likelihood(
    engine: Engine,
    examples: Examples,
    seed: int = 0,
    settings: LikelihoodSettings | None = None,
    draws: int = 1,
    batch_size: int | None = None,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Likelihoods:
    """Log-likelihoods of native samples given their conditions.

    Args:
        engine: the model.
        examples: at least one.
        seed: of dequantisation and probes: item i depends on (seed, i) alone.
        settings: how the walk is taken.
        draws: of dequantisation and probes, for each sample; its nats are their mean.
        batch_size: items at a time.
        first: number of the first item.
        progress: called with (batches done, batches in all).

    Raises:
        UserError: the model has no likelihood, an argument is out of range or an example does not fit.
    """
    check_likelihood(engine, replace(engine.defaults, cfg_scale=1.0))
    seed, draws = whole_number("seed", seed, 0), whole_number("draws", draws, 1)
    if not len(examples):
        raise UserError("likelihood: no example given")
    codec, network = engine.codec, engine.network
    settings = (settings or LikelihoodSettings()).settled(math.prod(codec.extents) * codec.tokenizer.width)
    interval = engine.process.solver_interval(network.prediction)
    natives = [Native.of(engine, each, name_of(examples, place)) for place, each in enumerate(examples)]
    numbers = Key.range(seed, first, len(examples)).fold("likelihood").numbers
    batches = list(_batches([native.encoded for native in natives], batch_size))
    found: list[list[Likelihood]] = []
    for place, (start, stop) in enumerate(batches):
        found.append([])
        for draw in range(draws):
            key = Key(seed, numbers[start:stop]).fold("likelihood", draw)
            batch = _dequantised(engine, natives[start:stop], key)
            key = replace(key, numbers=key.numbers.to(engine.device))
            walk = walked_up(network, engine.process, batch.tokens, batch.conditions, key, interval, settings)
            found[-1].append(walk)
            if progress is not None:
                progress(place * draws + draw + 1, len(batches) * draws)
    return _gathered(engine, found, natives, settings, {"seed": seed, "first": first, "draws": draws})


@dataclass(frozen=True)
class Native:
    """An example ready to be measured.

    Args:
        encoded: its tokens and conditions.
        unit: (1, L, C) what one native unit is in each of its normalised numbers; 1 where there is no data.
        whole: whether its numbers are whole, levels one unit apart.
    """

    encoded: Encoded
    unit: Tensor
    whole: bool

    @classmethod
    def of(cls, engine: Engine, example: Example, name: str = "example") -> Native:
        """Encode an example.

        Raises:
            UserError: it does not fit, or was observed in part.
        """
        codec = engine.codec
        if example.observed is not None and not example.observed.all():
            raise UserError(
                f"likelihood: {name} was not observed everywhere, and the density of a part of it is not known; give "
                "whole examples"
            )
        encoded = codec.encode(example)
        assert isinstance(codec.normaliser, Affine)
        unit = torch.from_numpy(np.broadcast_to(codec.normaliser.unit(), example.array.shape).copy())
        lifted = codec.tokenizer.lift(unit, encoded.tokens)
        cells = encoded.tokens.cells
        lifted = lifted if cells is None else torch.where(cells, lifted, 1.0)
        return cls(encoded, lifted, example.array.dtype.kind in "iub")


def _dequantised(engine: Engine, natives: Sequence[Native], key: Key) -> Batch:
    """Samples as a batch, those of whole numbers spread evenly over the cells of their levels."""
    spread = []
    for native, number in zip(natives, key.numbers, strict=True):
        tokens = native.encoded.tokens
        if native.whole:
            draws = replace(key, numbers=number[None]).fold("dequantise").uniform(tokens.values.numel()) - 0.5
            moved = tokens.values.double() + native.unit * draws.view_as(native.unit)
            tokens = tokens.with_values(tokens.only_data(moved.to(tokens.values.dtype)))
        spread.append(replace(native.encoded, tokens=tokens))
    return engine.codec.batch(spread).to(str(engine.device))


def _gathered(
    engine: Engine,
    found: Sequence[Sequence[Likelihood]],
    natives: Sequence[Native],
    settings: LikelihoodSettings,
    drawn: dict[str, int],
) -> Likelihoods:
    """One value an item from the walks of each batch, in native units."""

    def column(name: str) -> Tensor:
        return torch.cat([torch.stack([getattr(each, name) for each in walks]).cpu() for walks in found], dim=1)

    nats = column("nats") + torch.stack([native.unit.log().sum() for native in natives])
    numbers = column("numbers")[0]
    error = column("standard_error")[0] if len(nats) == 1 else nats.std(dim=0) / math.sqrt(len(nats))
    mean = nats.mean(dim=0)
    whole = {native.whole for native in natives}
    last = found[-1][-1]
    return Likelihoods(
        mean.numpy(),
        (-mean / (numbers * math.log(2.0))).numpy(),
        error.numpy(),
        column("prior_gap").mean(dim=0).numpy(),
        numbers.numpy(),
        {
            **engine.origin,
            **drawn,
            **asdict(settings),
            "noise": last.noise,
            "dequantised": whole.pop() if len(whole) == 1 else "some",
            "passes": last.passes * len(nats),
        },
    )


def _batches(encoded: Sequence[Encoded], batch_size: int | None) -> Iterator[tuple[int, int]]:
    """Consecutive stretches of items that go through the network together; gradients need their memory too."""
    if batch_size is None:
        longest = max(item.tokens.values.shape[1] for item in encoded)
        batch_size = max(1, min(_ITEMS_A_BATCH, _TOKENS_A_BATCH // longest))
    for start in range(0, len(encoded), whole_number("batch_size", batch_size, 1)):
        yield start, min(start + batch_size, len(encoded))
