"""Options of the network, and the presets that name sets of them."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from beeline.core.errors import UserError, unknown

Activation = Literal["gelu", "silu", "swiglu"]
Positions = Literal["auto", "sincos", "learned", "rotary", "sincos_rotary", "learned_rotary", "none"]
NormKind = Literal["layer", "rms"]


@dataclass(frozen=True)
class ModelConfig:
    """The network: a diffusion transformer, whose options all but the first two are, or a U-Net.

    Args:
        backbone: dit, or unet (of diffusers, extra [vae]): for grids along two axes, a token a cell; data.patch 1 makes
            that a cell of the data.
        unet_channels: of unet: channels at each level, each half as fine as the one before.
        preset: sizes by name, with the patch size behind a slash where the data have patches: DiT-S/2 ... DiT-XL/8
            are the paper's; DiT-Nano, DiT-Micro and DiT-Tiny are made for CPUs; auto: chosen. Options given beside it
            win.
        hidden_size: numbers a token inside the network.
        depth: number of blocks.
        num_heads: attention heads; must divide hidden_size.
        mlp_ratio: inner width of the feed-forward network over hidden_size.
        activation: gelu, silu or swiglu (gated, two thirds as wide).
        norm: before every sub-layer: layer (without parameters) or rms (with weights).
        shift: whether the modulation of blocks shifts as well as scales.
        positions: sincos, learned, rotary, sincos_rotary, learned_rotary or none; auto is sincos where tokens have
            coordinates, else none.
        rotary_period: longest wave of rotary positions over 2 pi, in tokens.
        rotary_pairs: numbers of a head that turn together: halves (k and k + D/2) or adjacent (2k and 2k + 1).
        qk_norm: normalise queries and keys.
        qk_norm_kind: rms (with weights) or layer (with weights and biases).
        frequency_divisor: of the exponents of the time embedding's frequencies: 128 as in DiT, 127 as in diffusers.
        second_norm_epsilon: of the norm before the feed-forward network; 1e-6 everywhere else.
        embedders: of time and classes: shared, or one for each block (per_block), as models trained in diffusers have.
        compatible_with: a peer that must be able to read the model (dit, sit, lightningdit, diffusers): sets path, time
            input, prediction, outputs, positions and epsilons as that peer has them.
    """

    backbone: Literal["dit", "unet"] = "dit"
    unet_channels: tuple[int, ...] = (64, 128)
    preset: str = "DiT-Micro"
    hidden_size: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    mlp_ratio: float | None = None
    activation: Activation | None = None
    norm: NormKind = "layer"
    shift: bool = True
    positions: Positions = "auto"
    rotary_period: float = 100.0
    rotary_pairs: Literal["halves", "adjacent"] = "halves"
    qk_norm: bool = False
    qk_norm_kind: NormKind = "rms"
    frequency_divisor: Literal[128, 127] = 128
    second_norm_epsilon: float = 1e-6
    embedders: Literal["shared", "per_block"] = "shared"
    compatible_with: Literal["none", "dit", "sit", "lightningdit", "diffusers"] = "none"

    def __post_init__(self) -> None:
        self._check_backbone()
        if "rotary" not in self.positions:
            for name, default in (("rotary_period", 100.0), ("rotary_pairs", "halves")):
                if getattr(self, name) != default:
                    raise UserError(
                        f"{name} belongs to positions rotary and means nothing to positions {self.positions}"
                    )
        if not self.qk_norm and self.qk_norm_kind != "rms":
            raise UserError(f"qk_norm_kind {self.qk_norm_kind}: means nothing without qk_norm")
        if not 0 < self.second_norm_epsilon < 1:
            raise UserError(f"second_norm_epsilon {self.second_norm_epsilon}: must lie between 0 and 1")
        if not self.rotary_period > 1:
            raise UserError(f"rotary_period {self.rotary_period}: must be above 1")

    def _check_backbone(self) -> None:
        for field in dataclasses.fields(self):
            owner = OF_BACKBONE["unet"] if self.backbone == "dit" else OF_BACKBONE["dit"]
            value = getattr(self, field.name)
            if field.name in owner and value != field.default:
                other = "unet" if self.backbone == "dit" else "dit"
                raise UserError(f"{field.name} belongs to backbone {other} and means nothing to {self.backbone}")
        channels = self.unet_channels
        if not channels or any(not 0 < each <= 4096 or each % 8 for each in channels):
            raise UserError(f"unet_channels {list(channels)}: need multiples of 8, one for each level")


# Options that mean something to one backbone alone.
OF_BACKBONE: dict[str, tuple[str, ...]] = {
    "unet": ("unet_channels",),
    "dit": tuple(
        each.name for each in dataclasses.fields(ModelConfig) if each.name not in ("backbone", "unet_channels")
    ),
}


def condition_width(config: ModelConfig) -> int:
    """Numbers of the vector that global conditions are embedded as, and by which the learning rate goes."""
    return 4 * config.unet_channels[0] if config.backbone == "unet" else resolve_sizes(config).hidden_size


@dataclass(frozen=True)
class Sizes:
    """Every size of a network, settled."""

    hidden_size: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    activation: Activation = "gelu"

    @property
    def inner_size(self) -> int:
        """Width of the feed-forward network: mlp_ratio x hidden_size; of swiglu two thirds, which costs as much."""
        width = int(self.hidden_size * self.mlp_ratio)
        return int(2 / 3 * width) if self.activation == "swiglu" else width


# S to XL: Peebles & Xie 2023, Table 1. The others keep heads of 64 numbers, which CPUs and GPUs like.
PRESETS = {
    "DiT-Nano": Sizes(64, 2, 1, activation="silu"),
    "DiT-Micro": Sizes(128, 4, 2, activation="silu"),
    "DiT-Tiny": Sizes(192, 6, 3, activation="silu"),
    "DiT-S": Sizes(384, 12, 6),
    "DiT-B": Sizes(768, 12, 12),
    "DiT-L": Sizes(1024, 24, 16),
    "DiT-XL": Sizes(1152, 28, 16),
}


def preset_patch(config: ModelConfig) -> int | None:
    """The patch size that a preset's name asks for behind its slash, None without one.

    Raises:
        UserError: what follows the slash is not a positive whole number.
    """
    _, slash, patch = config.preset.partition("/")
    if not slash:
        return None
    if not re.fullmatch(r"[1-9]\d*", patch):
        raise UserError(f"model.preset '{config.preset}': what follows '/' is the patch size, a whole number above 0")
    return int(patch)


def resolve_sizes(config: ModelConfig) -> Sizes:
    """The sizes of a config: its preset's, save where it names its own.

    Raises:
        UserError: no preset has that name, or the sizes do not fit together.
    """
    name = config.preset.partition("/")[0]
    known = {key.lower(): key for key in PRESETS}
    if name.lower() not in known:
        raise unknown("model.preset", name, PRESETS)
    own = {
        field: value
        for field in ("hidden_size", "depth", "num_heads", "mlp_ratio", "activation")
        if (value := getattr(config, field)) is not None
    }
    sizes = replace(PRESETS[known[name.lower()]], **own)
    for field, value, most in (
        ("hidden_size", sizes.hidden_size, 65536),
        ("depth", sizes.depth, 1000),
        ("num_heads", sizes.num_heads, 1024),
        ("mlp_ratio", sizes.mlp_ratio, 64),
    ):
        if not 0 < value <= most:
            raise UserError(f"model.{field} {value}: must be above 0 and at most {most}")
    if sizes.inner_size < 1:
        raise UserError(f"model.mlp_ratio {sizes.mlp_ratio}: leaves no width of hidden_size {sizes.hidden_size}")
    if sizes.hidden_size % (2 * sizes.num_heads):
        raise UserError(
            f"model.hidden_size {sizes.hidden_size} must be an even multiple of num_heads {sizes.num_heads}; "
            f"try {2 * sizes.num_heads * max(1, round(sizes.hidden_size / (2 * sizes.num_heads)))}"
        )
    if config.positions not in get_args(Positions):
        raise unknown("model.positions", config.positions, get_args(Positions))
    return sizes
