"""Errors as the Open Inference Protocol says them over HTTP: a status, and ``{"error": "TEXT"}``. Pure.

The statuses are those of /v1 but for what Triton's clients know otherwise. Triton itself says 400 for all of
what it has no status for; a caller can do more with one that says whose fault it is, and when to come again:

    RESOURCE_EXHAUSTED 429 with Retry-After, DEADLINE_EXCEEDED 504, CANCELLED 499, UNAUTHENTICATED 401 with
    WWW-Authenticate, PERMISSION_DENIED 403 (Triton's of a restricted API), UNKNOWN and DATA_LOSS 500

Long texts are cut as gRPC's are: one can name all that a request of megabytes asked for.
"""

from __future__ import annotations

import math

import grpc

from hotgraph_server.errors import CallError, Unauthenticated
from hotgraph_server.rest.codes import HTTP, error_body
from hotgraph_server.transport.http import Content, HttpError
from hotgraph_server.transport.status import details_of

_STATUS = {
    **HTTP,
    grpc.StatusCode.ALREADY_EXISTS: 400,
    grpc.StatusCode.ABORTED: 400,
}


def error_content(error: CallError) -> Content:
    """The answer that an error is."""
    if isinstance(error, HttpError):
        return Content([error_body(details_of(error))], status=error.http_status, headers=error.headers)
    headers = []
    if isinstance(error, Unauthenticated):
        headers.append(("www-authenticate", "Bearer"))
    if error.retry_after_ms is not None:
        # Whole seconds are all that the header has; 0 would be now.
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_ms / 1000)))))
    return Content([error_body(details_of(error))], status=_STATUS[error.status], headers=headers)
