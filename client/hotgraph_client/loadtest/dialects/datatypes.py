"""Datatypes by the Open Inference Protocol's names, and TensorFlow's numbers for them. Pure.

Complex numbers, which only TensorFlow Serving carries, are COMPLEX64 and COMPLEX128. What else TensorFlow has
(quantized integers, resources, variants) no client sends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos import tensors
from hotgraph_protos.tensors import BYTES

COMPLEX: dict[str, np.dtype[Any]] = {"COMPLEX64": np.dtype("<c8"), "COMPLEX128": np.dtype("<c16")}

_BY_NUMBER: dict[int, str] = {
    tfs.DT_FLOAT: "FP32",
    tfs.DT_DOUBLE: "FP64",
    tfs.DT_HALF: "FP16",
    tfs.DT_BFLOAT16: "BF16",
    tfs.DT_INT8: "INT8",
    tfs.DT_INT16: "INT16",
    tfs.DT_INT32: "INT32",
    tfs.DT_INT64: "INT64",
    tfs.DT_UINT8: "UINT8",
    tfs.DT_UINT16: "UINT16",
    tfs.DT_UINT32: "UINT32",
    tfs.DT_UINT64: "UINT64",
    tfs.DT_BOOL: "BOOL",
    tfs.DT_STRING: BYTES,
    tfs.DT_COMPLEX64: "COMPLEX64",
    tfs.DT_COMPLEX128: "COMPLEX128",
}
_NUMBERS = {name: number for number, name in _BY_NUMBER.items()}


def dtype_of(datatype: str) -> np.dtype[Any]:
    """numpy's dtype of a datatype; BYTES is object, BF16 needs the package ml_dtypes.

    Raises:
        ValueError: there is no such datatype, or ml_dtypes is not installed for BF16.
    """
    return COMPLEX.get(datatype) or tensors.dtype_of(datatype)


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The name of a numpy dtype in any byte order; None where it has none (dates, records)."""
    if dtype.kind == "c":
        return {8: "COMPLEX64", 16: "COMPLEX128"}.get(dtype.itemsize)
    return tensors.datatype_of(dtype)


def datatype_of_number(number: int) -> str:
    """The datatype of a TensorFlow dtype; for one that no client sends TensorFlow's own name."""
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    try:
        return str(tfs.DataType.Name(number))
    except ValueError:
        return f"DT_{number}"


def number_of(datatype: str) -> int:
    """TensorFlow's number of a datatype.

    Raises:
        ValueError: it has none.
    """
    if datatype not in _NUMBERS:
        raise ValueError(f"TensorFlow has no datatype '{datatype}'")
    return _NUMBERS[datatype]
