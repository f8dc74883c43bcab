"""Pictures of fields: the maps and the field of each sample in a row, one colour scale for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.core.data import Examples
from beeline.data.field_strips import colour_range
from beeline.data.pictures import Picture, curves, image_grid, scalar_image

Array = np.ndarray[Any, Any]


def field_sheet(samples: Examples, maps: Sequence[str]) -> Picture:
    """Input | field, a sample a row; of lines, each channel in a panel; of solids, the middle slice.

    Args:
        samples: at least one, (cells ..., channels).
        maps: names of the conditions to be shown before the field.
    """
    rows = [_columns(sample.array, [sample.condition.get(name) for name in maps]) for sample in samples]
    if rows[0][-1].ndim == 1:
        return curves([line for row in rows for line in row if line.ndim == 1])
    ranges = [colour_range([row[place] for row in rows]) for place in range(len(rows[0]))]
    images = [scalar_image(each, *ranges[place]) for row in rows for place, each in enumerate(row)]
    across = len(rows[0]) * max(1, round(np.sqrt(len(rows) / len(rows[0]))))
    return image_grid(images, columns=across)


def _columns(array: Array, maps: Sequence[Any]) -> list[Array]:
    """Every channel of the maps and of the field, each (H, W) or (L,)."""
    fields = [np.asarray(each, dtype=np.float64) for each in maps if each is not None and np.ndim(each) == array.ndim]
    fields.append(np.asarray(array, dtype=np.float64))
    columns = [each[..., channel] for each in fields for channel in range(each.shape[-1])]
    while columns[-1].ndim > 2:
        columns = [each[len(each) // 2] for each in columns]
    return columns
