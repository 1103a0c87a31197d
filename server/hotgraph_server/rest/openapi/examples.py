"""A call that a signature takes, small enough to be read. Pure.

The inputs are what the graph was run with before it was live (warmup/synthetic_inputs.py), of one row, with
floats of one decimal: what has been taken once will be taken again. Where nothing was run, they are of the
smallest kind there is.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.synthetic_inputs import RANGES, Kind, generate

MAX_ELEMENTS = 4096
"""Of all inputs of an example together. A page shows each on a line of its own."""

MAX_BYTES = 64 * 1024
"""Of all strings of an example together."""

_SMALLEST = Kind(8, RANGES[0])


def example_inputs(signature: Signature, kind: Kind | None) -> list[Array] | str:
    """One row for each input, in their order, with their dtypes; or why there is no example.

    Args:
        kind: of generated input that the graph takes; None: none is known.
    """
    kind = kind or _SMALLEST
    # Before they are made: an input may be of any size.
    count = sum(_elements(spec.shape, kind) for spec in signature.inputs)
    if count > MAX_ELEMENTS:
        return f"one row has {count} values, which are better sent as binary data, or over gRPC"
    inputs = [
        _plainer(array, _samples(signature, spec.alias))
        for spec, array in zip(signature.inputs, generate(signature, 1, kind), strict=True)
    ]
    count = sum(array.size for array in inputs)
    if count > MAX_ELEMENTS:
        return f"one row has {count} values, which are better sent as binary data, or over gRPC"
    nbytes = sum(len(text) for array in inputs if array.dtype == STRING for text in array.ravel())
    if nbytes > MAX_BYTES:
        return f"one row has {nbytes} bytes of strings, which are better sent as binary data, or over gRPC"
    return inputs


def as_json(array: Array) -> Any:
    """Lists, or a bare value for a scalar; strings that are no UTF-8 are ``{"b64": "..."}``."""
    if array.dtype == STRING:
        texts = np.empty(array.size, object)
        texts[:] = [_text(one) for one in array.ravel()]
        return texts.reshape(array.shape).tolist()
    if array.dtype.kind in "biu":
        return array.tolist()
    # By way of doubles, which show a float of fewer bits with all of its digits.
    return np.round(array.astype(np.float64), 1).tolist()


def _plainer(array: Array, samples: Sequence[bytes]) -> Array:
    if samples:
        # The smallest that the graph can read.
        array = np.empty_like(array)
        array.fill(min(samples, key=len))
    return array


def _samples(signature: Signature, alias: str) -> Sequence[bytes]:
    content = signature.contents.get(alias)
    return () if content is None else content.samples


def _elements(shape: Sequence[int | None] | None, kind: Kind) -> int:
    count = 1
    for axis, size in enumerate(shape or ()):
        count *= size if size is not None else 1 if axis == 0 else kind.size
    return count


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}
