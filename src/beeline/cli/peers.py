"""Flags that say of a peer's checkpoint what its file cannot, and checkpoints written for peers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli.console import Display
from beeline.core.errors import UserError

if TYPE_CHECKING:
    from beeline.model.interop.anatomy import LayoutName

_BLOCK = re.compile(r"(?<![a-z])blocks\.(\d+)\.")  # as in blocks.3. and transformer_blocks.3.


def add_arguments(parser: argparse.ArgumentParser, layout: str = "--layout") -> None:
    """The flags of every command that opens a peer's checkpoint.

    Args:
        parser: of the command.
        layout: the flag that names the layout of the file that is read.
    """
    group = parser.add_argument_group("what a checkpoint of another library cannot say")
    group.add_argument(layout, dest="read_layout", metavar="LAYOUT", help="dit, sit, lightningdit or diffusers")
    group.add_argument("--num-heads", type=int, help="number of attention heads")
    group.add_argument(
        "--null-row",
        action=argparse.BooleanOptionalAction,
        help="the last row of the label table stands for 'unknown', or is a class",
    )
    group.add_argument(
        "--use-rope",
        action=argparse.BooleanOptionalAction,
        help="a LightningDiT whose file holds no rotary buffers turns queries and keys all the same, or does not",
    )
    group.add_argument("--input-size", metavar="HxW", help="rows and columns of the data, such as 32x32, or one number")


def said(arguments: argparse.Namespace, layout: str = "layout") -> dict[str, Any]:
    """What those flags say, as keywords of ``beeline.load``.

    Args:
        arguments: of the command.
        layout: keyword for the layout of the file that is read.

    Raises:
        UserError: a size is no size.
    """
    size = arguments.input_size
    if size is not None and not re.fullmatch(r"\d+(x\d+)?", size):
        raise UserError(f"--input-size {size}: needs rows and columns, such as 32x32, or one number")
    given = {
        layout: arguments.read_layout,
        "num_heads": arguments.num_heads,
        "null_row": arguments.null_row,
        "use_rope": arguments.use_rope,
        "input_size": None if size is None else [int(part) for part in f"{size}x{size}".split("x")[:2]],
    }
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def wording(layout: str = "--layout") -> Iterator[None]:
    """Word what is asked of a file as the flags that answer it, not as the keywords of ``interop.load``.

    Args:
        layout: the flag that names the layout of the file that is read.
    """
    try:
        yield
    except UserError as error:
        raise UserError(in_flags(str(error), layout)) from error


def in_flags(message: str, layout: str) -> str:
    """A message with flags where it names keywords."""
    message = re.sub(r"\blayout='(\w+)'((?:, '\w+')*)( or '\w+')?", _unquoted(layout), message)
    message = message.replace("False if it is a class", "--no-null-row if it is a class")
    for name in ("null_row", "use_rope"):
        flag = name.replace("_", "-")
        message = message.replace(f"{name}=True", f"--{flag}").replace(f"{name}=False", f"--no-{flag}")
    message = message.replace("input_size=(rows, columns)", "--input-size HxW")
    return re.sub(r"\bnum_heads=(\w+)", r"--num-heads \1", message)


def _unquoted(layout: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{layout} {found[0].removeprefix('layout=')}".replace("'", "")


def is_checkpoint(source: str | Path) -> bool:
    """Whether something looks like a peer's checkpoint rather than a model of ours, or data."""
    from beeline.model.interop.opening import is_foreign

    return is_foreign(Path(source))


def export(
    source: str | Path,
    to: str | Path | None,
    layout: LayoutName,
    asked: tuple[Any, str],
    reinterpret: bool,
    display: Display,
    said: dict[str, Any],
) -> Path:
    """Write a model as a peer's checkpoint, and print what became of every tensor.

    Args:
        source: a run, a model of ours, or a peer's checkpoint.
        to: NAME.pt or NAME.safetensors; for diffusers a folder.
        layout: dit, sit, lightningdit or diffusers.
        asked: width of an average to be rebuilt, which is refused, and ema or raw weights of a training file.
        reinterpret: write the tensors though there they are another function.
        display: where lines go.
        said: what a peer's file cannot say.

    Returns:
        the file or folder written.

    Raises:
        UserError: the peer has no place for something, or would compute something else, or something lies there.
    """
    from beeline.generate.load import load
    from beeline.model.interop import save
    from beeline.model.interop.saving import check_place

    if to is None:
        raise UserError("name where the checkpoint goes: NAME.pt or NAME.safetensors, for diffusers a folder")
    width, weights = asked
    ours = not said and not is_checkpoint(source)
    for name, given in (("ema_width", width is not None), ("weights raw", ours and weights == "raw")):
        if given:
            raise UserError(f"{name} makes a slim model; convert that one, with layout, in a second step")
    said |= {"weights": "raw"} if weights == "raw" else {}
    check_place(Path(to), layout)
    exported = save(load(source, device="cpu", **said), to, layout, reinterpret)
    for line in table(exported.rows):
        display.result(line)
    if exported.change is not None:
        for each in exported.change["differences"]:
            display.result(f"another function: {each}")
        moved, largest = exported.change["largest_difference"], exported.change["largest_output"]
        display.result(f"outputs differ by up to {moved:.3g}, where the largest is {largest:.3g}")
    display.result(str(exported.path))
    return exported.path


def adopt(source: str | Path, to: str | Path | None, weights: str, display: Display, said: dict[str, Any]) -> Path:
    """Write a peer's checkpoint as a slim model of ours, which then knows all that was said of it.

    Args:
        source: the checkpoint.
        to: a folder, or NAME.safetensors.
        weights: of a training file, ema or raw.
        display: where lines go.
        said: what its file cannot say, and ``vae``.

    Returns:
        the file or folder written.

    Raises:
        UserError: something is missing or damaged, or has to be said, or something lies there already.
    """
    from beeline.core.config import plain
    from beeline.generate.load import load
    from beeline.modalities.loading import find_decoding_modality
    from beeline.model.format import check_slim, tensors_bytes, write_slim
    from beeline.model.starting import describe
    from beeline.train.config import RunConfig

    if to is None:
        raise UserError("name where the model goes: a folder, or NAME.safetensors")
    check_slim(Path(to))
    engine = load(source, device="cpu", **{**said, "weights": weights})
    start, options = engine.starting(), plain(engine.modality)
    name = find_decoding_modality().name
    config = RunConfig(name, options, start.model, start.process, start.objective, sample=start.sample)
    modality = {"name": name, "sha256": None, "text": None, "options": options}
    description = describe(start, modality, plain(config), {"examples": 0, "sha256": None})
    description |= {"ema": engine.origin["ema"], "began": {"path": engine.origin["model"], **_told(engine.origin)}}
    for path in write_slim(Path(to), tensors_bytes(start.tensors), description):
        display.result(str(path))
    return Path(to)


def _told(origin: dict[str, Any]) -> dict[str, Any]:
    return {name: origin[name] for name in ("layout", "sha256", "step")} | {"tensors": {}, "left": {}}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Which tensor of the peer's holds which of ours, those of all blocks on one line."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        numbers = [int(each) for each in _BLOCK.findall(row["theirs"])]
        shape = "x".join(map(str, row["shape"]))
        key = (_BLOCK.sub("blocks.*.", row["theirs"]), shape, _copies(_BLOCK.sub("blocks.*.", row["ours"])))
        groups.setdefault(key, []).extend(numbers)
    lines = [(_numbered(each[0], blocks), each[1], _numbered(each[2], blocks)) for each, blocks in groups.items()]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return [f"{theirs:<{widths[0]}}  {shape:<{widths[1]}}  <- {ours}" for theirs, shape, ours in lines]


def _copies(name: str) -> str:
    return re.sub(r"\.copies\.\d+\.", ".copies.*.", name)


def _numbered(name: str, blocks: Sequence[int]) -> str:
    if not blocks:
        return name
    span = str(min(blocks)) if min(blocks) == max(blocks) else f"{min(blocks)}-{max(blocks)}"
    return name.replace("blocks.*.", f"blocks.{span}.").replace(".copies.*.", f".copies.{span}.")
