"""What ``model.compatible_with`` sets, so that a run's network is one that a peer's code computes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beeline.backbone.config import ModelConfig
from beeline.core.config import Plain, flatten, plain
from beeline.core.errors import UserError, unknown

_OPTION = "model.compatible_with"
_DIFFUSION = {
    "process": {"path": "ddpm"},
    "objective": {"prediction": "noise", "variance": "learned"},
    "sample": {"sampler": "ddim", "steps": 50, "grid": "auto"},
}
_FLOW = {
    "process": {"path": "linear", "time_input": "1 - t"},
    "objective": {"prediction": "velocity_to_data"},
    "sample": {},
}
_PAPER = {"activation": "gelu", "positions": "sincos"}

# Options of a run for each peer. A recipe's process and objective give way as a whole, single options of its model do.
PEERS: dict[str, dict[str, Any]] = {
    "dit": {**_DIFFUSION, "model": _PAPER},
    "sit": {**_FLOW, "model": _PAPER},
    "lightningdit": {
        **_FLOW,
        "model": {
            "activation": "swiglu",
            "norm": "rms",
            "positions": "sincos_rotary",
            "rotary_period": 10000.0,
            "rotary_pairs": "adjacent",
        },
    },
    "diffusers": {**_DIFFUSION, "model": {**_PAPER, "frequency_divisor": 127, "second_norm_epsilon": 1e-5}},
}

# Where a peer leaves a choice.
_CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "dit": {"objective.variance": ("learned", "none"), "model.positions": ("sincos", "learned")},
    "sit": {"model.positions": ("sincos", "learned")},
    "lightningdit": {
        "model.activation": ("swiglu", "gelu"),
        "model.norm": ("rms", "layer"),
        "model.shift": (True, False),
        "model.qk_norm": (True, False),
        "model.qk_norm_kind": ("rms", "layer"),
        "model.positions": ("sincos", "learned", "sincos_rotary", "learned_rotary"),
    },
    "diffusers": {"objective.variance": ("learned", "none")},
}
_FIXED_BY_PEERS = tuple(
    f"model.{name}"
    for name in plain(ModelConfig())
    if name not in ("preset", "hidden_size", "depth", "num_heads", "mlp_ratio", "compatible_with")
)


def with_peer(given: Mapping[str, Any], flags: Sequence[str]) -> Plain:
    """Given sections with what the peer that they name asks for.

    Args:
        given: sections of a recipe.
        flags: ``--section.key=value`` strings, which may not ask for anything else.

    Raises:
        UserError: there is no such peer, or a flag asks for what it has not.
    """
    asked = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    model = given.get("model", {})
    name = asked.get(_OPTION, model.get("compatible_with", "none") if isinstance(model, Mapping) else "none")
    if name == "none":
        return dict(given)
    if name not in PEERS:
        raise unknown(_OPTION, str(name), PEERS)
    peer, merged = PEERS[name], dict(given)
    fixed = {**flatten(plain({"model": ModelConfig()})), **flatten({key: peer[key] for key in peer if key != "sample"})}
    for key, text in asked.items():
        if key in fixed and (key in _FIXED_BY_PEERS or not key.startswith("model.")):
            _check(name, key, text, fixed[key])
    for section, values in peer.items():
        own = given.get(section, {})
        own = dict(own) if isinstance(own, Mapping) and section == "model" else {}
        kept = {key: value for key, value in own.items() if f"{section}.{key}" not in _FIXED_BY_PEERS}
        merged[section] = {**kept, **_without(values, asked)} if section == "model" else values
    return merged


def _without(values: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """Options that belong to others which a flag has taken away: rotary ones without rotary positions."""
    positions = asked.get("model.positions", values["positions"])
    rotary = "rotary" in positions
    return {key: value for key, value in values.items() if rotary or not key.startswith("rotary_")}


def _check(name: str, key: str, text: str, fixed: Any) -> None:
    """Refuse a flag that asks for what the peer has not."""
    allowed = _CHOICES[name].get(key, (fixed,))
    texts = {str(each).lower() for each in allowed}
    if text.lower() in texts:
        return
    try:
        if any(isinstance(each, float | int) and float(text) == each for each in allowed):
            return
    except ValueError:
        pass
    raise UserError(f"{_OPTION} {name}: {key} is {' or '.join(map(str, allowed))} there, not {text}")
