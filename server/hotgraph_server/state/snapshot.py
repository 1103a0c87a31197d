"""A snapshot as bytes: the values of a version's changed variables after so many writes. Pure.

    8 bytes   magic, with the number of the format in it
    4 bytes   size of the header, little endian
    n bytes   the header: JSON in UTF-8, see `Header`
    ...       each variable's values in the header's order, C order, little endian; of a string its size in 4
              bytes and then the string, one after the other
    32 bytes  BLAKE2b of everything before

Whatever is cut off, changed or added is seen: `decode` gives all of it or raises Damaged.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from hotgraph_server.tensors import STRING, Array

MAGIC = b"HOTGRST1"
_SIZE = struct.Struct("<I")
_DIGEST_BYTES = 32
_MAX_HEADER = 64 * 2**20

_STRING = "string"
_NAMED = {"bfloat16": np.dtype(ml_dtypes.bfloat16)}


class Damaged(Exception):
    """Not a whole snapshot; the text says what is wrong with it."""


@dataclass(frozen=True)
class Header:
    """What a snapshot says of itself.

    Attributes:
        model: the name that it was served under.
        version: its number.
        identity: of the SavedModel; see identity.py.
        writes: runs that have written, from the values that were saved with the model to these.
        taken_at: seconds since 1970, for people.
    """

    model: str
    version: int
    identity: str
    writes: int
    taken_at: float


@dataclass(frozen=True)
class Snapshot:
    """`values` by variable; the arrays are not to be changed."""

    header: Header
    values: Mapping[str, Array]


def encode(snapshot: Snapshot) -> Iterator[bytes | memoryview]:
    """The bytes, in pieces that are not copied together."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for piece in _pieces(snapshot):
        digest.update(piece)
        yield piece
    yield digest.digest()


def decode(data: bytes) -> Snapshot:
    """The snapshot that `data` is; its arrays are views of it.

    Raises:
        Damaged: it is none, or not a whole one.
    """
    if len(data) < len(MAGIC) + _SIZE.size + _DIGEST_BYTES:
        raise Damaged(f"it has {len(data)} bytes, fewer than any snapshot")
    if data[: len(MAGIC)] != MAGIC:
        raise Damaged("it does not begin as a snapshot does")
    body = memoryview(data)[:-_DIGEST_BYTES]
    if hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != data[-_DIGEST_BYTES:]:
        raise Damaged("its checksum does not hold")
    start = len(MAGIC) + _SIZE.size
    (size,) = _SIZE.unpack_from(data, len(MAGIC))
    try:
        said = json.loads(bytes(body[start : start + size]))
        header = Header(
            str(said["model"]),
            int(said["version"]),
            str(said["identity"]),
            int(said["writes"]),
            float(said["taken_at"]),
        )
        values = dict(_values(said["variables"], body[start + size :]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, struct.error) as error:
        # Not by chance, with a checksum that holds: it was made so.
        raise Damaged(f"its header is none of ours: {error}") from error
    return Snapshot(header, values)


def _pieces(snapshot: Snapshot) -> Iterator[bytes | memoryview]:
    header = snapshot.header
    said = {
        "model": header.model,
        "version": header.version,
        "identity": header.identity,
        "writes": header.writes,
        "taken_at": header.taken_at,
        "variables": [
            {"name": name, "dtype": _name_of(array.dtype), "shape": list(array.shape)}
            for name, array in snapshot.values.items()
        ],
    }
    text = json.dumps(said, separators=(",", ":")).encode()
    if len(text) > _MAX_HEADER:
        raise ValueError(f"a snapshot of {len(snapshot.values)} variables has too large a header")
    yield MAGIC + _SIZE.pack(len(text)) + text
    for array in snapshot.values.values():
        if array.dtype == STRING:
            for text in array.ravel():
                yield _SIZE.pack(len(text)) + text
        elif array.nbytes:
            little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            # Bytes, because dtypes that numpy does not know of itself cannot be seen as a buffer.
            yield np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def _values(variables: list[dict[str, Any]], data: memoryview) -> Iterator[tuple[str, Array]]:
    start = 0
    for said in variables:
        shape = tuple(int(size) for size in said["shape"])
        if any(size < 0 for size in shape):
            raise ValueError(f"a shape of {shape}")
        count = prod(shape)
        if said["dtype"] == _STRING:
            texts = []
            for _ in range(count):
                (size,) = _SIZE.unpack_from(data, start)
                texts.append(bytes(data[start + 4 : start + 4 + size]))
                start += 4 + size
            array = np.empty(count, STRING)
            array[:] = texts
        else:
            dtype = _dtype_of(said["dtype"])
            array = np.frombuffer(data, dtype, count, start) if count else np.empty(0, dtype)
            start += array.nbytes
        yield str(said["name"]), array.reshape(shape)
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes belong to no variable")


def _dtype_of(name: object) -> np.dtype[Any]:
    # numpy reads more than names: lists of them, shapes, and whatever Python's parser makes of those.
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"a dtype of {name!r}")
    return _NAMED.get(name) or np.dtype(name).newbyteorder("<")


def _name_of(dtype: np.dtype[Any]) -> str:
    return _STRING if dtype == STRING else dtype.name
