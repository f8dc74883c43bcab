"""What a network costs: parameters, tokens, floating-point operations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from beeline.backbone.dit import count_parameters, position_table_size
from beeline.core.conditions import Conditions
from beeline.core.tokens import Tokens
from beeline.model.codec import Codec
from beeline.model.network import Network


@dataclass(frozen=True)
class Cost:
    """What one network pass over one sample takes.

    Args:
        parameters: trained numbers.
        position_table: numbers of a fixed position table, which the DiT paper counts as parameters.
        tokens: tokens of the most frequent form.
        width: numbers a token.
        flops: floating-point operations of a pass; one multiply or one add is one.
    """

    parameters: int
    position_table: int
    tokens: int
    width: int
    flops: int


def network_cost(network: Network, codec: Codec) -> Cost:
    """Count on a sample of the most frequent form of the training data.

    Args:
        network: any precision and device.
        codec: of the network.
    """
    blank = codec.tokenizer.blank(codec.forms[0][0])
    device = next(network.parameters()).device
    batch = codec.batch([codec.placeholder(blank)]).to(str(device))
    return Cost(
        count_parameters(network),
        position_table_size(network.backbone, network.space),
        blank.values.shape[1],
        blank.values.shape[2],
        count_flops(network, batch.tokens, batch.conditions),
    )


def count_flops(network: Network, tokens: Tokens, conditions: Conditions) -> int:
    """Floating-point operations of the matrix products and attention of one pass (multiply-adds count twice)."""
    counter = FlopCounterMode(display=False)
    t = torch.full((tokens.samples,), 0.5, device=tokens.values.device)
    with torch.no_grad(), counter:
        network(tokens, t, conditions)
    return counter.get_total_flops()
