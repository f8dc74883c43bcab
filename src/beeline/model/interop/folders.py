"""diffusers' folders: the config of a DiTTransformer2DModel, and the parts of a whole DiTPipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError, whole_number
from beeline.core.files import read_json
from beeline.model.interop.anatomy import Anatomy
from beeline.model.interop.evidence import Evidence, Said
from beeline.model.interop.inferring import depth_of, head_channels
from beeline.process.config import PredictionName, ProcessConfig
from beeline.samplers.config import SampleConfig

MODEL_INDEX = "model_index.json"
_CLASSES = ("DiTTransformer2DModel", "Transformer2DModel")
_SCHEDULES = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
_PREDICTIONS: dict[str, PredictionName] = {"epsilon": "noise", "sample": "data", "v_prediction": "v"}
_SAMPLERS = {"DDIMScheduler": "ddim", "DDPMScheduler": "ddpm"}

# What a config may say only in one way; whatever it leaves out is so.
_FIXED: dict[str, Any] = {
    "activation_fn": "gelu-approximate",
    "norm_type": "ada_norm_zero",
    "norm_elementwise_affine": False,
    "cross_attention_dim": None,
    "caption_channels": None,
    "num_vector_embeds": None,
    "double_self_attention": False,
    "only_cross_attention": False,
    "use_linear_projection": False,
    "attention_type": "default",
}


@dataclass(frozen=True)
class Pipeline:
    """What lies beside the transformer of a DiTPipeline.

    Args:
        folder: of the pipeline.
        scheduler: its config, with ``_class_name``.
        vae: folder of the autoencoder.
        scale: by which the autoencoder's latents are multiplied.
        names: of the classes, in order; empty where there are none.
    """

    folder: Path
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    vae: Path | None = None
    scale: float = 1.0
    names: tuple[str, ...] = ()


def is_pipeline(path: Path) -> bool:
    """Whether a folder is a whole pipeline."""
    return (path / MODEL_INDEX).is_file()


def read_pipeline(folder: Path) -> Pipeline:
    """What a DiTPipeline's folder holds.

    Raises:
        UserError: it is another pipeline, or a part is missing.
    """
    index = _mapping(folder / MODEL_INDEX)
    if (name := index.get("_class_name")) != "DiTPipeline":
        raise UserError(f"{folder / MODEL_INDEX}: is a {name}; only a DiTPipeline can be read")
    scheduler = _mapping(folder / "scheduler" / "scheduler_config.json")
    vae = folder / "vae"
    scale = _real(vae, _mapping(vae / "config.json"), "scaling_factor", 0.18215)
    return Pipeline(folder, scheduler, vae, scale, _names(folder / MODEL_INDEX, index.get("id2label")))


def _names(path: Path, given: Any) -> tuple[str, ...]:
    """Class names in order; one that several classes have, with the number of the class behind it."""
    if not isinstance(given, Mapping):
        return ()
    try:
        names = {int(number): str(name) for number, name in given.items()}
    except ValueError:
        raise UserError(f"{path}: damaged: id2label has keys that are no class numbers") from None
    if sorted(names) != list(range(len(names))):
        return ()
    count = Counter(names.values())  # ImageNet has two cranes and two maillots
    told = [
        names[number] if count[names[number]] == 1 else f"{names[number]} ({number})" for number in range(len(names))
    ]
    return tuple(told) if len(set(told)) == len(told) else ()


def anatomy_of_folder(evidence: Evidence, said: Said, pipeline: Pipeline | None) -> Anatomy:
    """The network of a transformer's folder.

    Raises:
        UserError: its config is of something else or contradicts the tensors or what the user says.
    """
    config, path = evidence.config, evidence.path
    _check_config(path, config)
    kernel = evidence.tensor("pos_embed.proj.weight", 4)
    width, channels, patch = kernel.shape[:3]
    heads = _number(path, config, "num_attention_heads", 16)
    if said.num_heads not in (None, heads):
        raise UserError(f"{path}: has {heads} heads, as its config says, not num_heads={said.num_heads}")
    depth = depth_of(path, evidence.tensors)
    for name, found, usual in (
        ("patch_size", patch, 2),
        ("in_channels", channels, 4),
        ("num_layers", depth, 28),
        ("attention_head_dim", width // heads, 72),
    ):
        if (given := _number(path, config, name, usual)) != found:
            raise UserError(f"{path}: config.json says {name} {given}, the tensors {found}")
    table = evidence.tensor("transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight", 2)
    classes = _number(path, config, "num_embeds_ada_norm", 1000)
    if table.shape[0] not in (classes, classes + 1):
        raise UserError(f"{path}: config.json says {classes} classes, the label table has {table.shape[0]} rows")
    if said.null_row is not None and said.null_row != (table.shape[0] > classes):
        raise UserError(f"{path}: has {classes} classes in {table.shape[0]} rows; null_row={said.null_row} cannot be")
    size = _number(path, config, "sample_size", 32)
    if size % patch:
        raise UserError(f"{path}: config.json says sample_size {size}, which is no whole number of patches of {patch}")
    if said.input_size not in (None, (size, size)):
        raise UserError(f"{path}: is for {size}x{size}, as its config says, not input_size={said.input_size}")
    apart = {"embedders": "per_block"} if _differ(evidence, depth) else {}
    scheduler = pipeline.scheduler if pipeline else {}
    names = pipeline.names if pipeline and len(pipeline.names) == classes else ()
    return Anatomy(
        "diffusers",
        width,
        depth,
        heads,
        evidence.tensor("transformer_blocks.0.ff.net.0.proj.weight", 2).shape[0],
        patch,
        channels,
        head_channels(path, evidence.tensor("proj_out_2.weight", 2).shape[0], patch, channels),
        (size // patch, size // patch),
        classes,
        table.shape[0] > classes,
        {"frequency_divisor": 127, "second_norm_epsilon": _real(path, config, "norm_eps", 1e-5), **apart},
        process_of(path, scheduler),
        _prediction(path, scheduler),
        names,
        pipeline.scale if pipeline else 1.0,
    )


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    if (name := config.get("_class_name")) not in _CLASSES:
        raise UserError(f"{path}: config.json is of a {name}; only a {_CLASSES[0]} can be read")
    for option, known in _FIXED.items():
        if (given := config.get(option, known)) != known:
            raise UserError(f"{path}: config.json says {option} {given}; only {known} can be read")


def _number(path: Path, config: Mapping[str, Any], name: str, usual: int) -> int:
    given = config.get(name, usual)
    try:
        return whole_number(name, given, 1, 2**31)
    except UserError as error:
        raise UserError(f"{path}: config.json: {error}") from None


def _real(path: Path, config: Mapping[str, Any], name: str, usual: float) -> float:
    given = config.get(name, usual)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1e6:
        raise UserError(f"{path}: {name} {given!r}: must be a number above 0")
    return float(given)


def _differ(evidence: Evidence, depth: int) -> bool:
    """Whether blocks have embedders of their own that are not copies: every model trained in diffusers does."""
    return first_difference(evidence.tensors, depth) is not None


def first_difference(tensors: Mapping[str, Any], depth: int) -> str | None:
    """The first embedder's tensor that is not a copy of block 0's, None where all are."""
    prefix = "transformer_blocks.0.norm1.emb."
    for name in sorted(each for each in tensors if each.startswith(prefix)):
        for index in range(1, depth):
            other = name.replace("blocks.0.", f"blocks.{index}.", 1)
            if other in tensors and not (
                tensors[other].shape == tensors[name].shape and bool((tensors[other] == tensors[name]).all())
            ):
                return other
    return None


def process_of(path: Path, scheduler: Mapping[str, Any]) -> ProcessConfig:
    """The noise levels of a scheduler: linear ones of 1e-4 to 0.02 where there is none.

    Raises:
        UserError: its schedule is not known.
    """
    levels = _number(path, scheduler, "num_train_timesteps", 1000)
    if scheduler.get("rescale_betas_zero_snr"):
        raise UserError(f"{path}: its scheduler rescales its noise levels to end without data, which is not known here")
    given = scheduler.get("beta_schedule", "linear")
    if given not in _SCHEDULES:
        raise UserError(f"{path}: its scheduler's beta_schedule {given} is none of {', '.join(_SCHEDULES)}")
    betas = scheduler.get("trained_betas")
    if betas is not None:
        if not isinstance(betas, list) or not all(isinstance(each, float) and 0 < each < 1 for each in betas):
            raise UserError(f"{path}: its scheduler's trained_betas are no numbers between 0 and 1")
        return _process(path, levels=len(betas), betas=tuple(betas))
    rates = (_real(path, scheduler, "beta_start", 1e-4), _real(path, scheduler, "beta_end", 0.02))
    if _SCHEDULES[given] == "cosine" or (rates == (1e-4, 0.02) and levels == 1000):
        return _process(path, levels=levels, schedule=_SCHEDULES[given])
    low, high = (rate * levels for rate in rates)
    return _process(path, beta_min=low, beta_max=high, levels=levels, schedule=_SCHEDULES[given])


def _process(path: Path, **options: Any) -> ProcessConfig:
    try:
        return ProcessConfig(path="ddpm", **options)
    except UserError as error:
        raise UserError(f"{path}: its scheduler: {error}") from None


def _prediction(path: Path, scheduler: Mapping[str, Any]) -> PredictionName:
    given = scheduler.get("prediction_type", "epsilon")
    if given not in _PREDICTIONS:
        raise UserError(f"{path}: its scheduler's prediction_type {given} is none of {', '.join(_PREDICTIONS)}")
    return _PREDICTIONS[given]


def sampling_of(scheduler: Mapping[str, Any], guided: bool) -> SampleConfig:
    """How a pipeline draws samples unless asked otherwise: 50 steps at guidance 4, on all channels."""
    name = str(scheduler.get("_class_name", "DDIMScheduler"))
    leading = scheduler.get("timestep_spacing", "leading") == "leading"
    return SampleConfig(
        sampler=_SAMPLERS.get(name, "ddim"),  # type: ignore[arg-type]
        steps=50,
        grid="auto" if leading else "respaced",
        cfg_scale=4.0 if guided else 1.0,
        clip=float(scheduler.get("clip_sample_range", 1.0)) if scheduler.get("clip_sample") else None,
    )


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: is missing; name a folder that save_pretrained wrote")
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: damaged: is no mapping")
    return found
