"""Which tensors of a network train: patterns that freeze, and low-rank additions to a frozen base."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from torch import Tensor, nn

from beeline.core.errors import UserError
from beeline.model.network import Network
from beeline.nn.low_rank import add_low_rank, is_low_rank, plain_name
from beeline.train.config import TrainConfig

_NEAR = 3


def adapt(network: Network, config: TrainConfig, untrained: Collection[str]) -> None:
    """Freeze what is not to train, and add low-rank parts; what the network computes stays as it is.

    With low-rank parts the rest is frozen, save tensors of which some numbers were never trained.

    Args:
        network: complete.
        config: says what.
        untrained: names of those tensors.

    Raises:
        UserError: a pattern matches nothing, or nothing is left to train.
    """
    parameters = dict(network.named_parameters())
    frozen = _matching("train.freeze", config.freeze, parameters)
    if config.lora_rank:
        linears = {name: each for name, each in network.named_modules() if isinstance(each, nn.Linear)}
        layers = _matching("train.lora_layers", config.lora_layers, linears)
        frozen |= parameters.keys() - set(untrained)
        frozen |= {f"{name}.weight" for name in layers}
    if parameters and frozen >= parameters.keys() and not config.lora_rank:
        raise UserError("train.freeze: freezes everything, so that nothing is left to train")
    for name in frozen:
        parameters[name].requires_grad_(False)
    if config.lora_rank:
        for name in sorted(layers):
            add_low_rank(linears[name], config.lora_rank, config.lora_alpha or float(config.lora_rank))


def base_tensors(network: Network) -> dict[str, Tensor]:
    """All tensors of a network by plain name, without low-rank parts."""
    named = {plain_name(name): tensor for name, tensor in network.state_dict().items()}
    return {name: tensor for name, tensor in named.items() if not is_low_rank(name)}


def trained_parameters(network: Network) -> dict[str, nn.Parameter]:
    """What training moves, by plain name."""
    return {plain_name(name): each for name, each in network.named_parameters() if each.requires_grad}


def told(network: Network, config: TrainConfig, untrained: Collection[str]) -> str | None:
    """What trains and what does not, in a line; None where everything does.

    Args:
        network: adapted.
        config: says what was asked.
        untrained: names of tensors of which some numbers were never trained.
    """
    mine = trained_parameters(network)
    every = sum(each.numel() for each in network.parameters())
    moved = sum(each.numel() for each in mine.values())
    if moved == every:
        return None
    line = f"trains {moved:,} of {every:,} parameters"
    if config.lora_rank:
        line += f": additions of rank {config.lora_rank} to {sum(name.endswith('.lora_B') for name in mine)} layers"
        if whole := [name for name in mine if name in set(untrained)]:
            line += f", and in full what was never trained: {', '.join(whole)}"
    return line


def _matching(option: str, patterns: Iterable[str], names: Collection[str]) -> set[str]:
    """Names that match a pattern.

    Raises:
        UserError: a pattern matches none.
    """
    found = set[str]()
    for pattern in patterns:
        matches = {name for name in names if fnmatchcase(name, pattern)}
        if not matches:
            parts = pattern.count(".")
            like = {f"*.{'.'.join(name.split('.')[-parts:])}" for name in names} if pattern.startswith("*.") else names
            near = difflib.get_close_matches(pattern, sorted(like), n=_NEAR, cutoff=0.5)
            hint = f"near it: {', '.join(near)}" if near else f"names are like {', '.join(sorted(names)[:_NEAR])}"
            what = "linear layer" if option == "train.lora_layers" else "parameter"
            raise UserError(f"{option} '{pattern}': no {what} has such a name; {hint}")
        found |= matches
    return found
