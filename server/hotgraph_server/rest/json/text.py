"""JSON's text to Python's values and back, with the numbers that TensorFlow Serving adds to it. Pure.

NaN, Infinity, Inf and their negatives are read as numbers and the first two are written: models give them,
and clients of TensorFlow Serving expect them. The standard library could do both, but takes three times
as long to read a large array and twenty times as long to write one, with the interpreter's lock
held for all of it; so it is left to texts and answers that have such numbers.

Reading takes time in proportion to the text, whatever is in it: both readers are libraries that bound how
deep values may lie in each other, and what respells numbers for the second one is a fixed number of passes
over the bytes. No regular expression may run over a body.

What is not UTF-8 is no JSON; bytes travel as base64.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from hotgraph_server.errors import InvalidCall

Text = bytes | bytearray | memoryview
"""UTF-8, wherever it lies."""

# What errors show of a value: enough to find it.
_MAX_SHOWN = 256

# Stand for an escaped backslash and an escaped quote while numbers are respelled: then every other quote
# begins or ends a string. JSON has no such bytes.
_BACKSLASH, _QUOTE = b"\0", b"\1"

# TensorFlow Serving's spellings to the standard library's, one after the other. A NaN has no sign worth
# keeping.
_SPELLINGS = ((b"-NaN", b"NaN"), (b"Infinity", b"Inf"), (b"Inf", b"Infinity"))

# A whole number beyond these is read as a float, as the fast reader does it.
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1


class NotJson(ValueError):
    """A text is none; each protocol has its own words for that.

    Attributes:
        why: in the reader's words.
        at: the place of the character that it stopped at.
    """

    def __init__(self, why: str, at: int) -> None:
        self.why = why
        self.at = at
        super().__init__(f"{why} at offset: {at}")


def parse(body: Text) -> Any:
    """What a text says, of whatever kind it is.

    Raises:
        NotJson: it is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _read_with_constants(body, error)


def read(body: Text) -> dict[str, Any]:
    """The object that a body is.

    Raises:
        InvalidCall: it is empty, no JSON, or no object.
    """
    if not body:
        raise InvalidCall("JSON Parse error: The document is empty.")
    try:
        value = parse(body)
    except NotJson as error:
        raise InvalidCall(f"JSON Parse error: {error}") from error
    if not isinstance(value, dict):
        raise InvalidCall(f"JSON Value: {shown(value)} Is not object")
    return value


def write(value: Any, *, finite: bool = True) -> bytes:
    """JSON of `value`, which may hold numpy's scalars and C-contiguous arrays of numbers.

    Floats have as few digits as their own width needs to be read back.

    Args:
        value: what to write.
        finite: does no float in it need NaN or Infinity? If that is wrong, null is written for them.
    """
    if finite:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(value, default=_of_numpy, ensure_ascii=False, separators=(",", ":")).encode()


def signature_name(request: Mapping[str, Any]) -> str:
    """The signature that a request names; empty: it names none.

    Raises:
        InvalidCall: what it names is no string.
    """
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidCall(
            f"JSON Value: {shown(request)} not formatted correctly. 'signature_name' key must be a string"
            " value."
        )
    return name


_SHOWING = json.JSONEncoder(indent=4, ensure_ascii=False)


def shown(value: Any) -> str:
    """A value of JSON's as errors show it; long ones are cut."""
    # Of a large value no more text is made than is shown; a long string would be written whole.
    if isinstance(value, str):
        value = value[:_MAX_SHOWN]
    text = ""
    try:
        for part in _SHOWING.iterencode(value):
            text += part
            if len(text) > _MAX_SHOWN:
                break
    except RecursionError:
        text = "(too deep)"
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def kind_of(value: Any) -> str:
    """What JSON calls the type of a value, in TensorFlow Serving's words."""
    if isinstance(value, bool):
        return str(value)
    return _KINDS[type(value)]


_KINDS = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def _read_with_constants(body: Text, error: orjson.JSONDecodeError) -> Any:
    """What the fast reader has refused, if it is JSON with NaN and its like."""
    refusal = NotJson(error.msg, error.pos)
    text = respelled(bytes(body))
    if text is None:
        raise refusal from error
    try:
        return json.loads(text.decode(), parse_int=_whole, parse_float=_float)
    except (ValueError, RecursionError) as second:
        raise refusal from second


def respelled(body: bytes) -> bytes | None:
    """The text with every NaN and infinity outside of strings as the standard library reads it; None: there
    is none, or it is no JSON."""
    if not (b"NaN" in body or b"Inf" in body) or _BACKSLASH in body or _QUOTE in body:
        return None
    parts = body.replace(rb"\\", _BACKSLASH).replace(rb"\"", _QUOTE).split(b'"')
    # Every second part is a string. The others have no quote in them, so they can be taken together.
    outside = b'"'.join(parts[::2])
    if not (b"NaN" in outside or b"Inf" in outside):
        return None
    for theirs, ours in _SPELLINGS:
        outside = outside.replace(theirs, ours)
    parts[::2] = outside.split(b'"')
    return b'"'.join(parts).replace(_QUOTE, rb"\"").replace(_BACKSLASH, rb"\\")


def _whole(text: str) -> int | float:
    # Python refuses to make integers of thousands of digits; a float tells how many there are.
    number = _float(text)
    if abs(number) > 2**65:
        return number
    exact = int(text)
    return exact if _LOWEST <= exact <= _HIGHEST else number


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number too big for a double")
    return number


def _of_numpy(value: Any) -> Any:
    """Numpy's arrays and scalars as Python's, floats by the digits of their own width."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f" or value.dtype == np.float64:
            return value.tolist()
        digits = np.empty(value.size, object)
        digits[:] = [float(str(one)) for one in value.ravel()]
        return digits.reshape(value.shape).tolist()
    return float(str(value)) if isinstance(value, np.floating) else value.item()
