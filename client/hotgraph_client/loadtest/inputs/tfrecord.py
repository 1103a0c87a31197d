"""Records of TFRecord files, plain or gzip, their checksums verified.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these, its bytes, and theirs. Read as a
stream: memory is for one record, and for no longer one than is allowed, whatever a file says of itself.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .items import InputError

MAX_RECORD_BYTES = 256 * 2**20

_HEAD = struct.Struct("<QI")
_SUM = struct.Struct("<I")
_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 2**20


def read_records(path: Path, max_record_bytes: int = MAX_RECORD_BYTES) -> Iterator[bytes]:
    """The records of a file, in order.

    Raises:
        InputError: it cannot be read, a checksum is wrong, a record is too large or cut off; the text names
            the file and the record.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            zipped = raw.peek(2)[:2] == _GZIP
            with gzip.GzipFile(fileobj=raw) if zipped else raw as file:
                while (record := _next(file, f"record {number + 1} of {path}", max_record_bytes)) is not None:
                    number += 1
                    yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"record {number + 1} of {path}: the gzip file is broken: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def starts_as_records(path: Path) -> bool:
    """Does a file begin like a TFRecord file: with a length whose checksum is right?"""
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == _GZIP:
                with gzip.GzipFile(fileobj=raw) as file:
                    head = file.read(_HEAD.size)
            else:
                head = raw.read(_HEAD.size)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == _HEAD.size and masked_crc(head[:8]) == _HEAD.unpack(head)[1]


def masked_crc(data: bytes) -> int:
    """TensorFlow's checksum of a record: the CRC-32C, turned and moved (a CRC of data and CRC is poor)."""
    try:
        import google_crc32c
    except ImportError:
        raise InputError(
            "TFRecord files need the package google-crc32c: pip install 'hotgraph[loadtest]'"
        ) from None
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _next(file: BinaryIO | gzip.GzipFile, what: str, max_record_bytes: int) -> bytes | None:
    head = _read(file, _HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise InputError(f"{what}: the file ends within it")
    length, crc = _HEAD.unpack(head)
    if masked_crc(head[:8]) != crc:
        raise InputError(f"{what}: the checksum of its length is wrong: no TFRecord file, or a broken one")
    if length > max_record_bytes:
        raise InputError(f"{what}: it has {length} bytes, and at most {max_record_bytes} are read")
    record = _read(file, length)
    tail = _read(file, _SUM.size)
    if len(record) < length or len(tail) < _SUM.size:
        raise InputError(f"{what}: the file ends within it")
    if masked_crc(record) != _SUM.unpack(tail)[0]:
        raise InputError(f"{what}: its checksum is wrong, the file is broken")
    return record


def _read(file: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    """So many bytes, or as many as there are. Memory is for what is there, and not for what a length says."""
    pieces: list[bytes] = []
    left = size
    while left and (piece := file.read(min(left, _PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
