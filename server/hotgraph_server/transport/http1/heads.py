"""The heads of answers, as bytes. Pure."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}

# What may not stand in a header's value: a line's end in it would begin another header.
_PLAIN = {code: None for code in (*range(32), 127)}


@functools.lru_cache(maxsize=256)
def _beginning(status: int, kind: str) -> bytes:
    head = f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}\r\n"
    if kind:
        head += f"content-type: {kind}\r\n"
    return head.encode("latin-1") + b"content-length: "


def head(
    status: int, kind: str, nbytes: int, headers: Sequence[tuple[str, str]] = (), *, closes: bool = False
) -> bytes:
    """The head of an answer.

    Args:
        kind: its media type; empty: nothing is said of it.
        nbytes: of its body.
        headers: further ones.
        closes: the connection is closed behind it.
    """
    end = b"connection: close\r\n\r\n" if closes else b"\r\n"
    return b"%b%d\r\n%b%b" % (_beginning(status, kind), nbytes, _lines(tuple(headers)), end)


@functools.lru_cache(maxsize=256)
def _lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    text = "".join(f"{name}: {value.translate(_PLAIN)}\r\n" for name, value in headers)
    return text.encode("latin-1", "replace")
