"""``beeline inspect``: what a trained model is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from beeline.cli.console import Display
from beeline.core.parts import describe_part
from beeline.core.units import amount


def inspect(run: str | Path, modality: str | None = None, device: str = "cpu") -> dict[str, Any]:
    """Describe a trained model: shapes, parameters, FLOPs, tokens, conventions.

    Args:
        run: a run folder, a checkpoint or a model.safetensors.
        modality: file to use in place of the modality file that the model was trained with.
        device: where to put it: cpu, cuda or auto.

    Raises:
        UserError: there is no readable model there.
    """
    from beeline.generate.load import load, locate, read_description
    from beeline.model.cost import network_cost

    weights, description_path = locate(Path(run))
    description = read_description(description_path)
    engine = load(run, modality, device)
    cost = network_cost(engine.network, engine.codec)
    return {
        "weights": str(weights),
        "sha256": engine.origin["sha256"],
        "step": engine.origin["step"],
        "average": engine.origin["ema"],
        **({"began from": _began(description["began"])} if "began" in description else {}),
        "library": description["library"],
        "modality": description["modality"]["name"],
        "data options": description["modality"]["options"],
        "training examples": description["training"]["examples"],
        "conventions": description["conventions"],
        "normaliser": description["normaliser"],
        "tokenizer": description["tokenizer"],
        "conditions": {
            each.name: {"route": each.route, **describe_part(each)["arguments"]} for each in engine.codec.conditions
        },
        "forms": {"x".join(map(str, form)): count for form, count in engine.codec.forms[:8]},
        "network": {
            "parameters": cost.parameters,
            "with position table": cost.parameters + cost.position_table,
            "tokens": cost.tokens,
            "numbers a token": cost.width,
            "FLOPs a pass and sample": cost.flops,
            "multiply-adds a pass and sample": cost.flops // 2,
        },
        "config": description["config"],
        "tensors": {name: list(tensor.shape) for name, tensor in engine.network.state_dict().items()},
    }


def _began(record: dict[str, Any]) -> dict[str, Any]:
    """What the network began from, and what became of its tensors."""
    from beeline.model.table import lines_of

    known = {name: record[name] for name in ("path", "sha256", "step") if record.get(name) is not None}
    return {**known, "tensors": lines_of(record)}


def as_text(facts: dict[str, Any], indent: int = 0) -> list[str]:
    """Nested facts as indented lines."""
    lines: list[str] = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{' ' * indent}{name}", *as_text(value, indent + 2)]
        else:
            shown = f"{value:,} ({amount(value)})" if isinstance(value, int) and value >= 10**6 else value
            lines.append(f"{' ' * indent}{name}: {shown}")
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline inspect``."""
    parser.add_argument("run", metavar="RUN|CHECKPOINT", help="run folder, checkpoint or model.safetensors")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (cpu)")
    parser.add_argument("--modality", metavar="FILE", help="file to use in place of the model's modality file")


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline inspect``."""
    facts = inspect(arguments.run, arguments.modality, arguments.device)
    display.result(json.dumps(facts, indent=2) if arguments.json else "\n".join(as_text(facts)))
