"""Small JSON bodies, and what is wrong with them in Triton's words. Pure.

They are objects; where a request needs nothing said, an empty body is an empty one. Members that nobody knows
are the business of whoever reads the rest.
"""

from __future__ import annotations

from typing import Any

import orjson

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.json.text import shown
from hotgraph_server.transport.message_fields import Message

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_UNSIGNED = 2**64 - 1


def read_object(body: Message, *, needed: bool = False) -> dict[str, Any]:
    """The object that a body is.

    Args:
        needed: is an empty body refused?

    Raises:
        InvalidCall: it is no JSON, or no object.
    """
    text = memoryview(body)
    if text[:3] == _BYTE_ORDER_MARK:
        text = text[3:]
    if not text and not needed:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        why = "The document is empty." if not text else f"{error.msg}."
        raise InvalidCall(f"failed to parse the request JSON buffer: {why} at {error.pos}") from error
    if not isinstance(value, dict):
        raise InvalidCall(
            f"failed to parse the request JSON buffer: attempt to get members for non-object: {shown(value)}"
        )
    return value


def string(field: str, value: Any) -> str:
    """Raises InvalidCall: the field's value is no string."""
    if not isinstance(value, str):
        raise wrong_type(field, "string")
    return value


def boolean(field: str, value: Any) -> bool:
    """Raises InvalidCall: the field's value is neither true nor false."""
    if not isinstance(value, bool):
        raise wrong_type(field, "boolean")
    return value


def members(field: str, value: Any) -> dict[str, Any]:
    """Raises InvalidCall: the field's value is no object."""
    if not isinstance(value, dict):
        raise wrong_type(field, "object")
    return value


def unsigned(field: str, value: Any) -> int:
    """Raises InvalidCall: the field's value is no whole number of 0 to 2^64 - 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_UNSIGNED:
        raise wrong_type(field, "unsigned-integer")
    return value


def wrong_type(field: str, wanted: str) -> InvalidCall:
    """The error of a value that is no `wanted`."""
    return InvalidCall(f"Unable to parse '{field[:100]}': attempt to access JSON non-{wanted} as {wanted}")
