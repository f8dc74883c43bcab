"""The nets that both sides build, and the ways in which ours is measured.

Nothing heavy is imported before it is used: what starting up takes is measured on these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beeline.backbone.config import ModelConfig, Sizes
    from beeline.model.network import Network

LABEL, STEPS_OF_A_RUN = "label", 100_000


@dataclass(frozen=True)
class Net:
    """A diffusion transformer on square images with classes.

    Args:
        name: what tables call it.
        hidden: numbers a token.
        depth: number of blocks.
        heads: of attention.
        patch: cells along each side of a token.
        channels: numbers a cell.
        batch: samples of a training step and of a forward pass.
        size: cells along each side of an image.
        classes: of the labels.
        activation: gelu or silu.
    """

    name: str
    hidden: int
    depth: int
    heads: int
    patch: int
    channels: int
    batch: int
    size: int = 32
    classes: int = 1000
    activation: str = "gelu"

    @property
    def tokens(self) -> int:
        """Of a sample."""
        return (self.size // self.patch) ** 2

    def config(self) -> ModelConfig:
        """Options of our network."""
        from beeline.backbone.config import ModelConfig

        activation: Any = self.activation
        return ModelConfig(
            preset="DiT-S",
            hidden_size=self.hidden,
            depth=self.depth,
            num_heads=self.heads,
            activation=activation,
        )

    def sizes(self) -> Sizes:
        """Of our network, settled."""
        from beeline.backbone.config import resolve_sizes

        return resolve_sizes(self.config())

    def network(self) -> Network:
        """Our network by itself, fresh: what starting up makes."""
        from beeline.conditioning.label import ClassLabel
        from beeline.model.network import Network
        from beeline.process.linear import Linear
        from beeline.tokenizers.grid import GridTokenizer

        tokenizer = GridTokenizer((self.patch, self.patch), channels=self.channels)
        extents = (self.size // self.patch,) * 2
        return Network(self.config(), tokenizer, [ClassLabel(LABEL, self.classes)], Linear(), extents=extents)

    def peer_options(self) -> dict[str, Any]:
        """Options of the peer's network; it predicts as many channels as it sees, as ours does."""
        return {
            "num_attention_heads": self.heads,
            "attention_head_dim": self.hidden // self.heads,
            "num_layers": self.depth,
            "in_channels": self.channels,
            "sample_size": self.size,
            "patch_size": self.patch,
            "activation_fn": {"gelu": "gelu-approximate", "silu": "linear-silu"}[self.activation],
            "num_embeds_ada_norm": self.classes,
        }


NETS = {
    "S2": Net("S2", 384, 12, 6, patch=2, channels=4, batch=8),
    "S4": Net("S4", 384, 12, 6, patch=4, channels=3, batch=32),
    "tiny": Net("tiny", 128, 6, 4, patch=2, channels=1, batch=64, classes=10),
}


def find_net(name: str, batch: int | None = None, divide: int = 1, channels: int = 4, size: int = 32) -> Net:
    """A net by its name here, or any preset of the library with a patch size, such as DiT-B/2.

    Args:
        name: of the net.
        batch: samples a step; the net's own when None.
        divide: the net's own batch by this.
        channels: of a preset's data.
        size: cells along each side of a preset's data.

    Raises:
        UserError: there is no such net.
    """
    from beeline.backbone.config import ModelConfig, preset_patch, resolve_sizes
    from beeline.core.errors import UserError

    if name in NETS:
        net = NETS[name]
    else:
        config = ModelConfig(preset=name)
        sizes, patch = resolve_sizes(config), preset_patch(config)
        if patch is None or size % patch:
            raise UserError(
                f"net {name}: name {', '.join(NETS)}, or a preset with a patch that divides {size}: {name}/2"
            )
        own = (sizes.hidden_size, sizes.depth, sizes.num_heads)
        net = Net(name, *own, patch, channels, batch=32, size=size, activation=sizes.activation)
    return replace(net, batch=batch or max(1, net.batch // divide))


@dataclass(frozen=True)
class Variant:
    """A way in which ours is measured.

    Args:
        train: options of ``TrainConfig`` that differ from its defaults.
        sample: options of ``SampleConfig``.
    """

    train: Mapping[str, Any] = field(default_factory=dict)
    sample: Mapping[str, Any] = field(default_factory=dict)


# Two more averages beside the first are kept by default, which the peer's recipe has not: only "defaults" has them.
_SAME_WORK = {"ema_snapshots": 0}
VARIANTS: dict[str, Variant] = {
    "fp32": Variant({**_SAME_WORK, "precision": "fp32", "matmul": "exact"}, {"matmul": "exact"}),
    "fast": Variant({**_SAME_WORK, "precision": "fp32", "matmul": "fast"}, {"matmul": "fast"}),
    "bf16": Variant({**_SAME_WORK, "precision": "bf16"}, {"precision": "bf16"}),
    "compiled": Variant(
        {**_SAME_WORK, "precision": "fp32", "matmul": "exact", "compile": True}, {"matmul": "exact", "compile": True}
    ),
    "checkpointing": Variant({**_SAME_WORK, "precision": "fp32", "activation_checkpointing": True}),
    "defaults": Variant(),
}
