"""What is known of the images in a folder: class, group and split, from sub-folders or from a manifest."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from beeline.core.errors import UserError, unknown
from beeline.data.manifest import Manifest, Row, read_manifest

HELD_OUT_FOLDERS = ("test", "val", "valid", "validation", "held_out")


@dataclass
class Known:
    """What is known of some images.

    Args:
        names: of those that can be used.
        classes: of each; None where images have no classes.
        groups: of each; None where none are told.
        held_out: whether each is held out; None where that is not told.
        problems: why others cannot be used, by name.
        notes: what else there is to say.
    """

    names: list[str]
    classes: list[str] | None = None
    groups: list[str | None] | None = None
    held_out: list[bool] | None = None
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def keep(self, wanted: Sequence[bool]) -> None:
        """Keep some of the images."""
        for column in ("names", "classes", "groups", "held_out"):
            values = getattr(self, column)
            if values is not None:
                setattr(self, column, [value for value, chosen in zip(values, wanted, strict=True) if chosen])


def label_images(folder: Path, names: Sequence[str], labels: str, damaged: Iterable[str] = ()) -> Known:
    """What sub-folders or a manifest say of the images in a folder.

    Args:
        folder: of the images.
        names: of the usable ones, below it.
        labels: ``folders``, ``none``, or the path of a manifest.
        damaged: names of images that are there and cannot be used.

    Raises:
        UserError: there is no such manifest, or it cannot be read.
    """
    known = Known(list(names))
    if labels not in ("folders", "none"):
        path = find_manifest(folder, labels)
        _from_manifest(known, read_manifest(path), folder, set(damaged))
    _from_split_folders(known)
    if labels == "folders":
        _from_folders(known)
    if known.classes is not None and known.held_out is not None:
        _drop_unseen_classes(known)
    if known.classes is not None and len(set(known.classes)) == 1:
        known.notes.append(f"one class only ('{known.classes[0]}'): nothing to tell apart, so unconditional")
        known.classes = None
    return known


def find_manifest(folder: Path, labels: str) -> Path:
    """The manifest of that path, from here or from the folder of the images.

    Raises:
        UserError: there is none.
    """
    for path in (Path(labels).expanduser(), folder / labels):
        if path.is_file():
            return path.resolve()
    if Path(labels).suffix:
        raise UserError(f"labels {labels}: no such file, neither here nor in {folder}")
    raise UserError(f"{unknown('labels', labels, ('folders', 'none'))}, or the path of a .csv or .jsonl manifest")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in order: by number where all are numbers, else by letter."""
    every = set(names)
    numbers = all(name.isascii() and name.isdigit() for name in every)
    return tuple(sorted(every, key=(lambda name: (int(name), name)) if numbers else str))


def _from_split_folders(known: Known) -> None:
    """Read train/ and test/ (or val/ ...) as the two splits; below, names are taken from within them."""
    tops = {name.partition("/")[0] for name in known.names if "/" in name}
    training = {top for top in tops if top.lower() == "train"}
    held_out = {top for top in tops if top.lower() in HELD_OUT_FOLDERS}
    if not training or not held_out:
        return
    told = [name.partition("/")[0] if "/" in name else "" for name in known.names]
    for name, top in zip(known.names, told, strict=True):
        if top not in training | held_out:
            known.problems[name] = f"lies outside {', '.join(sorted(training | held_out))}"
    known.held_out = [top in held_out for top in told]
    known.keep([name not in known.problems for name in known.names])
    known.notes.append(f"split as its folders say: {', '.join(sorted(training))} / {', '.join(sorted(held_out))}")


def _from_folders(known: Known) -> None:
    """The first folder below the data, or below train/ and test/, is the class."""
    within = [name.partition("/")[2] for name in known.names] if known.held_out is not None else known.names
    tops = [name.partition("/")[0] if "/" in name else "" for name in within]
    if not any(tops):
        return
    for name, top in zip(known.names, tops, strict=True):
        if not top:
            known.problems[name] = "lies outside the class folders"
    known.classes = tops
    known.keep([bool(top) for top in tops])


def _drop_unseen_classes(known: Known) -> None:
    assert known.classes is not None
    assert known.held_out is not None
    seen = {one for one, away in zip(known.classes, known.held_out, strict=True) if not away}
    for name, one in zip(known.names, known.classes, strict=True):
        if one not in seen:
            known.problems[name] = f"its class '{one}' has no training image"
    known.keep([one in seen for one in known.classes])


def _from_manifest(known: Known, manifest: Manifest, folder: Path, damaged: set[str]) -> None:
    find, find_damaged = _finder(known.names, folder), _finder(damaged, folder)
    rows: dict[str, Row] = {}
    for row in manifest.rows:
        name = find(row.file)
        if name is None:
            if find_damaged(row.file) is None:
                known.problems[row.file] = f"is in line {row.line} of the manifest, and there is no such image"
        elif name in rows:
            known.problems[name] = f"is in line {rows[name].line} of the manifest and in line {row.line} again"
        elif manifest.labelled and row.label is None:
            known.problems[name] = f"has no label in line {row.line} of the manifest"
        rows.setdefault(name or "", row)
    for name in known.names:
        if name not in rows:
            known.problems[name] = "is not in the manifest"
    known.keep([name not in known.problems for name in known.names])
    if manifest.labelled:
        known.classes = [str(rows[name].label) for name in known.names]
    if manifest.grouped:
        known.groups = [rows[name].group for name in known.names]


def _finder(names: Iterable[str], folder: Path) -> Callable[[str], str | None]:
    """Looks a written name up: with either slash, from the root, and with accents composed or not."""
    exact = {unicodedata.normalize("NFC", name): name for name in names}
    root = f"{folder.absolute().as_posix()}/"

    def find(written: str) -> str | None:
        for form in (written, written.replace("\\", "/")):
            plain = posixpath.normpath(unicodedata.normalize("NFC", form.removeprefix(root)))
            if plain in exact:
                return exact[plain]
        return None

    return find
