"""Small augmentations that move pixels and make no new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.core.errors import UserError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FlipAndShift:
    """Mirror images left-right, and translate them by a few pixels, reflected at the edges.

    A flip is wanted in samples too. A shift is told to the network (Karras et al. 2022, "Elucidating the Design Space
    of Diffusion-Based Generative Models", appendix F.2), so that samples, which are asked for without one, are not
    shifted. Ways: {as it is, mirrored} x a grid of shifts: {-s, 0, s} each way for s = 1, with the halves between for
    larger s. No shift stands as often as all others together, because that is what samples are asked for.

    Args:
        flip: whether to mirror.
        shift: s, the largest translation in pixels; 0 for none.
        name: of the condition that tells the shift.
    """

    flip: bool = False
    shift: int = 0
    name: str = "shift"

    @property
    def offsets(self) -> tuple[int, ...]:
        """Translations along one side, none first."""
        half = self.shift // 2
        return (0, *sorted({-self.shift, -half, half, self.shift} - {0}))

    @property
    def ways(self) -> int:
        """How many."""
        shifts = len(self.offsets) ** 2 - 1
        return (1 + self.flip) * max(1, 2 * shifts)

    @property
    def condition(self) -> str | None:
        """The condition that tells of a shift."""
        return self.name if self.shift else None

    def rearrange(self, array: Array, way: int) -> Array:
        """An array (H, W, channels) in that way.

        Raises:
            UserError: the image is not larger than the shift.
        """
        down, right = self._offset(way)
        height, width = array.shape[:2]
        if self.shift >= min(height, width):
            raise UserError(f"shift {self.shift}: must be smaller than the images, which are {height}x{width}")
        columns = _reflected(np.arange(width) - right, width)
        if self.flip and way % 2:
            columns = width - 1 - columns
        return np.ascontiguousarray(array[_reflected(np.arange(height) - down, height)][:, columns])

    def label(self, way: int) -> tuple[float, float]:
        """The shift of a way, down and right, in units of the largest one."""
        down, right = self._offset(way)
        return down / max(self.shift, 1), right / max(self.shift, 1)

    def _offset(self, way: int) -> tuple[int, int]:
        side = len(self.offsets)
        place = max(0, way // (1 + self.flip) - max(0, side**2 - 2))
        return self.offsets[place // side], self.offsets[place % side]


def _reflected(places: Array, extent: int) -> Array:
    """Places beyond the edge, mirrored about the outermost pixel."""
    return (extent - 1) - np.abs((extent - 1) - np.abs(places))
