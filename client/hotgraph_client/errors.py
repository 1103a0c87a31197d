"""What can go wrong in a call, by what the caller can do about it.

    HotgraphError
    ├── InvalidCall     the call is wrong: change it (also raised here, before anything is sent)
    ├── NotFound        the server has no such model, version or signature: change the name
    ├── AccessDenied    the server does not let this client in: change credentials
    ├── TooLate         no answer within timeout_s: allow more time, or ask for less
    ├── Busy            refused for load: slow down, `pushback_ms` says for how long
    ├── Unreachable     no server there, or it is draining: try again later, or elsewhere
    ├── Cancelled       the call was given up on this side, or the client was closed
    └── ServerFault     the server or its model failed: report it to those who run it

Bad settings (an address without a port, a key without its certificate) are no calls: the constructors
raise ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

_PUSHBACK = "grpc-retry-pushback-ms"


class HotgraphError(Exception):
    """Base of all errors of a call. The text is made from the fields.

    Attributes:
        details: what happened, in the words of whoever noticed it.
        code: the gRPC status of the answer; None where nothing was sent.
        address: the server as the client was given it; empty where none was asked.
        model: the model of the call, empty if it was about none.
    """

    def __init__(
        self, details: str, *, code: grpc.StatusCode | None = None, address: str = "", model: str = ""
    ) -> None:
        # the only positional argument: pickle makes the error anew from it and restores the fields
        super().__init__(details)
        self.details = details
        self.code = code
        self.address = address
        self.model = model

    def __str__(self) -> str:
        where = " ".join(
            part
            for part in (
                self.code.name if self.code else "",
                f"for model '{self.model}'" if self.model else "",
                f"at {self.address}" if self.address else "",
            )
            if part
        )
        return f"{self.details} ({where})" if where else self.details


class InvalidCall(HotgraphError):
    """The call is wrong and would fail again: INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE,
    UNIMPLEMENTED, ALREADY_EXISTS, or found out here before anything was sent."""


class NotFound(HotgraphError):
    """NOT_FOUND: no model, version or signature of this name."""


class AccessDenied(HotgraphError):
    """UNAUTHENTICATED or PERMISSION_DENIED."""


class TooLate(HotgraphError):
    """DEADLINE_EXCEEDED: there was no answer within the time allowed."""


class Busy(HotgraphError):
    """RESOURCE_EXHAUSTED: refused for load; the client does not retry it on its own.

    Attributes:
        pushback_ms: how long the server asks us to stay away, None where it does not say.
    """

    pushback_ms: int | None = None


class Unreachable(HotgraphError):
    """UNAVAILABLE, after the client's retries: no connection, or a server about to leave.

    Attributes:
        pushback_ms: how long the server asks us to stay away, None where it does not say.
    """

    pushback_ms: int | None = None


class Cancelled(HotgraphError):
    """CANCELLED: given up before the answer came."""


class ServerFault(HotgraphError):
    """INTERNAL, UNKNOWN, DATA_LOSS, ABORTED, or an answer that makes no sense."""


_CLASSES: dict[grpc.StatusCode, type[HotgraphError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidCall,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidCall,
    grpc.StatusCode.OUT_OF_RANGE: InvalidCall,
    grpc.StatusCode.UNIMPLEMENTED: InvalidCall,
    grpc.StatusCode.ALREADY_EXISTS: InvalidCall,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.DEADLINE_EXCEEDED: TooLate,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Busy,
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.INTERNAL: ServerFault,
    grpc.StatusCode.UNKNOWN: ServerFault,
    grpc.StatusCode.DATA_LOSS: ServerFault,
    grpc.StatusCode.ABORTED: ServerFault,
}


def from_status(
    code: grpc.StatusCode,
    details: str | None,
    trailers: Iterable[Any] | None,
    *,
    address: str,
    model: str,
) -> HotgraphError:
    """The error for a call that ended with `code`, ready to be raised."""
    error = _CLASSES.get(code, ServerFault)(
        details or f"the server gave no reason for {code.name}", code=code, address=address, model=model
    )
    if isinstance(error, (Busy, Unreachable)):
        error.pushback_ms = _pushback_ms(trailers or ())
    return error


def _pushback_ms(trailers: Iterable[Any]) -> int | None:
    for key, value in trailers:
        if key == _PUSHBACK:
            text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
            # a negative number, or none at all, means "do not retry" and gives no time
            return int(text) if text.isdecimal() else None
    return None
