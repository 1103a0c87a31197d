"""Everything that goes wrong, by whose fault it is.

    HotgraphError
    ├── StartError                the server cannot start: one line says what and where
    │   ├── SettingsError         a flag, a file or a value in it
    │   ├── DeviceNotFound        TensorFlow has no such device
    │   ├── FleetError            a fleet, or a replica of it, that cannot do what it is asked for
    │   │   └── ReplicaGone       its server, or all of it, has ended meanwhile
    │   └── LoadError             a model that cannot be loaded or fails its first run
    └── CallError                 one call ends without an answer; carries its gRPC status
        ├── InvalidCall           INVALID_ARGUMENT      the caller's: the request is wrong
        ├── NotFound              NOT_FOUND             the caller's: no such model or version
        ├── WrongSignature        FAILED_PRECONDITION   the caller's: the model has no such signature
        ├── WrongMethod           INTERNAL              the caller's: the signature is for another method
        ├── Unsupported           UNIMPLEMENTED         the caller's: not in this protocol or server
        ├── AlreadyExists         ALREADY_EXISTS        the caller's: the name is taken
        ├── OverLimit             RESOURCE_EXHAUSTED    the caller's: more than the settings allow it to keep
        ├── RegionBroken          INTERNAL              the caller's: shared memory that cannot be used
        ├── DeadlineExceeded      DEADLINE_EXCEEDED     no one's: time ran out
        ├── Cancelled             CANCELLED             the caller's: it left
        ├── SequenceCut           CANCELLED             no one's: a call before it in its sequence was not run
        ├── ConfigError           INVALID_ARGUMENT      the caller's: models cannot be set up so
        │   └── LabelNotAvailable FAILED_PRECONDITION   a label for a version that is not live
        ├── NotAvailable          UNKNOWN               ours: models that did not become available
        ├── LoadFailed            INTERNAL              ours: a model that was asked for cannot be served
        ├── ControlOff            UNAVAILABLE           the caller's: no client may load or unload here
        ├── Unauthenticated       UNAUTHENTICATED       the caller's: no key, or none that is known
        ├── AccessDenied          PERMISSION_DENIED     the caller's: what it asks for is not open to it
        ├── PeerNotAllowed        PERMISSION_DENIED     the caller's: it is not who may call
        ├── ProtocolRestricted    UNAVAILABLE           the caller's: a header is missing, as Triton says it
        ├── ApiRestricted         PERMISSION_DENIED     the caller's: a header of HTTP is missing
        ├── Refused               RESOURCE_EXHAUSTED    the load's: worth another try later
        │   ├── QueueFull         RESOURCE_EXHAUSTED    too many wait
        │   ├── QueueSizeExceeded UNAVAILABLE           too many wait for a queue policy
        │   ├── QueueTimedOut     UNAVAILABLE           it has waited too long for a queue policy
        │   ├── WouldBeLate       RESOURCE_EXHAUSTED    the answer would come past the deadline
        │   ├── LoadTooLong       RESOURCE_EXHAUSTED    its model is not loaded, and would not be in time
        │   └── StreamFull        RESOURCE_EXHAUSTED    a stream's caller sends far more than it is answered
        ├── NotReady              UNAVAILABLE           ours: the version is loading or leaving
        │   ├── NotLoaded         UNAVAILABLE           the model is loaded when it is called: the call waits
        │   └── LoadFails         UNAVAILABLE           ours: the model could not be loaded a moment ago
        ├── TooLargeForMemory     FAILED_PRECONDITION   ours: the model needs more memory than there shall be
        ├── Draining              UNAVAILABLE           ours: this server is going, another may answer
        ├── NotDurable            INTERNAL              ours: a write has happened, a crash may undo it
        ├── RunFailed             TensorFlow's own      the graph refused the input, or broke
        └── InternalError         INTERNAL              ours: a bug; logged whole, sent without details

Facts are fields, the text is made from them. Classes are translated to the wire in one place,
transport/status.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import grpc


class HotgraphError(Exception):
    """Base of all; never raised itself."""


class StartError(HotgraphError):
    """The server cannot start. The text is the one line that the user sees."""


class SettingsError(StartError):
    """A flag or a settings file is wrong."""


class FleetError(StartError):
    """A fleet, or a replica of it, cannot do what it is asked for."""


class ReplicaGone(FleetError):
    """A replica, or its server, is not there, or has ended before it did what it was asked for."""


_NO_GPU = (
    " (TensorFlow finds a GPU only with its driver and CUDA's libraries, which pip install"
    " 'tensorflow[and-cuda]' brings; TF_CPP_MIN_LOG_LEVEL=0 shows what it misses)"
)


class DeviceNotFound(StartError):
    """The device that was asked for does not exist here."""

    def __init__(self, wanted: str, present: list[str]) -> None:
        self.wanted = wanted
        self.present = present
        no_gpu = "GPU" in wanted.upper() and not any("GPU" in device for device in present)
        super().__init__(
            f"no device {wanted} on this machine; there is {', '.join(present)}" + (_NO_GPU if no_gpu else "")
        )


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
        about: whose call it was, for the log: a model as the caller names it, a version's number (0: it has
            not come to one), a signature; None: not said.
    """

    status: grpc.StatusCode = grpc.StatusCode.INTERNAL
    retry_after_ms: int | None = None
    about: tuple[str, int, str] | None = None


class InvalidCall(CallError):
    """The request is wrong; the text names the field and the values."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(CallError):
    """No such model or version."""

    status = grpc.StatusCode.NOT_FOUND


class WrongSignature(CallError):
    """The model has no such signature, or it cannot be called."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class WrongMethod(CallError):
    """The signature was exported for another method; asked for by setting, with TensorFlow Serving's code."""

    status = grpc.StatusCode.INTERNAL


class Unsupported(CallError):
    """The protocol or this server cannot do what was asked."""

    status = grpc.StatusCode.UNIMPLEMENTED


class AlreadyExists(CallError):
    """There is something of that name."""

    status = grpc.StatusCode.ALREADY_EXISTS


class OverLimit(CallError):
    """More than the settings allow clients to leave here. It is not for load, so waiting does not help."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED


class RegionBroken(CallError):
    """Shared memory that cannot be opened, read or written, or is too small. The status is Triton's."""

    status = grpc.StatusCode.INTERNAL


class DeadlineExceeded(CallError):
    """The caller's deadline passed before there was an answer; the call was not run, or in vain."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self, note: str = "") -> None:
        super().__init__(f"deadline passed before the call was answered{note}")


class Cancelled(CallError):
    """The caller left."""

    status = grpc.StatusCode.CANCELLED

    def __init__(self, note: str = "") -> None:
        super().__init__(f"the caller cancelled the call{note}")


class SequenceCut(CallError):
    """A call before it in its sequence was given up and not run; the sequence has ended there."""

    status = grpc.StatusCode.CANCELLED

    def __init__(self, sequence_id: int | str) -> None:
        self.sequence_id = sequence_id
        super().__init__(
            f"sequence {sequence_id} has ended: one of its calls was cancelled, or too late, before its run"
        )


class Refused(CallError):
    """Not now: there is more load than this server can answer.

    RESOURCE_EXHAUSTED and not UNAVAILABLE, unless the settings say so: a mesh's outlier detection ejects
    hosts that answer UNAVAILABLE, and load is no reason to take the host away from its other callers.
    """

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    # A guess: several runs of a small model, one of a big one.
    retry_after_ms = 50

    _BY_SETTING: ClassVar = {
        "resource_exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "unavailable": grpc.StatusCode.UNAVAILABLE,
    }

    def refuse_with(self, setting: str) -> None:
        """Choose the status by its name in the settings."""
        self.status = self._BY_SETTING[setting]


class QueueFull(Refused):
    """Too much waits already: calls, rows or MiB."""

    def __init__(self, what: str, waiting: int, limit: int, unit: str = "calls") -> None:
        self.what = what
        self.waiting = waiting
        self.limit = limit
        self.unit = unit
        super().__init__(f"{what} is full: {waiting} {unit} wait, the limit is {limit}")


class QueueSizeExceeded(Refused):
    """As many calls of its level wait as its queue policy allows. Status and first words are Triton's."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, what: str, level: int, limit: int) -> None:
        self.what = what
        self.level = level
        self.limit = limit
        super().__init__(f"Exceeds maximum queue size: {what} has {limit} calls waiting at level {level}")


class QueueTimedOut(Refused):
    """The call has waited for its run as long as its queue policy allows, and was not run. Status and first
    words are Triton's.
    """

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, what: str, waited_s: float) -> None:
        self.what = what
        self.waited_s = waited_s
        super().__init__(f"Request timeout expired: waited {waited_s * 1000:.0f} ms in {what}")


class WouldBeLate(Refused):
    """By all that is known, the call would be answered past its deadline; nothing was done for it."""

    def __init__(self, what: str, late_by_s: float) -> None:
        self.what = what
        self.late_by_s = late_by_s
        # Then as much less waits, and a call with as much time as this one had is in time.
        self.retry_after_ms = max(1, math.ceil(late_by_s * 1000))
        super().__init__(f"{what} is busy: the answer would come {self.retry_after_ms} ms past the deadline")


class LoadTooLong(Refused):
    """The model has to be loaded first, and that takes longer than the call can wait. It is loaded all the
    same: another try later finds it.

    Args:
        expected_s: until it is loaded, by what is known; seconds.
        left_s: for as long the call could wait.
    """

    def __init__(self, model: str, expected_s: float, left_s: float) -> None:
        self.model = model
        self.expected_s = expected_s
        self.left_s = left_s
        self.retry_after_ms = max(1, math.ceil(expected_s * 1000))
        super().__init__(
            f"model '{model}' is not loaded; that takes about {expected_s:.1f} s, and the call can wait for"
            f" {left_s:.1f} s"
        )


class StreamFull(Refused):
    """A caller sends far more calls than it can get answers to."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit} requests of this stream wait")


class ConfigError(CallError):
    """A list of models that cannot be served as it is said; nothing was changed."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class LabelNotAvailable(ConfigError):
    """A label was asked for, for a version that is not live."""

    status = grpc.StatusCode.FAILED_PRECONDITION

    def __init__(self, label: str, number: int, model: str) -> None:
        self.label = label
        self.number = number
        self.model = model
        super().__init__(
            f"Request to assign label to version {number} of model {model},"
            " which is not currently available for inference"
        )


class NotAvailable(CallError):
    """Versions that were asked for could not be loaded. The status is TensorFlow Serving's."""

    status = grpc.StatusCode.UNKNOWN


class NotReady(CallError):
    """The version is known, and does not answer now."""

    status = grpc.StatusCode.UNAVAILABLE


class NotLoaded(NotReady):
    """The model is loaded when it is called. No caller hears of this where calls wait for that."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"model '{model}' is not loaded")


class LoadFails(NotReady):
    """The model could not be loaded when it was called. It is tried again after `again_in_s` seconds."""

    def __init__(self, model: str, why: str, again_in_s: float) -> None:
        self.model = model
        self.why = why
        self.retry_after_ms = max(1, math.ceil(again_in_s * 1000))
        super().__init__(f"model '{model}' cannot be loaded: {why}; not tried again for {again_in_s:.1f} s")


class TooLargeForMemory(CallError):
    """The model needs more memory than all models together may have, or than those leave that always stay.
    It is no use to try again."""

    status = grpc.StatusCode.FAILED_PRECONDITION

    def __init__(self, model: str, needs_bytes: int, limit_bytes: int, pinned_bytes: int = 0) -> None:
        self.model = model
        self.needs_bytes = needs_bytes
        self.limit_bytes = limit_bytes
        self.pinned_bytes = pinned_bytes
        pinned = f", of which pinned models hold {_mib(pinned_bytes)}" if pinned_bytes else ""
        super().__init__(
            f"model '{model}' needs {_mib(needs_bytes)} of memory, and all models may have"
            f" {_mib(limit_bytes)} (memory-mb){pinned}"
        )


LOADING = "the models are loading"
"""What callers of a server hear that is not open yet."""


class LoadFailed(CallError):
    """A model that a caller asked for cannot be served. Status and first words are Triton's."""

    status = grpc.StatusCode.INTERNAL

    def __init__(self, model: str, why: str) -> None:
        self.model = model
        self.why = why
        super().__init__(f"failed to load '{model}', {why}")


class ControlOff(CallError):
    """Callers may neither load nor unload. Status and words are Triton's, whatever the mode is."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("explicit model load / unload is not allowed if polling is enabled")


class Unauthenticated(CallError):
    """The group of methods has keys, and the caller gives none of this server's."""

    status = grpc.StatusCode.UNAUTHENTICATED

    def __init__(self, group: str, *, given: bool) -> None:
        self.group = group
        why = "the key that came is none of this server's" if given else "none came"
        super().__init__(f"methods of the group '{group}' need a key (authorization: Bearer KEY), and {why}")


class AccessDenied(CallError):
    """The group of methods is closed, or the caller's key is for other groups."""

    status = grpc.StatusCode.PERMISSION_DENIED

    def __init__(self, group: str, *, closed: bool) -> None:
        self.group = group
        super().__init__(
            f"the group '{group}' of methods is closed on this server"
            if closed
            else f"the key that came is for other groups of methods than '{group}'"
        )


class PeerNotAllowed(CallError):
    """The caller's certificate has no name that may call.

    Attributes:
        names: that it has.
    """

    status = grpc.StatusCode.PERMISSION_DENIED

    # It goes into a header; a certificate may have thousands.
    _SHOWN, _SHOWN_LENGTH = 3, 120

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        shown = [ascii(name[: self._SHOWN_LENGTH]) for name in names[: self._SHOWN]]
        shown += [f"{len(names) - self._SHOWN} more"] if len(names) > self._SHOWN else []
        whose = f"of {', '.join(shown)}" if shown else "of a certificate without a SPIFFE ID or DNS name"
        super().__init__(f"this server takes no calls {whose}: tls-allow does not name it")


class ProtocolRestricted(CallError):
    """A header is missing or wrong. Status and words are Triton's."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, header: str) -> None:
        self.header = header
        super().__init__(f"This protocol is restricted, expecting header '{header}'")


class ApiRestricted(CallError):
    """A header of HTTP is missing or wrong. The words are Triton's, and so is the status it becomes."""

    status = grpc.StatusCode.PERMISSION_DENIED

    def __init__(self, header: str) -> None:
        self.header = header
        super().__init__(f"This API is restricted, expecting header '{header}'")


class Draining(CallError):
    """This server, or this version, no longer takes calls."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"Server is stopping: {what} takes no more calls")


NOT_RUN = "; it was not run, and has changed nothing"
"""What an error of a call that would have changed state says besides."""


class NotDurable(CallError):
    """A call has changed state, but what it has changed could not be written to disk as was promised.

    Not UNAVAILABLE: a caller that tries again changes the state a second time.
    """

    status = grpc.StatusCode.INTERNAL

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        self.why = why
        super().__init__(f"{what}: the write has happened, but it could not be saved: {why}")


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


def _mib(nbytes: int) -> str:
    return f"{math.ceil(nbytes / 2**20)} MiB"


def first_line(error: BaseException | str) -> str:
    """What an error says, for one line of a log or a reason: what follows it in TensorFlow's texts is the
    node and its traceback."""
    return str(error).partition("\n")[0]


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
