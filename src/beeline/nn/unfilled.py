"""Modules made for weights that are at hand, without drawing any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLING = frozenset({Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_})


class Unfilled(TorchFunctionMode):
    """A context in which parameters that would be filled at random stay as they are.

    Drawing the weights of a large network takes longer than reading them, and for tensors without numbers (on the
    device ``meta``) it brings torch's compiler. Other tensors, and parameters by a generator of their own, are filled.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """The parameter itself in place of a draw into it."""
        kwargs = kwargs or {}
        if func in _FILLING and kwargs.get("generator") is None:
            filled = args[0] if args else kwargs["tensor"]
            if isinstance(filled, nn.Parameter):
                return filled
        return func(*args, **kwargs)
