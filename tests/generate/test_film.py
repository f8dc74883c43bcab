"""Walks as pictures, of modalities of any kind."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.generate.film import check_film, film_bytes
from beeline.generate.trajectory import Stage
from beeline.modalities.images import Images
from beeline.modalities.panels import Panels
from beeline.modalities.waves import Waves
from beeline.samplers.config import SampleConfig


def stages(shape: tuple[int, ...], dtype: Any, items: int = 2) -> list[Stage]:
    random = np.random.default_rng(0)

    def some() -> list[Example]:
        return [Example((255 * random.random(shape)).astype(dtype)) for _ in range(items)]

    return [Stage(t, some(), some()) for t in (1.0, 0.5, 0.0)]


@pytest.mark.parametrize(
    ("modality", "shape", "dtype"),
    [(Images(), (8, 8, 1), np.uint8), (Waves(), (20, 1), np.float32), (Panels(), (12,), np.float32)],
)
def test_a_strip_has_a_column_for_each_stage_and_a_gif_a_frame(modality: Any, shape: Any, dtype: Any) -> None:
    walk = stages(shape, dtype)
    strip = Image.open(io.BytesIO(film_bytes(modality, walk, "strip")))
    shorter = Image.open(io.BytesIO(film_bytes(modality, walk[:2], "strip")))
    fewer = Image.open(
        io.BytesIO(film_bytes(modality, [Stage(s.t, s.noisy[:1], s.expected[:1]) for s in walk], "strip"))
    )
    assert strip.format == "PNG"
    assert (strip.width - 4) / 3 == (shorter.width - 4) / 2
    assert strip.height - 18 == 2 * (fewer.height - 18)
    film: Any = Image.open(io.BytesIO(film_bytes(modality, walk, "gif")))
    assert (film.format, film.n_frames, film.info["loop"]) == ("GIF", 3, 0)
    frames = []
    for index in range(3):
        film.seek(index)
        frames.append(np.asarray(film.convert("RGB")).astype(int))
    assert frames[0].shape == frames[2].shape
    assert np.abs(frames[0] - frames[2]).max() > 50


def test_films_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(UserError, match="unknown trajectory 'gfi'; did you mean 'gif'"):
        check_film("gfi", SampleConfig())
    with pytest.raises(UserError, match="sampler dopri5 takes other steps for every sample"):
        check_film("gif", SampleConfig(sampler="dopri5"))
