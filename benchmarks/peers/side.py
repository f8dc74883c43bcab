"""What is measured of each side."""

from __future__ import annotations

from typing import Protocol


class Side(Protocol):
    """A net that trains and samples, ours or the peer's."""

    @property
    def precision(self) -> str:
        """Of the matrix products in training: fp32, bf16, or fp32 fast (see ``core/matmul``)."""
        ...

    @property
    def sampling_precision(self) -> str:
        """Of the matrix products in sampling."""
        ...

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        ...

    def step(self) -> None:
        """A training step: forward, backward, clip, optimiser, average."""

    def forward(self) -> None:
        """A forward pass without gradients over a batch."""

    def forward_flops(self) -> int:
        """Floating-point operations of such a pass."""
        ...


class Draw(Protocol):
    """Draws images."""

    def __call__(self, fewer: int | None = None) -> int:
        """The network passes of an image; in fewer steps than usual where that is told."""
        ...
