"""As much of HTTP/1.1 as the admin port speaks: one request a connection, without a body. Pure.

Every response closes its connection. A scrape each ten seconds gains nothing from keeping one open, and
a server that never waits for a second request has no pipelining, no smuggling and no idle clients to
think about (RFC 9112, section 9.6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

# RFC 9110, section 5.6.2; the target is whatever has no blank.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) (\S+) HTTP/1\.[0-9]")
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*(.*?)[ \t]*")


class BadRequest(Exception):
    """Not HTTP/1; the text says what is wrong with it."""


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        path: decoded, without the query.
        headers: by name in lower case; what comes more than once is a list with commas (RFC 9110, 5.3).
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def accept(self) -> str:
        """The media types that the client takes, as it says it; empty: it does not say."""
        return self.headers.get("accept", "")


@dataclass(frozen=True)
class Response:
    """What is answered; `headers` are those besides length, type and connection."""

    status: HTTPStatus
    body: bytes
    kind: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


def text(status: HTTPStatus, line: str) -> Response:
    """A response of one line."""
    return Response(status, f"{line}\n".encode())


def read_request(head: bytes) -> Request:
    """The request that a head is, up to and with its empty line.

    Raises:
        BadRequest: it is none.
    """
    try:
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        line = _REQUEST_LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(one) for one in lines]
        if line is None or not all(fields):
            raise BadRequest("not HTTP/1.1")
        method, target = line.groups()
        headers: dict[str, str] = {}
        for one in fields:
            assert one is not None
            name, value = one[1].lower(), one[2]
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Request(method, unquote(urlsplit(target).path), headers)
    except ValueError as error:
        # What urlsplit thinks of a target such as //[.
        raise BadRequest(f"bad target: {error}") from error


def write_response(response: Response, *, with_body: bool = True) -> bytes:
    """The response as sent; HEAD gets it without the body, and with the body's length."""
    headers = {
        "Content-Type": response.kind,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **response.headers,
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {response.status.value} {response.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + response.body if with_body else head
