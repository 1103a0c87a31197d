"""A tensor's values as JSON, both ways. Pure.

In: lists of any nesting are one row of values; what their shape is, the request says. Booleans are true and
false only, integers have no fraction and fit into their datatype, and floats of all widths are numbers: FP16
and BF16 too, which Triton refuses. A number that is beyond its float's range is refused. Strings are their
UTF-8, or ``{"b64": "..."}`` for any bytes.

NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity", as protobuf's JSON has them: so the
document stays JSON, and numpy and JavaScript make numbers of them. They are read without their quotes too,
as Triton and Python write them.

Out: one flat list, integers with all their digits, floats with as few as their own width needs (FP16 and BF16
those of the FP32 that they are exactly).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import orjson

from hotgraph_protos import tensors as wire
from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.json.tensors import is_b64, read_b64
from hotgraph_server.rest.v2 import members
from hotgraph_server.tensors import STRING, Array

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# numpy's finfo, which knows bfloat16 too; it has no types.
_finfo: Any = ml_dtypes.finfo
_LARGEST = {name: float(_finfo(wire.dtype_of(name)).max) for name in ("FP16", "BF16", "FP32")}

_SPELLED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

# Integers that 64 bits do not hold are read as floats.
_NOT_INTEGERS = 2.0**63

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Flat(NamedTuple):
    """Values that are not nested, and all their types."""

    values: list[Any]
    kinds: set[type]


def flat(data: Any, where: str) -> Flat:
    """The values of lists of any nesting, in their order.

    Raises:
        InvalidCall: it is no list.
    """
    level: list[Any] = members.of_kind(data, "data", "array", where)
    while (kinds := set(map(type, level))) == {list}:
        level = list(chain.from_iterable(level))
    # Level by level, what is nested unevenly would be gone through as often as it is deep.
    return flat_of(list(_leaves(level))) if list in kinds else Flat(level, kinds)


def flat_of(values: list[Any]) -> Flat:
    """Values that are known not to be nested."""
    return Flat(values, set(map(type, values)))


def _leaves(values: list[Any]) -> Iterator[Any]:
    open_lists = [iter(values)]
    while open_lists:
        for value in open_lists[-1]:
            if type(value) is list:
                open_lists.append(iter(value))
                break
            yield value
        else:
            open_lists.pop()


def read_values(given: Flat, datatype: str, where: str) -> Array:
    """A vector.

    Args:
        datatype: one of the protocol's.
        where: the path of its tensor, for errors.

    Raises:
        InvalidCall: a value is not of that datatype.
    """
    dtype = wire.dtype_of(datatype)
    values, kinds = given
    if dtype == STRING:
        return _strings(values, kinds, where)
    if dtype.kind == "b":
        if not kinds <= {bool}:
            raise _misfit(values, "boolean", where, bool)
    elif dtype.kind in "iu":
        _check_integers(values, kinds, datatype, where)
    else:
        return _floats(values, kinds, dtype, datatype, where)
    return np.array(values, dtype)


def _check_integers(values: list[Any], kinds: set[type], datatype: str, where: str) -> None:
    dtype = wire.dtype_of(datatype)
    if not kinds <= {int}:
        index = next(i for i, value in enumerate(values) if type(value) is not int)
        if type(values[index]) is float and abs(values[index]) >= _NOT_INTEGERS:
            raise _beyond(values[index], index, datatype, where)
        raise _misfit(values, "signed-integer" if dtype.kind == "i" else "unsigned-integer", where, int)
    limits = np.iinfo(dtype)
    lowest, highest = int(limits.min), int(limits.max)
    if values and (min(values) < lowest or max(values) > highest):
        index = next(i for i, value in enumerate(values) if not lowest <= value <= highest)
        raise _beyond(values[index], index, datatype, where)


def _floats(values: list[Any], kinds: set[type], dtype: np.dtype[Any], datatype: str, where: str) -> Array:
    if str in kinds:
        values = [_SPELLED.get(value, value) if type(value) is str else value for value in values]
        kinds = set(map(type, values))
    if not kinds <= {int, float}:
        raise _misfit(values, "double", where, int, float, said="number")
    doubles = np.array(values, np.float64)
    if dtype == np.float64:
        return doubles
    if np.abs(doubles).max(initial=0) <= _LARGEST[datatype]:
        return doubles.astype(dtype)
    # A NaN, or an infinity, or float32's own largest: that is 3.4028235e+38 in JSON, which is a little more.
    # So what is too large is seen when it has been rounded.
    with np.errstate(over="ignore"):
        rounded = doubles.astype(dtype)
    beyond = np.isinf(rounded) & ~np.isinf(doubles)
    if beyond.any():
        index = int(beyond.argmax())
        raise _beyond(values[index], index, datatype, where)
    return rounded


def _strings(values: list[Any], kinds: set[type], where: str) -> Array:
    array = np.empty(len(values), object)
    try:
        if kinds <= {str}:
            array[:] = [value.encode() for value in values]
            return array
        if not kinds <= {str, dict}:
            raise _not_strings(values, where)
        array[:] = [value.encode() if type(value) is str else _b64(value, where) for value in values]
    except UnicodeEncodeError as error:
        raise InvalidCall(
            f"Unable to parse JSON bytes array: half a surrogate pair is no text ({where}.data)"
        ) from error
    return array


def _b64(value: Any, where: str) -> bytes:
    if not is_b64(value):
        raise _not_strings([value], where)
    try:
        return read_b64(value)
    except InvalidCall as error:
        raise InvalidCall(
            f"Unable to parse JSON bytes array: {members.brief(value)} is no base64 ({where}.data)"
        ) from error


def _not_strings(values: list[Any], where: str) -> InvalidCall:
    wrong = next(value for value in values if type(value) is not str and not is_b64(value))
    return InvalidCall(
        "Unable to parse JSON bytes array: attempt to access JSON non-string as string "
        f'({where}.data has {members.brief(wrong)}; bytes are {{"b64": "..."}})'
    )


def _misfit(values: list[Any], kind: str, where: str, *right: type, said: str = "") -> InvalidCall:
    index = next(i for i, value in enumerate(values) if type(value) not in right)
    return InvalidCall(
        f"Unable to parse 'data': attempt to access JSON non-{said or kind} as {kind} "
        f"({where}.data has {members.brief(values[index])} at {index})"
    )


def _beyond(value: Any, index: int, datatype: str, where: str) -> InvalidCall:
    return InvalidCall(
        f"Unable to parse 'data': {members.brief(value)} is out of the range of {datatype} "
        f"({where}.data at {index})"
    )


def json_bytes_of(array: Array) -> int:
    """About how many bytes of JSON an array's values will be."""
    # A float32 has nine digits, a sign, a point and a comma; of strings it is a guess.
    return int(array.size * (2 + 2.5 * array.dtype.itemsize))


def written(name: str, array: Array) -> Any:
    """An output's values as orjson takes them (with OPT_SERIALIZE_NUMPY): in one dimension.

    Raises:
        InvalidCall: strings that are no UTF-8.
    """
    flat_array = np.ascontiguousarray(array).reshape(-1)
    if array.dtype == STRING:
        return _texts(name, flat_array)
    if array.dtype == _BFLOAT16 or array.dtype == np.float16:
        flat_array = flat_array.astype(np.float32)
    if flat_array.dtype.kind != "f" or np.isfinite(flat_array).all():
        return flat_array
    # orjson writes null for them, and the others with as few digits as their width needs.
    values = orjson.loads(orjson.dumps(flat_array, option=_NUMPY))
    for index in np.flatnonzero(~np.isfinite(flat_array)).tolist():
        value = flat_array[index]
        values[index] = "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return values


def _texts(name: str, values: Array) -> list[str]:
    try:
        # TensorFlow's own results hold bytes; constants may hold str.
        return [value if isinstance(value, str) else value.decode() for value in values.tolist()]
    except UnicodeDecodeError as error:
        raise InvalidCall(
            f"output '{name}' holds bytes that are no UTF-8, which JSON cannot carry: infer gives it "
            "with the parameter 'binary_data'"
        ) from error
