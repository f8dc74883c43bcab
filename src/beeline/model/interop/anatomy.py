"""What must be known of a peer's network to build ours around its tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from beeline.backbone.config import ModelConfig, Sizes
from beeline.conditioning.label import ClassLabel
from beeline.core.errors import UserError
from beeline.data.normalisers import Scale
from beeline.model.codec import Codec
from beeline.model.starting import Starting
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import PredictionName, ProcessConfig
from beeline.samplers.config import SampleConfig
from beeline.tokenizers.grid import GridTokenizer

LayoutName = Literal["dit", "sit", "lightningdit", "diffusers"]
LAYOUTS = get_args(LayoutName)

# What the one condition of an imported network is called.
LABEL = "label"

# What the peers' training scripts hide: one label in ten.
_DROPOUT = 0.1


@dataclass(frozen=True)
class Anatomy:
    """A class-conditional transformer over a grid of square patches.

    Args:
        layout: the peer.
        hidden_size: D.
        depth: blocks.
        num_heads: attention heads.
        inner_size: width of the feed-forward network.
        patch: p, cells of a patch along each side.
        channels: C, of the data.
        head_channels: of the output in the file: C, or 2C.
        extents: tokens along height and width.
        classes: number of classes.
        null_row: whether the label table has one more row, for "unknown".
        options: of ``ModelConfig``, where they are not the paper's.
        process: the path.
        prediction: what the network predicts.
        names: of the classes, empty where the file has none.
        scale: by which native latents are multiplied.
        condition: name of the class label in our network.
    """

    layout: LayoutName
    hidden_size: int
    depth: int
    num_heads: int
    inner_size: int
    patch: int
    channels: int
    head_channels: int
    extents: tuple[int, int]
    classes: int
    null_row: bool
    options: dict[str, Any] = field(default_factory=dict)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    prediction: PredictionName = "noise"
    names: tuple[str, ...] = ()
    scale: float = 1.0
    condition: str = LABEL

    @property
    def outputs(self) -> int:
        """Numbers the network gives for each number of a token: SiT and LightningDiT ignore a second half."""
        return self.head_channels // self.channels if self.layout in ("dit", "diffusers") else 1

    def starting(self, sample: SampleConfig) -> Starting:
        """The same in our terms, without tensors.

        Args:
            sample: how it is sampled unless asked otherwise.

        Raises:
            UserError: the numbers do not fit together.
        """
        rows, columns = (extent * self.patch for extent in self.extents)
        codec = Codec(
            Scale(self.scale),
            GridTokenizer((self.patch, self.patch), self.channels),
            (ClassLabel(self.condition, self.classes, _DROPOUT if self.null_row else 0.0, self.names),),
            (((rows, columns), 1),),
            self.extents,
        )
        objective = ObjectiveConfig(self.prediction, variance="learned" if self.outputs == 2 else "none")
        return Starting(codec, self.model(), self.process, objective, sample, {})

    def model(self) -> ModelConfig:
        """Options of our network."""
        sizes = Sizes(self.hidden_size, self.depth, self.num_heads, 4.0, self.options.get("activation", "gelu"))
        return ModelConfig(
            preset="DiT-S",
            hidden_size=self.hidden_size,
            depth=self.depth,
            num_heads=self.num_heads,
            mlp_ratio=ratio_of(sizes, self.inner_size),
            compatible_with=self.layout,
            **{"activation": "gelu", "positions": "sincos", **self.options},
        )


def ratio_of(sizes: Sizes, inner: int) -> float:
    """The mlp_ratio that gives an inner width: 4 where it does.

    Args:
        sizes: of the network.
        inner: width of its feed-forward network.

    Raises:
        UserError: none gives it.
    """
    if sizes.inner_size == inner:
        return sizes.mlp_ratio
    width = -(-3 * inner // 2) if sizes.activation == "swiglu" else inner
    for ratio in ((width + nudge) / sizes.hidden_size for nudge in (0.0, 0.25, 0.5, 1.0, 1.25)):
        if replace(sizes, mlp_ratio=ratio).inner_size == inner:
            return ratio
    raise UserError(f"a feed-forward network of width {inner} over {sizes.hidden_size} is none that can be made")
