"""Which of a caller's headers go on with its call, and which of an answer's come back. Pure.

All but those that are about one connection or one message's form (RFC 9110, section 7.6.1; gRPC's own), for
both are made anew. Keys go on: the peer decides by them who may call.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

FORWARDED = "x-hotgraph-forwarded"
"""Says that a call has been sent on, and is not to be again."""

_OF_A_CONNECTION = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "host", "expect"),
    }
)
_OF_A_MESSAGE = frozenset({"content-length", "content-type", "user-agent"})
# Of the server that answers, and the one that its caller has asked is another.
_OF_A_SERVER = ("endpoint-load-metrics", "access-control-", "grpc-")
_BODY_AS_IT_IS = frozenset({"content-length", "content-encoding", "user-agent"})
_ANSWERS_OWN = frozenset({"content-length", "content-type", "date", "server"})

_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[ -~]*")
_TOKEN = re.compile(r"[0-9a-z!#$%&'*+.^_`|~-]+")
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")


def over_grpc(headers: Mapping[str, str]) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata that a call is sent on with.

    Args:
        headers: of the caller, names in lower case; binary values (-bin) in base64.
    """
    sent: list[tuple[str, str | bytes]] = []
    for name, value in headers.items():
        if name in _OF_A_CONNECTION or name in _OF_A_MESSAGE or not _goes_on(name):
            continue
        if not _NAME.fullmatch(name):
            continue
        if name.endswith("-bin"):
            binary = _decoded(value)
            if binary is not None:
                sent.append((name, binary))
        elif _VALUE.fullmatch(value):
            sent.append((name, value.strip()))
    return (*sent, (FORWARDED, "1"))


def over_http(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that a request is sent on with; its body is no longer compressed."""
    of_this_one = {name.strip() for name in headers.get("connection", "").lower().split(",")}
    sent = [
        (name, value)
        for name, value in headers.items()
        if name not in _OF_A_CONNECTION
        and name not in _BODY_AS_IT_IS
        and name not in of_this_one
        and _goes_on(name)
        and _TOKEN.fullmatch(name)
        and _FIELD_VALUE.fullmatch(value)
    ]
    return [*sent, (FORWARDED, "1")]


def of_answer(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a peer's answer that go back with it, names in lower case."""
    told = [(name.lower(), value) for name, value in headers]
    return [
        (name, value)
        for name, value in told
        if name not in _OF_A_CONNECTION and name not in _ANSWERS_OWN and not name.startswith(_OF_A_SERVER)
    ]


def _goes_on(name: str) -> bool:
    return not name.startswith((":", *_OF_A_SERVER)) and name != FORWARDED


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
