"""Arrays that somebody gives, as an input of a model takes them. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from hotgraph_protos.tensors import BYTES, Array, to_bytes_array

from ...arrays import converted
from ...descriptions import TensorMetadata
from ..dialects.datatypes import datatype_of, dtype_of
from ..dialects.description import is_free
from .items import InputError

_UNKNOWN_RANK = (-1,)


def fitted(array: Array, tensor: TensorMetadata, where: str) -> Array:
    """An array with the input's datatype and shape.

    One that has no rows, where the input has them, becomes a single row. A datatype is changed only where no
    value changes by it.

    Args:
        where: what is named in errors: a file, or a record of one.

    Raises:
        InputError: it does not fit.
    """
    array = _with_datatype(array, tensor, where)
    if not _fits(array.shape, tensor.shape) and is_free(tensor) and _fits((1, *array.shape), tensor.shape):
        array = array[np.newaxis]
    if not _fits(array.shape, tensor.shape):
        raise InputError(f"{where}: shape {list(array.shape)} is not what the input {tensor} takes")
    return array


def _with_datatype(array: Array, tensor: TensorMetadata, where: str) -> Array:
    datatype = datatype_of(array.dtype)
    if tensor.datatype == BYTES and datatype == BYTES:
        try:
            return to_bytes_array(array)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
    if datatype == tensor.datatype:
        return array.astype(dtype_of(datatype), copy=False)
    recast = None
    if datatype not in (None, BYTES) and tensor.datatype != BYTES and array.dtype.kind != "c":
        recast = _recast(array, tensor, where)
    if recast is None:
        raise InputError(
            f"{where}: {array.dtype} cannot become {tensor.datatype}, which the input '{tensor.name}' takes,"
            " without a change of its values"
        )
    return recast


def _recast(array: Array, tensor: TensorMetadata, where: str) -> Array | None:
    try:
        dtype: np.dtype[Any] = dtype_of(tensor.datatype)
    except ValueError as error:
        raise InputError(f"{where}: the input '{tensor.name}': {error}") from None
    if dtype.kind == "c":
        return array.astype(dtype) if array.dtype.kind == "f" and array.dtype.itemsize <= 8 else None
    return converted(array, tensor.datatype)


def _fits(shape: tuple[int, ...], stated: tuple[int, ...]) -> bool:
    return stated == _UNKNOWN_RANK or (
        len(shape) == len(stated)
        and all(said in (size, -1) for said, size in zip(stated, shape, strict=True))
    )
