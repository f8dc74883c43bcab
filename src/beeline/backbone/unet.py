"""The U-Net of diffusers, a baseline for transformers: every token is a cell of a picture, its numbers are channels.

    (B, H W, C) --> (B, C, H, W) --> UNet2DModel --> (B, H W, outputs x C)

Its time embedding is the sum of its own and of the conditions'. Grids whose sides do not halve often enough are padded
with zeros at their far ends, which are cut off again; beyond the edge of a periodic axis lies its other end. Source: Ho
et al. 2020, appendix B, as diffusers has it: residual blocks at every level, attention at the lowest.

Shapes: B rows, L tokens a row, C numbers a token, D numbers of a condition, H x W tokens of a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from beeline.backbone.config import ModelConfig, condition_width
from beeline.backbone.dit import TokenSpace
from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.tokens import Tokens

_GROUPS = 32


@dataclass(frozen=True)
class Grid:
    """What all samples of a batch have in common.

    Args:
        extents: tokens along each axis.
        periodic: which axes close upon themselves.
    """

    extents: tuple[int, ...]
    periodic: tuple[bool, ...]


class UNet(nn.Module):
    """A U-Net over grids of tokens along two axes, all of one form in a batch.

    Args:
        config: channels of its levels.
        space: the tokens it will meet.
        outputs: 1 for a mean output, 2 for a mean and a variance output, one after the other.

    Raises:
        UserError: the tokens are no grids along two axes, are attended to, or diffusers is missing.
    """

    recomputes = False

    def __init__(self, config: ModelConfig, space: TokenSpace, outputs: int = 1) -> None:
        super().__init__()
        if space.axes != 2 or space.identities:
            have = f"{space.axes} axes" if space.axes else "none"
            raise UserError(f"model.backbone unet: needs grids along 2 axes, these data have {have}; use backbone dit")
        if space.attends:
            raise UserError("model.backbone unet: attends to no conditions of route cross; use backbone dit")
        channels = config.unet_channels
        lower = len(channels) - 1
        self.width = condition_width(config)
        self.halvings = 2**lower
        self.net: nn.Module = _model_class()(
            in_channels=space.width + space.features,
            out_channels=outputs * space.width,
            block_out_channels=channels,
            down_block_types=("DownBlock2D",) * lower + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * lower,
            norm_num_groups=math.gcd(_GROUPS, *channels),
            class_embed_type="identity",
        )
        self.edges = _Edges()
        for part in self.net.modules():
            if isinstance(part, nn.Conv2d) and part.padding == (1, 1):
                part.padding = (0, 0)
                part.register_forward_pre_hook(self.edges)
        last = self.net.conv_out
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @property
    def recompute(self) -> bool:
        """Never."""
        return False

    @recompute.setter
    def recompute(self, wanted: bool) -> None:
        """Refuse what it cannot.

        Raises:
            UserError: activations are to be computed again.
        """
        if wanted:
            raise UserError("train.activation_checkpointing: belongs to model.backbone dit; leave it out")

    def frame_of(self, tokens: Tokens, context: Context | None = None, lasting: bool = False) -> Grid:
        """The one grid of all samples, as ``Backbone`` says.

        Raises:
            UserError: samples share rows, differ in extents, or close upon themselves where levels do not halve them.
        """
        if tokens.segment is not None:
            raise UserError("train.packing: model.backbone unet takes a sample a row; leave packing out")
        forms = sorted({layout.extents for layout in tokens.layout})
        if len(forms) != 1:
            several = " and ".join("x".join(map(str, form)) for form in forms[:2])
            raise UserError(
                f"model.backbone unet: needs samples of one shape in a batch, and there are {several} tokens; use "
                "backbone dit, or batches of one shape"
            )
        periodic = tuple(each is not None for each in tokens.layout[0].period)
        for turns, extent in zip(periodic, forms[0], strict=False):
            if turns and extent % self.halvings:
                raise UserError(
                    f"model.backbone unet: a periodic axis of {extent} tokens is not a multiple of {self.halvings}, "
                    "as its levels need; use fewer model.unet_channels, another patch, or backbone dit"
                )
        return Grid(forms[0], periodic or (False, False))

    def over(self, values_BLC: Tensor, time_N: Tensor, condition_ND: Tensor | None, frame: Grid) -> Tensor:
        """Outputs for every token, as ``Backbone`` says."""
        self.edges.periodic = frame.periodic
        outputs: Tensor = self(values_BLC.unflatten(1, frame.extents), time_N, condition_ND)
        return outputs.flatten(1, 2)

    def forward(self, values_BHWC: Tensor, time_B: Tensor, condition_BD: Tensor | None = None) -> Tensor:
        """Outputs (B, H, W, outputs x C).

        Args:
            values_BHWC: noisy tokens, with the features of ``concat`` conditions appended.
            time_B: what ``Process.time_input`` gives.
            condition_BD: sum of the ``global`` conditions' embeddings.
        """
        height, width = values_BHWC.shape[1:3]
        down, right = -height % self.halvings, -width % self.halvings
        picture = nn.functional.pad(values_BHWC.permute(0, 3, 1, 2), (0, right, 0, down))
        if condition_BD is None:
            condition_BD = values_BHWC.new_zeros(len(values_BHWC), self.width)
        answer: Tensor = self.net(picture, time_B, class_labels=condition_BD).sample
        return answer[..., :height, :width].permute(0, 2, 3, 1)

    def check_extents(self, extents: tuple[int, ...]) -> None:
        """Any grid is right."""


class _Edges:
    """Puts a cell beyond each edge of what a 3x3 convolution sees: of the other end along periodic axes, else zeros."""

    def __init__(self) -> None:
        self.periodic: tuple[bool, ...] = (False, False)

    def __call__(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """The picture (B, C, H, W), wider and taller by two."""
        rows, columns = ("circular" if turns else "constant" for turns in self.periodic)
        if rows == columns:
            return nn.functional.pad(inputs[0], (1, 1, 1, 1), rows)
        return nn.functional.pad(nn.functional.pad(inputs[0], (0, 0, 1, 1), rows), (1, 1, 0, 0), columns)


def _model_class() -> Any:
    try:
        from diffusers import UNet2DModel
    except (ImportError, RuntimeError):  # its lazy modules make the latter of a dependency that does not import
        raise UserError("model.backbone unet: needs the package diffusers: pip install 'beeline[vae]'") from None
    return UNet2DModel
