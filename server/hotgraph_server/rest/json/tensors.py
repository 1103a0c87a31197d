"""A tensor as JSON: a list of lists, or a bare value for a scalar. Pure.

* Numbers are as strict as TensorFlow Serving's: ``1.0`` is no integer, ``true`` is no number, and a whole
  number that a float cannot hold exactly is refused. In one thing stricter: it lets 300 become 44 where
  uint8 is wanted, and here that is an error.
* A string is its UTF-8; ``{"b64": "..."}`` is bytes. Outputs of strings are JSON strings, unless the output's
  name ends in ``_bytes`` or a value is no UTF-8: then they are ``{"b64": "..."}``. TensorFlow Serving
  writes the latter as they are, and no reader of JSON takes the document.
* Lists must be rectangular; what else a shape must be is for the caller to say.

There are two ways through a value: a fast one that converts whole lists at a time and only knows that
something is wrong, and a slow one that then looks for the first wrong value and says so in TensorFlow
Serving's words. A test holds them to the same opinion.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from itertools import chain
from typing import Any

import ml_dtypes
import numpy as np

from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.rest.json.text import kind_of, shown
from hotgraph_server.tensors import STRING, Array, tensorflow_name

# numpy's, which knows bfloat16 too; it has no types.
_finfo: Any = ml_dtypes.finfo
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_BYTES_SUFFIX = "_bytes"
_B64 = "b64"
_BLANKS = b" \t\r\n\v\f"

# As many as numpy's arrays can have. TensorFlow knows 254.
_MAX_DIMENSIONS = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32


class Mismatch(Exception):
    """Something in a value is wrong; the slow way says what. Never leaves this package."""


def read_tensor(value: Any, dtype: np.dtype[Any]) -> Array:
    """One tensor.

    Raises:
        InvalidCall: it is ragged, or a value in it is not of that dtype.
        Unsupported: JSON has no form for that dtype.
    """
    try:
        return convert_tensor(value, dtype)
    except Mismatch:
        check_tensor(value, dtype)
        raise InvalidCall(f"JSON Value: {shown(value)} is no tensor of {_name(dtype)}") from None


def check_tensor(value: Any, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """The shape of a tensor, the slow way, for its errors.

    Raises:
        InvalidCall, Unsupported: as `read_tensor`.
    """
    shape = tuple(_shape(value))
    _check_level(value, dtype, shape, 0)
    return shape


def is_b64(value: Any) -> bool:
    """Is it bytes in base64?"""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_B64), str)


def read_b64(value: Any) -> bytes:
    """The bytes of ``{"b64": "..."}``. Blanks are passed over, and the padding may be missing.

    Raises:
        InvalidCall: it is not that, or no base64.
    """
    if not is_b64(value):
        raise InvalidCall(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    try:
        try:
            return base64.b64decode(value[_B64], validate=True)
        except binascii.Error:
            text = value[_B64].encode("ascii").translate(None, _BLANKS).rstrip(b"=")
            return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise InvalidCall("Unable to base64 decode") from error


def read_string(value: str) -> bytes:
    """A JSON string as the bytes of a tensor.

    Raises:
        InvalidCall: it holds half of a surrogate pair, which no UTF-8 has.
    """
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidCall(f"JSON Value: {shown(value)} is no valid Unicode") from error


def convert_tensor(value: Any, dtype: np.dtype[Any]) -> Array:
    """One tensor, the fast way.

    Raises:
        Mismatch: it is none; `check_tensor` says why.
        InvalidCall: a string in it is none, or no base64; or it has too many dimensions.
    """
    return _shaped(value, dtype, _shape(value))


def _shaped(value: Any, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Raises as `convert_tensor`, also where it has another shape."""
    level = [value]
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise Mismatch
        level = list(chain.from_iterable(level))
    return _values(level, dtype).reshape(shape)


def _shape(value: Any) -> list[int]:
    """By the first element of each list, as long as there is one. Raises InvalidCall: those are too many."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if len(shape) > _MAX_DIMENSIONS:
            raise InvalidCall(
                f"JSON Value: {shown(value)} has more dimensions than a tensor can have here:"
                f" {_MAX_DIMENSIONS}"
            )
        if not first:
            break
        first = first[0]
    return shape


def _values(values: list[Any], dtype: np.dtype[Any]) -> Array:
    """A vector. Raises Mismatch."""
    kinds = set(map(type, values))
    if dtype == STRING:
        return _strings(values, kinds)
    if dtype.kind == "b":
        _demand(kinds <= {bool})
    elif dtype.kind in "iu":
        _demand(kinds <= {int})
        if values:
            limits = np.iinfo(dtype)
            _demand(int(limits.min) <= min(values) and max(values) <= int(limits.max))
    elif dtype.kind == "f" or dtype == _BFLOAT16:
        return _floats(values, kinds, dtype)
    else:
        _demand(not values)
    return np.array(values, dtype)


def _floats(values: list[Any], kinds: set[type], dtype: np.dtype[Any]) -> Array:
    _demand(kinds <= {int, float})
    if int in kinds:
        whole = [value for value in values if type(value) is int] if len(kinds) > 1 else values
        _demand(max(max(whole), -min(whole)) <= _largest_whole(dtype))
    doubles = np.array(values, np.float64)
    if dtype == np.float64:
        return doubles
    with np.errstate(over="ignore"):
        rounded = doubles.astype(dtype)
    # Held against the largest before it is rounded, float32's own largest, 3.4028235e+38, would be too large.
    _demand(not (np.isinf(rounded) & ~np.isinf(doubles)).any())
    return rounded


def _strings(values: list[Any], kinds: set[type]) -> Array:
    array = np.empty(len(values), object)
    if kinds <= {str}:
        array[:] = [read_string(value) for value in values]
    else:
        _demand(kinds <= {str, dict})
        array[:] = [read_string(value) if isinstance(value, str) else read_b64(value) for value in values]
    return array


def _demand(holds: bool) -> None:
    if not holds:
        raise Mismatch


def _largest_whole(dtype: np.dtype[Any]) -> int:
    """Up to which a whole number in JSON is taken where a float is wanted.

    For float and double TensorFlow Serving's rule, the largest that has the mantissa's digits; of what is
    narrower, whose users expect values to be rounded, whatever is in range.
    """
    info = _finfo(dtype)
    # By way of a float: bfloat16 makes integers of 64 bits, and its largest is none.
    return int(2 ** (info.nmant + 1) - 1) if dtype.itemsize >= 4 else int(float(info.max))


def _check_level(value: Any, dtype: np.dtype[Any], shape: Sequence[int], level: int) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise InvalidCall(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM."
                f" Expected at level: {len(shape)}"
            )
        _check_value(value, dtype)
        return
    if level >= len(shape):
        raise InvalidCall(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise InvalidCall(
            f"Encountered list at unexpected size: {len(value)} at level: {level}"
            f" expected size: {shape[level]}"
        )
    _check_list(value, dtype, shape, level + 1)


def _check_list(values: Sequence[Any], dtype: np.dtype[Any], shape: Sequence[int], level: int) -> None:
    """Find the first wrong one by halves: value by value, a million of them would take seconds."""
    if len(values) == 1:
        # Dimension by dimension of size 1, all that is inside would be looked at as often.
        _check_level(values[0], dtype, shape, level)
        return
    try:
        _shaped(values, dtype, (len(values), *shape[level:]))
    except (Mismatch, InvalidCall):
        half = len(values) // 2
        _check_list(values[:half], dtype, shape, level)
        _check_list(values[half:], dtype, shape, level)


def _check_value(value: Any, dtype: np.dtype[Any]) -> None:
    if dtype.kind == "c":
        raise Unsupported(f"Conversion of JSON Value: {shown(value)} to type: {_name(dtype)}")
    if dtype == STRING and isinstance(value, dict):
        read_b64(value)
        return
    try:
        _values([value], dtype)
    except Mismatch:
        is_float = dtype.kind == "f" or dtype == _BFLOAT16
        if is_float and isinstance(value, (int, float)) and not isinstance(value, bool):
            raise InvalidCall(
                f"Cannot convert JSON value: {shown(value)} to {_name(dtype)} without loss of precision."
            ) from None
        raise InvalidCall(
            f"JSON Value: {shown(value)} Type: {kind_of(value)} is not of expected type: {_name(dtype)}"
        ) from None


def is_finite(array: Array) -> bool:
    """Has it neither NaN nor infinity?"""
    array = _widened(array)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _widened(array: Array) -> Array:
    # To what numpy has itself; exactly.
    return array.astype(np.float32) if array.dtype == _BFLOAT16 else array


def plain(alias: str, array: Array) -> Any:
    """An output as text.write takes it.

    Raises:
        InvalidCall: JSON has no form for its type.
    """
    array = _widened(array)
    if array.dtype.kind == "c":
        raise InvalidCall(f"Failed to write JSON value for tensor type: {_name(array.dtype)}")
    if array.dtype == STRING:
        values = np.empty(array.size, object)
        values[:] = [_text(one, alias.endswith(_BYTES_SUFFIX)) for one in array.ravel()]
        return values.reshape(array.shape).tolist()
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _text(value: Any, as_bytes: bool) -> Any:
    """A string of a tensor as JSON has it. TensorFlow's own results hold bytes; constants may hold str."""
    data = value.encode() if isinstance(value, str) else value
    if not as_bytes:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return {_B64: base64.b64encode(data).decode()}


def _name(dtype: np.dtype[Any]) -> str:
    return "half" if dtype == np.float16 else tensorflow_name(dtype)
