"""``beeline convert``: a slim model, with the weights or average asked for; a peer's checkpoint; images to latents."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from beeline.cli import encode, peers
from beeline.cli.console import Display
from beeline.cli.trained import Trained
from beeline.core.errors import UserError, unknown

if TYPE_CHECKING:
    from beeline.evaluate.widths import Trial
    from beeline.model.interop.anatomy import LayoutName
    from beeline.train.snapshots import History


def convert(
    source: str | Path,
    to: str | Path | None = None,
    ema_width: float | Literal["auto"] | None = None,
    weights: Literal["ema", "raw"] = "ema",
    modality: str | None = None,
    device: str = "auto",
    display: Display | None = None,
    layout: LayoutName | None = None,
    reinterpret: bool = False,
    **said: Any,
) -> Path:
    """Write a slim model: weights and description, all that sampling needs and nothing else; or a peer's checkpoint.

    Args:
        source: a run folder, a checkpoint or a model.safetensors; or a peer's checkpoint.
        to: a folder, or NAME.safetensors, beside which NAME.json is written; a folder in the run when None. With
            ``layout``, NAME.pt or NAME.safetensors, and a folder for diffusers.
        ema_width: relative width, from 0.05 to 0.20, of an average to be rebuilt from the run's snapshots; ``auto``
            takes the one with the smallest loss on held-out examples; the run's own average when None.
        weights: ``raw`` takes the newest checkpoint's weights as they are, without averaging.
        modality: file to use in place of the modality file that the model was trained with (``auto`` alone reads it).
        device: where ``auto`` computes: cpu, cuda or auto.
        display: where progress goes; silent when None.
        layout: peer to write for: dit, sit, lightningdit or diffusers; a slim model when None.
        reinterpret: write a peer's tensors though its code computes another function with them.
        said: what a peer's file that is read cannot say: from_layout, num_heads, null_row, input_size, use_rope.

    Returns:
        the folder or file written.

    Raises:
        UserError: something is missing or damaged, the width cannot be rebuilt, or something lies there already.
    """
    display = display or Display("silent")
    width = _read_width(ema_width)
    if weights not in ("ema", "raw"):
        raise unknown("weights", weights, ("ema", "raw"))
    if width is not None and weights == "raw":
        raise UserError("raw weights have no width; leave one of ema_width and weights out")
    if width != "auto" and modality is not None:
        raise UserError("modality is read for ema_width auto alone; leave it out")
    read_as = {"layout" if name == "from_layout" else name: value for name, value in said.items()}
    if layout is not None:
        return peers.export(source, to, layout, (width, weights), reinterpret, display, read_as)
    if reinterpret:
        raise UserError("reinterpret is for a peer's layout; say which")
    if said or peers.is_checkpoint(source):
        if width is not None:
            raise UserError("ema_width is for runs of ours; leave it out")
        return peers.adopt(source, to, weights, display, read_as)
    return _slim(Path(source), to, (width, weights), modality, device, display)


def _slim(
    source: Path,
    to: str | Path | None,
    asked: tuple[float | Literal["auto"] | None, str],
    modality: str | None,
    device: str,
    display: Display,
) -> Path:
    """A slim model of ours."""
    from beeline.core.device import find_device
    from beeline.model.format import check_slim, tensors_bytes, write_slim

    width, weights = asked
    find_device(device)
    trained = Trained.find(source)
    description = trained.description
    target = Path(to) if to is not None else trained.default_target(width, weights)
    check_slim(target)
    if width is None:
        contents, ema = trained.stored(weights)
    else:
        history = trained.history()
        if history.missing:
            lost = ", ".join(map(str, history.missing))
            display.message(f"warning: snapshots of step {lost} are gone; rebuilding from the others")
        chosen_by = "user"
        if width == "auto":
            chosen_by = "held-out loss"
            width, description["widths_tried"] = _choose(trained, history, modality, device, display)
        ema = {"profile": "power", "width": width, "profile_error": history.check(width), "chosen_by": chosen_by}
        contents = tensors_bytes(history.average(width, trained.tensors()), {"step": str(history.step)})
        display.result(f"width {width:g}: {100 * ema['profile_error']:.2f} % off its profile")
    for path in write_slim(target, contents, {**description, "ema": ema}):
        display.result(str(path))
    return target


def _read_width(value: float | str | None) -> float | Literal["auto"] | None:
    if value is None or value == "auto":
        return value  # type: ignore[return-value]
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"ema_width {value!r}: needs a number from 0.05 to 0.2, or auto") from None


def _choose(
    trained: Trained, history: History, modality: str | None, device: str, display: Display
) -> tuple[float, dict[str, Any]]:
    """The width whose average has the smallest loss on held-out examples, and the losses of all."""
    from beeline.evaluate.requests import real_examples
    from beeline.evaluate.widths import WIDTHS, held_out_probe, try_widths
    from beeline.generate.load import load
    from beeline.train.profiles import LARGEST_ERROR

    possible = [width for width, error in zip(WIDTHS, history.errors(WIDTHS), strict=True) if error <= LARGEST_ERROR]
    if not possible:
        raise UserError(f"{trained.path}: no width can be rebuilt at step {history.step}: its last snapshots are gone")
    engine = load(trained.path, modality, device)
    probe = held_out_probe(engine, trained.description["config"], real_examples(engine, "held_out"))
    own = probe(history.step, engine.network)["held_out_loss"]
    with display.work("trying widths") as progress:
        trials = try_widths(engine, probe, history, trained.tensors(), possible, progress)
    best = min(trials, key=lambda trial: trial.loss)
    for line in _table(trials, best, own):
        display.result(line)
    if left_out := [f"{width:g}" for width in WIDTHS if width not in possible]:
        display.message(f"left out: {', '.join(left_out)}, which the snapshots at hand do not allow")
    return best.width, {"run_itself": own, "widths": [asdict(trial) for trial in trials]}


def _table(trials: list[Trial], best: Trial, own: float) -> list[str]:
    lines = [f"{'width':<8}{'profile error':>14}{'held-out loss':>16}"]
    for trial in trials:
        mark = "  <- smallest" if trial is best else ""
        lines.append(f"{trial.width:<8g}{100 * trial.error:>12.2f} %{trial.loss:>16.6f}{mark}")
    lines.append(f"{'of the run itself':<22}{own:>16.6f}")
    if own < best.loss:
        lines.append("the run's own average is better on these examples; without --ema-width it is what is written")
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline convert``."""
    parser.add_argument("source", metavar="FROM", help="run folder, checkpoint or model.safetensors, or images")
    parser.add_argument(
        "to", nargs="?", metavar="TO", help="a folder, or NAME.safetensors (a folder in the run, such as RUN/slim)"
    )
    parser.add_argument(
        "--ema-width",
        metavar="WIDTH",
        help="relative width, from 0.05 to 0.20, of an average rebuilt from the run's snapshots; auto takes the one "
        "with the smallest loss on held-out examples (the run's own average)",
    )
    parser.add_argument("--weights", default="ema", help="ema, or raw: the newest checkpoint's, not averaged (ema)")
    parser.add_argument("--layout", help="write a checkpoint for a peer: dit, sit, lightningdit or diffusers")
    parser.add_argument(
        "--reinterpret",
        action="store_true",
        help="with --layout: copy the tensors though the peer's code computes another function with them",
    )
    parser.add_argument("--device", default="auto", help="where auto and --vae compute: cpu, cuda or auto (auto)")
    parser.add_argument("--modality", metavar="FILE", help="file to use in place of the model's modality file")
    peers.add_arguments(parser, "--from-layout")
    encode.add_arguments(parser)


@peers.wording("--from-layout")
def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline convert``."""
    said = peers.said(arguments, "from_layout")
    if arguments.layout is not None or said or peers.is_checkpoint(arguments.source):
        encode.refuse(arguments, ("vae",) if arguments.layout is not None else ())
        said |= {"vae": arguments.vae} if arguments.vae is not None else {}
    elif encode.is_asked(arguments):
        encode.main(arguments, display)
        return
    asked = (arguments.source, arguments.to, arguments.ema_width, arguments.weights, arguments.modality)
    convert(*asked, arguments.device, display, arguments.layout, arguments.reinterpret, **said)
