"""What a call's answer depends on, written down so that no two calls look alike; and the hash of it. Pure."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array


def text_of(
    version: bytes, signature: Signature, outputs: Sequence[str], inputs: Sequence[Array]
) -> Iterator[bytes | memoryview]:
    """All that an answer depends on, in pieces; different calls have different texts.

    Each field is preceded by its length, and each list by its own, so that the text can be read back in one
    way only. Counts and lengths are 8 bytes each, little-endian. An input is its alias, the name of its
    dtype, its rank, its dimensions and its bytes; those of a string tensor are the lengths of all strings,
    then all strings.

    Args:
        version: which loading of which version it is.
        outputs: aliases of the outputs wanted.
        inputs: one array for each input of the signature, in its order.

    Returns:
        Pieces, which count joined.
    """
    fields = [version, signature.name.encode(), *map(str.encode, outputs)]
    head = [struct.pack("<QQ", len(outputs), len(inputs))]
    for field in fields:
        head += struct.pack("<Q", len(field)), field
    yield b"".join(head)
    for spec, array in zip(signature.inputs, inputs, strict=True):
        alias, dtype = spec.alias.encode(), array.dtype.name.encode()
        body = _bytes_of(array)
        yield b"".join(
            (
                struct.pack("<Q", len(alias)),
                alias,
                struct.pack("<Q", len(dtype)),
                dtype,
                struct.pack(f"<{array.ndim + 2}Q", array.ndim, *array.shape, len(body)),
            )
        )
        yield body


def _bytes_of(array: Array) -> bytes | memoryview:
    if array.dtype != STRING:
        # Through uint8, because bfloat16 has no buffer that hashlib could read.
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    strings = array.reshape(-1).tolist()
    return b"".join((struct.pack(f"<{len(strings)}Q", *map(len, strings)), *strings))


def key_of(version: bytes, signature: Signature, outputs: Sequence[str], inputs: Sequence[Array]) -> bytes:
    """The hash of `text_of` the same, 32 bytes."""
    found = hashlib.blake2b(digest_size=32)
    for piece in text_of(version, signature, outputs, inputs):
        found.update(piece)
    return found.digest()
