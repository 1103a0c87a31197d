"""Values of Python as arrays of the datatype that a model asks for, and typed contents as arrays.

A list has no dtype; it takes the model's, but only if every element fits: no fraction is cut off, no number
wraps around, no truth value becomes a number. A float is rounded to the model's precision. An array has a
dtype that somebody chose; it takes the model's only if it loses nothing, precision included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import BYTES, CONTENTS_FIELDS, Array, dtype_of, element_count, to_bytes_array

_INTEGERS = (int, np.integer)
_REALS = (int, float, np.integer, np.floating)
_BOOLS = (bool, np.bool_)

# Up to here a double holds every whole number.
_EXACT = 2**53


def has_dtype(value: Any) -> bool:
    """Whether `value` brings a dtype of its own: numpy's arrays and scalars, and what passes for one."""
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def from_python(value: Any, datatype: str) -> Array:
    """A number, truth value, string or nested list of them as an array of `datatype`.

    Raises:
        ValueError: lists of unequal length, elements that do not fit, or an unknown datatype.
    """
    dtype = dtype_of(datatype)
    # as objects first: numpy on its own would turn [1, 2**63] into floats and cut zeros off bytes
    elements = np.array(value, dtype=object)
    if datatype == BYTES:
        return to_bytes_array(elements)
    types = {type(element) for element in elements.flat}
    allowed = _BOOLS if datatype == "BOOL" else _INTEGERS if dtype.kind in "iu" else _REALS
    for found in types:
        if not issubclass(found, allowed) or (datatype != "BOOL" and issubclass(found, _BOOLS)):
            raise ValueError(f"{datatype} cannot hold a {found.__name__}{_way_out(found, datatype)}")
    if dtype.kind in "iu" and elements.size:
        limits = np.iinfo(dtype)
        for extreme in (elements.min(), elements.max()):
            if not limits.min <= extreme <= limits.max:
                raise ValueError(f"{extreme} is out of range for {datatype} ({limits.min} to {limits.max})")
    if dtype.kind in "biu":
        return elements.astype(dtype)
    return _rounded(elements, dtype, datatype)


def _way_out(found: type, datatype: str) -> str:
    """What one may have meant by an element that a datatype cannot hold."""
    if issubclass(found, (list, tuple)):
        return ": lists of unequal length make no array"
    if issubclass(found, (str, bytes)):
        return ": numbers stand without quotes"
    if issubclass(found, _BOOLS):
        return ": send 1 or 0"
    if found is type(None):
        return ": send float('nan') for what is missing" if "FP" in datatype or datatype == "BF16" else ""
    if issubclass(found, _REALS) and datatype == "BOOL":
        return ": send True or False"
    if issubclass(found, _REALS):
        return ": send whole numbers, such as 1 for 1.0"
    return ""


def converted(array: Array, datatype: str) -> Array | None:
    """A numeric array as `datatype`; None if a value would not stay exactly what it is.

    Floats become floats, whole numbers become whole numbers or floats, and nothing becomes anything else.
    """
    dtype = dtype_of(datatype)
    if array.dtype.kind in "iu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return array.astype(dtype) if limits.min <= low and high <= limits.max else None
        if low < -_EXACT or high > _EXACT:
            return None
    elif not _is_float(array.dtype):
        return None
    if not _is_float(dtype):
        return None
    wide = array.astype(np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    return narrow if np.array_equal(narrow.astype(np.float64), wide, equal_nan=True) else None


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _rounded(elements: Array, dtype: np.dtype[Any], datatype: str) -> Array:
    try:
        wide = elements.astype(np.float64)
    except OverflowError:
        raise ValueError(f"an integer is out of range for {datatype}") from None
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    overflown = np.isinf(narrow) & ~np.isinf(wide)
    if overflown.any():
        raise ValueError(f"{wide[overflown].flat[0]} is out of range for {datatype}")
    return narrow


def from_contents(datatype: str, shape: list[int], contents: oip.InferTensorContents) -> Array:
    """Typed contents as an array of `shape`.

    Raises:
        ValueError: the datatype has no typed field, or the field does not hold exactly `shape`.
    """
    if datatype not in CONTENTS_FIELDS:
        raise ValueError(f"{datatype} travels raw only, but there are no raw contents")
    values = getattr(contents, CONTENTS_FIELDS[datatype])
    if len(values) != element_count(shape):
        raise ValueError(f"expected {element_count(shape)} elements, got {len(values)}")
    try:
        return np.array(list(values), dtype_of(datatype)).reshape(shape)
    except OverflowError as error:
        raise ValueError(f"an element is out of range for {datatype}") from error
