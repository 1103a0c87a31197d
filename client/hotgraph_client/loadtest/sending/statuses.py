"""What an error is called, and what the server said of it. Pure.

gRPC's numbers and what stands for them where there is none: statuses.md, http-grpc-status-mapping.md and
PROTOCOL-HTTP2.md of gRPC.
"""

from __future__ import annotations

import json
from urllib.parse import unquote_to_bytes

GOOD = ""
"""The status of an answer that is none of these."""

NO_ANSWER = "NO_ANSWER"
LATE = "LATE"
DISCONNECTED = "DISCONNECTED"
UNREACHABLE = "UNREACHABLE"

_MOST_TEXT = 500
_MOST_BODY = 200

_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_OF_HTTP = {
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    429: "UNAVAILABLE",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
_OF_RESETS = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}


def grpc_status(number: bytes) -> str:
    """The name of `grpc-status`; `GOOD` for OK."""
    if number == b"0":
        return GOOD
    if number.isdigit() and len(number) <= 2 and int(number) < len(_NAMES):
        return _NAMES[int(number)]
    return "UNKNOWN"


def of_http_status(status: bytes) -> str:
    """Where a gRPC call was answered by something that does not speak gRPC."""
    return _OF_HTTP.get(int(status), "UNKNOWN") if status.isdigit() else "UNKNOWN"


def of_reset(code: int) -> str:
    """Where the server gave up the stream, by HTTP/2's code."""
    return _OF_RESETS.get(code, "INTERNAL")


def grpc_text(message: bytes) -> str:
    """`grpc-message`, whose percent signs stand for bytes of UTF-8."""
    return unquote_to_bytes(message).decode(errors="replace")[:_MOST_TEXT]


def http_text(body: bytes) -> str:
    """What an HTTP error says: its field "error", or how its body begins."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and isinstance(told.get("error"), str):
        return str(told["error"])[:_MOST_TEXT]
    return body[: 4 * _MOST_BODY].decode(errors="replace")[:_MOST_BODY].strip()
