"""Lists of numbers, from JSON's text to an array without an object for each.

simdjson reads a list into its own memory and gives it as a buffer of one kind of numbers: with 784 of them in
a third to a half of the time that orjson, a list and an array of it take. What is no plain list of numbers
of its datatype is left to those, which know all forms and say what is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import simdjson

from hotgraph_protos import tensors as wire
from hotgraph_server.tensors import Array

# The numbers of a buffer: signed and unsigned integers of 64 bits, and doubles.
_WIDEST = {"i": np.int64, "u": np.uint64, "f": np.float64}
_BUFFERS: Mapping[str, Literal["i", "u", "d"]] = {"i": "i", "u": "u", "f": "d"}

_DATATYPES: Mapping[str, str] = {
    **{f"INT{bits}": "i" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": "u" for bits in (8, 16, 32, 64)},
    "FP32": "f",
    "FP64": "f",
}


class NumberLists:
    """Reads them; from any thread."""

    def __init__(self) -> None:
        # A parser keeps the memory that it reads into, and no two may read into it at once.
        self._of_thread = threading.local()

    def read(self, text: memoryview, datatype: str) -> Array | None:
        """The values of a list of any nesting, in their order; None: another way has to be taken.

        Args:
            text: JSON, all of it.
            datatype: of the protocol.
        """
        kind = _DATATYPES.get(datatype)
        if kind is None:
            return None
        try:
            parser = self._of_thread.parser
        except AttributeError:
            parser = self._of_thread.parser = simdjson.Parser()
        try:
            found = parser.parse(text)
            if type(found) is not simdjson.Array:
                return None
            values = np.frombuffer(found.as_buffer(of_type=_BUFFERS[kind]), _WIDEST[kind])
        except (ValueError, TypeError, RuntimeError):
            # No JSON, other values, numbers that do not fit, or too deep.
            return None
        return _as(values, wire.dtype_of(datatype))


def _as(values: Array, dtype: np.dtype[np.generic]) -> Array | None:
    """The same numbers with another dtype; None: it does not hold them."""
    if values.dtype == dtype or not len(values):
        return values.astype(dtype, copy=False)
    limits: Any = np.finfo(dtype.name) if dtype.kind == "f" else np.iinfo(dtype.name)
    if values.min() < limits.min or values.max() > limits.max:
        return None
    return values.astype(dtype)
