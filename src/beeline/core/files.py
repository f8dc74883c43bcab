"""Writing that neither a kill nor a power cut at any moment can damage: a temporary name, fsync, rename, fsync."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

from beeline.core.errors import UserError

_TEMPORARY = ".tmp-"


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file by ``data``: afterwards it holds all of it, or what it held before.

    Raises:
        OSError: naming the file, of which nothing temporary is left behind.
    """
    with written(path) as file:
        file.write(data)


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Replace a file by what the block writes, as ``write_bytes`` does; it appears when the block ends.

    Raises:
        OSError: naming the file, of which nothing temporary is left behind.
    """
    make_folder(path.parent)
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    sync_folder(path.parent)


def append_bytes(path: Path, data: bytes) -> None:
    """Add to the end of a file; a failure or a kill may leave a part of it there.

    Raises:
        OSError: naming the file.
    """
    try:
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def sync_file(path: Path) -> None:
    """Make a file that was appended to durable, and its name.

    Raises:
        OSError: naming the file.
    """
    _sync(path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a text file, as ``write_bytes`` does."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file, as ``write_bytes`` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def folder_in_the_making(path: Path) -> Iterator[Path]:
    """Fill a folder with ``write_bytes`` under a temporary name; it appears complete when the block ends.

    Args:
        path: the folder; what lies there is replaced when the block ends.
    """
    make_folder(path.parent)
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        sync_folder(temporary)
        remove_folder(path)
        os.rename(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder so that a kill or a power cut leaves all of it or nothing under its name."""
    if path.exists():
        doomed = path.with_name(f"{_TEMPORARY}old-{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)
        sync_folder(path.parent)
        shutil.rmtree(doomed, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably, where they are not there yet."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def is_leftover(path: Path) -> bool:
    """Whether something is what a kill in the middle of a write has left behind."""
    return path.name.startswith(_TEMPORARY)


def remove_leftovers(folder: Path) -> None:
    """Delete what a kill in the middle of a write has left behind."""
    for path in list(folder.rglob(f"{_TEMPORARY}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None


def claim(folder: Path, stem: str, ending: str = "") -> Path:
    """Make the first of stem-001, stem-002, ... that is not there yet, so that nobody else is given the same name.

    Args:
        folder: where.
        stem: the name before its number.
        ending: of a file; a folder is made without one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = folder / f"{stem}-{number:03}{ending}"
        with suppress(FileExistsError):
            path.touch(exist_ok=False) if ending else path.mkdir()
            return path
    raise AssertionError


def check_writable(path: Path) -> None:
    """Refuse a place where nothing can be written, before any long work.

    Raises:
        UserError: the nearest folder that exists is no folder, or cannot be written to.
    """
    above = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    folder = above.parent if above == path.absolute() and above.is_file() else above
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot be written, {folder} is no folder to write to")


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can.

    Raises:
        OSError: naming the folder.
    """
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # so say those that cannot
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(handle)
