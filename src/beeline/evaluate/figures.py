"""The pictures of a run's report: samples by class, samples on their way from noise to data, nearest training examples.

All of them are drawn by the modality's own ``preview``, so that they look as people of its field would look at them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from beeline.core.data import Example, Examples, evenly
from beeline.core.errors import RunError
from beeline.core.files import write_bytes, write_json
from beeline.core.protocols import Modality
from beeline.evaluate.blocks import Block, Cell, Fold, Pictures, PictureTable, Section, Text
from beeline.evaluate.gallery import asked_for, gallery
from beeline.evaluate.neighbours import find_neighbours
from beeline.evaluate.requests import requests_like
from beeline.evaluate.scales import short
from beeline.generate.engine import Engine
from beeline.generate.trajectory import trajectory
from beeline.generate.write import picture_bytes

_OPEN_PAGES = 12
_STRIP_SAMPLES, _STRIP_STAGES = 3, 8
_PAIRS = 8
_LARGEST_SMALL_PICTURE = 240


def draw_figures(
    engine: Engine,
    training: Examples,
    held_out: Examples,
    home: Path,
    progress: Callable[[int, int], None] = lambda done, steps: None,
) -> list[Section]:
    """Draw samples, write their pictures with their provenance, and make them sections of a report.

    Args:
        engine: the model.
        training: examples that it has seen.
        held_out: examples that it has not, whose conditions and forms are asked for.
        home: where pictures go.
        progress: called with (pictures done, pictures in all).

    Raises:
        RunError: the modality's picture failed.
    """
    pages, left_out = gallery(engine, held_out)
    pictures: dict[str, bytes] = {}
    drawn: list[Examples] = []
    for index, page in enumerate(pages):
        samples = engine.generate(page.requests, seed=index)
        drawn.append(samples.examples)
        pictures[page.caption] = picture_bytes(engine.modality, samples.examples)
        write_bytes(home / f"{page.stem}.png", pictures[page.caption])
        write_json(home / f"{page.stem}.json", samples.provenance)
        progress(index + 1, len(pages) + 1)
    count = min(max(len(page.requests) for page in pages), len(held_out))
    # One page borrowed the conditions of the first examples: beside it, these show what it could have been.
    real = [held_out[index] for index in range(count)] if len(pages) == 1 else _spread(held_out, count)
    in_turn = [page[index] for index in range(_PAIRS) for page in drawn if index < len(page)]
    sections = [
        sample_section(pictures, picture_bytes(engine.modality, real), left_out),
        strip_section(engine, held_out),
        neighbour_section(engine, training, held_out, in_turn),
    ]
    progress(len(pages) + 1, len(pages) + 1)
    return sections


def sample_section(pages: Mapping[str, bytes], real: bytes, left_out: int = 0) -> Section:
    """Samples by class, dozens of them folded, and real examples to compare with.

    Args:
        pages: PNG bytes by caption.
        real: a picture of held-out examples.
        left_out: classes that are not shown.
    """
    names = list(pages)
    first = {name: pages[name] for name in names[:_OPEN_PAGES]}
    rest = {name: pages[name] for name in names[_OPEN_PAGES:]}
    compared = "real, held out"
    blocks: list[Block] = [Pictures({**first, compared: real}, [compared])]
    if rest:
        blocks.append(Fold(f"{len(rest)} more", [Pictures(rest)]))
    if left_out:
        blocks.append(Text(f"{left_out:,} more classes are not shown."))
    note = "Not chosen: the first of each. Small images are enlarged by a whole factor and never smoothed."
    return Section("Samples", blocks, note)


def strip_section(engine: Engine, held_out: Examples) -> Section:
    """A few samples at some nodes of the sampling grid, and what the model expects them to become."""

    def blocks() -> list[Block]:
        """The strip."""
        asked = requests_like(_spread(held_out, _STRIP_SAMPLES), _STRIP_SAMPLES, engine)
        stages = trajectory(engine, asked, stages=_STRIP_STAGES)
        rows: list[tuple[str, Sequence[Cell]]] = []
        for item in range(_STRIP_SAMPLES):
            noisy, expected = (
                [small_picture(engine.modality, examples[item]) for examples in column]
                for column in ([stage.noisy for stage in stages], [stage.expected for stage in stages[:-1]])
            )
            name = asked_for(engine, stages[-1].noisy[item], f"sample {item + 1}")
            rows += [(name, noisy), ("expected data", [*expected, None])]
        return [PictureTable([f"t\u00a0=\u00a0{stage.t:.2f}" for stage in stages], rows, together=2)]

    note = (
        "From noise, t = 1, down to data, t = 0. Under each state the data that the model expects there, E[x0 | x_t]: "
        "blurred while much is undecided."
    )
    return Section("From noise to data", _or_why_not(blocks), note)


def neighbour_section(engine: Engine, training: Examples, held_out: Examples, samples: Examples) -> Section:
    """The first samples beside their nearest training examples; empty where arrays differ in shape.

    Args:
        engine: the model.
        training: examples that it has seen.
        held_out: examples that it has not.
        samples: of the model, at least one.
    """
    shown = samples[:_PAIRS]
    searched = len(training)

    def blocks() -> list[Block]:
        """The pairs; none where nothing can be compared."""
        found = find_neighbours(engine.codec.normaliser, training, held_out, shown)
        if found is None:
            return []
        nonlocal searched
        searched = found.searched
        rows: list[tuple[str, Sequence[Cell]]] = [
            ("sample", [small_picture(engine.modality, each) for each in shown]),
            ("nearest in training", [small_picture(engine.modality, each) for each in found.examples]),
            ("distance", [short(each, full=True) for each in found.distances]),
        ]
        names = [asked_for(engine, each, str(index + 1)) for index, each in enumerate(shown)]
        table = PictureTable(names, rows, together=len(rows))
        if found.typical is None:
            return [table]
        typical = (
            f"A held-out example lies {short(found.typical, full=True)} from its nearest training example (median): "
            "samples much nearer than that repeat what was learned from."
        )
        return [Text(typical), table]

    shown_blocks = _or_why_not(blocks)
    among = f"all {searched:,}" if searched == len(training) else f"{searched:,} of {len(training):,}"
    note = f"Among {among} training examples. Distances are root mean square differences after the normaliser."
    return Section("Nearest training examples", shown_blocks, note)


def small_picture(modality: Modality, example: Example) -> bytes:
    """A picture of one example, without what is empty around it, and scaled down where it is large.

    Raises:
        RunError: ``preview`` failed or gave no picture.
    """
    png = picture_bytes(modality, [example])
    picture: Image.Image = Image.open(io.BytesIO(png))
    picture = picture.crop(picture.getbbox() if picture.mode == "RGBA" else None)
    picture.thumbnail((_LARGEST_SMALL_PICTURE, _LARGEST_SMALL_PICTURE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _spread(examples: Examples, most: int) -> Examples:
    """Some examples, of all classes where these follow one another."""
    return [examples[index] for index in evenly(examples, most)]


def _or_why_not(blocks: Callable[[], list[Block]]) -> list[Block]:
    """Blocks, or, where a modality's own code does not take what it never met in training, a line that says so."""
    try:
        return blocks()
    except (RunError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return [Text(f"Left out: {error}.")]
