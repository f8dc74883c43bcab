"""The per-token network of a block."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from beeline.core.errors import unknown

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
}


class FeedForward(nn.Module):
    """Linear, activation, Linear.

    Args:
        hidden_size: numbers a token.
        inner_size: numbers between the two layers.
        activation: ``gelu`` (tanh form, as in DiT) or ``silu`` (cheaper on CPUs).

    Raises:
        UserError: no activation has that name.
    """

    def __init__(self, hidden_size: int, inner_size: int, activation: str = "gelu") -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise unknown("activation", activation, _ACTIVATIONS)
        self.first = nn.Linear(hidden_size, inner_size)
        self.activation = _ACTIVATIONS[activation]()
        self.second = nn.Linear(inner_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden_size) to the same shape."""
        y: Tensor = self.second(self.activation(self.first(x)))
        return y
