"""Opening a trained model: run folder, checkpoint or weights file in, Engine out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.core import config
from beeline.core.device import find_device
from beeline.core.errors import UserError
from beeline.core.files import read_json, sha256
from beeline.core.parts import rebuild_part
from beeline.core.protocols import Modality
from beeline.core.sharing import Recalling
from beeline.generate.engine import Engine
from beeline.generate.imported import is_file_of_peer, open_imported, with_decoder
from beeline.modalities.loading import ModalitySource, find_modality
from beeline.model import interop
from beeline.model.codec import Codec
from beeline.model.format import (
    DESCRIPTION,
    FORMAT,
    LOCK,
    WEIGHTS,
    average_of,
    conventions,
    read_metadata,
    read_network,
)
from beeline.model.interop.anatomy import LayoutName
from beeline.model.interop.opening import is_foreign
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.samplers.config import SampleConfig


class SaidOptions(TypedDict, total=False):
    """What a peer's file cannot say, as keywords."""

    layout: LayoutName | None
    num_heads: int | None
    null_row: bool | None
    input_size: int | Sequence[int] | None
    use_rope: bool | None
    weights: Literal["ema", "raw"]


def load(
    path: str | Path,
    modality: str | None = None,
    device: str = "auto",
    vae: str | Path | None = None,
    **said: Unpack[SaidOptions],
) -> Engine:
    """Open a trained model: a run of ours, or a checkpoint of DiT, SiT, LightningDiT or diffusers.

    Args:
        path: a run folder, one of its checkpoints, a ``NAME.safetensors`` beside its ``NAME.json`` or model.json; or a
            peer's .pt or .safetensors file, or a folder of diffusers.
        modality: file to use in place of the modality file that the model was trained with.
        device: ``cpu``, ``cuda`` or ``auto``.
        vae: folder of the autoencoder that decodes latents, in place of the model's; ``none`` leaves them latents.
        said: what a peer's file cannot say: layout, num_heads, null_row, input_size, use_rope, weights; see
            ``interop.load``.

    Raises:
        UserError: something is missing, damaged, changed since training, not of this format or has to be said.
    """
    if not isinstance(path, (str, Path)):
        raise UserError(f"{path!r}: name a run folder, a checkpoint or a model.safetensors")
    given = {name: value for name, value in said.items() if value is not None}
    if is_foreign(Path(path)) or given:
        if not is_foreign(Path(path)) and not is_file_of_peer(Path(path)):
            raise UserError(f"{path}: is no checkpoint of another library; leave {', '.join(given)} out")
        if modality is not None:
            raise UserError("modality: a peer's checkpoint has none to replace; leave it out")
        return open_imported(interop.load(path, **said), vae, device)
    _, description_path = locate(Path(path))
    stored = read_description(description_path)["modality"]
    source = find_trained_modality(stored, modality, output_folder(Path(path)) / "modality.py")
    engine = open_engine(Path(path), source, device)
    if vae is not None:
        engine.modality = with_decoder(engine.modality, str(vae))
    return engine


def open_engine(path: Path, source: ModalitySource, device: str = "auto") -> Engine:
    """Open a trained model whose modality is at hand.

    Args:
        path: a run folder, one of its checkpoints, or a ``NAME.safetensors`` beside its ``NAME.json`` or model.json.
        source: its modality.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        UserError: something is missing, damaged or not of this format.
    """
    starting, kind = read_starting(path, source)
    process, noise, objective = starting.parts()
    network = starting.blank_network(process, objective, noise)
    network.load_state_dict(starting.tensors)
    network = network.to(find_device(device))
    return Engine(network, starting, kind, process, noise)


def read_starting(path: Path, source: ModalitySource) -> tuple[Starting, Modality]:
    """A trained model's description and tensors, and its modality.

    Args:
        path: a run folder, one of its checkpoints, or a ``NAME.safetensors`` beside its ``NAME.json`` or model.json.
        source: its modality.

    Raises:
        UserError: something is missing, damaged or not of this format.
    """
    weights, description_path = locate(path)
    description, tensors = read_description(description_path), _read(weights)
    with naming(description_path):
        kind = source.make(description["modality"]["options"])
        codec = build_codec(description, source.module)
        kind = kind.recalling(codec.conditions) if isinstance(kind, Recalling) else kind
        settings = description["config"]
        starting = Starting(
            codec,
            config.build(ModelConfig, settings["model"], "model"),
            config.build(ProcessConfig, settings["process"], "process"),
            config.build(ObjectiveConfig, settings["objective"], "objective"),
            config.build(SampleConfig, settings["sample"], "sample"),
            tensors,
        )
        process, noise, objective = starting.parts()
        now = conventions(process, objective.prediction, starting.process.path)
        for name, value in description["conventions"].items():
            if not _agree(now.get(name), value):
                raise UserError(f"trained with {name} = {value}; this version means {now.get(name)}")
        with torch.device("meta"):
            network = starting.blank_network(process, objective, noise)
        average = average_of(description)
    _check_tensors(network, tensors, weights)
    origin = {"model": str(weights), "sha256": sha256(weights), "step": read_step(weights), "ema": average}
    return replace(starting, origin=origin), kind


@contextmanager
def naming(description_path: Path) -> Iterator[None]:
    """Put the name of a model.json before whatever is wrong with what it says."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{description_path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{description_path}: damaged ({type(error).__name__}: {error})") from error


def _read(weights: Path) -> dict[str, Tensor]:
    """Tensors of a weights file."""
    try:
        return read_network(weights)
    except UserError as error:
        run = weights.parent
        mend = f"; beeline train --out {run} --resume writes it again" if (run / "checkpoints").is_dir() else ""
        raise UserError(f"{error}{mend}") from None


def _check_tensors(network: Network, tensors: Mapping[str, Tensor], weights: Path) -> None:
    """Refuse tensors that are not those of a network by name and shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise UserError(f"{weights}: tensor {name} is {'missing' if name in expected else 'not of this model'}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise UserError(f"{weights}: tensor {name} is {tuple(tensors[name].shape)}, this model has {shape}")


def _agree(one: Any, other: Any) -> bool:
    """Equal, numbers up to the last digits that machines may compute differently."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_agree(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def locate(path: Path) -> tuple[Path, Path]:
    """Weights and description behind a run folder, a checkpoint or a weights file.

    Raises:
        UserError: there is no trained model there.
    """
    if path.is_file():
        weights, descriptions = path, [path.with_suffix(".json"), path.with_name(DESCRIPTION)]
    elif (path / "ema.safetensors").is_file():
        weights, descriptions = path / "ema.safetensors", [path / DESCRIPTION, path.parent.parent / DESCRIPTION]
    elif any((path / name).is_file() for name in ("config.yaml", LOCK)) and not (path / WEIGHTS).is_file():
        raise UserError(f"{path}: this run has saved no model yet; train it on with --resume")
    elif path.exists():
        weights, descriptions = path / WEIGHTS, [path / DESCRIPTION]
    else:
        raise UserError(f"{path}: no such run; name a folder that 'beeline train' wrote")
    if not weights.is_file():
        raise UserError(f"{path}: holds no {WEIGHTS}; name a folder that 'beeline train' wrote")
    for description in descriptions:
        if description.is_file():
            return weights, description
    raise UserError(f"{weights}: its {DESCRIPTION} is missing beside it")


def read_description(path: Path) -> dict[str, Any]:
    """The contents of a model.json.

    Raises:
        UserError: it is damaged or of another format.
    """
    description = read_json(path)
    if not isinstance(description, dict) or "format" not in description:
        raise UserError(f"{path}: is not the description of a Beeline model")
    if description["format"] != FORMAT:
        raise UserError(f"{path}: format {description['format']}; this version reads format {FORMAT}")
    for section in (
        "modality",
        "config",
        "conventions",
        "normaliser",
        "tokenizer",
        "conditions",
        "forms",
        "extents",
        "library",
        "training",
    ):
        if section not in description:
            raise UserError(f"{path}: '{section}' is missing")
    modality = description["modality"]
    if not isinstance(modality, dict) or not modality.keys() >= {"name", "sha256", "options"}:
        raise UserError(f"{path}: damaged: 'modality' needs name, sha256 and options")
    if not isinstance(modality["name"], str):
        raise UserError(f"{path}: damaged: the modality's name is {modality['name']!r}")
    return description


def find_trained_modality(stored: Mapping[str, Any], replacement: str | None, copy: Path) -> ModalitySource:
    """The modality that a model was trained with, or the one named in its place.

    Args:
        stored: what model.json says of it.
        replacement: a file or name to use in its place.
        copy: where a run keeps the text of its modality file.

    Raises:
        UserError: its file is gone or has changed.
    """
    if replacement is not None:
        return find_modality(replacement)
    if stored["sha256"] is None:
        return find_modality(stored["name"])
    kept = copy if copy.is_file() else "FILE.py, under modality.text in its model.json"
    mend = f"the text that it was trained with is at hand: --modality {kept}"
    if not Path(stored["name"]).is_file():
        raise UserError(f"{stored['name']}: the modality file of this model is gone; {mend}")
    source = find_modality(stored["name"])
    if source.sha256 != stored["sha256"]:
        raise UserError(f"{stored['name']}: the modality file has changed since training; {mend}")
    return source


def build_codec(description: Mapping[str, Any], user_module: str) -> Codec:
    """The codec of a model, from its description alone.

    Args:
        description: contents of model.json.
        user_module: name of the loaded module of the modality, for parts of a user's own.

    Raises:
        UserError: a part is not there or has changed.
        ValueError: no form is known.
    """
    if not description["forms"] or not description["extents"]:
        raise ValueError("'forms' or 'extents' is empty")
    return Codec(
        rebuild_part(description["normaliser"], user_module),
        rebuild_part(description["tokenizer"], user_module),
        tuple(rebuild_part(record, user_module) for record in description["conditions"]),
        tuple((tuple(form), count) for form, count in description["forms"]),
        tuple(description["extents"]),
        description["config"]["process"].get("end"),
    )


def samples_folder(engine: Engine, path: Path) -> Path:
    """Where samples go unless told otherwise: into the run; of a peer's checkpoint, which stays as it is, here."""
    if engine.imported is not None:
        return Path("samples") / Path(path).resolve().stem
    return output_folder(path) / "samples"


def output_folder(path: Path) -> Path:
    """Where what is made of a model goes: its run folder, or the folder that holds it."""
    folder = locate(path)[0].parent
    return folder.parent.parent if folder.parent.name == "checkpoints" else folder


def read_step(weights: Path) -> int | None:
    """The step at which a weights file was written, None where it does not say."""
    step = read_metadata(weights).get("step")
    return None if step is None else int(step)
