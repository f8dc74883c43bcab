"""Which tensor of ours holds the numbers of which tensors of a peer's, and in what order.

Every link is a rearrangement: reading and then writing gives the same bits. An embedding of patches is a convolution
there, (D, C, p, p), and a linear layer here, (D, p p C); the rows of the head are ordered (p, p, channel) there, with
mean and variance one after the other among the channels, and (mean | variance) of (p, p, channel) here.

Shapes: D hidden numbers, C channels, p cells of a patch along a side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from beeline.model.interop.anatomy import Anatomy

_KINDS = ("weight", "bias")


@dataclass(frozen=True)
class Link:
    """One tensor of ours, and where its numbers are in the peer's file.

    Args:
        ours: name in ``Network``.
        theirs: names in the file; several are parts of ours, or copies of it.
        read: their tensors to ours.
        write: ours to their tensors.
        copies: whether their tensors are copies of ours rather than parts.
    """

    ours: str
    theirs: tuple[str, ...]
    read: Callable[[Sequence[Tensor]], Tensor] = lambda theirs: theirs[0]
    write: Callable[[Tensor], Sequence[Tensor]] = lambda ours: (ours,)
    copies: bool = False


def links_of(anatomy: Anatomy) -> list[Link]:
    """Every tensor of our network of that anatomy."""
    made = _diffusers(anatomy) if anatomy.layout == "diffusers" else _official(anatomy)
    return [*made, *(_head(anatomy, kind) for kind in _KINDS)]


def _plain(theirs: str, ours: str, kinds: Sequence[str] = _KINDS) -> list[Link]:
    return [Link(f"{ours}.{kind}", (f"{theirs}.{kind}",)) for kind in kinds]


def _official(anatomy: Anatomy) -> list[Link]:
    """DiT, SiT and LightningDiT, which share a skeleton."""
    options = anatomy.options
    rms, swiglu = options.get("norm") == "rms", options.get("activation") == "swiglu"
    links = [
        *_patches("x_embedder.proj", anatomy),
        *_plain("t_embedder.mlp.0", "backbone.time.first"),
        *_plain("t_embedder.mlp.2", "backbone.time.second"),
        *_plain("y_embedder.embedding_table", f"embedders.{anatomy.condition}.table", ("weight",)),
        *_plain("final_layer.adaLN_modulation.1", "backbone.modulation.linear"),
    ]
    if rms:
        links += _plain("final_layer.norm_final", "backbone.norm", ("weight",))
    if "learned" in options.get("positions", ""):
        links.append(
            Link("backbone.learned.table", ("pos_embed",), lambda theirs: theirs[0][0], lambda ours: (ours[None],))
        )
    first, second = ("mlp.w12", "mlp.w3") if swiglu else ("mlp.fc1", "mlp.fc2")
    for index in range(anatomy.depth):
        theirs, ours = f"blocks.{index}", f"backbone.blocks.{index}"
        links += _plain(f"{theirs}.attn.qkv", f"{ours}.attention.qkv")
        links += _plain(f"{theirs}.attn.proj", f"{ours}.attention.projection")
        links += _plain(f"{theirs}.{first}", f"{ours}.feedforward.first")
        links += _plain(f"{theirs}.{second}", f"{ours}.feedforward.second")
        links += _plain(f"{theirs}.adaLN_modulation.1", f"{ours}.modulation.linear")
        if rms:
            links += _plain(f"{theirs}.norm1", f"{ours}.norm", ("weight",))
            links += _plain(f"{theirs}.norm2", f"{ours}.second_norm", ("weight",))
        if options.get("qk_norm"):
            kinds = ("weight",) if options["qk_norm_kind"] == "rms" else _KINDS
            for each in ("q_norm", "k_norm"):
                links += _plain(f"{theirs}.attn.{each}", f"{ours}.attention.{each}", kinds)
    return links


def _diffusers(anatomy: Anatomy) -> list[Link]:
    """diffusers' DiTTransformer2DModel, whose blocks have embedders of their own, as copies or apart."""
    blocks = range(anatomy.depth)

    def copied(own: Tensor) -> Sequence[Tensor]:
        return (own,) * anatomy.depth

    links = [*_patches("pos_embed.proj", anatomy), *_plain("proj_out_1", "backbone.modulation.linear")]
    for theirs, ours, leaf, kinds in (
        ("timestep_embedder.linear_1", "backbone.time", "first", _KINDS),
        ("timestep_embedder.linear_2", "backbone.time", "second", _KINDS),
        ("class_embedder.embedding_table", f"embedders.{anatomy.condition}", "table", ("weight",)),
    ):
        for kind in kinds:
            names = [f"transformer_blocks.{index}.norm1.emb.{theirs}.{kind}" for index in blocks]
            if anatomy.options.get("embedders") == "per_block":
                links += [Link(f"{ours}.copies.{index}.{leaf}.{kind}", (names[index],)) for index in blocks]
            else:
                links.append(Link(f"{ours}.{leaf}.{kind}", tuple(names), write=copied, copies=True))
    for index in blocks:
        theirs, ours = f"transformer_blocks.{index}", f"backbone.blocks.{index}"
        for kind in _KINDS:
            parts = tuple(f"{theirs}.attn1.{part}.{kind}" for part in ("to_q", "to_k", "to_v"))
            links.append(
                Link(
                    f"{ours}.attention.qkv.{kind}", parts, lambda each: torch.cat(list(each)), lambda own: own.chunk(3)
                )
            )
        links += _plain(f"{theirs}.attn1.to_out.0", f"{ours}.attention.projection")
        links += _plain(f"{theirs}.ff.net.0.proj", f"{ours}.feedforward.first")
        links += _plain(f"{theirs}.ff.net.2", f"{ours}.feedforward.second")
        links += _plain(f"{theirs}.norm1.linear", f"{ours}.modulation.linear")
    return links


def _patches(theirs: str, anatomy: Anatomy) -> list[Link]:
    """The embedding of patches: a convolution there, a linear layer here."""
    p, channels = anatomy.patch, anatomy.channels
    weight = Link(
        "backbone.embed.weight",
        (f"{theirs}.weight",),
        lambda each: each[0].permute(0, 2, 3, 1).flatten(1),
        lambda own: (own.unflatten(1, (p, p, channels)).permute(0, 3, 1, 2),),
    )
    return [weight, Link("backbone.embed.bias", (f"{theirs}.bias",))]


def _head(anatomy: Anatomy, kind: str) -> Link:
    theirs = "proj_out_2" if anatomy.layout == "diffusers" else "final_layer.linear"
    return Link(
        f"backbone.head.{kind}",
        (f"{theirs}.{kind}",),
        lambda each: halves(each[0], anatomy)[0] if anatomy.outputs == 1 else torch.cat(halves(each[0], anatomy)),
        lambda own: (interleaved(_with_unused(own, anatomy), anatomy),),
    )


def _with_unused(own: Tensor, anatomy: Anatomy) -> list[Tensor]:
    """Rows of our head as groups for every C of the channels, with zeros for those that the network ignores."""
    groups = list(own.split(anatomy.patch**2 * anatomy.channels))
    missing = anatomy.head_channels // anatomy.channels - len(groups)
    return [*groups, *[torch.zeros_like(groups[0])] * missing]


def halves(rows: Tensor, anatomy: Anatomy) -> list[Tensor]:
    """Rows of a peer's head, (p p C') in the order (p, p, channel), as one group for every C of the channels."""
    cells = rows.unflatten(0, (anatomy.patch**2, anatomy.head_channels))
    return [part.flatten(0, 1) for part in cells.split(anatomy.channels, dim=1)]


def interleaved(groups: Sequence[Tensor], anatomy: Anatomy) -> Tensor:
    """Groups of rows back in a peer's order; undoes ``halves``."""
    cells = [group.unflatten(0, (anatomy.patch**2, anatomy.channels)) for group in groups]
    return torch.cat(cells, dim=1).flatten(0, 1)
