"""What lies in a folder of images: every file with a look at its header, remembered between runs.

Headers are looked at of as many as 50,000 files, spread evenly; of sets of up to 64 MB the pixels are decoded too. What
was found is kept for each file with its size and time of change, a few thousand files at a time, so that a kill loses
little; a damaged memory is begun anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

from beeline.core.files import write_bytes
from beeline.data.image_files import ENDINGS, Header, UnusableError, look

_MOST_HEADERS = 50_000
_A_PART = 4_000
_MOST_PARTS = 24
_DECODED_BYTES = 64 * 2**20
_FORMAT = 1
Stamp = tuple[int, int]


@dataclass
class Listing:
    """Files under a folder.

    Args:
        stamps: size and time of change of each image file, by its name below the folder, sorted.
        problems: what cannot be used, and why, by name.
        ignored: how many files were passed over, by ending.
        loops: folders met again through a link, and not entered twice.
    """

    stamps: dict[str, Stamp] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    loops: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Index:
    """A listing with a look at the headers.

    Args:
        names: of the usable images, sorted.
        headers: of those that were looked at, by name.
        problems: what cannot be used, and why, by name.
        ignored: how many files were passed over, by ending.
        loops: folders met again through a link.
    """

    names: tuple[str, ...]
    headers: Mapping[str, Header]
    problems: Mapping[str, str]
    ignored: Mapping[str, int]
    loops: tuple[str, ...]


def shown(name: str) -> str:
    """A file name as any terminal can print it."""
    return name.encode("utf-8", "backslashreplace").decode()


def cache_folder(folder: Path) -> Path:
    """Where what is known about a folder is kept: below XDG_CACHE_HOME, or below .cache in the home folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    key = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=8).hexdigest()
    return Path(home) / "beeline" / "index" / key


def index_folder(folder: Path) -> Index:
    """List a folder and look at its images, or remember them.

    Args:
        folder: one that exists.
    """
    listing = list_images(folder)
    names = list(listing.stamps)
    step = max(1, -(-len(names) // _MOST_HEADERS))
    wanted = names[::step]
    whole = sum(size for size, _ in listing.stamps.values()) <= _DECODED_BYTES
    memory = _Memory(cache_folder(folder))
    headers: dict[str, Header] = {}
    problems = dict(listing.problems)
    for name in wanted:
        found = memory.recall(name, listing.stamps[name])
        if found is None:
            try:
                found = look(folder / name, whole)
                memory.keep(name, listing.stamps[name], found)
            except UnusableError as error:
                found = str(error)
                if error.lasting:
                    memory.keep(name, listing.stamps[name], found)
        if isinstance(found, Header):
            headers[name] = found
        else:
            problems[name] = found
    memory.close(wanted)
    usable = tuple(name for name in names if name not in problems)
    return Index(usable, headers, problems, listing.ignored, tuple(listing.loops))


def list_images(folder: Path) -> Listing:
    """Every file below a folder whose ending is that of an image; each real folder is entered once."""
    listing = Listing()
    entered: set[tuple[int, int]] = set()
    links: list[str] = []
    _walk(folder, "", listing, entered, links)
    while links:
        _walk(folder, links.pop(0), listing, entered, links)
    listing.stamps = dict(sorted(listing.stamps.items()))
    return listing


def _walk(root: Path, start: str, listing: Listing, entered: set[tuple[int, int]], links: list[str]) -> None:
    """List one folder and the real folders below it; linked ones are put off, so that real names win."""
    below = [start]
    while below:
        place = below.pop()
        try:
            status = os.stat(root / place)
            if (status.st_dev, status.st_ino) in entered:
                listing.loops.append(place)
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(root / place) as entries:
                for entry in sorted(entries, key=lambda each: each.name):
                    name = f"{place}/{entry.name}" if place else entry.name
                    if entry.name.startswith("."):
                        listing.ignored["hidden"] += 1
                    elif entry.is_dir():
                        (links if entry.is_symlink() else below).append(name)
                    else:
                        _note_file(entry, name, listing)
        except OSError as error:
            listing.problems[place or "."] = f"cannot be entered ({error.strerror})"


def _note_file(entry: os.DirEntry[str], name: str, listing: Listing) -> None:
    ending = os.path.splitext(entry.name)[1].lower()
    if ending not in ENDINGS:
        listing.ignored[ending or "without ending"] += 1
        return
    try:
        status = entry.stat()
        listing.stamps[name] = (status.st_size, status.st_mtime_ns)
    except OSError as error:
        listing.problems[name] = f"cannot be looked at ({error.strerror})"


class _Memory:
    """What is known about the files of a folder, in parts of a few thousand.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, list[int | str]] = {}
        self._fresh: dict[str, list[int | str]] = {}
        self._parts = sorted(folder.glob(f"headers-{'[0-9]' * 6}.json")) if folder.is_dir() else []
        for part in self._parts:
            self._known.update(_read_part(part))
        self._writable = True

    def recall(self, name: str, stamp: Stamp) -> Header | str | None:
        """What was found in a file, unless it has changed since."""
        record = self._known.get(name)
        if record is None or tuple(record[:2]) != stamp:
            return None
        return str(record[2]) if len(record) == 3 else Header(*record[2:])  # type: ignore[arg-type]

    def keep(self, name: str, stamp: Stamp, found: Header | str) -> None:
        """Remember what was found in a file."""
        self._fresh[name] = [*stamp, found] if isinstance(found, str) else [*stamp, *astuple(found)]
        if len(self._fresh) >= _A_PART:
            self._flush()

    def close(self, names: list[str]) -> None:
        """Write what is not written; where little of it is still true, or it lies in many parts, all of it anew."""
        self._flush()
        kept = {name: self._known[name] for name in names if name in self._known}
        if len(self._parts) > _MOST_PARTS or len(self._known) > 2 * len(kept) + _A_PART:
            old, self._parts = self._parts, []
            self._known, self._fresh = {}, kept
            self._flush(number=_number(old[-1]) + 1 if old else 0)
            for part in old:
                with suppress(OSError):
                    part.unlink()

    def _flush(self, number: int | None = None) -> None:
        if self._fresh and self._writable:
            number = number if number is not None else _number(self._parts[-1]) + 1 if self._parts else 0
            part = self._folder / f"headers-{number:06}.json"
            record = {"format": _FORMAT, "files": self._fresh}
            try:
                write_bytes(part, json.dumps(record, separators=(",", ":")).encode())
                self._parts.append(part)
            except OSError:  # a home that cannot be written to costs time on the next run, nothing else
                self._writable = False
        self._known.update(self._fresh)
        self._fresh = {}


def _number(part: Path) -> int:
    return int(part.stem.partition("-")[2])


def _read_part(path: Path) -> Iterator[tuple[str, list[int | str]]]:
    """Records of a part that are whole; none of a damaged one."""
    try:
        record = json.loads(path.read_bytes())
        files = record["files"] if record["format"] == _FORMAT else {}
        return iter([(name, each) for name, each in files.items() if _is_record(each)])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return iter(())


def _is_record(value: object) -> bool:
    kinds = [type(each) for each in value] if isinstance(value, list) else []
    return kinds in ([int, int, str], [int, int, int, int, int, int, str])
