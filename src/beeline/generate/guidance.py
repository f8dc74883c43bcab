"""Guidance as a sampling call asks for it: how strongly each sample is guided, and away from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.config import build, plain
from beeline.core.errors import UserError
from beeline.core.parts import describe_part
from beeline.core.protocols import Condition, Predictor, Process
from beeline.generate.asking import told
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.samplers.config import SampleConfig
from beeline.samplers.guidance import Guided

if TYPE_CHECKING:
    from beeline.generate.engine import Engine

_TIMES_COMPARED = 101
_SEQUENCES = (list, tuple, range, np.ndarray, Tensor)


def check_guidance(settings: SampleConfig, scales: Sequence[float], codec: Codec) -> None:
    """Refuse guidance that a model has not been trained for.

    Args:
        settings: how samples are drawn.
        scales: how strongly each of them is guided.
        codec: of the model.

    Raises:
        UserError: saying why.
    """
    guiding = [scale for scale in scales if scale != 1]
    if guiding and settings.guide_by is None and not any(condition.dropout for condition in codec.conditions):
        raise UserError(
            f"cfg_scale {guiding[0]:g}: guidance needs a condition that was dropped in training, and "
            "this model has none; use cfg_scale 1, or guide_by a worse model"
        )


def each_scale(cfg_scale: object, n: int) -> list[float | None]:
    """A scale for each of n samples; None for all of them where they share one, which the settings hold.

    Args:
        cfg_scale: a number or None, or a sequence of n.
        n: number of samples.

    Raises:
        UserError: there are more or fewer, or they are no numbers.
    """
    if not isinstance(cfg_scale, _SEQUENCES):
        return [None] * n
    values = list(cfg_scale)
    if len(values) != n:
        raise UserError(f"cfg_scale: need one number, or a list of {n}, not a list of {len(values)}")
    return [build(SampleConfig, {"cfg_scale": plain(value)}).cfg_scale for value in values]


def with_one_scale(options: Mapping[str, object]) -> Any:
    """Options of all samples: of several scales the first that guides, to stand for them.

    Args:
        options: cfg_scale may be a sequence.
    """
    scales = options.get("cfg_scale")
    if not isinstance(scales, _SEQUENCES):
        return options
    return {**options, "cfg_scale": next((scale for scale in scales if scale != 1), 1.0)}


def open_weak(path: str, codec: Codec, network: Network) -> Engine:
    """The model that guidance leads away from.

    Args:
        path: a run folder, one of its checkpoints or a model file.
        codec: of the model to be guided.
        network: of the model to be guided.

    Raises:
        UserError: there is none, or it differs from the other one in more than its network and prediction.
    """
    from beeline.generate.load import load  # which makes engines, as this is a part of one

    device = next(network.parameters()).device
    try:
        weak = load(Path(path), device=device.type)
    except UserError as error:
        raise UserError(f"guide_by {error}") from None
    weak.network.to(device)
    parts: dict[str, tuple[Any, Any]] = {
        "path": (_curves(network.process), _curves(weak.process)),
        "tokenizer": (describe_part(codec.tokenizer), describe_part(weak.codec.tokenizer)),
        "normaliser": (describe_part(codec.normaliser), describe_part(weak.codec.normaliser)),
        "conditions": (_inputs(codec.conditions), _inputs(weak.codec.conditions)),
    }
    for name, (here, there) in parts.items():
        if here != there:
            raise UserError(
                f"guide_by {path}: has another {name} than this model; predictions can be set against one another "
                "only where path, tokenizer, normaliser and conditions are the same"
            )
    return weak


def _curves(process: Process) -> list[Any]:
    """A path in numbers: alpha and sigma at many times, and what else says where it leads."""
    t = torch.linspace(process.t_min, process.t_max, _TIMES_COMPARED, dtype=torch.float64)
    curves = [[float(f"{value:.6g}") for value in curve(t).tolist()] for curve in (process.alpha, process.sigma)]
    return [process.levels, process.known_end, process.is_gaussian, process.t_min, process.t_max, *curves]


def _inputs(conditions: Sequence[Condition]) -> dict[str, Any]:
    """Conditions by name, but for how often training dropped them."""
    records: dict[str, Any] = {}
    for condition in conditions:
        record: Mapping[str, Any] = describe_part(condition)
        fields = {name: value for name, value in record["arguments"].items() if name != "dropout"}
        records[condition.name] = (record["class"], fields, condition.has_null)
    return records


def guided_predictor(
    network: Network,
    settings: SampleConfig,
    scales: Sequence[float],
    guided: Tensor | None = None,
    weak: Engine | None = None,
) -> Predictor:
    """The predictor that samples of one batch are drawn by.

    Args:
        network: the model's.
        settings: how samples are drawn.
        scales: of the samples.
        guided: which of their numbers are guided; None for all.
        weak: what guidance leads away from; None for the unconditional prediction. Where nothing can be read from its
            prediction, samples are not guided.
    """
    if all(scale == 1 for scale in scales):
        return network
    same = len(set(scales)) == 1
    interval = settings.cfg_interval
    if weak is not None:
        interval = _within(interval, network, weak.network)
    return Guided(
        network,
        scales[0] if same else torch.tensor(scales, dtype=torch.float64),
        None if guided is None else guided.to(next(network.parameters()).device),
        interval,
        settings.cfg_rescale,
        None if weak is None else weak.network,
    )


def _within(interval: tuple[float, float] | None, network: Network, weak: Network) -> tuple[float, float] | None:
    """The part of an interval at which a weak model says something too; None for every time of the model's own."""
    first, last = weak.process.interval(weak.prediction)
    low, high = network.process.interval(network.prediction)
    if interval is not None:
        return max(first, interval[0]), min(last, interval[1])
    return None if first <= low and high <= last else (first, last)


def guidance_record(scales: Sequence[float], weak: Engine | None) -> dict[str, Any]:
    """What provenance says of guidance beyond the settings.

    Args:
        scales: of the samples.
        weak: what guidance led away from.
    """
    record: dict[str, Any] = {"cfg_scale": told(scales)}
    if weak is not None:
        record |= {f"guide_by_{name}": weak.origin.get(name) for name in ("sha256", "step")}
    return record
