"""Members of JSON's objects, each of the kind that it has to be, and errors in Triton's words. Pure.

An error names the member, where it lies, and what is there. Triton's texts come first, because clients look
for them; what follows in brackets is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.json.text import NotJson, parse, shown

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "array": (list,),
    "boolean": (bool,),
    "unsigned-integer": (int,),
    "object": (dict,),
}


def read_object(text: bytes, first: str = "", hint: str = "") -> dict[str, Any]:
    """The object that a text is.

    Args:
        text: JSON; a byte order mark before it is passed over.
        first: the member that Triton looks for first, and misses in what is no object; empty: none of them
            has to be there.
        hint: put behind the error of what is no JSON.

    Raises:
        InvalidCall: it is none.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        text = text[len(_BYTE_ORDER_MARK) :]
    try:
        found = parse(text)
    except NotJson as error:
        raise InvalidCall(
            f"failed to parse the request JSON buffer: {error.why} at {error.at}{hint}"
        ) from error
    if not isinstance(found, dict) and not first:
        raise InvalidCall(
            "failed to parse the request JSON buffer: attempt to get members for non-object"
            f" (the body is {brief(found)})"
        )
    if not isinstance(found, dict):
        raise absent(first, f"the body is {brief(found)}")
    return found


def member(parent: Mapping[str, Any], name: str, kind: str, where: str = "") -> Any:
    """A member that has to be there.

    Args:
        kind: in Triton's words, one of those that this module knows.
        where: the path of `parent`, for errors.

    Raises:
        InvalidCall: it is not there, or of another kind.
    """
    if name not in parent:
        raise absent(name, f"of {where}" if where else "of the body")
    return of_kind(parent[name], name, kind, where)


def optional(parent: Mapping[str, Any], name: str, kind: str, default: Any, where: str = "") -> Any:
    """A member that may be missing. Raises as `member`."""
    return of_kind(parent[name], name, kind, where) if name in parent else default


def of_kind(value: Any, name: str, kind: str, where: str = "") -> Any:
    """A value of that kind. Raises InvalidCall: it is of another."""
    if type(value) not in _KINDS[kind] or (kind == "unsigned-integer" and value < 0):
        raise wrong(name, kind, value, f"{where}.{name}" if where else name)
    if kind == "string":
        check_unicode(value, name)
    return value


def check_unicode(text: str, name: str) -> None:
    """
    Raises:
        InvalidCall: it holds half of a surrogate pair, which no message can carry.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidCall(f"Unable to parse '{name}': {brief(text)} is no valid Unicode") from error


def absent(name: str, where: str) -> InvalidCall:
    """What is said of a member that is not there."""
    return InvalidCall(
        f"Unable to parse '{name}': attempt to access non-existing object member '{name}' ({where})"
    )


def wrong(name: str, kind: str, value: Any, where: str, verb: str = "parse") -> InvalidCall:
    """What is said of a value that is of another kind."""
    return InvalidCall(
        f"Unable to {verb} '{name}': attempt to access JSON non-{kind} as {kind} ({where} is {brief(value)})"
    )


def brief(value: Any) -> str:
    """A value in one short line, in which half a surrogate pair has a form that can be sent."""
    return " ".join(shown(value).encode("utf-8", "backslashreplace").decode().split())
