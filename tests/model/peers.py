"""Checkpoints of the peers with random weights, and their networks written out plainly, tensor by tensor.

Nothing here knows our network: the functions below follow the peers' papers and file layouts alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """A network of DiT's family.

    Args:
        rows, columns: of the data.
        outputs: channels of the head over channels of the data.
        null: whether the label table has a null row.
        swiglu, rope, rms, qk_norm, shift: LightningDiT's switches.
    """

    rows: int = 8
    columns: int = 8
    patch: int = 2
    channels: int = 4
    width: int = 32
    depth: int = 2
    heads: int = 4
    classes: int = 5
    outputs: int = 2
    null: bool = True
    swiglu: bool = False
    rope: bool = False
    rms: bool = False
    qk_norm: bool = False
    shift: bool = True

    @property
    def grid(self) -> tuple[int, int]:
        return self.rows // self.patch, self.columns // self.patch


def positions(width: int, grid: tuple[int, int]) -> Tensor:
    """(T, D): column first, then row; sines before cosines."""

    def axis(places: Tensor) -> Tensor:
        omega = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))
        angle = places.double()[:, None] * omega
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    row, column = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.cat([axis(column.flatten()), axis(row.flatten())], dim=1).float()


def rotations(head: int, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(T, K) cosines and sines: rows turn the first half of a head, columns the second, neighbours together."""
    frequency = 1.0 / 10000 ** (torch.arange(0, head // 2, 2).float() / (head // 2))
    row, column = torch.meshgrid(torch.arange(grid[0]).float(), torch.arange(grid[1]).float(), indexing="ij")
    angle = torch.cat([place.flatten()[:, None] * frequency for place in (row, column)], dim=1)
    return angle.cos().repeat_interleave(2, 1), angle.sin().repeat_interleave(2, 1)


def state(recipe: Recipe, seed: int = 0) -> State:
    """A file of DiT, SiT or LightningDiT with random weights."""
    generator = torch.Generator().manual_seed(seed)

    def linear(name: str, out: int, into: int) -> State:
        weight = torch.randn(out, into, generator=generator) / math.sqrt(into)
        return {f"{name}.weight": weight, f"{name}.bias": 0.1 * torch.randn(out, generator=generator)}

    def norm(name: str, size: int, bias: bool = False) -> State:
        found = {f"{name}.weight": 1 + 0.2 * torch.randn(size, generator=generator)}
        return {**found, f"{name}.bias": 0.2 * torch.randn(size, generator=generator)} if bias else found

    width, patch, channels = recipe.width, recipe.patch, recipe.channels
    found: State = {"pos_embed": positions(width, recipe.grid)[None]}
    embed = linear("x_embedder.proj", width, channels * patch * patch)
    found |= {**embed, "x_embedder.proj.weight": embed["x_embedder.proj.weight"].view(width, channels, patch, patch)}
    found |= linear("t_embedder.mlp.0", width, 256) | linear("t_embedder.mlp.2", width, width)
    found["y_embedder.embedding_table.weight"] = torch.randn(recipe.classes + recipe.null, width, generator=generator)
    if recipe.rope:
        cosine, sine = rotations(width // recipe.heads, recipe.grid)
        found |= {"feat_rope.freqs_cos": cosine, "feat_rope.freqs_sin": sine}
    inner = int(2 / 3 * 4 * width)
    for index in range(recipe.depth):
        block = f"blocks.{index}"
        found |= linear(f"{block}.attn.qkv", 3 * width, width) | linear(f"{block}.attn.proj", width, width)
        if recipe.swiglu:
            found |= linear(f"{block}.mlp.w12", 2 * inner, width) | linear(f"{block}.mlp.w3", width, inner)
        else:
            found |= linear(f"{block}.mlp.fc1", 4 * width, width) | linear(f"{block}.mlp.fc2", width, 4 * width)
        found |= linear(f"{block}.adaLN_modulation.1", (6 if recipe.shift else 4) * width, width)
        if recipe.rms:
            found |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
        if recipe.qk_norm:
            for each in ("q_norm", "k_norm"):
                found |= norm(f"{block}.attn.{each}", width // recipe.heads, bias=not recipe.rms)
    found |= linear("final_layer.adaLN_modulation.1", 2 * width, width)
    if recipe.rms:
        found |= norm("final_layer.norm_final", width)
    return found | linear("final_layer.linear", patch * patch * recipe.outputs * channels, width)


def forward(weights: State, recipe: Recipe, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """(B, outputs x C, H, W) what such a network says of (B, C, H, W) at the peer's own times."""

    def linear(name: str, value: Tensor) -> Tensor:
        return functional.linear(value, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name: str, value: Tensor) -> Tensor:
        if recipe.rms:
            return value * torch.rsqrt(value.square().mean(-1, keepdim=True) + 1e-6) * weights[f"{name}.weight"]
        return functional.layer_norm(value, value.shape[-1:], eps=1e-6)

    def head_norm(name: str, value: Tensor) -> Tensor:
        if not recipe.qk_norm:
            return value
        if recipe.rms:
            return norm(name, value)
        return functional.layer_norm(value, value.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def turned(value: Tensor) -> Tensor:
        if not recipe.rope:
            return value
        pairs = value.unflatten(-1, (-1, 2))
        other = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
        return value * weights["feat_rope.freqs_cos"] + other * weights["feat_rope.freqs_sin"]

    angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(128).float() / 128)
    time = linear("t_embedder.mlp.0", torch.cat([angle.cos(), angle.sin()], dim=-1))
    c = linear("t_embedder.mlp.2", functional.silu(time)) + weights["y_embedder.embedding_table.weight"][y]
    c = functional.silu(c)[:, None]
    h = functional.conv2d(x, weights["x_embedder.proj.weight"], weights["x_embedder.proj.bias"], stride=recipe.patch)
    h = h.flatten(2).transpose(1, 2) + weights["pos_embed"]
    for index in range(recipe.depth):
        block = f"blocks.{index}"
        parts = list(linear(f"{block}.adaLN_modulation.1", c).chunk(6 if recipe.shift else 4, dim=-1))
        if not recipe.shift:
            parts = [torch.zeros(1), *parts[:2], torch.zeros(1), *parts[2:]]
        z = norm(f"{block}.norm1", h) * (1 + parts[1]) + parts[0]
        q, k, v = (
            each.unflatten(-1, (recipe.heads, -1)).transpose(1, 2)
            for each in linear(f"{block}.attn.qkv", z).chunk(3, dim=-1)
        )
        q, k = turned(head_norm(f"{block}.attn.q_norm", q)), turned(head_norm(f"{block}.attn.k_norm", k))
        mixed = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1) @ v
        h = h + parts[2] * linear(f"{block}.attn.proj", mixed.transpose(1, 2).flatten(2))
        z = norm(f"{block}.norm2", h) * (1 + parts[4]) + parts[3]
        if recipe.swiglu:
            first, second = linear(f"{block}.mlp.w12", z).chunk(2, dim=-1)
            z = linear(f"{block}.mlp.w3", functional.silu(first) * second)
        else:
            z = linear(f"{block}.mlp.fc2", functional.gelu(linear(f"{block}.mlp.fc1", z), approximate="tanh"))
        h = h + parts[5] * z
    shift, scale = linear("final_layer.adaLN_modulation.1", c).chunk(2, dim=-1)
    h = linear("final_layer.linear", norm("final_layer.norm_final", h) * (1 + scale) + shift)
    rows, columns, p = *recipe.grid, recipe.patch
    cells = h.view(len(x), rows, columns, p, p, -1)
    return torch.einsum("nhwpqc->nchpwq", cells).reshape(len(x), -1, recipe.rows, recipe.columns)


def inputs(recipe: Recipe, time: float, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Data, times up to ``time`` and labels, the last of which is the null where there is one."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, recipe.channels, recipe.rows, recipe.columns, generator=generator)
    t = time * torch.rand(3, generator=generator)
    return x, t, torch.tensor([0, recipe.classes - 1, recipe.classes if recipe.null else 1])
