"""Feature spaces: what samples are turned into before they are compared.

pixels, values   all numbers of a sample, in native units (pixels where they are 8- or 16-bit); of several channels of
                 floats each less its mean and over its standard deviation, both over the training examples
pca-32           the 32 leading principal components of the training examples in those units, unscaled
classifier-a, -b the last hidden layers of two classifiers trained on disjoint halves of the labelled training data

Shapes: N samples, D numbers a sample, K features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from beeline.core.data import Example
from beeline.core.protocols import Condition
from beeline.data.moments import channel_moments, never_varies
from beeline.evaluate.classifier import kept_or_trained, read_recipe
from beeline.evaluate.config import ClassifierConfig
from beeline.evaluate.sets import Sets, classes_of, fingerprint, one_shape

Array = np.ndarray[Any, Any]
SPACES = ("pixels", "pca-32", "classifier-a", "classifier-b")
LEAST_SAMPLES = 10
_COMPONENTS = 32
_EXACT_BELOW = 512


@dataclass(frozen=True)
class Space:
    """A feature space.

    Args:
        name: of the space.
        embed: (N, K) features of samples.
        record: what the protocol says of it: how many numbers, hash of what was fitted, a note.
    """

    name: str
    embed: Callable[[Sequence[Example]], Array]
    record: dict[str, Any] = field(default_factory=dict)


class UnfitError(Exception):
    """Why a space cannot be had for these data."""


def build_spaces(
    names: Collection[str], sets: Sets, condition: Condition | None, home: Path
) -> tuple[list[Space], dict[str, str]]:
    """The spaces that the data allow, and for each of the others why it is left out.

    Args:
        names: which, of ``SPACES``.
        sets: examples to fit them on.
        condition: that says the class; None without classes.
        home: folder in which classifiers are kept.
    """
    reason = one_shape(sets.training, sets.held_out)
    if reason is None and min(len(sets.used), len(sets.held_out)) < LEAST_SAMPLES:
        reason = f"needs at least {LEAST_SAMPLES} training and held-out examples"
    spaces: list[Space] = []
    left_out: dict[str, str] = {}
    for name in (each for each in SPACES if each in names):
        try:
            if reason is not None:
                raise UnfitError(reason)
            if name == "pixels":
                spaces.append(_plain_values(sets))
            elif name == "pca-32":
                spaces.append(_components(sets))
            else:
                spaces.append(_classifier(name, sets, condition, home))
        except UnfitError as error:
            left_out[name] = str(error)
    return spaces, left_out


def _flattened(sets: Sets) -> tuple[Callable[[Sequence[Example]], Array], str]:
    """How samples become rows of numbers, and in which units.

    Of several channels of floats each is standardised by its moments over the training examples: else the one of the
    largest unit, a pressure of 1e5 beside a wind of 10, would hide the others.
    """
    first = sets.training[0].array
    if first.dtype.kind != "f" or first.ndim < 2 or first.shape[-1] < 2:
        return _flat, "native units"
    cells = np.concatenate([each.array.reshape(-1, first.shape[-1]) for each in sets.training])
    mean, deviation = (getattr(cells, name)(axis=0, dtype=np.float64) for name in ("mean", "std"))
    scale = np.where(never_varies(mean, deviation), 1.0, deviation)

    def flat(examples: Sequence[Example]) -> Array:
        return np.stack([((each.array - mean) / scale).ravel() for each in examples]).astype(np.float32)

    moments = hashlib.sha256(mean.tobytes() + scale.tobytes()).hexdigest()[:12]
    return flat, f"{len(mean)} channels standardised by training moments ({moments})"


def _flat(examples: Sequence[Example]) -> Array:
    rows = np.stack([example.array.ravel() for example in examples])
    return rows.astype(np.result_type(rows, np.float32), copy=False)


def _plain_values(sets: Sets) -> Space:
    array = sets.held_out[0].array
    name = "pixels" if array.dtype in (np.uint8, np.uint16) else "values"
    flat, units = _flattened(sets)
    return Space(name, flat, {"numbers": array.size, "sha256": None, "note": units})


def _components(sets: Sets) -> Space:
    flat, units = _flattened(sets)
    training = flat(sets.training)
    count = min(_COMPONENTS, *training.shape)
    _, level, deviation = channel_moments(training, training.shape[1])
    if never_varies(level, deviation).all():
        raise UnfitError("training examples do not vary, as far as squares tell")
    solver = "full" if training.shape[1] <= _EXACT_BELOW else "randomized"
    power = int(np.log2(deviation.max()))  # squares of 1e-30 are no float32; a power of two changes no digit
    fitted = PCA(count, svd_solver=solver, random_state=0).fit(np.ldexp(training, -power))
    mean, components = (
        np.asarray(each, dtype=training.dtype) for each in (np.ldexp(fitted.mean_, power), fitted.components_)
    )
    of_units = "" if flat is _flat else f"; {units}"
    note = (
        f"{fitted.explained_variance_ratio_.sum():.3f} of the variance of {len(training):,} training examples{of_units}"
    )
    digest = hashlib.sha256(mean.tobytes() + components.tobytes()).hexdigest()
    return Space(
        "pca-32",
        lambda examples: (flat(examples) - mean) @ components.T,
        {"numbers": count, "sha256": digest, "note": note},
    )


def _classifier(name: str, sets: Sets, condition: Condition | None, home: Path) -> Space:
    config: ClassifierConfig = getattr(read_recipe(), name[-1])
    half, held_out, classes = _labelled(sets, condition, "ab".index(name[-1]), config.least_per_class)
    trained = kept_or_trained(home / name, config, half, held_out, classes, fingerprint(sets.training))
    record = {
        "numbers": config.features,
        "sha256": trained.record["sha256"],
        "note": f"trained on {len(half[0]):,} training images of {classes} classes",
        "held_out_accuracy": trained.record["held_out_accuracy"],
    }
    return Space(name, lambda examples: trained.classifier.embed(_images(examples)), record)


def _labelled(
    sets: Sets, condition: Condition | None, half: int, least: int
) -> tuple[tuple[Array, Array], tuple[Array, Array], int]:
    """Half of the labelled training images, every second of each class; held-out ones; the number of classes.

    Raises:
        UnfitError: these are no images, have no classes, or too few images of one.
    """
    if sets.training[0].array.ndim != 3:
        raise UnfitError("examples are no images of (height, width, channels)")
    if condition is None:
        raise UnfitError("examples have no classes")
    classes = classes_of(sets.training, condition)
    present = np.unique(classes[classes >= 0])
    if len(present) < 2:
        raise UnfitError("examples are of fewer than two classes")
    members = [np.flatnonzero(classes == each)[half::2] for each in present]
    fewest = min(members, key=len)
    if len(fewest) < least:
        raise UnfitError(f"a class has {len(fewest)} images in this half of the training data, fewer than {least}")
    rows = np.sort(np.concatenate(members))
    unseen = classes_of(sets.held_out, condition)
    known = np.flatnonzero(np.isin(unseen, present))
    training = (_images([sets.training[row] for row in rows]), np.searchsorted(present, classes[rows]))
    held_out = (_images([sets.held_out[row] for row in known]), np.searchsorted(present, unseen[known]))
    return training, held_out, len(present)


def _images(examples: Sequence[Example]) -> Array:
    return np.stack([example.array for example in examples])
