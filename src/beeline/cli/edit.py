"""``beeline edit``: what a trained model makes of data of the user's."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from beeline.cli import peers
from beeline.cli.console import Display
from beeline.cli.sample import add_sampling_arguments, named_values, read_values, sampling_options
from beeline.core.config import build
from beeline.core.errors import UserError, unknown
from beeline.core.files import check_writable, claim
from beeline.generate.config import OWN_OPTIONS, EditConfig, How

if TYPE_CHECKING:
    from beeline.core.data import Example
    from beeline.generate.editor import Editor
    from beeline.generate.engine import Samples

_SHOWN = 8


def edit(
    run: str | Path,
    how: How,
    inputs: str | Path | Sequence[str | Path] = (),
    condition: Mapping[str, Any] | None = None,
    to: Mapping[str, Any] | None = None,
    known: str | Path | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    batch_size: int | None = None,
    display: Display | None = None,
    **options: Any,
) -> list[Path]:
    """Edit data by a trained model and write what comes of it.

    Args:
        run: a run folder, a checkpoint or a model.safetensors; or a checkpoint of a peer.
        how: invert, renoise, inpaint or interpolate, see ``beeline.generate.config.EditConfig``.
        inputs: pictures, .npy or .npz files of native arrays, files of the field (.h5ad of cells), or folders of
            them; interpolate takes two samples, or ``seeds``.
        condition: value of each condition of the inputs, over what their files say; text is read as on the command
            line, a list of texts goes round the items.
        to: what changes; of invert: in the inputs; of interpolate: from the first to the second, which is as its file
            says when None.
        known: of inpaint: a picture, .npy or .npz file, light or not 0 where the inputs are kept.
        seed: item i depends on (seed, i) and its input alone.
        out: a .png, an .npz or a folder; the next free ``RUN/samples/edited-001`` when None.
        batch_size: items at a time.
        display: where progress goes; silent when None.
        options: ``strength``, ``resample``, ``frames`` and ``seeds``, see ``EditConfig``; ``modality``, ``device`` and
            ``vae`` and what a peer's checkpoint cannot say, see ``beeline.load``; fields of ``SampleConfig`` that
            differ from the run's.

    Returns:
        the files written.

    Raises:
        UserError: something given does not exist, does not fit or is out of range.
    """
    from beeline.generate.editor import Editor
    from beeline.generate.load import SaidOptions, load, samples_folder
    from beeline.generate.write import check_output, endings_of

    display = display or Display("silent")
    if how not in get_args(How):
        raise unknown("--how", how, get_args(How))
    asked = build(EditConfig, {"how": how, **{name: options.pop(name) for name in OWN_OPTIONS if name in options}})
    names = ("modality", "device", "vae", *SaidOptions.__annotations__)
    opening: Any = {name: options.pop(name) for name in names if name in options}
    paths = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    _refuse(asked, len(paths), to, known)
    engine = load(run, **opening)
    home = samples_folder(engine, Path(run))
    check_writable(home) if out is None else check_output(Path(out), endings_of(engine.modality))
    editor = Editor(engine, asked, engine.settings(**options), seed, batch_size)
    given, examples = _examples(editor, paths, condition)
    becoming = None if to is None else _becoming(editor, to, examples, condition)
    with display.work(how) as progress:
        samples = _edited(editor.showing(progress), examples, condition, becoming, known)
    samples.provenance["edit"]["inputs"] = given
    where = claim(home, "edited") if out is None else Path(out)
    return _written(editor, examples, samples, where, display)


def _refuse(asked: EditConfig, inputs: int, to: Mapping[str, Any] | None, known: str | Path | None) -> None:
    """Refuse what means nothing to a way of editing, or is lacking."""
    how = asked.how
    if (asked.seeds is not None) == (inputs > 0):
        raise UserError(
            f"{how}: needs --input, the data to edit"
            if how != "interpolate"
            else f"{how}: needs two --input, or --seeds"
        )
    if to is not None and how not in ("invert", "interpolate"):
        raise UserError(f"to: belongs to invert and interpolate; say what {how} is to make with condition")
    if known is not None and how != "inpaint":
        raise UserError(f"known: belongs to inpaint and means nothing to {how}")
    if known is None and how == "inpaint":
        raise UserError("inpaint: needs --known, a mask that is light, or not 0, where the input is kept")


def _examples(
    editor: Editor, paths: Sequence[str | Path], condition: Mapping[str, Any] | None
) -> tuple[list[dict[str, str]], list[Example]]:
    """What the inputs are, for provenance, and the inputs with their conditions."""
    from beeline.core.data import Example
    from beeline.core.sharing import Lending
    from beeline.generate.inputs import read_inputs

    if not paths:
        return [], []
    found = read_inputs(paths, editor.engine.codec, editor.engine.modality)
    if editor.edit.how == "interpolate" and len(found) != 2:
        raise UserError(f"interpolate: goes from one input to another, and here are {len(found)}; give two")
    conditions = _conditions(editor, condition, len(found))
    told = [{"name": each.name, "sha256": each.sha256} for each in found]
    examples = [
        Example(each.array, {**each.condition, **values}) for each, values in zip(found, conditions, strict=True)
    ]
    for each in editor.engine.codec.conditions:
        if isinstance(each, Lending) and any(example.condition.get(each.name) is None for example in examples):
            raise UserError(
                f"condition {each.name}: given samples are told apart by it; say it, --condition {each.name}="
            )
    return told, examples


def _becoming(
    editor: Editor, to: Mapping[str, Any], examples: Sequence[Example], condition: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """What the inputs are to become: what they are, but for what is said."""
    own = [each.condition for each in examples] or _conditions(editor, condition, 1)
    return [{**old, **new} for old, new in zip(own, _conditions(editor, to, len(own)), strict=True)]


def _conditions(editor: Editor, condition: Mapping[str, Any] | None, n: int) -> list[Mapping[str, Any]]:
    from beeline.generate.asking import by_name

    values = read_values(editor.engine.codec, by_name(condition), n)
    return [each.condition for each in editor.engine.requests(n, values)]


def _edited(
    editor: Editor,
    examples: list[Example],
    condition: Mapping[str, Any] | None,
    becoming: list[Mapping[str, Any]] | None,
    known: str | Path | None,
) -> Samples:
    from dataclasses import replace

    from beeline.generate import edit as edits
    from beeline.generate import interpolate
    from beeline.generate.engine import Request
    from beeline.generate.inputs import read_masks

    match editor.edit.how:
        case "invert":
            return edits.regenerated(editor, examples, becoming)
        case "renoise":
            return edits.renoised(editor, examples)
        case "inpaint":
            masks = read_masks(str(known), [each.array for each in examples])
            return edits.inpainted(editor, examples, masks)
        case "interpolate" if examples:
            first, last = examples
            return interpolate.between(
                editor, first, last if becoming is None else replace(last, condition=becoming[1])
            )
    first_condition = _conditions(editor, condition, 1)[0]
    return interpolate.between_seeds(editor, Request(first_condition), becoming[0] if becoming else first_condition)


def _written(
    editor: Editor, examples: Sequence[Example], samples: Samples, where: Path, display: Display
) -> list[Path]:
    from beeline.core.files import write_bytes
    from beeline.generate.film import table_bytes
    from beeline.generate.write import endings_of, write_samples

    engine = editor.engine
    with display.patience("decoding the samples; this takes a while"):
        decoded = engine.decode(samples)
    latents = samples.examples if decoded is not None else None
    written = write_samples(engine.modality, decoded or samples, where, latents)
    if where.suffix.lower() not in endings_of(engine.modality):
        made = [[each] for each in samples.examples]
        if editor.edit.how == "interpolate":
            captions = [f"{index / (len(made) - 1):.2f}" for index in range(len(made))]
            rows = [made]
        else:
            captions = [str(index) for index in range(min(_SHOWN, len(made)))]
            rows = [[[each] for each in examples[:_SHOWN]], made[:_SHOWN]]
        written.append(where / "edit.png")
        write_bytes(written[-1], table_bytes(engine.modality, rows, captions))
    if (errors := samples.provenance["edit"].get("cycle_error")) is not None:
        middle, largest = sorted(errors)[len(errors) // 2], max(errors)
        display.message(
            f"up to noise and down again: off by {middle:.2g} (median), {largest:.2g} (largest), where data are about 1"
        )
    for path in written:
        display.result(str(path))
    return written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline edit``."""
    parser.add_argument(
        "run", metavar="RUN", help="run folder, checkpoint or model.safetensors, or a checkpoint of a peer"
    )
    parser.add_argument(
        "--how",
        required=True,
        help="invert (to noise, and back as something else), renoise (add noise and take it away), inpaint (make the "
        "unknown part), interpolate (a strip from one to another)",
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="PATH",
        help="the data: pictures, .npy or .npz files, .h5ad of cells, or a folder of them; may be given again",
    )
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a condition of the data, such as label=3, over what their files say; given again, its values go round "
        "the inputs",
    )
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what changes; invert: in the inputs; interpolate: from the first to the second",
    )
    parser.add_argument("--strength", type=float, help="renoise: time up to which noise is added, 0 to 1 (0.5)")
    parser.add_argument(
        "--known", metavar="MASK", help="inpaint: a picture or array, light or not 0 where the input is kept"
    )
    parser.add_argument("--resample", type=int, help="inpaint: times that each step is taken (5)")
    parser.add_argument("--frames", type=int, help="interpolate: samples of the strip (8)")
    parser.add_argument("--seeds", metavar="A,B", help="interpolate: between the first samples of two seeds")
    parser.add_argument("--seed", type=int, default=0, help="item i depends on (seed, i) and its input alone (0)")
    parser.add_argument(
        "--out", metavar="PATH", help="a .png, an .npz or a folder (RUN/samples/edited-001, the next free number)"
    )
    parser.add_argument("--batch-size", type=int, help="items at a time")
    parser.add_argument(
        "--vae", metavar="FOLDER", help="autoencoder that decodes latents (the model's); none leaves them latents"
    )
    add_sampling_arguments(parser)
    peers.add_arguments(parser)


@peers.wording()
def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline edit``."""
    given = {name: getattr(arguments, name) for name in (*OWN_OPTIONS, "modality", "vae")}
    options = {name: value for name, value in given.items() if value is not None}
    if "seeds" in options:
        try:
            first, last = map(int, arguments.seeds.split(","))
        except ValueError:
            raise UserError(f"--seeds {arguments.seeds}: needs two whole numbers, such as 3,8") from None
        options["seeds"] = (first, last)
    edit(
        arguments.run,
        arguments.how,
        arguments.input,
        named_values("--condition", arguments.condition),
        named_values("--to", arguments.to) or None,
        arguments.known,
        arguments.seed,
        arguments.out,
        arguments.batch_size,
        display,
        device=arguments.device,
        **options,
        **peers.said(arguments),
        **sampling_options(arguments),
    )
