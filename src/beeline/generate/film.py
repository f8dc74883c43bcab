"""A walk from noise to data as a picture: a strip of its stages, or an animation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from beeline.core.data import Example
from beeline.core.errors import UserError, unknown
from beeline.core.files import write_bytes
from beeline.core.protocols import Modality
from beeline.generate.engine import Engine, Request
from beeline.generate.trajectory import Stage, trajectory
from beeline.generate.write import endings_of, picture
from beeline.samplers.config import SampleConfig

Film = Literal["strip", "gif"]
ENDING: dict[Film, str] = {"strip": ".png", "gif": ".gif"}
STAGES: dict[Film, int] = {"strip": 8, "gif": 24}
ITEMS: dict[Film, int] = {"strip": 4, "gif": 16}
_GAP, _CAPTION = 4, 14
_FRAME_MS, _LAST_FRAME_MS = 120, 1500
_INK, _PAPER = (60, 60, 60), (255, 255, 255)


def check_film(film: str, settings: SampleConfig) -> None:
    """Refuse a film that cannot be drawn.

    Raises:
        UserError: there is no such film, or the sampler has no steps of its own to show.
    """
    if film not in ENDING:
        raise unknown("trajectory", film, ENDING)
    if settings.sampler == "dopri5":
        raise UserError("trajectory: sampler dopri5 takes other steps for every sample; use heun")


def write_film(
    engine: Engine, requests: Sequence[Request], seed: int, settings: SampleConfig, film: Film, out: Path
) -> Path:
    """Draw the first samples again and write how they come about.

    Args:
        engine: the model.
        requests: what was asked for.
        seed: of the samples.
        settings: how they are drawn.
        film: strip or gif.
        out: where the samples were written: a folder, or a file, whose name the film then takes.

    Raises:
        OSError: the place cannot be written to.
        RunError: the modality's picture failed.
    """
    stages = trajectory(engine, requests[: ITEMS[film]], seed, settings, STAGES[film])
    name = f"trajectory{ENDING[film]}"
    path = out.with_suffix(f".{name}") if out.suffix.lower() in endings_of(engine.modality) else out / name
    write_bytes(path, film_bytes(engine.modality, stages, film))
    return path


def film_bytes(modality: Modality, stages: Sequence[Stage], film: Film) -> bytes:
    """Stages of a walk as a PNG or an animated GIF.

    Args:
        modality: draws the samples.
        stages: of the walk, the finished samples last.
        film: a strip has a column for each stage, and for each sample a row of what it was and one of what the model
            expected it to become; a gif has them side by side, one stage after another.

    Raises:
        RunError: the modality's picture failed.
    """
    captions = [f"t = {stage.t:.2f}" for stage in stages]
    if film == "strip":
        rows = [
            [[examples[item]] for examples in column]
            for item in range(len(stages[0].noisy))
            for column in ([stage.noisy for stage in stages], [stage.expected for stage in stages])
        ]
        return table_bytes(modality, rows, captions)
    frames = [
        table(modality, [[list(stage.noisy), list(stage.expected)]], [caption, "expected data"])
        for stage, caption in zip(stages, captions, strict=True)
    ]
    size = (max(frame.width for frame in frames), max(frame.height for frame in frames))
    sheets = [Image.new("RGB", size, _PAPER) for _ in frames]
    for sheet, frame in zip(sheets, frames, strict=True):
        sheet.paste(frame)
    buffer = io.BytesIO()
    first, *rest = [sheet.quantize(256) for sheet in sheets]
    waits = [_FRAME_MS] * len(rest) + [_LAST_FRAME_MS]
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=waits, loop=0, optimize=False)
    return buffer.getvalue()


def table_bytes(modality: Modality, rows: Sequence[Sequence[Sequence[Example]]], captions: Sequence[str]) -> bytes:
    """Pictures in rows and columns, as PNG; see ``table``."""
    buffer = io.BytesIO()
    table(modality, rows, captions).save(buffer, format="PNG")
    return buffer.getvalue()


def table(modality: Modality, rows: Sequence[Sequence[Sequence[Example]]], captions: Sequence[str]) -> Image.Image:
    """Pictures in rows and columns, on white.

    Args:
        modality: draws the pictures.
        rows: for each picture its samples.
        captions: of the columns.

    Raises:
        RunError: the modality's picture failed.
    """
    pictures = [[_trimmed(picture(modality, examples)) for examples in row] for row in rows]
    every = [each for row in pictures for each in row]
    drawer = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    widest = max(round(drawer.textlength(caption)) for caption in captions)
    width, height = max(widest, *(each.width for each in every)), max(each.height for each in every)
    size = (len(captions) * (width + _GAP) + _GAP, _CAPTION + len(rows) * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    drawer = ImageDraw.Draw(sheet)
    for column, caption in enumerate(captions):
        left = _GAP + column * (width + _GAP)
        drawer.text((left, 1), caption, fill=_INK)
        for row, line in enumerate(pictures):
            sheet.paste(line[column], (left, _CAPTION + _GAP + row * (height + _GAP)), line[column])
    return sheet


def _trimmed(drawn: Image.Image) -> Image.Image:
    """A picture without the emptiness around it."""
    drawn = drawn.convert("RGBA")
    return drawn.crop(drawn.getbbox())
