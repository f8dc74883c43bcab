"""Whether a network of ours is one that a peer can hold, and whether there it would still be the same function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from beeline.backbone.config import ModelConfig, Sizes, resolve_sizes
from beeline.conditioning.label import ClassLabel
from beeline.core.errors import UserError
from beeline.model.interop.anatomy import Anatomy, LayoutName
from beeline.model.interop.tables import ROTARY_PERIOD
from beeline.model.starting import Starting
from beeline.process.config import PredictionName, ProcessConfig
from beeline.tokenizers.grid import GridTokenizer

DIFFUSION = ProcessConfig(path="ddpm")
FLOW = ProcessConfig(path="linear", time_input="1 - t")


@dataclass(frozen=True)
class Peer:
    """What a peer's code takes for granted.

    Args:
        process: the path.
        prediction: what the network predicts.
        divisor: of the exponents of the time embedding's frequencies.
        epsilon: of the second norm.
        variance: whether it can learn a variance.
    """

    process: ProcessConfig
    prediction: PredictionName
    divisor: int = 128
    epsilon: float = 1e-6
    variance: bool = False


PEERS: dict[LayoutName, Peer] = {
    "dit": Peer(DIFFUSION, "noise", variance=True),
    "sit": Peer(FLOW, "velocity_to_data"),
    "lightningdit": Peer(FLOW, "velocity_to_data"),
    "diffusers": Peer(DIFFUSION, "noise", divisor=127, epsilon=1e-5, variance=True),
}


def anatomy_for(start: Starting, layout: LayoutName, own: Anatomy | None) -> Anatomy:
    """What a network would be as a peer's.

    Args:
        start: the network.
        layout: the peer.
        own: what it is as an imported network, None for a network of ours.

    Raises:
        UserError: the peer has no such network.
    """
    sizes = resolve_sizes(start.model)
    tokenizer, (label, extents) = _patches(start, layout), _label(start, layout)
    options = _options(start.model, sizes, layout)
    outputs = 2 if start.objective.variance == "learned" else 1
    if layout in ("sit", "lightningdit"):
        unused = own.head_channels // own.channels if own else (2 if layout == "sit" else 1)
        head = max(outputs, unused)
    else:
        head = max(outputs, own.head_channels // own.channels) if own else outputs
    return Anatomy(
        layout,
        sizes.hidden_size,
        sizes.depth,
        sizes.num_heads,
        sizes.inner_size,
        tokenizer.patch[0],
        tokenizer.channels,
        head * tokenizer.channels,
        extents,
        label.classes,
        label.has_null,
        options,
        start.process,
        start.objective.prediction,
        label.names,
        own.scale if own else 1.0,
        label.name,
    )


def changes(start: Starting, anatomy: Anatomy, scheduled: bool = False) -> list[str]:
    """How a peer's code would compute something else with the same tensors, one line each.

    Args:
        start: the network.
        anatomy: what it would be as the peer's.
        scheduled: whether diffusers' own scheduler, which says noise levels and prediction, is written beside it.
    """
    peer, found = PEERS[anatomy.layout], []
    scheduled = scheduled and anatomy.layout == "diffusers"
    model, process = start.model, start.process
    if (process.path, process.time_input) != (peer.process.path, peer.process.time_input):
        found.append(f"{_path(process)} becomes {_path(peer.process)}")
    elif process != peer.process and not scheduled:
        found.append("other noise levels than the 1,000 of betas from 1e-4 to 0.02")
    if start.objective.prediction != peer.prediction and not scheduled:
        found.append(f"prediction {start.objective.prediction} becomes {peer.prediction}")
    if model.frequency_divisor != peer.divisor:
        found.append(f"the time embedding's frequency divisor {model.frequency_divisor} becomes {peer.divisor}")
    if model.second_norm_epsilon != peer.epsilon:
        if anatomy.layout != "diffusers":
            found.append(f"the second norm's epsilon {model.second_norm_epsilon:g} becomes {peer.epsilon:g}")
        elif model.frequency_divisor != peer.divisor:  # what is written says so; diffusers' own models have another
            found.append(
                f"the second norm's epsilon is {model.second_norm_epsilon:g}, kept as norm_eps, not {peer.epsilon:g}"
            )
    if start.objective.variance == "learned" and not peer.variance:
        found.append("the learned variance is ignored")
    return found


def reinterpreted(start: Starting, anatomy: Anatomy) -> Starting:
    """The same tensors read as the peer's code reads them."""
    peer = PEERS[anatomy.layout]
    learned = start.objective.variance == "learned" and peer.variance
    epsilon = start.model.second_norm_epsilon if anatomy.layout == "diffusers" else peer.epsilon
    model = replace(
        start.model,
        frequency_divisor=peer.divisor,  # type: ignore[arg-type]
        second_norm_epsilon=epsilon,
        compatible_with=anatomy.layout,
    )
    objective = replace(start.objective, prediction=peer.prediction, variance="learned" if learned else "none")
    return replace(start, model=model, process=peer.process, objective=objective)


def _path(process: ProcessConfig) -> str:
    if process.path == "ddpm":
        return "the discrete diffusion of DDPM (time 0 to 999, 0 is data)"
    time = "0 (noise) to 1 (data)" if process.time_input == "1 - t" else "1000 t"
    return f"path {process.path} (time {time})"


def _patches(start: Starting, layout: LayoutName) -> GridTokenizer:
    tokenizer = start.codec.tokenizer
    if not isinstance(tokenizer, GridTokenizer) or tokenizer.axes != 2 or len(set(tokenizer.patch)) > 1:
        raise _cannot(layout, "tokens that are not square patches of a grid of two axes")
    if any(tokenizer.periodic):
        raise _cannot(layout, "periodic axes")
    return tokenizer


def _label(start: Starting, layout: LayoutName) -> tuple[ClassLabel, tuple[int, int]]:
    conditions = start.codec.conditions
    if len(conditions) != 1 or not isinstance(conditions[0], ClassLabel):
        told = ", ".join(each.name for each in conditions) or "none"
        raise _cannot(layout, f"other conditions than one class label ({told})")
    if len(start.codec.forms) != 1:
        raise _cannot(layout, "data of several sizes")
    rows, columns = start.codec.extents
    shape, patch = start.codec.forms[0][0], start.codec.tokenizer.patch  # type: ignore[attr-defined]
    if shape != (rows * patch[0], columns * patch[0]):
        raise _cannot(layout, f"data of {shape[0]}x{shape[1]}, which are no whole patches of {patch[0]}")
    if layout == "diffusers" and rows != columns:
        raise _cannot(layout, f"data of {shape[0]}x{shape[1]}; diffusers' are square")
    return conditions[0], (rows, columns)


def _options(model: ModelConfig, sizes: Sizes, layout: LayoutName) -> dict[str, Any]:
    """Options of our network that say what its tensors are in the peer's file."""
    positions = "sincos" if model.positions == "auto" else model.positions
    options: dict[str, Any] = {
        "activation": sizes.activation,
        "norm": model.norm,
        "shift": model.shift,
        "positions": positions,
        "qk_norm": model.qk_norm,
        "qk_norm_kind": model.qk_norm_kind,
        "embedders": model.embedders,
    }
    usual = {"activation": "gelu", "norm": "layer", "shift": True, "qk_norm": False}
    allowed: dict[str, tuple[Any, ...]] = {name: (value,) for name, value in usual.items()}
    allowed["positions"] = ("sincos",) if layout == "diffusers" else ("sincos", "learned")
    if layout == "lightningdit":
        allowed = {
            "positions": ("sincos", "learned", "sincos_rotary", "learned_rotary"),
            "activation": ("gelu", "swiglu"),
        }
        if model.qk_norm:
            allowed["qk_norm_kind"] = (model.norm,)
    for name, values in allowed.items():
        if options[name] not in values:
            raise _cannot(layout, f"model.{name} {options[name]}")
    if "rotary" in positions:
        if (model.rotary_period, model.rotary_pairs) != (ROTARY_PERIOD, "adjacent"):
            raise _cannot(layout, f"rotary positions of period {model.rotary_period:g} and {model.rotary_pairs} pairs")
        options |= {"rotary_period": ROTARY_PERIOD, "rotary_pairs": "adjacent"}
    divisor, epsilon = model.frequency_divisor, model.second_norm_epsilon
    return {**options, "frequency_divisor": divisor, "second_norm_epsilon": epsilon}


def _cannot(layout: LayoutName, what: str) -> UserError:
    return UserError(
        f"layout {layout} has no place for {what}; a run trained with --model.compatible_with {layout} has nothing else"
    )
