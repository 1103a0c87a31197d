"""Which fields may a request have? RFC 9113, section 8. Pure.

A request that breaks these rules is malformed: its stream is reset and no method hears of it (section 8.1.1).
What one server passes over, the next in line may read otherwise, and so calls have been smuggled past
proxies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Field = tuple[str, str]

# Lowercase, visible ASCII (section 8.2.1), and of that what is a token (RFC 9110, section 5.6.2).
_NAME = re.compile(r":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_IN_VALUES = re.compile("[\0\r\n]")
_BLANKS = (" ", "\t")

_PSEUDO = frozenset({":method", ":scheme", ":path", ":authority"})
# What HTTP/1.1 says of a connection has no place here (section 8.2.2).
_OF_CONNECTIONS = frozenset({"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"})


def field_fault(name: str, value: str) -> str:
    """Why there can be no such field in any block; empty: there can."""
    if not _NAME.fullmatch(name):
        return f"a field cannot be called {name[:50]!r}"
    if _FORBIDDEN_IN_VALUES.search(value):
        return f"the value of {name!r} holds a NUL or the end of a line"
    if value and (value[0] in _BLANKS or value[-1] in _BLANKS):
        return f"the value of {name!r} begins or ends with a blank"
    if name in _OF_CONNECTIONS:
        return f"{name!r} is a field of HTTP/1.1"
    if name == "te" and value != "trailers":
        return f"te can only be 'trailers', got {value[:50]!r}"
    return ""


def request_fault(fields: Sequence[Field]) -> str:
    """Why these, each of which can be a field, are no request (section 8.3); empty: they are one."""
    pseudo: dict[str, str] = {}
    last_pseudo = -1
    for index, (name, value) in enumerate(fields):
        if name[0] != ":":
            continue
        if name not in _PSEUDO:
            return f"no request has a {name!r}"
        if name in pseudo:
            return f"{name!r} comes twice"
        if index != last_pseudo + 1:
            return f"{name!r} comes behind other fields"
        pseudo[name], last_pseudo = value, index
    method = pseudo.get(":method", "")
    if not method:
        return "there is no ':method'"
    if method == "CONNECT":
        # It names a place and no resource (section 8.5).
        return "" if set(pseudo) == {":method", ":authority"} else "CONNECT has ':authority' and nothing else"
    if not pseudo.get(":scheme"):
        return "there is no ':scheme'"
    path = pseudo.get(":path", "")
    if not path.startswith("/") and not (method == "OPTIONS" and path == "*"):
        return f"':path' is no path: {path[:50]!r}"
    return _others_fault(fields, pseudo.get(":authority"))


def trailers_fault(fields: Sequence[Field]) -> str:
    """Why these, each of which can be a field, are no trailers (section 8.1); empty: they are."""
    for name, _ in fields:
        if name[0] == ":":
            return f"trailers have a {name!r}"
    return ""


def content_length(fields: Sequence[Field]) -> int | None:
    """What a request says it has of content, bytes; None: it does not say. Requires no fault."""
    for name, value in fields:
        if name == "content-length":
            return int(value)
    return None


def _others_fault(fields: Sequence[Field], authority: str | None) -> str:
    length = None
    for name, value in fields:
        if name == "content-length":
            # RFC 9110, section 8.6; Python takes other alphabets' digits.
            if not (value.isascii() and value.isdecimal() and len(value) <= 18):
                return f"content-length is no number of bytes: {value[:50]!r}"
            if length not in (None, value):
                return "content-length is said twice, and differently"
            length = value
        elif name == "host" and authority is not None and value.lower() != authority.lower():
            return "host and ':authority' differ"
    return ""
