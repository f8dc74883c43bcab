"""A peer's network as one of ours, which still speaks the peer's language.

Shapes: B samples, C channels, H rows, W columns, L tokens, p cells of a patch along a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.tokens import Tokens
from beeline.model.interop.anatomy import LABEL, Anatomy
from beeline.model.interop.folders import Pipeline
from beeline.model.interop.links import links_of
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.tokenizers.grid import GridTokenizer

# DiT, SiT and LightningDiT guide the first three channels, however many there are.
QUIRK = 3


@dataclass(frozen=True)
class Kept:
    """What a file holds beyond the weights of our network, so that it can be written again bit by bit.

    Args:
        dtypes: of the tensors that are not of 32 bits, by the peer's names.
        tables: fixed tables, by the peer's names.
        unused: rows of the head that the peer's network ignores, by the peer's names.
        wide: tensors of 64 bits that 32 do not hold, by the peer's names.
        config: config.json of a diffusers folder.
        pipeline: what lies beside the transformer of a pipeline.
    """

    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)
    tables: Mapping[str, Tensor] = field(default_factory=dict)
    unused: Mapping[str, Tensor] = field(default_factory=dict)
    wide: Mapping[str, Tensor] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    pipeline: Pipeline | None = None


class Imported(nn.Module):
    """A peer's network: a Predictor of ours, with the peer's own forward beside.

    Args:
        anatomy: what it is.
        starting: the same in our terms.
        network: holds the weights.
        kept: what else its file holds.

    Attributes:
        layout: name of the peer.
    """

    def __init__(self, anatomy: Anatomy, starting: Starting, network: Network, kept: Kept) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.layout = anatomy.layout
        self.network = network
        self.kept = kept
        self.process = network.process
        self._starting = starting

    def starting(self) -> Starting:
        """What sampling and fine-tuning start from, with the weights as they are now."""
        return replace(self._starting, tensors=self.network.state_dict())

    def forward(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        """What is expected at noisy samples, in our convention: t = 0 is data, t = 1 is noise."""
        return self.network(x_t, t, conditions)

    def forward_native(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """What the peer's own ``forward`` gives.

        Args:
            x: (B, C, H, W).
            t: (B,) the peer's time: 0 (data) to 999 (noise) in DiT and diffusers, 0 (noise) to 1 (data) in SiT and
                LightningDiT.
            y: (B,) labels; the number of classes stands for "unknown" where there is a null row.

        Returns:
            (B, C, H, W); (B, 2C, H, W) with a learned variance.

        Raises:
            UserError: a shape or a label does not fit.
        """
        values, rows, columns = self._tokens(x)
        if t.shape != (len(x),) or y.shape != (len(x),):
            raise UserError(f"t {tuple(t.shape)} and y {tuple(y.shape)}: need one of each for {len(x)} samples")
        output = self.network.output(self._placed(values, rows, columns), t, self._conditions(y))
        return self._images(output, rows, columns)

    def forward_with_cfg_native(self, x: Tensor, t: Tensor, y: Tensor, cfg_scale: float) -> Tensor:
        """What the peer's own guidance gives: DiT, SiT and LightningDiT guide the first three channels, diffusers all.

        Args:
            x: (2B, C, H, W), of which the first half is used twice.
            t: (2B,) the peer's time.
            y: (2B,) labels, then as many nulls.
            cfg_scale: s of u + s (c - u).

        Returns:
            as ``forward_native``; both halves hold the guided prediction.
        """
        half = x[: len(x) // 2]
        out = self.forward_native(torch.cat([half, half]), t, y)
        count = self.anatomy.channels if self.layout == "diffusers" else min(QUIRK, out.shape[1])
        conditional, unconditional = out[:, :count].chunk(2)
        guided = unconditional + cfg_scale * (conditional - unconditional)
        return torch.cat([torch.cat([guided, guided]), out[:, count:]], dim=1)

    def native_gradients(self) -> dict[str, Tensor]:
        """Gradients by the peer's names and in its shapes, after a backward pass.

        Of embedders that are copies in all blocks it is the sum over the copies, under the first one's name.
        """
        own = {name: each.grad for name, each in self.network.named_parameters() if each.grad is not None}
        found: dict[str, Tensor] = {}
        for link in links_of(self.anatomy):
            if link.ours in own:
                parts = link.write(own[link.ours])
                found |= dict(zip(link.theirs, parts[: 1 if link.copies else None], strict=not link.copies))
        return found

    def _tokens(self, x: Tensor) -> tuple[Tensor, int, int]:
        """(B, L, p p C) patches of images, and how many rows and columns of them there are."""
        p, channels = self.anatomy.patch, self.anatomy.channels
        if x.dim() != 4 or x.shape[1] != channels or x.shape[2] % p or x.shape[3] % p:
            raise UserError(f"x {tuple(x.shape)}: need (batch, {channels}, rows, columns) of whole patches of {p}")
        rows, columns = x.shape[2] // p, x.shape[3] // p
        if (rows, columns) != self.anatomy.extents and (self.layout != "diffusers" or rows != columns):
            height, width = (extent * p for extent in self.anatomy.extents)
            raise UserError(f"x {tuple(x.shape)}: this network takes {height}x{width}")
        cells = x.unflatten(3, (columns, p)).unflatten(2, (rows, p))
        return cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2), rows, columns

    def _placed(self, values: Tensor, rows: int, columns: int) -> Tokens:
        """Tokens at their places; diffusers squeezes other sizes into the grid that was trained."""
        blank = GridTokenizer((1, 1)).blank((rows, columns))
        assert blank.coords is not None
        coords = blank.coords.to(values.device) * (self.anatomy.extents[0] / rows)
        return Tokens(values, coords.expand(len(values), -1, -1), layout=blank.layout * len(values))

    def _conditions(self, y: Tensor) -> Conditions:
        classes, null_row = self.anatomy.classes, self.anatomy.null_row
        known = y.detach().cpu()
        if y.is_floating_point() or bool((known < 0).any()) or bool((known >= classes + null_row).any()):
            null = f", or {classes} for 'unknown'" if null_row else ""
            raise UserError(f"y: labels are whole numbers from 0 to {classes - 1}{null}")
        return Conditions({LABEL: y.clamp(max=classes - 1)}, {LABEL: y == classes})

    def _images(self, output: Tensor, rows: int, columns: int) -> Tensor:
        """(B, outputs x C, H, W), channels of the mean before those of the variance."""
        p, channels = self.anatomy.patch, self.anatomy.channels
        cells = output.unflatten(2, (-1, p, p, channels)).unflatten(1, (rows, columns))
        return cells.permute(0, 3, 6, 1, 4, 2, 5).flatten(5).flatten(3, 4).flatten(1, 2)
