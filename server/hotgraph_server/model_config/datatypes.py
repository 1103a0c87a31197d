"""The data types of a model's configuration, as numpy's."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from hotgraph_protos.model_config import DataType
from hotgraph_server.tensors import STRING

_DTYPES: dict[str, np.dtype[Any]] = {
    "TYPE_BOOL": np.dtype(np.bool_),
    "TYPE_UINT8": np.dtype(np.uint8),
    "TYPE_UINT16": np.dtype(np.uint16),
    "TYPE_UINT32": np.dtype(np.uint32),
    "TYPE_UINT64": np.dtype(np.uint64),
    "TYPE_INT8": np.dtype(np.int8),
    "TYPE_INT16": np.dtype(np.int16),
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_INT64": np.dtype(np.int64),
    "TYPE_FP16": np.dtype(np.float16),
    "TYPE_FP32": np.dtype(np.float32),
    "TYPE_FP64": np.dtype(np.float64),
    "TYPE_STRING": STRING,
    "TYPE_BF16": np.dtype(ml_dtypes.bfloat16),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

INVALID = "TYPE_INVALID"


def name_of(number: int) -> str:
    """A data type's name by its number; of numbers that have none, the number."""
    try:
        name: str = DataType.Name(number)
    except ValueError:
        return str(number)
    return name


def dtype_of(number: int) -> np.dtype[Any] | None:
    """The numpy dtype of a data type's number; None: it is TYPE_INVALID, or no data type."""
    return _DTYPES.get(name_of(number))


def number_of(dtype: np.dtype[Any]) -> int:
    """The data type's number of a numpy dtype; TYPE_INVALID's where there is none (complex numbers)."""
    number: int = DataType.Value(_NAMES.get(dtype, INVALID))
    return number
