"""Writing a network as a peer's checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.errors import UserError, unknown
from beeline.core.files import check_writable, folder_in_the_making, sha256, write_json
from beeline.core.random import Key
from beeline.data.checkpoints.writing import write_safetensors, write_torch
from beeline.model.interop.anatomy import LAYOUTS, Anatomy, LayoutName
from beeline.model.interop.fitting import anatomy_for, changes, reinterpreted
from beeline.model.interop.folders import MODEL_INDEX, Pipeline, first_difference
from beeline.model.interop.imported import Imported, Kept
from beeline.model.interop.links import halves, interleaved, links_of
from beeline.model.interop.opening import fixed_tables
from beeline.model.interop.record import write_record
from beeline.model.starting import Starting

_FILES = (".pt", ".pth", ".bin", ".safetensors")
WEIGHTS = "diffusion_pytorch_model.safetensors"
_SAMPLES, _TIMES = 2, (0.1, 0.5, 0.9)


class Source(Protocol):
    """Whatever can say what network it holds: an imported one, or an opened model of ours."""

    def starting(self) -> Starting:
        """Options, codec and weights."""
        ...


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file or folder.
        rows: which tensor of ours became which of the peer's, in their order.
        change: by what share of the largest output a reinterpretation changes it, None where it is the same function.
    """

    path: Path
    rows: list[dict[str, Any]]
    change: dict[str, Any] | None = None


def save(m: Source, path: str | Path, layout: LayoutName, reinterpret: bool = False) -> Exported:
    """Write a network as a peer's checkpoint.

    Within a layout the file's tensors come back bit by bit. Where the peer's code would compute another function with
    the same tensors nothing is written, unless ``reinterpret`` asks for the tensors all the same.

    Args:
        m: what ``interop.load`` or ``beeline.load`` opened.
        path: NAME.pt or NAME.safetensors; for diffusers a folder.
        layout: dit, sit, lightningdit or diffusers.
        reinterpret: write the tensors though they then are another function, and measure how much another.

    Raises:
        UserError: the peer has no place for something, or would compute something else, or something lies there.
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    path, imported = Path(path), imported_of(m)
    check_place(path, layout)
    start, own = m.starting(), imported.anatomy if imported else None
    anatomy = anatomy_for(start, layout, own)
    _check_embedders(start, anatomy)
    different = changes(start, anatomy, imported is not None and imported.kept.pipeline is not None)
    if different and not reinterpret:
        mend = "reinterpret=True (--reinterpret) copies the tensors all the same"
        if imported is None:
            mend = f"train with --model.compatible_with {layout}; {mend}"
        raise UserError(f"{layout} would compute another function with these tensors: {'; '.join(different)}; {mend}")
    read_as = reinterpreted(start, anatomy) if different else start
    anatomy = replace(anatomy, process=read_as.process, prediction=read_as.objective.prediction)
    change = {"differences": different, **difference(start, read_as)} if different else None
    theirs, rows = their_tensors(start, anatomy, imported)
    digest = _write(path, theirs, anatomy, imported)
    write_record(path, digest, anatomy, start.origin, rows, change)
    return Exported(path, rows, change)


def imported_of(m: Any) -> Imported | None:
    """The imported network behind something that was opened, None for a network of ours."""
    return m if isinstance(m, Imported) else getattr(m, "imported", None)


def check_place(path: Path, layout: LayoutName) -> None:
    """Refuse a place where a checkpoint cannot be written, before any long work.

    Raises:
        UserError: something lies there, or its name is not one of the layout.
    """
    if layout == "diffusers" and path.suffix.lower() in _FILES:
        raise UserError(f"{path}: diffusers' models are folders; name one")
    if layout != "diffusers" and path.suffix.lower() not in _FILES:
        raise UserError(f"{path}: a checkpoint of {layout} is written as NAME.pt or NAME.safetensors")
    if path.exists() and not (path.is_dir() and layout == "diffusers" and not any(path.iterdir())):
        raise UserError(f"{path}: is there already; delete it, or name another place")
    check_writable(path)


def _check_embedders(start: Starting, anatomy: Anatomy) -> None:
    """Refuse embedders that differ from block to block where there is room for one."""
    if start.model.embedders == "shared" or anatomy.layout == "diffusers":
        return
    theirs = replace(anatomy, layout="diffusers")
    tensors = {
        name: part
        for link in links_of(theirs)
        if ".copies." in link.ours
        for name, part in zip(link.theirs, link.write(start.tensors[link.ours]), strict=True)
    }
    name = first_difference(tensors, anatomy.depth) or "transformer_blocks.0.norm1.emb"
    raise UserError(
        f"{anatomy.layout} has one time and one class embedder for all blocks; here every block has its own, and "
        f"{name} is the first that differs from block 0's"
    )


def their_tensors(
    start: Starting, anatomy: Anatomy, imported: Imported | None
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The peer's tensors, and a row of the table for each.

    Args:
        start: our network.
        anatomy: what it is as the peer's.
        imported: where it came from, for what its file held beyond our weights.
    """
    theirs: dict[str, Tensor] = {}
    rows: list[dict[str, Any]] = []
    for link in links_of(anatomy):
        ours = start.tensors[link.ours].detach().cpu()
        for name, part in zip(link.theirs, link.write(ours), strict=True):
            theirs[name] = part
            rows.append({"theirs": name, "ours": link.ours, "shape": list(part.shape)})
    kept = imported.kept if imported else None
    for name, table in fixed_tables(anatomy).items():
        stored = kept.tables.get(name) if kept else None
        same = stored is not None and stored.shape == table.shape
        theirs[name] = stored.clone() if same and stored is not None else table
        rows.append({"theirs": name, "ours": "as stored" if same else "computed", "shape": list(table.shape)})
    if kept:
        for name, unused in kept.unused.items():
            _put_unused(theirs, name, unused, anatomy)
        for name in theirs:
            theirs[name] = _as_stored(theirs[name], name, kept)
        if kept.config.get("attention_bias") is False and anatomy.layout == "diffusers":
            _drop_zero_biases(theirs, rows)
    return theirs, rows


def _as_stored(tensor: Tensor, name: str, kept: Kept) -> Tensor:
    """A tensor as it was stored, dtype and all bits, where its numbers are still the stored ones."""
    wide, dtype = kept.wide.get(name), kept.dtypes.get(name, torch.float32)
    if wide is not None and wide.shape == tensor.shape and torch.equal(wide.float().to(tensor.dtype), tensor):
        return wide
    narrow = tensor.to(dtype)
    return narrow if torch.equal(narrow.to(tensor.dtype), tensor) else tensor


def _put_unused(theirs: dict[str, Tensor], name: str, unused: Tensor, anatomy: Anatomy) -> None:
    """Put back the rows of the head that SiT and LightningDiT ignore."""
    name = "proj_out_2." + name.rpartition(".")[2] if anatomy.layout == "diffusers" else name
    groups = halves(theirs[name], anatomy)
    if len(groups) == 2:
        theirs[name] = interleaved([groups[0], unused], anatomy)


def _drop_zero_biases(theirs: dict[str, Tensor], rows: list[dict[str, Any]]) -> None:
    names = [name for name in theirs if name.endswith((".to_q.bias", ".to_k.bias", ".to_v.bias"))]
    if any(bool(theirs[name].any()) for name in names):
        return
    for name in names:
        del theirs[name]
    rows[:] = [row for row in rows if row["theirs"] in theirs]


def difference(start: Starting, read_as: Starting) -> dict[str, Any]:
    """How far outputs move when the same tensors are read otherwise, on random data.

    Args:
        start: as they are.
        read_as: as they are read.

    Returns:
        the largest difference and the largest output over some times.
    """
    outputs = []
    for each in (start, read_as):
        process, source, objective = each.parts()
        with torch.device("meta"):
            network = each.blank_network(process, objective).eval()
        state = {name: tensor.detach().to("cpu", torch.float32) for name, tensor in each.tensors.items()}
        width = each.codec.tokenizer.width
        for kind in ("weight", "bias"):
            name = f"backbone.head.{kind}"
            state[name] = state[name][: network.outputs * width]
        network.load_state_dict(state, assign=True)
        blank = each.codec.tokenizer.blank(each.codec.forms[0][0])
        label = each.codec.conditions[0]
        assert label.choices is not None
        encoded = [each.codec.with_conditions(blank, {label.name: k % len(label.choices)}) for k in range(_SAMPLES)]
        batch: Batch = each.codec.batch(encoded)
        noisy = batch.tokens.with_values(source.sample(batch.tokens, Key.range(0, 0, _SAMPLES)))
        with torch.no_grad():
            outputs.append(
                torch.stack([network(noisy, torch.full((_SAMPLES,), t), batch.conditions).output for t in _TIMES])
            )
    largest = outputs[0].abs().max().item()
    moved = (outputs[1] - outputs[0]).abs().max().item()
    return {"largest_output": largest, "largest_difference": moved, "share": moved / largest if largest else None}


def _write(path: Path, theirs: Mapping[str, Tensor], anatomy: Anatomy, imported: Imported | None) -> str:
    """Write tensors, and whatever belongs beside them; the sha256 of the weights."""
    if anatomy.layout != "diffusers":
        write = write_safetensors if path.suffix.lower() == ".safetensors" else write_torch
        write(path, theirs)
        return sha256(path)
    pipeline = imported.kept.pipeline if imported else None
    with folder_in_the_making(path) as folder:
        place = folder if pipeline is None else folder / "transformer"
        place.mkdir(exist_ok=True)
        write_safetensors(place / WEIGHTS, theirs)
        write_json(place / "config.json", _config(anatomy, imported, theirs))
        if pipeline is not None:
            _copy_pipeline(pipeline, folder)
    return sha256((path if pipeline is None else path / "transformer") / WEIGHTS)


def _config(anatomy: Anatomy, imported: Imported | None, theirs: Mapping[str, Tensor]) -> dict[str, Any]:
    """config.json of a DiTTransformer2DModel: the file's own where there is one."""
    config: dict[str, Any] = {
        "_class_name": "DiTTransformer2DModel",
        "num_attention_heads": anatomy.num_heads,
        "attention_head_dim": anatomy.hidden_size // anatomy.num_heads,
        "in_channels": anatomy.channels,
        "out_channels": anatomy.head_channels,
        "num_layers": anatomy.depth,
        "dropout": 0.0,
        "norm_num_groups": 32,
        "sample_size": anatomy.extents[0] * anatomy.patch,
        "patch_size": anatomy.patch,
        "activation_fn": "gelu-approximate",
        "num_embeds_ada_norm": anatomy.classes,
        "upcast_attention": False,
        "norm_type": "ada_norm_zero",
        "norm_elementwise_affine": False,
        "norm_eps": anatomy.options["second_norm_epsilon"],
    }
    kept = imported.kept.config if imported else {}
    biased = (
        "transformer_blocks.0.attn1.to_q.bias" in theirs
    )  # training may have moved zeros that were added in reading
    return {**config, **kept, "attention_bias": biased}


def _copy_pipeline(pipeline: Pipeline, folder: Path) -> None:
    for name in ("scheduler", "vae"):
        shutil.copytree(pipeline.folder / name, folder / name)
    shutil.copy(pipeline.folder / MODEL_INDEX, folder / MODEL_INDEX)
