"""From the tensors of a peer's file, and what little else it holds, to the network that they belong to.

Sizes follow from shapes and options from names. What leaves no trace is asked for by name: the number of heads,
whether the label table's last row is the null, whether a file is DiT's or SiT's.

Shapes: D hidden numbers, C channels, p cells of a patch along a side, T tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beeline.backbone.config import PRESETS
from beeline.core.errors import UserError, unknown
from beeline.model.interop.anatomy import LAYOUTS, Anatomy, LayoutName
from beeline.model.interop.evidence import Evidence, Said
from beeline.model.interop.tables import ROTARY_PERIOD, extents_of
from beeline.process.config import Path as PathName
from beeline.process.config import PredictionName, ProcessConfig

_ONLY_LIGHTNING = ("feat_rope.", ".mlp.w12.", ".norm1.weight", ".attn.q_norm.", "norm_final.weight")
_PUBLISHED = ("DiT-S", "DiT-B", "DiT-L", "DiT-XL")
_BLOCK = re.compile(r"^(?:transformer_)?blocks\.(\d+)\.")
_DIFFUSION = ProcessConfig(path="ddpm")
_PATHS: dict[str, PathName] = {"Linear": "linear", "GVP": "gvp", "VP": "vp"}
_PREDICTIONS: dict[str, PredictionName] = {"velocity": "velocity_to_data", "noise": "noise", "score": "score"}


def find_layout(evidence: Evidence, said: LayoutName | None) -> LayoutName | None:
    """The peer whose file this is, None where DiT, SiT and a plain LightningDiT look alike.

    Raises:
        UserError: it is none that is known, or it is not what the user says.
    """
    if said is not None and said not in LAYOUTS:
        raise unknown("layout", said, LAYOUTS)
    found = _traced_layout(evidence)
    if found == "diffusers" or said == "diffusers":
        if found != said and None not in (found, said):
            raise UserError(f"{evidence.path}: is {found}'s, not {said}'s")
        if not evidence.config:
            raise UserError(f"{evidence.path}: a file of diffusers says nothing without config.json; name its folder")
        return "diffusers"
    if found == "lightningdit" and said in ("dit", "sit"):
        raise UserError(f"{evidence.path}: holds what only LightningDiT's files have; layout='{said}' cannot be")
    if found == "sit" and said == "dit":
        given = evidence.arguments["path_type"]
        raise UserError(f"{evidence.path}: was trained by SiT's script (path_type {given}); layout='dit' cannot be")
    return said or found


def _traced_layout(evidence: Evidence) -> LayoutName | None:
    if evidence.config or evidence.has("transformer_blocks."):
        return "diffusers"
    if not evidence.has("x_embedder.proj.weight"):
        raise UserError(f"{evidence.path}: holds no x_embedder.proj.weight; it is no DiT, SiT or LightningDiT")
    width = evidence.tensor("x_embedder.proj.weight", 4).shape[0]
    first = evidence.tensor_or_none("blocks.0.adaLN_modulation.1.bias")
    arguments = evidence.arguments
    named = str(arguments.get("model", "")).startswith("LightningDiT")
    if evidence.has(*_ONLY_LIGHTNING) or named or (first is not None and first.numel() == 4 * width):
        return "lightningdit"
    if "path_type" in arguments:
        return "sit"
    if str(arguments.get("model", "")).startswith("DiT"):
        return "dit"
    return None


def anatomy_of(evidence: Evidence, said: Said) -> Anatomy:
    """The network of DiT's, SiT's or LightningDiT's file.

    Raises:
        UserError: a tensor is missing or cannot be, or something must be said that is not.
    """
    layout = find_layout(evidence, said.layout)
    rows = evidence.tensor("y_embedder.embedding_table.weight", 2).shape[0]
    kernel = evidence.tensor("x_embedder.proj.weight", 4)
    width, channels, patch = kernel.shape[:3]
    if kernel.shape[3] != patch:
        raise UserError(f"{evidence.path}: patches of {patch}x{kernel.shape[3]}; only square ones are known")
    null_row, heads = _null_row(evidence, said, rows), _heads(evidence, said, width)
    if layout is None or null_row is None or heads is None:
        raise _question(evidence, layout, heads, null_row, rows, width)
    swiglu = evidence.has(".mlp.w12.")
    inner = evidence.tensor("blocks.0.mlp.w3.weight" if swiglu else "blocks.0.mlp.fc1.weight", 2).shape
    options = _options(evidence, said, layout, swiglu)
    table = evidence.tensor("pos_embed", 3)
    extents, fixed = extents_of(table, _tokens(said.input_size, patch))
    if extents is None:
        raise UserError(
            f"{evidence.path}: {table.shape[1]} positions do not tell height and width; say input_size=(rows, columns)"
        )
    if extents[0] * extents[1] != table.shape[1]:
        needed = extents[0] * extents[1]
        raise UserError(f"{evidence.path}: has {table.shape[1]} positions; input_size {said.input_size} needs {needed}")
    others, of_others = extents_of(table, None)
    if others and of_others and not fixed:
        size = "x".join(str(patch * extent) for extent in others)
        raise UserError(f"{evidence.path}: its positions are those of {size}; input_size {said.input_size} cannot be")
    positions = ("sincos" if fixed else "learned") + ("_rotary" if options.pop("rotary") else "")
    rotary = {"rotary_period": ROTARY_PERIOD, "rotary_pairs": "adjacent"} if "rotary" in positions else {}
    trained: tuple[ProcessConfig, PredictionName] = (_DIFFUSION, "noise")
    if layout != "dit":
        trained = _transport(evidence)
    return Anatomy(
        layout,
        width,
        depth_of(evidence.path, evidence.tensors),
        heads,
        inner[1] if swiglu else inner[0],
        patch,
        channels,
        head_channels(evidence.path, evidence.tensor("final_layer.linear.weight", 2).shape[0], patch, channels),
        extents,
        rows - null_row,
        null_row,
        {**options, "positions": positions, **rotary},
        *trained,
    )


def _options(evidence: Evidence, said: Said, layout: LayoutName, swiglu: bool) -> dict[str, Any]:
    """LightningDiT's switches, by the traces that they leave."""
    if layout != "lightningdit":
        return {"rotary": False}
    width = evidence.tensor("x_embedder.proj.weight", 4).shape[0]
    normed = evidence.has(".attn.q_norm.")
    buffers = evidence.has("feat_rope.")
    lost = said.use_rope if said.use_rope is not None else evidence.arguments.get("use_rope") is True
    if said.use_rope is False and buffers:
        raise UserError(f"{evidence.path}: holds rotary buffers; use_rope=False cannot be")
    return {
        "activation": "swiglu" if swiglu else "gelu",
        "norm": "rms" if evidence.has(".norm1.weight") else "layer",
        "shift": evidence.tensor("blocks.0.adaLN_modulation.1.bias", 1).shape[0] != 4 * width,
        "rotary": buffers or lost,
        "qk_norm": normed,
        "qk_norm_kind": "layer" if evidence.has(".attn.q_norm.bias") else "rms",
    }


def _tokens(size: tuple[int, int] | None, patch: int) -> tuple[int, int] | None:
    if size is None:
        return None
    if size[0] % patch or size[1] % patch or min(size) < 1:
        raise UserError(f"input_size {size[0]}x{size[1]}: must be whole patches of {patch}")
    return size[0] // patch, size[1] // patch


def depth_of(path: Path, names: Iterable[str]) -> int:
    """Number of blocks, which are counted from 0 without a gap.

    Raises:
        UserError: there is none, or one is missing.
    """
    found = {int(match[1]) for name in names if (match := _BLOCK.match(name))}
    if not found:
        raise UserError(f"{path}: holds no blocks")
    for index in range(len(found)):
        if index not in found:
            raise UserError(f"{path}: block {index} is missing")
    return len(found)


def head_channels(path: Path, rows: int, patch: int, channels: int) -> int:
    """Output channels of a head of so many rows.

    Raises:
        UserError: they are neither as many as the data's nor twice as many.
    """
    found, rest = divmod(rows, patch**2)
    if rest or found not in (channels, 2 * channels):
        raise UserError(
            f"{path}: a head of {rows} rows fits neither {channels} nor {2 * channels} channels of patches of {patch}"
        )
    return found


def _null_row(evidence: Evidence, said: Said, rows: int) -> bool | None:
    """Whether the label table ends with the null: what a training file's number of classes tells, or the user."""
    classes = evidence.arguments.get("num_classes")
    if isinstance(classes, int) and rows in (classes, classes + 1):
        told = rows == classes + 1
        if said.null_row is not None and said.null_row != told:
            raise UserError(
                f"{evidence.path}: was trained with {classes} classes and has {rows} label rows; null_row="
                f"{said.null_row} cannot be"
            )
        return told
    if said.null_row and rows < 2:
        raise UserError(f"{evidence.path}: has one label row; null_row=True leaves no class")
    return said.null_row


def _heads(evidence: Evidence, said: Said, width: int) -> int | None:
    """Attention heads: what a norm of heads or rotary buffers tell, or a name in the file, or the user."""
    norm = next((name for name in sorted(evidence.tensors) if ".attn.q_norm." in name), None)
    size = evidence.tensor(norm, 1).shape[0] if norm else None
    if size is None and "feat_rope.freqs_cos" in evidence.tensors:
        size = evidence.tensor("feat_rope.freqs_cos", 2).shape[1]
    told = width // size if size else _named_heads(evidence, width)
    if told is not None and said.num_heads is not None and told != said.num_heads:
        raise UserError(f"{evidence.path}: has {told} heads, as the file says, not num_heads={said.num_heads}")
    heads = told or said.num_heads
    if heads is not None and (heads < 1 or width % heads):
        raise UserError(f"{evidence.path}: num_heads={heads} does not divide the width {width}")
    return heads


def _question(
    evidence: Evidence, layout: str | None, heads: int | None, null_row: bool | None, rows: int, width: int
) -> UserError:
    """All that must be said, in one line."""
    wanted = []
    if layout is None:
        wanted.append("layout='dit', 'sit' or 'lightningdit' (their files look alike)")
    if heads is None:
        of_width = {PRESETS[name].hidden_size: PRESETS[name].num_heads for name in _PUBLISHED}
        hint = f" (published models of width {width} have {of_width[width]})" if width in of_width else ""
        wanted.append(f"num_heads=N, the number of attention heads{hint}")
    if null_row is None:
        wanted.append(
            f"null_row=True if the last of {rows} label rows stands for 'unknown' ({rows - 1} classes), False if it "
            f"is a class"
        )
    return UserError(f"{evidence.path}: the file cannot say everything; say {'; '.join(wanted)}")


def _named_heads(evidence: Evidence, width: int) -> int | None:
    """Heads of the model that a training file names, where its sizes are those of that name."""
    match = re.match(r"(?:DiT|SiT|LightningDiT)-(S|B|L|XL)/\d+$", str(evidence.arguments.get("model", "")))
    if match is None:
        return None
    sizes = PRESETS[f"DiT-{match[1]}"]
    fits = sizes.hidden_size == width and sizes.depth == depth_of(evidence.path, evidence.tensors)
    return sizes.num_heads if fits else None


def _transport(evidence: Evidence) -> tuple[ProcessConfig, PredictionName]:
    """What a SiT or a LightningDiT was trained for; the velocity of the straight path where its file does not say."""
    known: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("path_type", "Linear", _PATHS),
        ("prediction", "velocity", _PREDICTIONS),
    )
    for name, usual, names in known:
        given = evidence.arguments.get(name, usual)
        if given not in names:
            raise UserError(f"{evidence.path}: was trained with {name} {given}; only {', '.join(names)} can be read")
    path, prediction = (evidence.arguments.get(name, usual) for name, usual, _ in known)
    return ProcessConfig(path=_PATHS[path], time_input="1 - t"), _PREDICTIONS[prediction]
