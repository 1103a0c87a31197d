"""Errors as HTTP says them: TensorFlow Serving's code for each, and the text as JSON. Pure."""

from __future__ import annotations

import grpc

from hotgraph_server.errors import CallError
from hotgraph_server.rest.json.text import write
from hotgraph_server.transport.http import HttpError

_Code = grpc.StatusCode

CLIENT_CLOSED_REQUEST = 499

HTTP = {
    _Code.INVALID_ARGUMENT: 400,
    _Code.FAILED_PRECONDITION: 400,
    _Code.OUT_OF_RANGE: 400,
    _Code.UNAUTHENTICATED: 401,
    _Code.PERMISSION_DENIED: 403,
    _Code.NOT_FOUND: 404,
    _Code.ALREADY_EXISTS: 409,
    _Code.ABORTED: 409,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.CANCELLED: CLIENT_CLOSED_REQUEST,
    _Code.UNKNOWN: 500,
    _Code.INTERNAL: 500,
    _Code.DATA_LOSS: 500,
    _Code.UNIMPLEMENTED: 501,
    _Code.UNAVAILABLE: 503,
    _Code.DEADLINE_EXCEEDED: 504,
}
"""By gRPC's status codes."""


def http_code(error: CallError) -> int:
    """The HTTP status of an error."""
    return error.http_status if isinstance(error, HttpError) else HTTP[error.status]


def error_body(text: str) -> bytes:
    """What is sent with it."""
    # An error can quote half a surrogate pair, which no UTF-8 has.
    return write({"error": text.encode("utf-8", "replace").decode()})
