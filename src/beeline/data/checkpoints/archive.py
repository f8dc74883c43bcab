"""The zip archive around a torch file, checked before torch opens it: nothing is allocated that it only claims to hold.

torch's reader and Python's ``zipfile`` find the table of contents in slightly different ways, so a file made to look
different to each is refused: the end of the archive must be where torch writes it, names unique, nothing compressed.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from beeline.core.errors import UserError

MOST_TEXT = 16 * 2**20  # bytes of a pickle, of a header or of a JSON file: real ones of the largest models have 1 MB
_MOST_RECORDS = 100_000
_MOST_TABLE = 32 * 2**20
_CHUNK = 2**20
_END, _END64, _LOCATOR, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x03\x04"
_OLD = "torch's old format; save it anew: torch.save(torch.load(path, weights_only=True), path)"
_OLDEST = "torch's oldest format; where you trust it: torch.save(torch.load(path, weights_only=False), path)"


@dataclass(frozen=True)
class Archive:
    """What a checked torch file holds.

    Args:
        pickle: bytes of ``data.pkl``.
        storages: bytes of each storage, by its key.
    """

    pickle: bytes
    storages: dict[str, int]


def file_size(path: Path) -> int:
    """Bytes of a file that can be read.

    Raises:
        UserError: it does not exist, is no ordinary file, cannot be read or is empty.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder where a file is needed; name a file in it")
        if not path.is_file():
            raise UserError(f"{path}: {'is no ordinary file' if path.exists() else 'no such file'}")
        with open(path, "rb"):
            size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
    if not size:
        raise UserError(f"{path}: is empty; fetch it again")
    return size


def unreadable(path: Path, error: OSError) -> UserError:
    """Describe a file that the system does not let us read."""
    return UserError(f"{path}: cannot be read ({error.strerror or error})")


def shown(text: object) -> str:
    """Something out of a foreign file, fit for one line of a message."""
    line = repr(text) if not isinstance(text, str) or not text.isprintable() else text
    return line if len(line) <= 120 else f"{line[:117]}..."


def open_archive(path: Path) -> Archive:
    """Check the zip archive of a torch file, every byte of which is read once in small pieces.

    Raises:
        UserError: it is in another format, cut short, damaged, or claims more than it holds.
    """
    size = file_size(path)
    try:
        with open(path, "rb") as file:
            _check_format(path, file, size)
            table, count = _table(path, file, size)
            with zipfile.ZipFile(file) as contents:
                records = contents.infolist()
            if len(records) != count:
                raise UserError(
                    f"{path}: damaged: {count} records are announced, {len(records)} listed; fetch it again"
                )
            folder = _check_records(path, records, table)
            places = {record.filename.removeprefix(folder): _place(path, file, record, table) for record in records}
            _check_sums(path, file, records, list(places.values()))
            return _contents(path, file, places)
    except OSError as error:
        raise unreadable(path, error) from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise UserError(f"{path}: a damaged zip archive ({shown(str(error))}); fetch it again") from None


def _check_format(path: Path, file: IO[bytes], size: int) -> None:
    """Name the formats that are no torch zip archive."""
    head = file.read(512)
    if head.startswith(_LOCAL):
        return
    if head[:1] == b"\x80":
        raise UserError(f"{path}: is in {_OLD}")
    if head[257:262] == b"ustar":
        raise UserError(f"{path}: is in {_OLDEST}")
    if size > 8 and head[8:9] == b"{":
        raise UserError(f"{path}: looks like a safetensors file; name it so: {path.stem}.safetensors")
    raise UserError(f"{path}: is no torch file (no zip archive); name a .pt, .bin or .safetensors file of weights")


def _table(path: Path, file: IO[bytes], size: int) -> tuple[int, int]:
    """Where the table of contents begins, and its entries: it must reach to the file's end, as torch writes it."""
    cut = UserError(f"{path}: cut short or damaged: the end of its zip archive is not at its end; fetch it again")
    end = size - 22
    if end < 0:
        raise cut
    file.seek(end)
    mark, _, _, _, count, length, start, comment = struct.unpack("<4s4H2IH", file.read(22))
    if mark != _END or comment:
        raise cut
    file.seek(max(0, end - 20))
    locator = file.read(20)
    if locator.startswith(_LOCATOR):
        end -= 20 + 56
        file.seek(max(0, end))
        record = file.read(56)
        if len(record) < 56 or not record.startswith(_END64) or struct.unpack("<Q", locator[8:16]) != (end,):
            raise cut
        count, length, start = struct.unpack("<3Q", record[32:])
    if start + length != end:
        raise cut
    if count > _MOST_RECORDS or length > _MOST_TABLE:
        raise UserError(f"{path}: claims {count} records in its zip archive; more than {_MOST_RECORDS} are not read")
    return int(start), int(count)


def _check_records(path: Path, records: list[zipfile.ZipInfo], table: int) -> str:
    """Refuse records that two readers could take for different ones; return the folder that they all lie in."""
    folder = records[0].filename.partition("/")[0] + "/" if records else ""
    seen: set[str] = set()
    for record in records:
        name = record.filename
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise UserError(f"{path}: record {shown(name)} is compressed, which torch never writes; save it anew")
        if record.flag_bits & 1:
            raise UserError(f"{path}: record {shown(name)} is encrypted, which torch never writes; save it anew")
        if name != record.orig_filename or not name.startswith(folder) or not name.isprintable():
            raise UserError(f"{path}: record {shown(record.orig_filename)} lies outside the folder of a torch file")
        if name.lower() in seen:  # torch's reader does not tell capitals apart
            raise UserError(f"{path}: record {shown(name)} is there twice; fetch it again")
        seen.add(name.lower())
    total = sum(record.file_size for record in records)
    if total > table:
        raise UserError(f"{path}: its records claim {total} bytes in a file of {table}; cut short or damaged")
    return folder


def _place(path: Path, file: IO[bytes], record: zipfile.ZipInfo, table: int) -> tuple[int, int]:
    """Offset and length of a record's bytes."""
    damaged = UserError(f"{path}: cut short or damaged at record {shown(record.filename)}; fetch it again")
    if not 0 <= record.header_offset <= table - 30:
        raise damaged
    file.seek(record.header_offset)
    header = file.read(30)
    name, extra = struct.unpack("<2H", header[26:])
    written = record.orig_filename.encode("utf-8" if record.flag_bits & 0x800 else "cp437")
    start = record.header_offset + 30 + name + extra
    if not header.startswith(_LOCAL) or file.read(name) != written or start + record.file_size > table:
        raise damaged
    return start, record.file_size


def _check_sums(path: Path, file: IO[bytes], records: list[zipfile.ZipInfo], places: list[tuple[int, int]]) -> None:
    """Compare every record with its checksum, unless the file was written without any."""
    if not any(record.CRC for record in records):  # torch.serialization.set_crc32_options(False)
        return
    for record, (start, size) in zip(records, places, strict=True):
        file.seek(start)
        found, left = 0, size
        while left:
            piece = file.read(min(left, _CHUNK))
            if not piece:
                break
            found, left = zlib.crc32(piece, found), left - len(piece)
        if left or found != record.CRC:
            raise UserError(
                f"{path}: damaged: record {shown(record.filename)} differs from its checksum; fetch it again"
            )


def _contents(path: Path, file: IO[bytes], places: dict[str, tuple[int, int]]) -> Archive:
    if "constants.pkl" in places:
        raise UserError(f"{path}: is a TorchScript program; save the module's state_dict() instead")
    if "data.pkl" not in places:
        raise UserError(f"{path}: a zip archive without data.pkl, so not written by torch.save; name another file")
    start, size = places["data.pkl"]
    if size > MOST_TEXT:
        raise UserError(f"{path}: its data.pkl has {size} bytes; more than {MOST_TEXT} are not read")
    file.seek(start)
    storages = {name.removeprefix("data/"): length for name, (_, length) in places.items() if name.startswith("data/")}
    return Archive(file.read(size), storages)
