"""Opening a peer's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from beeline.core.errors import UserError, whole_number
from beeline.data.checkpoints.reading import ForeignFile, read_foreign
from beeline.model.interop.anatomy import Anatomy, LayoutName
from beeline.model.interop.evidence import Evidence, Said
from beeline.model.interop.folders import (
    MODEL_INDEX,
    Pipeline,
    anatomy_of_folder,
    is_pipeline,
    read_pipeline,
    sampling_of,
)
from beeline.model.interop.imported import QUIRK, Imported, Kept
from beeline.model.interop.inferring import anatomy_of, find_layout
from beeline.model.interop.links import Link, halves, links_of
from beeline.model.interop.record import record_path, remembered
from beeline.model.interop.tables import is_same, position_table, rotary_tables
from beeline.samplers.config import SampleConfig


def load(
    path: str | Path,
    layout: LayoutName | None = None,
    num_heads: int | None = None,
    null_row: bool | None = None,
    input_size: int | Sequence[int] | None = None,
    use_rope: bool | None = None,
    weights: Literal["ema", "raw"] = "ema",
) -> Imported:
    """Open a checkpoint of DiT, SiT, LightningDiT or diffusers.

    Args:
        path: a .pt or .safetensors file, or diffusers' folder of a DiTTransformer2DModel or of a whole DiTPipeline.
        layout: dit, sit, lightningdit or diffusers; needed where the file cannot say.
        num_heads: attention heads; where the file cannot say.
        null_row: whether the last row of the label table stands for "unknown"; where the file cannot say.
        input_size: rows and columns of the data, or one number for both; where the file cannot say.
        use_rope: whether a LightningDiT whose file has lost its rotary buffers turns queries and keys.
        weights: of a training file, the averaged ones (ema) or those that were trained (raw).

    Raises:
        UserError: in one line, what is missing, damaged, unsafe, contradictory or has to be said.
    """
    path = Path(path)
    for name, switch in (("null_row", null_row), ("use_rope", use_rope)):
        if not isinstance(switch, bool | None):
            raise UserError(f"{name} {switch!r}: must be True or False")
    said = Said(layout, _count("num_heads", num_heads), null_row, _extents(input_size), use_rope)
    pipeline = read_pipeline(path) if is_pipeline(path) else None
    file = read_foreign(_weights_of(path, pipeline), weights)
    if layout is None or num_heads is None or null_row is None:
        said = remembered(file, said)
    tensors, config = _with_biases(file)
    evidence = Evidence(file.path, tensors, file.options, config)
    found = find_layout(evidence, said.layout)
    if use_rope is not None and found not in (None, "lightningdit"):
        raise UserError(f"{path}: is {found}'s, which has no rotary positions; leave use_rope out")
    anatomy = anatomy_of_folder(evidence, said, pipeline) if found == "diffusers" else anatomy_of(evidence, said)
    starting = anatomy.starting(_sampling(anatomy, pipeline))
    process, _, objective = starting.parts()
    with torch.device("meta"):
        network = starting.blank_network(process, objective)
    own, kept = _read(evidence, anatomy, network.state_dict())
    network.load_state_dict(own, assign=True)
    network.dit.table_dtype = next((table.dtype for table in kept.tables.values()), torch.float32)
    origin = {
        "model": str(path),
        "layout": anatomy.layout,
        "sha256": file.sha256,
        "step": _step(file.options),
        "ema": {"profile": "of the file", "weights": weights if file.groups else "the only ones"},
    }
    starting = replace(starting, origin=origin)
    return Imported(anatomy, starting, network, replace(kept, config=file.config, pipeline=pipeline)).eval()


def is_foreign(path: Path) -> bool:
    """Whether a path looks like a peer's checkpoint rather than a model of ours."""
    if path.is_dir():
        return is_pipeline(path) or ((path / "config.json").is_file() and not (path / "model.json").is_file())
    if path.suffix.lower() == ".safetensors":  # ours end so too; what was exported has its record beside it
        return record_path(path).is_file()
    return path.suffix.lower() in (".pt", ".pth", ".bin", ".ckpt")


def _weights_of(path: Path, pipeline: Pipeline | None) -> Path:
    if pipeline is None:
        if path.is_dir() and (path / "transformer").is_dir():
            raise UserError(f"{path}: holds a transformer but no {MODEL_INDEX}; name {path / 'transformer'}")
        return path
    if not (path / "transformer").is_dir():
        raise UserError(f"{path / 'transformer'}: is missing; name a folder that save_pretrained wrote")
    return path / "transformer"


def _with_biases(file: ForeignFile) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """A diffusers model without biases of queries, keys and values, with zeros for them: the same function."""
    if file.config.get("attention_bias", True):
        return file.tensors, file.config
    tensors = dict(file.tensors)
    for name, tensor in file.tensors.items():
        if name.endswith((".to_q.weight", ".to_k.weight", ".to_v.weight")):
            tensors.setdefault(f"{name.removesuffix('weight')}bias", tensor.new_zeros(tensor.shape[:1]))
    return tensors, file.config


def _sampling(anatomy: Anatomy, pipeline: Pipeline | None) -> SampleConfig:
    """How the peer's own script samples, as nearly as makes sense: its guidance, its channels."""
    if pipeline is not None:
        return sampling_of(pipeline.scheduler, anatomy.null_row)
    channels = tuple(range(min(QUIRK, anatomy.channels)))
    guided: dict[str, Any] = {"cfg_scale": 4.0, "guide_channels": channels} if anatomy.null_row else {}
    if anatomy.layout == "diffusers" and guided:
        guided["guide_channels"] = None
    if anatomy.layout in ("dit", "diffusers"):
        return SampleConfig(sampler="ddpm", steps=250, **guided)
    return SampleConfig(sampler="heun", steps=50, **guided)


def _read(evidence: Evidence, anatomy: Anatomy, blank: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Kept]:
    """Our tensors from a peer's, of which each must be there, of the right shape, and none besides."""
    links = links_of(anatomy)
    expected: dict[str, Tensor] = {}
    for link in links:
        expected |= dict(zip(link.theirs, link.write(blank[link.ours]), strict=True))
    lost = () if evidence.has("feat_rope.") else ("feat_rope.",)  # the user has said that they were there
    tables = {name: each for name, each in fixed_tables(anatomy).items() if not name.startswith(tuple(lost))}
    for name in sorted(expected.keys() | tables.keys()):
        found, shape = evidence.tensor_or_none(name), tuple({**expected, **tables}[name].shape)
        if found is None:
            raise UserError(f"{evidence.path}: tensor {name} is missing")
        if tuple(found.shape) != shape or not found.is_floating_point():
            kind = "" if found.is_floating_point() else f" of {found.dtype}"
            raise UserError(f"{evidence.path}: tensor {name} is {tuple(found.shape)}{kind}; the others need {shape}")
    for name in sorted(evidence.tensors.keys() - expected.keys() - tables.keys()):
        raise UserError(f"{evidence.path}: tensor {name} has no place in a network of {anatomy.layout}")
    for name, table in tables.items():
        if not is_same(evidence.tensors[name], table):
            raise UserError(f"{evidence.path}: tensor {name} is not what {anatomy.layout} computes for this grid")
    theirs = {name: evidence.tensors[name].to(torch.float32) for name in expected}
    stored = {name: evidence.tensors[name] for name in (*expected, *tables)}
    dtypes = {name: tensor.dtype for name, tensor in stored.items() if tensor.dtype != torch.float32}
    doubles = (name for name in expected if stored[name].dtype == torch.float64)
    wide = {name: stored[name] for name in doubles if not torch.equal(theirs[name].double(), stored[name])}
    for name in wide:
        if not bool(torch.isfinite(theirs[name]).all()):
            raise UserError(f"{evidence.path}: tensor {name} holds numbers too large for 32 bits")
    kept = {name: evidence.tensors[name].clone() for name in tables}
    return _own(links, theirs), Kept(dtypes, kept, _unused(theirs, anatomy), wide)


def _own(links: Sequence[Link], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors, each in memory of its own: a file may hold two of a peer's as one, and training moves them apart."""
    own: dict[str, Tensor] = {}
    places: set[int] = set()
    for link in links:
        read = link.read([theirs[name] for name in link.theirs]).contiguous()
        place = read.untyped_storage().data_ptr()
        own[link.ours] = read.clone() if place in places else read
        places.add(place)
    return own


def fixed_tables(anatomy: Anatomy) -> dict[str, Tensor]:
    """Tables that a peer's file holds and that are computed here."""
    if anatomy.layout == "diffusers":
        return {}
    positions = anatomy.options["positions"]
    tables = {"pos_embed": position_table(anatomy.extents, anatomy.hidden_size)} if "sincos" in positions else {}
    if "rotary" in positions:
        tables |= rotary_tables(anatomy.extents, anatomy.hidden_size // anatomy.num_heads)
    return tables


def _unused(theirs: Mapping[str, Tensor], anatomy: Anatomy) -> dict[str, Tensor]:
    if anatomy.outputs * anatomy.channels == anatomy.head_channels:
        return {}
    names = ("final_layer.linear.weight", "final_layer.linear.bias")
    return {name: halves(theirs[name], anatomy)[1].clone() for name in names}


def _step(options: Mapping[str, Any]) -> int | None:
    found = next((options[name] for name in ("train_steps", "steps", "step") if name in options), None)
    return found if isinstance(found, int) else None


def _count(name: str, value: int | None) -> int | None:
    return None if value is None else whole_number(name, value, 1, 1024)


def _extents(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else size
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise UserError(f"input_size {size}: need one number, or rows and columns")
    return whole_number("input_size", pair[0], 1, 2**20), whole_number("input_size", pair[1], 1, 2**20)
