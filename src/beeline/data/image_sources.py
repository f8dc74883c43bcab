"""Finding the images under a path: a folder of files, idx files, an .npz or .npy; or the bundled digits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from beeline.core.errors import UserError
from beeline.core.files import write_text
from beeline.data.image_arrays import Part, find_arrays, read_parts
from beeline.data.image_files import ENDINGS, Header
from beeline.data.image_index import cache_folder, index_folder, shown
from beeline.data.image_labels import in_order, label_images
from beeline.data.image_sets import ArrayPictures, FilePictures, Found, Look

BadFiles = Literal["refuse", "leave_out"]
_DEEPEST = 8
_NAMED = 3


def digits() -> Found:
    """The 1,797 handwritten digits that come with scikit-learn: 8x8 grey pixels, 17 levels spread over 8 bits."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    images = np.rint(bundled.images * (255 / 16)).astype(np.uint8)[..., None]
    part = Part("digits", images, bundled.target)
    looks = (Look(0, Header(8, 8, 1, 8), len(images)),)
    groups = tuple(range(len(images)))
    return Found("scikit-learn's digits", ArrayPictures([part]), looks, bundled.target, groups=groups, by_class=False)


def find_images(path: Path, labels: str, bad_files: BadFiles) -> Found:
    """The images under a path.

    Args:
        path: a folder, or a file that holds arrays.
        labels: ``folders``, ``none`` or the path of a manifest.
        bad_files: whether files that cannot be used are an error or are left out.

    Raises:
        UserError: there is none, or some cannot be used.
    """
    if not path.exists():
        raise UserError(f"{path}: no such folder or file; say where the images are, --data.path FOLDER")
    try:
        path = _entered(path.resolve())
        files = find_arrays(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not files:
        return _from_folder(path, labels, bad_files)
    if labels not in ("folders", "none"):
        raise UserError(f"labels {labels}: arrays bring their labels along; leave the manifest out")
    if bad_files != "refuse":
        raise UserError(f"bad_files {bad_files}: {files[0].name} holds arrays, of which no file can be left out")
    return _from_arrays(path, files, labelled=labels != "none")


def _entered(path: Path) -> Path:
    """The folder itself, or the one within where it holds that and nothing else."""
    for _ in range(_DEEPEST):
        if not path.is_dir():
            break
        seen = [each for each in path.iterdir() if not each.name.startswith(".")]
        folders = [each for each in seen if each.is_dir()]
        if len(folders) != 1 or find_arrays(path) or _has_images(seen):
            break
        path = folders[0]
    return path


def _has_images(entries: list[Path]) -> bool:
    return any(each.suffix.lower() in ENDINGS for each in entries if not each.is_dir())


def _from_arrays(path: Path, files: list[Path], labelled: bool) -> Found:
    parts = read_parts(files)
    if len({part.labels is None for part in parts}) > 1:
        lacking = next(part.name for part in parts if part.labels is None)
        raise UserError(f"{path}: {lacking} has no labels and the other images have; bring them, or --data.labels none")
    looks, start = [], 0
    for part in parts:
        height, width, channels = part.images.shape[1:]
        floats = part.images.dtype.kind == "f"
        header = Header(width, height, channels, 32 if floats else 8 * part.images.dtype.itemsize)
        looks.append(Look(start, header, len(part.images), floats))
        start += len(part.images)
    labels, names = _numbered(parts) if labelled and parts[0].labels is not None else (None, ())
    groups = None
    if any(part.groups is not None for part in parts):
        groups = tuple(
            one
            for part in parts
            for one in ([None] * len(part.images) if part.groups is None else part.groups.tolist())
        )
    away = [np.full(len(part.images), part.held_out) for part in parts if part.held_out is not None]
    notes = [f"{part.name}: {part.note}" for part in parts if part.note]
    if labelled and labels is None:
        notes.append("no labels beside the images: unconditional")
    return Found(
        str(path), ArrayPictures(parts, files), tuple(looks), labels, names,
        np.concatenate(away) if away else None, groups, tuple(notes),
    )  # fmt: skip


def _numbered(parts: list[Part]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as 0 ... n - 1, and names where they are called otherwise."""
    every = np.concatenate([part.labels for part in parts if part.labels is not None])
    unseen = set(np.unique(every).tolist())
    for part in parts:
        if part.held_out is not True and part.labels is not None:
            unseen -= set(np.unique(part.labels).tolist())
    if unseen:
        raise UserError(f"label {min(unseen)}: is among the held-out images and not among the training images")
    present, numbers = np.unique(every, return_inverse=True)
    if every.dtype.kind != "U" and present.tolist() == list(range(len(present))):
        return every.astype(np.int32), ()
    names = in_order(map(str, present.tolist()))
    places = {name: place for place, name in enumerate(names)}
    order = np.array([places[str(each)] for each in present.tolist()])
    return order[numbers].astype(np.int32), names


def _from_folder(path: Path, labels: str, bad_files: BadFiles) -> Found:
    index = index_folder(path)
    known = label_images(path, index.names, labels, index.problems)
    problems = {**index.problems, **known.problems}
    passed = ", ".join(f"{count} {ending}" for ending, count in sorted(index.ignored.items()))
    notes = list(known.notes)
    if problems:
        notes.append(_tell(path, problems, len(problems) + len(known.names), bad_files, bool(known.names)))
    if not known.names:
        raise UserError(f"{path}: holds no image" + (f" (passed over: {passed})" if passed else ""))
    if passed:
        notes.append(f"passed over: {passed}")
    if index.loops:
        notes.append(f"{_count(index.loops, 'folder')} met again through a link, entered once: {_some(index.loops)}")
    notes += _header_notes(index.headers)
    names: tuple[str, ...] = ()
    numbers = None
    if known.classes is not None:
        names = in_order(known.classes)
        places = {name: place for place, name in enumerate(names)}
        numbers = np.array([places[one] for one in known.classes], dtype=np.int32)
    looks = tuple(Look(place, index.headers[name]) for place, name in enumerate(known.names) if name in index.headers)
    return Found(
        str(path), FilePictures(path, known.names), looks, numbers, names,
        None if known.held_out is None else np.array(known.held_out),
        None if known.groups is None else tuple(known.groups), tuple(notes), files=True,
    )  # fmt: skip


def _tell(path: Path, problems: Mapping[str, str], total: int, bad_files: BadFiles, some_left: bool) -> str:
    """What cannot be used, in one line, with all of it in a file.

    Raises:
        UserError: the same line, unless such files are to be left out.
    """
    lines = [f"{shown(name)}: {why}" for name, why in sorted(problems.items())]
    listed = cache_folder(path) / "problems.txt"
    try:
        write_text(listed, "\n".join(lines) + "\n")
        where = f"; all of them are listed in {listed}" if len(lines) > _NAMED else ""
    except OSError:
        where = ""
    first = ", ".join(f"'{shown(name)}' {why}" for name, why in sorted(problems.items())[:_NAMED])
    more = ", ..." if len(lines) > _NAMED else ""
    text = f"{len(lines):,} of {total:,} files cannot be used: {first}{more}{where}"
    if bad_files == "leave_out" and some_left:
        return f"left out: {text}"
    unlabelled = any("outside the class folders" in why for why in problems.values())
    without = ", or train without classes: --data.labels none" if unlabelled else ""
    leave = ", or leave them out: --data.bad_files leave_out" if some_left else ""
    raise UserError(f"{path}: {text}; mend or delete them{leave}{without}")


def _header_notes(headers: Mapping[str, Header]) -> list[str]:
    """What is odd about some files, a line for each kind of oddity."""
    noted = defaultdict(list)
    for name, header in headers.items():
        if header.note:
            noted[header.note].append(name)
    return [f"{_count(names, 'file')}: {note}: {_some(names)}" for note, names in noted.items()]


def _count(names: list[str] | tuple[str, ...], what: str) -> str:
    return f"{len(names):,} {what}{'s' if len(names) > 1 else ''}"


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(map(shown, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def class_counts(found: Found) -> str:
    """How many images there are, and of which classes, in a line."""
    total = f"{len(found.pictures):,} images"
    if found.labels is None:
        return f"{total}, without classes"
    counts = Counter(found.labels.tolist())
    most, least = max(counts.values()), min(counts.values())
    if most == least:
        return f"{total} in {found.classes} classes of {most:,}"
    smallest = sorted(counts, key=lambda one: (counts[one], one))[:_NAMED]
    called = [f"{found.names[one] if found.names else one} {counts[one]:,}" for one in smallest]
    return f"{total} in {found.classes} classes of {least:,} to {most:,}; the smallest: {', '.join(called)}"
