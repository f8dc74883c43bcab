"""Images as the rows that nearest-neighbour measures take, few enough to fit into memory.

Shapes: N images, D numbers an image.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from beeline.core.data import Examples, condition_of

Array = np.ndarray[Any, Any]
_MOST_IMAGES = 2000
_MOST_NUMBERS = 2**24


def pixels_and_labels(examples: Examples, name: str = "label") -> tuple[Array, Array]:
    """(N, D) pixels as float64 and (N,) labels of at most 2,000 examples, spread evenly within each class.

    Args:
        examples: all of the same shape.
        name: of the condition that is the label; examples without it are of class -1.
    """
    classes = [condition_of(examples, index).get(name, -1) for index in range(len(examples))]
    most = min(_MOST_IMAGES, max(1, _MOST_NUMBERS // max(1, examples[0].array.size)))
    chosen = _spread(classes, most)
    pixels = np.stack([examples[index].array.ravel() for index in chosen]).astype(np.float64)
    return pixels, np.array([classes[index] for index in chosen])


def _spread(classes: list[Any], most: int) -> list[int]:
    """Places of about that many, in order, each class in its share and by one at least."""
    if len(classes) <= most:
        return list(range(len(classes)))
    places = defaultdict(list)
    for place, one in enumerate(classes):
        places[one].append(place)
    chosen: list[int] = []
    for own in places.values():
        count = max(1, most * len(own) // len(classes))
        chosen += [own[index * len(own) // count] for index in range(count)]
    return sorted(chosen)
