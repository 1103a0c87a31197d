"""TensorFlow's dtypes as numpy's, and as the two protocols call them.

TensorFlow's numbers are fixed (they are on the wire of TensorFlow Serving), so this table needs no
TensorFlow. Strings are numpy's object dtype holding Python bytes, in every layer.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DT_STRING = 7
STRING = np.dtype(object)
"""The dtype of arrays of strings."""

MAX_EMPTY = 65536
"""How large the other dimensions of a tensor without values may be, multiplied. Nothing is sent for such a
tensor, so a message of 40 bytes could ask for 2**31 rows of nothing, and for a run of the graph for every few
of them."""

_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    DT_STRING: STRING,
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_REFERENCE = 100
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}

# As TensorFlow's own error texts spell them ("actual double vs. expect float").
_TENSORFLOW_NAMES = {
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    STRING: "string",
}


def dtype_of(number: int) -> np.dtype[Any] | None:
    """The numpy dtype of a TensorFlow dtype number; None where no call can carry it (resources,
    variants, quantised types, and the 0 that some exports leave in their init signature)."""
    # A reference to a variable, which TensorFlow 1's graphs may return, comes out as its value.
    return _DTYPES.get(number - _REFERENCE if number > _REFERENCE else number)


def number_of(dtype: np.dtype[Any]) -> int:
    """The TensorFlow dtype number of a numpy dtype that TensorFlow can return."""
    return _NUMBERS[dtype]


def tensorflow_name(dtype: np.dtype[Any]) -> str:
    """What TensorFlow calls a dtype in its own messages."""
    return _TENSORFLOW_NAMES.get(dtype, dtype.name)
