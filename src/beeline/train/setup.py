"""From a run's config to a trainer, with everything that sampling will need to know."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from beeline.core.allocator import return_freed_memory
from beeline.core.config import plain
from beeline.core.data import Deferred, Examples, evenly, group_of, located
from beeline.core.errors import UserError
from beeline.core.offers import Augmented, Carded, Identified
from beeline.core.protocols import Modality
from beeline.core.replay import check_replayable
from beeline.core.sharing import Thinned
from beeline.data.splits import torn_groups
from beeline.modalities.loading import ModalitySource, ask, users_code
from beeline.model.build import build_network, build_objective
from beeline.model.codec import Codec, Encoded
from beeline.model.codec_checks import check_example
from beeline.model.compiling import check_compilable
from beeline.model.network import Network
from beeline.model.starting import MEMBERS, Starting, describe
from beeline.process.build import build_process, build_source
from beeline.train.adaptation import adapt, base_tensors
from beeline.train.beginning import Beginning
from beeline.train.choose import Chosen, check_open, choose, settle_data
from beeline.train.config import RunConfig
from beeline.train.coupling import OptimalTransport, check_coupling
from beeline.train.peers import check_peer
from beeline.train.population import encode_population
from beeline.train.supply import encode_some, supply
from beeline.train.thinning import thinned_data
from beeline.train.trainer import Trainer

_MOST_CHECKED, _MOST_UNSEEN = 64, 1024


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to begin.

    Args:
        config: complete and settled: no ``auto``, duration in steps.
        source: the kind of data.
        codec: fitted.
        training: examples to learn from.
        held_out: examples that training does not see.
        unseen: the same, encoded.
        trainer: fresh.
        description: contents of model.json.
        choice: what was open, and what training takes.
        reasons: what was chosen of the data, and why.
    """

    config: RunConfig
    source: ModalitySource
    codec: Codec
    training: Examples
    held_out: Examples
    unseen: list[Encoded]
    trainer: Trainer
    description: dict[str, Any]
    choice: Chosen
    reasons: tuple[str, ...] = ()

    def initial(self) -> dict[str, Tensor] | None:
        """What the run must keep of its model before the first step; None where its seed gives all of it."""
        if "began" not in self.description and not self.trainer.is_partial:
            return None
        return base_tensors(self.trainer.network)


def read_split(source: ModalitySource, modality: Modality, split: str) -> Examples:
    """The examples of a split, each of which is one.

    Raises:
        UserError: there is none, or one of them is something else.
    """
    examples: Examples = ask(source, modality, "dataset", split)
    if not len(examples):
        raise UserError(f"{source.name}: the {split} split holds no example")
    most = _MOST_CHECKED if isinstance(examples, Deferred) else len(examples)  # what is read later is checked then
    for index in evenly(examples, most):
        try:
            check_example(examples[index])
        except UserError as error:
            raise UserError(f"{source.name}: {located(split, examples, index, error)}") from None
    return examples


def check_groups(source: ModalitySource, training: Examples, held_out: Examples, forced: bool = False) -> int:
    """Refuse splits that share a group, unless that is forced.

    Args:
        source: the kind of data.
        training: examples to learn from.
        held_out: examples that training does not see.
        forced: whether such splits are to be taken as they are.

    Returns:
        how many groups are in both.

    Raises:
        UserError: naming the first of them.
    """
    torn = torn_groups(_groups(training), _groups(held_out))
    if torn and not forced:
        more = f" (and {len(torn) - 1:,} more)" if len(torn) > 1 else ""
        raise UserError(
            f"{source.name}: group {torn[0]!r}{more} is in both splits; use split_by_group to keep it whole, or force "
            "such a split, whose scores are too good: --train.force_split true"
        )
    return len(torn)


def _forced(torn: int) -> tuple[str, ...]:
    """What is to be said of a split that was forced."""
    text = f"warning: {torn:,} groups are in both splits, as train.force_split asks; scores are too good"
    return (text,) if torn else ()


def _groups(examples: Examples) -> set[Hashable]:
    return {group_of(examples, index) for index in range(len(examples))}


def encode_unseen(codec: Codec, held_out: Examples) -> list[Encoded]:
    """The held-out examples that losses are measured on.

    Args:
        codec: fitted.
        held_out: all that training does not see.

    Raises:
        UserError: one does not fit.
    """
    most = _MOST_UNSEEN if isinstance(held_out, Deferred) else len(held_out)
    return encode_some(codec, held_out, "held_out", most)


def fingerprint(examples: Examples) -> str | None:
    """A hash of the names of examples, in order, and of what they hold or else of their classes; None without names."""
    if not isinstance(examples, Deferred):
        return None
    digest = hashlib.sha256()
    if isinstance(examples, Identified):
        digest.update(f"{examples.identity()} {[examples.name(index) for index in range(len(examples))]}".encode())
        return digest.hexdigest()
    for index in range(len(examples)):
        known = sorted((name, each) for name, each in examples.condition(index).items() if isinstance(each, (int, str)))
        digest.update(f"{examples.name(index)!r} {known}\n".encode())
    return digest.hexdigest()


def _card(source: ModalitySource, modality: Modality) -> dict[str, Any]:
    """What the data are, where the modality tells it."""
    return {"card": ask(source, modality, "card")} if isinstance(modality, Carded) else {}


def _check_coupled(config: RunConfig, codec: Codec, training: Examples) -> None:
    """Refuse to exchange what cannot be exchanged.

    Raises:
        UserError: saying why.
    """
    if config.process.source == "condition":
        raise UserError(
            "objective.coupling optimal_transport: exchanges what paths start from, and process.source condition gives "
            "each sample its own; use coupling independent"
        )
    check_coupling(codec, training, config.train.packing)


def _check_recorded(config: RunConfig, codec: Codec) -> None:
    """Refuse to record steps that cannot be recorded, or of which hardly two are alike.

    Raises:
        UserError: saying why.
    """
    if not config.train.cuda_graph:
        return
    if config.process.path == "vdm" and config.objective.loss == "vlb":
        raise UserError("train.cuda_graph: the bound of path vdm asks the GPU for a number in every step; leave it out")
    if len(codec.forms) > 1:
        raise UserError(
            f"train.cuda_graph: the data have {len(codec.forms)} forms, so that hardly two batches are alike and could "
            "be recorded; leave it out"
        )


def _check_sampling(config: RunConfig, network: Network) -> None:
    """Refuse ways of sampling that this machine does not have, which pictures and scores of the run would meet.

    Raises:
        UserError: saying which.
    """
    if config.sample.cuda_graph:
        check_replayable(config.train.device)
    if config.sample.compile:
        check_compilable(network)


def prepare(config: RunConfig, source: ModalitySource, beginning: Beginning | None = None) -> Prepared:
    """Build everything that a run needs.

    Args:
        config: complete, with machine-dependent choices settled.
        source: the modality that ``config.modality`` names.
        beginning: where the network's first tensors come from; from the seed when None.

    Raises:
        UserError: options do not fit together or do not fit the data.
    """
    check_open(config)
    build_objective(config.objective, build_process(config.process), build_source(config.process))
    config, modality, reasons = settle_data(config, source)
    beginning = beginning or Beginning()
    beginning.check(config, ask(source, modality, "tokenizer"))
    training, held_out = (read_split(source, modality, split) for split in ("train", "held_out"))
    torn = check_groups(source, training, held_out, config.train.force_split)
    for method in ("normaliser", "tokenizer", "conditions", "metrics"):
        ask(source, modality, method)
    with users_code(source):
        augmentation = modality.augmentation() if isinstance(modality, Augmented) else None
        feed, codec, kept = supply(
            config.train, Codec.fit(modality, training, config.process.end), training, augmentation
        )
        unseen = encode_unseen(codec, held_out)
        seen = modality.tokens_seen() if isinstance(modality, Thinned) else None
    _check_recorded(config, codec)
    coupled = config.objective.coupling == "optimal_transport"
    if seen is not None:
        feed, unseen = thinned_data(feed, unseen, seen, config.train, coupled)
    if coupled:
        _check_coupled(config, codec, training)
    ask(source, modality, "preview", [held_out[index] for index in range(min(2, len(held_out)))])

    population: dict[str, Tensor] = {}
    if config.process.source == "population":
        population[MEMBERS] = encode_population(source, modality, codec, config.train.packing)
    start = Starting(codec, config.model, config.process, config.objective, config.sample, population)
    check_peer(start)
    began: dict[str, Any] = {}

    def fresh(config: RunConfig, steps: int) -> Trainer:
        # With a path and a source of its own: a learned path must not remember what was tried out.
        process, noise, objective = start.parts()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.train.seed)
            network = build_network(config.model, process, objective, codec, noise)
            began.update(beginning.fill(network, codec))
            adapt(network, config.train, began.get("untrained", ()))
        coupling = OptimalTransport(noise) if coupled else None
        return Trainer(config.train, steps, network, objective, feed, coupling)

    tokens = codec.tokenizer.blank(codec.forms[0][0]).values.shape[1]
    choice = choose(config, feed.size, min(tokens, seen or tokens), fresh)
    config = choice.config
    start = replace(start, model=config.model)
    record = {"name": source.name, "sha256": source.sha256, "text": source.text, "options": plain(config.data)}
    trained_on = {"examples": feed.size, "sha256": fingerprint(training), **({"torn_groups": torn} if torn else {})}
    card = _card(source, modality)
    description = describe(start, record, plain(config), trained_on) | card
    description |= {"began": began} if began else {}
    reasons = (*reasons, *card.get("card", {}).get("notes", ()), *_forced(torn), kept)
    trainer = fresh(config, choice.steps)
    return_freed_memory()  # of what was tried, which training's tensors would not fit into
    _check_sampling(config, trainer.network)
    return Prepared(config, source, codec, training, held_out, unseen, trainer, description, choice, reasons)
