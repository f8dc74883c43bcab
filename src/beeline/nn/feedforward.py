"""The per-token network of a block.

gelu, silu   y = W2 f(W1 x)
swiglu       y = W2 (silu(a) . b),  [a | b] = W1 x          (Shazeer 2020, "GLU variants improve transformer")
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from beeline.core.errors import unknown

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
}
ACTIVATIONS = (*_ACTIVATIONS, "swiglu")


class SwiGLU(nn.Module):
    """silu(a) . b of the two halves of the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2 K) to (..., K)."""
        gate, value = x.chunk(2, dim=-1)
        return nn.functional.silu(gate) * value


class FeedForward(nn.Module):
    """Linear, activation or gate, Linear.

    Args:
        hidden_size: numbers a token.
        inner_size: numbers between the two layers.
        activation: ``gelu`` (tanh form, as in DiT), ``silu`` (cheaper on CPUs) or ``swiglu`` (gated).

    Raises:
        UserError: no activation has that name.
    """

    def __init__(self, hidden_size: int, inner_size: int, activation: str = "gelu") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise unknown("activation", activation, ACTIVATIONS)
        gated = activation == "swiglu"
        self.first = nn.Linear(hidden_size, 2 * inner_size if gated else inner_size)
        self.activation = SwiGLU() if gated else _ACTIVATIONS[activation]()
        self.second = nn.Linear(inner_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden_size) to the same shape."""
        y: Tensor = self.second(self.activation(self.first(x)))
        return y
