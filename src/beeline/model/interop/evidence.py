"""What is known of a peer's file before it is understood: what it holds, and what the user says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from beeline.core.errors import UserError
from beeline.model.interop.anatomy import LayoutName


@dataclass(frozen=True)
class Said:
    """What the user says of a file that the file may not.

    Args:
        layout: the peer.
        num_heads: attention heads.
        null_row: whether the last row of the label table stands for "unknown".
        input_size: rows and columns of the data.
        use_rope: whether a LightningDiT without rotary buffers in its file turns queries and keys.
    """

    layout: LayoutName | None = None
    num_heads: int | None = None
    null_row: bool | None = None
    input_size: tuple[int, int] | None = None
    use_rope: bool | None = None


@dataclass(frozen=True)
class Evidence:
    """A file's contents on the way to an anatomy.

    Args:
        path: for messages.
        tensors: by the names of the file.
        options: inert facts beside them (``args`` of a training file and the like).
        config: config.json of a diffusers folder.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    options: Mapping[str, Any]
    config: Mapping[str, Any]

    def tensor(self, name: str, dimensions: int) -> Tensor:
        """A tensor that must be there.

        Raises:
            UserError: it is not, or has another number of dimensions.
        """
        if name not in self.tensors:
            raise UserError(f"{self.path}: tensor {name} is missing")
        found = self.tensors[name]
        if found.dim() != dimensions or not found.numel():
            raise UserError(f"{self.path}: tensor {name} is {tuple(found.shape)}, which cannot be")
        return found

    def tensor_or_none(self, name: str) -> Tensor | None:
        """A tensor, where it is there."""
        return self.tensors.get(name)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The training script's own options by DiT's and SiT's names for them, empty where the file has none."""
        found = self.options.get("args")
        return found if isinstance(found, Mapping) else _of_lightning(self.options.get("config"))

    def has(self, *parts: str) -> bool:
        """Whether a tensor's name holds one of some parts."""
        return any(part in name for name in self.tensors for part in parts)


def _of_lightning(config: Any) -> dict[str, Any]:
    """What the config in LightningDiT's training file says, by the names of DiT's and SiT's arguments."""
    sections = config if isinstance(config, Mapping) else {}
    model, data, transport = (
        section if isinstance(section := sections.get(name), Mapping) else {} for name in ("model", "data", "transport")
    )
    if not str(model.get("model_type", "")).startswith("LightningDiT"):
        return {}
    told = {"model": model["model_type"], "use_rope": model.get("use_rope"), "num_classes": data.get("num_classes")}
    return told | {name: transport[name] for name in ("path_type", "prediction") if name in transport}
