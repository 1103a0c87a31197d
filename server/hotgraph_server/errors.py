"""Everything that goes wrong, by whose fault it is.

    HotgraphError
    ├── StartError                the server cannot start: one line says what and where
    │   ├── SettingsError         a flag, a file or a value in it
    │   ├── DeviceNotFound        TensorFlow has no such device
    │   └── LoadError             a model that cannot be loaded or fails its first run
    └── CallError                 one call ends without an answer; carries its gRPC status
        ├── InvalidCall           INVALID_ARGUMENT      the caller's: the request is wrong
        ├── NotFound              NOT_FOUND             the caller's: no such model or version
        ├── WrongSignature        FAILED_PRECONDITION   the caller's: the model has no such signature
        ├── Unsupported           UNIMPLEMENTED         the caller's: not in this protocol or server
        ├── DeadlineExceeded      DEADLINE_EXCEEDED     nobody's: time ran out
        ├── Cancelled             CANCELLED             nobody's: the caller left
        ├── QueueFull             RESOURCE_EXHAUSTED    the load's: worth another try later
        ├── NotReady              UNAVAILABLE           ours: the version is loading or leaving
        ├── Draining              UNAVAILABLE           ours: this server is going, another may answer
        ├── RunFailed             TensorFlow's own      the graph refused the input, or broke
        └── InternalError         INTERNAL              ours: a bug; logged whole, sent without details

Facts are fields, the text is made from them. Classes are translated to the wire in one place,
transport/status.py.
"""

from __future__ import annotations

from typing import ClassVar

import grpc


class HotgraphError(Exception):
    """Base of all; never raised itself."""


class StartError(HotgraphError):
    """The server cannot start. The text is the one line that the user sees."""


class SettingsError(StartError):
    """A flag or a settings file is wrong."""


class DeviceNotFound(StartError):
    """The device that was asked for does not exist here."""

    def __init__(self, wanted: str, present: list[str]) -> None:
        self.wanted = wanted
        self.present = present
        super().__init__(f"no device {wanted} on this machine; there is {', '.join(present)}")


class LoadError(StartError):
    """A model cannot be loaded, or cannot be run."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(f"{where}: {why}")


class CallError(HotgraphError):
    """A call ends without an answer.

    Attributes:
        status: what the caller gets as its gRPC status code.
        retry_after_ms: when another try makes sense, sent as ``grpc-retry-pushback-ms``; None where
            nothing is known.
    """

    status: grpc.StatusCode = grpc.StatusCode.INTERNAL
    retry_after_ms: int | None = None


class InvalidCall(CallError):
    """The request is wrong; the text names the field and the values."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(CallError):
    """No such model or version."""

    status = grpc.StatusCode.NOT_FOUND


class WrongSignature(CallError):
    """The model has no such signature, or it cannot be called."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class Unsupported(CallError):
    """The protocol or this server cannot do what was asked."""

    status = grpc.StatusCode.UNIMPLEMENTED


class DeadlineExceeded(CallError):
    """The caller's deadline passed before there was an answer; the call was not run, or in vain."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__("deadline passed before the call was answered")


class Cancelled(CallError):
    """The caller left."""

    status = grpc.StatusCode.CANCELLED

    def __init__(self) -> None:
        super().__init__("the caller cancelled the call")


class QueueFull(CallError):
    """Too many calls wait already.

    RESOURCE_EXHAUSTED and not UNAVAILABLE: a mesh's outlier detection ejects hosts that answer
    UNAVAILABLE, and a full queue is no reason to take the host away from its other callers.
    """

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    # A guess: several runs of a small model, one of a big one.
    retry_after_ms = 50

    def __init__(self, what: str, waiting: int, limit: int) -> None:
        self.what = what
        self.waiting = waiting
        self.limit = limit
        super().__init__(f"{what} is full: {waiting} calls wait, the limit is {limit}")


class NotReady(CallError):
    """The version is known, and does not answer now."""

    status = grpc.StatusCode.UNAVAILABLE


class Draining(CallError):
    """This server, or this version, no longer takes calls."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"Server is stopping: {what} takes no more calls")


class RunFailed(CallError):
    """TensorFlow refused the input, or failed.

    Attributes:
        code: TensorFlow's error code, which counts as gRPC's do.
    """

    _BY_CODE: ClassVar = {status.value[0]: status for status in grpc.StatusCode if status.value[0]}

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.status = self._BY_CODE.get(code, grpc.StatusCode.UNKNOWN)
        super().__init__(text)


class InternalError(CallError):
    """A bug of ours. What happened is in the log; the caller gets no details."""

    def __init__(self) -> None:
        super().__init__("internal error; the server's log has the details")


def forget_traceback(error: BaseException) -> None:
    """Cut an error that has been answered off from the frames it came through.

    A frame often holds the very error whose traceback holds the frame: a cycle, which keeps the request and
    its arrays alive until a collection, and that can be far off.
    """
    found: BaseException | None = error
    while found is not None:
        found.__traceback__ = None
        following = found.__cause__ or found.__context__
        found.__cause__ = found.__context__ = None
        found = following
