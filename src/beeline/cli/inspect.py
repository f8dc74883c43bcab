"""``beeline inspect``: what a trained model is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli import peers
from beeline.cli.console import Display
from beeline.core.parts import describe_part
from beeline.core.units import amount

if TYPE_CHECKING:
    from beeline.generate.engine import Engine


def inspect(run: str | Path, modality: str | None = None, device: str = "cpu", **said: Any) -> dict[str, Any]:
    """Describe a trained model: shapes, parameters, FLOPs, tokens, conventions.

    Args:
        run: a run folder, a checkpoint or a model.safetensors; or a checkpoint of DiT, SiT, LightningDiT or diffusers.
        modality: file to use in place of the modality file that the model was trained with.
        device: where to put it: cpu, cuda or auto.
        said: what a peer's checkpoint cannot say, see ``beeline.load``: layout, num_heads, null_row, input_size,
            use_rope.

    Raises:
        UserError: there is no readable model there.
    """
    from beeline.generate.load import load, locate, read_description

    engine = load(run, modality, device, **said)
    if engine.imported is not None:
        return _of_peer(engine)
    weights, description_path = locate(Path(run))
    description = read_description(description_path)
    return {
        "weights": str(weights),
        "sha256": engine.origin["sha256"],
        "step": engine.origin["step"],
        "average": engine.origin["ema"],
        **({"began from": _began(description["began"])} if "began" in description else {}),
        "library": description["library"],
        "modality": description["modality"]["name"],
        "data options": {
            name: value for name, value in (description["modality"]["options"] or {}).items() if name != "description"
        },
        **({"data": description["card"]} if "card" in description else {}),
        "training examples": description["training"]["examples"],
        "conventions": description["conventions"],
        "normaliser": description["normaliser"],
        "tokenizer": description["tokenizer"],
        "conditions": {
            each.name: {"route": each.route, **describe_part(each)["arguments"]} for each in engine.codec.conditions
        },
        "forms": {"x".join(map(str, form)): count for form, count in engine.codec.forms[:8]},
        "network": _network(engine),
        "config": description["config"],
        "tensors": {name: list(tensor.shape) for name, tensor in engine.network.state_dict().items()},
    }


def _network(engine: Engine) -> dict[str, Any]:
    """What the network costs."""
    from beeline.model.cost import network_cost

    cost = network_cost(engine.network, engine.codec)
    return {
        "backbone": type(engine.network.backbone).__name__,
        "parameters": cost.parameters,
        "with position table": cost.parameters + cost.position_table,
        "tokens": cost.tokens,
        "numbers a token": cost.width,
        "FLOPs a pass and sample": cost.flops,
        "multiply-adds a pass and sample": cost.flops // 2,
    }


def _of_peer(engine: Engine) -> dict[str, Any]:
    """What a peer's checkpoint is, in its terms and in ours."""
    from beeline.core.config import plain
    from beeline.core.offers import Decoding
    from beeline.model.format import conventions

    assert engine.imported is not None
    anatomy, start, kept = engine.imported.anatomy, engine.starting(), engine.imported.kept
    height, width = (extent * anatomy.patch for extent in anatomy.extents)
    names = f", from {anatomy.names[0]!r} to {anatomy.names[-1]!r}" if anatomy.names else ""
    return {
        "weights": engine.origin["model"],
        "sha256": engine.origin["sha256"],
        "layout": anatomy.layout,
        "step": engine.origin["step"],
        "average": engine.origin["ema"],
        "data": f"{height}x{width}x{anatomy.channels}, patches of {anatomy.patch}",
        "classes": f"{anatomy.classes}{names}{', and a null row' if anatomy.null_row else ', no null row'}",
        "learned variance": anatomy.outputs == 2,
        "rows of the head that are ignored": sum(rows.shape[0] for name, rows in kept.unused.items() if "bias" in name),
        "embedders": start.model.embedders,
        "autoencoder": dict(engine.modality.decoder()) if isinstance(engine.modality, Decoding) else {},
        "conventions": conventions(engine.process, start.objective.prediction, start.process.path),
        "network": _network(engine),
        "config": {name: plain(getattr(start, name)) for name in ("model", "process", "objective", "sample")},
        "tensors": {name: list(tensor.shape) for name, tensor in engine.network.state_dict().items()},
    }


def _began(record: dict[str, Any]) -> dict[str, Any]:
    """What the network began from, and what became of its tensors."""
    from beeline.model.table import lines_of

    known = {name: record[name] for name in ("path", "sha256", "step") if record.get(name) is not None}
    tensors = lines_of(record)
    return {**known, **({"tensors": tensors} if tensors else {})}


def as_text(facts: dict[str, Any], indent: int = 0) -> list[str]:
    """Nested facts as indented lines."""
    lines: list[str] = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{' ' * indent}{name}", *as_text(value, indent + 2)]
        else:
            shown = f"{value:,} ({amount(value)})" if isinstance(value, int) and value >= 10**6 else value
            shown = f"{value:.6g}" if isinstance(value, float) else shown
            lines.append(f"{' ' * indent}{name}: {shown}")
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline inspect``."""
    parser.add_argument(
        "run", metavar="RUN|CHECKPOINT", help="run folder, checkpoint or model.safetensors, or a peer's"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (cpu)")
    parser.add_argument("--modality", metavar="FILE", help="file to use in place of the model's modality file")
    peers.add_arguments(parser)


@peers.wording()
def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline inspect``."""
    facts = inspect(arguments.run, arguments.modality, arguments.device, **peers.said(arguments))
    display.result(json.dumps(facts, indent=2) if arguments.json else "\n".join(as_text(facts)))
