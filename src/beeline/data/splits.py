"""Splitting by group: what belongs together never falls apart."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

from beeline.core.errors import UserError


def split_by_group(groups: Sequence[Hashable], held_out: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Indices of the training and of the held-out examples.

    Groups are ordered by a hash of their name and the seed, and held out from the front until their share is
    reached: the same groups give the same split whatever their order.

    Args:
        groups: the group of each example.
        held_out: share of examples to hold out, between 0 and 1.
        seed: another seed, another split.

    Raises:
        UserError: one of the two sides would be empty.
    """
    sizes: dict[Hashable, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1

    def rank(group: Hashable) -> bytes:
        return hashlib.blake2b(f"{seed}:{group!r}".encode(), digest_size=8).digest()

    wanted, chosen, count = held_out * len(groups), set(), 0
    for group in sorted(sizes, key=rank):
        if count >= wanted:
            break
        chosen.add(group)
        count += sizes[group]
    if not 0 < count < len(groups):
        raise UserError(
            f"cannot hold out a share of {held_out:g} of {len(groups)} examples in {len(sizes)} groups: "
            "both sides need at least one group"
        )
    training = [index for index, group in enumerate(groups) if group not in chosen]
    return training, [index for index, group in enumerate(groups) if group in chosen]
