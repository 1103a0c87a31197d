"""grpc.health.v1 as bytes: what is asked, and what an answer says. Pure.

A request is the field 1, a text, an answer the field 1, a number
(https://github.com/grpc/grpc/blob/master/doc/health-checking.md): too little to need the package of messages
that servers have for it.
"""

from __future__ import annotations

CHECK = "/grpc.health.v1.Health/Check"
SERVING = "SERVING"

_STATUSES = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")
_TEXT_1, _NUMBER_1 = b"\x0a", 0x08


def request_of(name: str) -> bytes:
    """A HealthCheckRequest; an empty name stands for the server as a whole."""
    content = name.encode()
    return _TEXT_1 + _varint(len(content)) + content if content else b""


def status_of(answer: bytes) -> str:
    """What a HealthCheckResponse says: SERVING, NOT_SERVING, SERVICE_UNKNOWN or UNKNOWN.

    Raises:
        ValueError: it is none.
    """
    status, at = 0, 0
    while at < len(answer):
        # All numbers of statuses are one byte; what has other fields is no answer of this service.
        if answer[at] != _NUMBER_1 or at + 1 >= len(answer) or answer[at + 1] >= len(_STATUSES):
            raise ValueError(f"{answer[:20]!r} is no HealthCheckResponse")
        status, at = answer[at + 1], at + 2
    return _STATUSES[status]


def _varint(number: int) -> bytes:
    low = bytearray()
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*low, number))
