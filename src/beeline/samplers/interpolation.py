"""Between two draws of noise, along the great circle.

    cos w = <a, b> / (|a| |b|)
    x(u)  = (sin((1 - u) w) a + sin(u w) b) / sin w,   0 <= u <= 1

over all numbers of a sample at once (E38): per cell, over its few channels, the angle would be another one everywhere
and so would the mixture. Noise of equal norm keeps it: a straight line would lead through noise of half the variance,
which no network has seen. Source: Shoemake 1985, "Animating rotation with quaternion curves", section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.errors import UserError

# Below this sine the quotient loses all digits of a float32; the circle is then its chord.
_SMALLEST_SINE = 1e-4


def slerp(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """Noise between two draws: (F, L, C).

    Args:
        first: (L, C) noise at share 0.
        last: (L, C) noise at share 1.
        shares: (F,) how far from the first to the last, 0 to 1.

    Raises:
        UserError: the draws are opposite, so that no circle between them is the shortest.
    """
    a, b = first.to(torch.float64).flatten(), last.to(torch.float64).flatten()
    u = shares.to(torch.float64)[:, None]
    lengths = a.norm() * b.norm()
    cosine = (a @ b / lengths).clamp(-1.0, 1.0) if lengths > 0 else torch.ones_like(lengths)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    if sine < _SMALLEST_SINE:
        if cosine < 0:
            raise UserError("interpolate: the two are each other's opposite, and no way between them is the shortest")
        mixed = (1.0 - u) * a + u * b
    else:
        mixed = (torch.sin((1.0 - u) * angle) * a + torch.sin(u * angle) * b) / sine
    return mixed.to(first.dtype).unflatten(1, first.shape)
