"""Splitting by group: what belongs together never falls apart."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from beeline.core.errors import UserError


def torn_groups(training: Iterable[Hashable], held_out: Iterable[Hashable]) -> list[Hashable]:
    """Groups that are in both splits, in the order of their names; None stands for no group.

    Args:
        training: the group of each training example.
        held_out: the group of each held-out example.
    """
    return sorted((set(training) & set(held_out)) - {None}, key=repr)


def split_by_group(
    groups: Sequence[Hashable], held_out: float, seed: int = 0, classes: Sequence[Hashable] | None = None
) -> tuple[list[int], list[int]]:
    """Indices of the training and of the held-out examples.

    Groups are ordered by a hash of their name and the seed, and held out from the front until their share is
    reached: the same groups give the same split whatever their order. A group that would carry the share further
    beyond what is wanted than it is below is passed over; where that leaves none, the closest one is held out.

    Args:
        groups: the group of each example.
        held_out: share of examples to hold out, between 0 and 1.
        seed: another seed, another split.
        classes: the class of each example; its share of every class is then held out, about, and no class that has
            two examples or more in groups of their own loses its last one to the held-out side.

    Raises:
        UserError: one of the two sides would be empty.
    """
    sizes: dict[Hashable, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1

    def rank(group: Hashable) -> bytes:
        return hashlib.blake2b(f"{seed}:{group!r}".encode(), digest_size=8).digest()

    order, keeps = sorted(sizes, key=rank), None
    if classes is not None:
        order, keeps = _by_class(order, groups, classes)
    chosen = _chosen(order, sizes, math.ceil(held_out * len(groups)), keeps)
    count = sum(sizes[group] for group in chosen)
    if not 0 < count < len(groups):
        raise UserError(
            f"cannot hold out a share of {held_out:g} of {len(groups)} examples in {len(sizes)} groups: "
            "training and held-out side need a group each; bring more data, or smaller groups"
        )
    training = [index for index, group in enumerate(groups) if group not in chosen]
    return training, [index for index, group in enumerate(groups) if group in chosen]


def _chosen(
    order: Sequence[Hashable],
    sizes: Mapping[Hashable, int],
    wanted: int,
    keeps: Callable[[Hashable], bool] | None,
) -> set[Hashable]:
    """Groups from the front of the order, about ``wanted`` examples together."""
    chosen: set[Hashable] = set()
    count = 0
    for group in order:
        if count >= wanted:
            break
        if sizes[group] > 2 * (wanted - count) or (keeps is not None and not keeps(group)):
            continue
        chosen.add(group)
        count += sizes[group]
    if not chosen and wanted > 0:
        closest = sorted(order, key=lambda group: sizes[group])  # each is more than twice what is wanted
        for group in closest:
            if keeps is None or keeps(group):
                return {group}
    return chosen


def _by_class(
    ranked: Sequence[Hashable], groups: Sequence[Hashable], classes: Sequence[Hashable]
) -> tuple[list[Hashable], Callable[[Hashable], bool]]:
    """Groups in the order of their place within their class, and whether each class keeps one when a group goes."""
    members: dict[Hashable, Counter[Hashable]] = {}
    for group, one in zip(groups, classes, strict=True):
        members.setdefault(group, Counter())[one] += 1
    main = {group: counts.most_common(1)[0][0] for group, counts in members.items()}
    total, seen, place = Counter(main.values()), Counter[Hashable](), {}
    for group in ranked:
        place[group] = (seen[main[group]] + 0.5) / total[main[group]]
        seen[main[group]] += 1
    left = Counter(classes)

    def keeps(group: Hashable) -> bool:
        if any(left[one] <= count for one, count in members[group].items()):
            return False
        left.subtract(members[group])
        return True

    return sorted(ranked, key=place.__getitem__), keeps
