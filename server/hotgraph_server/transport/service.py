"""The face between a protocol and the transport: bytes and a reply in, bytes or an error out.

A protocol is a Service: a name and its methods. Three kinds of method:

* hot (ModelInfer, Predict): gets the request's bytes and a Reply, returns at once, and finishes the
  reply when the answer is there, from whatever thread. Thousands of them may be open at a time.
* plain (metadata, status): a message in, a message out, quick.
* streaming (health's Watch, reflection): gets an OpenStream, messages one by one, and sends any number.

Each may raise CallError; the transport translates it. A protocol knows nothing of grpc's contexts,
and the transport nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.transport.message_fields import Message

Answered = bytes | bytearray | Sequence[memoryview]
"""An answer's bytes; if they are many, as pieces that need not be copied together."""


def joined(answer: Answered) -> bytes:
    """An answer's bytes as one."""
    return bytes(answer) if isinstance(answer, bytes | bytearray) else b"".join(answer)


Left = CallError | bool | None
"""What came of cancelling a call: the error that it has ended with; True: its outcome is still to come, and
the reply's caller shall have it; else nothing to be said."""


class Reply(Protocol):
    """Where the answer of one hot call goes.

    Attributes:
        deadline: monotonic seconds; infinite if the caller set none.
        peer: tells the connection that it came by from all others; in logs it is the caller's address.
        observer: follows the call that is made of it; None: it is not followed.
        held_up: of a call behind which others come in order, as on a stream: is told True before it waits for
            something else than its turn, and False when it has been taken, so that none overtakes it. None:
            nobody wants to know.
    """

    deadline: float

    @property
    def peer(self) -> str: ...

    @property
    def observer(self) -> ReplyObserver | None: ...

    @property
    def held_up(self) -> Callable[[bool], object] | None: ...

    def finish(self, encode: Callable[[], Answered]) -> None:
        """Send what `encode` returns, or the CallError that it raises.

        Any thread may call it, once. `encode` runs in a thread of the transport's choice, which may be
        this one, and that of any other call: it must take no lock. A thread that must not spend time on
        encoding lets another thread finish its replies (execution/finisher.py).
        """

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        """Call `cancel` when the caller cancels or its deadline passes, at once if that has happened.

        It runs in a thread of the transport's and must not wait. Two threads that see the end at the same
        instant may both call it.
        """

    def expire_at(self, deadline: float) -> None:
        """Let the call end at `deadline` (monotonic seconds) if its own does not come sooner. From the
        thread that the method was called in, before it returns."""

    def header(self, name: str) -> str | None:
        """What the caller's header of that name says, in lower case; None: there is none."""

    @property
    def headers(self) -> Mapping[str, str]:
        """All of them, names in lower case; of one that came twice the last, binary ones in base64."""


class Failure(NamedTuple):
    """A call that has ended with an error, as the transport knows it.

    Attributes:
        method: ``/SERVICE/METHOD``; over HTTP ``VERB /PATH``.
        peer: see Reply.
        error: that its caller is told.
        header: see Reply.
        leave: what `Reply.when_gone` was given, and by which a protocol knows its call; None: the call has
            not come so far.
    """

    method: str
    peer: str
    error: CallError
    header: Callable[[str], str | None]
    leave: Callable[[], Any] | None = None


Tell = Callable[[Failure], None]
"""Is told of each call that ends with an error, in the thread that tells its caller: it must neither wait nor
raise."""


Admit = Callable[[str, Callable[[str], str | None]], CallError | None]
"""Why a call may not be made, by its path (``/SERVICE/METHOD``) and what its headers say, by their names in
lower case; None: it may. Asked before the call's message is read, in the thread that serves: it must not
wait."""

LARGE_MESSAGE = 256 * 1024
"""Bytes. To read a larger one may take seconds, if it holds many strings, and is left to threads that keep
no other call waiting. A guess."""

HotMethod = Callable[[Any, Reply], None]
"""Called with a Message, which belongs to the method from then on: the transport neither changes nor keeps
it. A view of one large array is as good as a bytes object."""


def failing(error: Exception) -> Callable[[], bytes]:
    """What `Reply.finish` is given so that the call ends with an error."""

    def fail() -> bytes:
        raise error

    return fail


@dataclass(frozen=True)
class PlainMethod:
    """A method that is answered on the spot.

    Attributes:
        request: class of the request message.
        answer: makes the response message from a request; raises CallError.
        later: is called in its place, and may answer when it has returned; None: there is no such need.
    """

    request: Any
    answer: Callable[[Any], Any]
    later: HotMethod | None = None


def parsed(request: Any, message: Message) -> Any:
    """A message of the class `request` from its bytes.

    Raises:
        InvalidCall: they are none.
    """
    try:
        return request.FromString(message)
    except DecodeError as error:
        raise InvalidCall(f"the message is no {request.DESCRIPTOR.name}: {error}") from error


def answer_plain(method: PlainMethod, message: Message) -> bytes:
    """The answer of a plain method, from bytes to bytes.

    Raises:
        CallError: what the method raises; InvalidCall if the bytes are no request.
    """
    return bytes(method.answer(parsed(method.request, message)).SerializeToString())


def as_hot(method: PlainMethod) -> HotMethod:
    """A plain method in the form of a hot one, which answers before it returns unless it has `later`."""
    if method.later is not None:
        return method.later

    def answer(message: Message, reply: Reply) -> None:
        bytes_out = answer_plain(method, message)
        reply.finish(lambda: bytes_out)

    return answer


class OpenStream(Protocol):
    """A call of a streaming method. Any thread may call everything, with a lock of its own held if it likes;
    what is sent keeps its order."""

    def send(self, message: bytes) -> None:
        """Send a message; nothing happens if the caller has gone. Returns at once."""

    def end(self, error: CallError | None = None) -> None:
        """Send what is still to be sent, and then how the call ended; once."""

    def when_gone(self, cancel: Callable[[], None]) -> None:
        """See Reply."""


class StreamOfCalls(OpenStream, Protocol):
    """An open stream whose messages are calls of their own; every open stream can be one.

    Each is taken and let go of, so that a server that stops waits for them, and the caller can be held, so
    that no more of them come than are answered.
    """

    @property
    def peer(self) -> str:
        """See Reply."""

    def header(self, name: str) -> str | None:
        """See Reply."""

    @property
    def headers(self) -> Mapping[str, str]:
        """See Reply."""

    def failed(self, error: CallError, leave: Callable[[], Any] | None) -> None:
        """A call of it has ended with an error; see Failure."""

    def take(self) -> CallError | None:
        """A message has come that a stop of the server shall wait for. Returns why it is refused, or None; if
        it is not, `let_go` is called once when it has been answered."""

    def let_go(self) -> None:
        """What was taken is over."""

    @property
    def unread(self) -> int:
        """How much of what was sent waits for the caller to read, in messages or parts of them."""

    def when_read(self, act: Callable[[], None]) -> None:
        """Call `act` once when nothing of that waits any more, at once if nothing does. It may be called
        before this returns, so with no lock held, and must not wait. The one said last counts."""

    def aside(self, work: Callable[[], None]) -> None:
        """Do `work`, which may take long, in a thread of the transport's that keeps no other call waiting."""

    def hold(self) -> None:
        """Let the caller send no more than what is on its way. Messages may still come: some megabytes."""

    def go_on(self) -> None:
        """Take back `hold`."""

    def call_at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act` at `moment` (monotonic seconds), in a thread of the transport's; it must not wait.

        Returns what takes that back, for any thread.
        """


Receiver = Callable[[Any], None]
"""Takes a stream's messages one by one, and then None: the caller will send no more. Raises CallError."""


@dataclass(frozen=True)
class StreamingMethod:
    """A method with any number of messages either way.

    Attributes:
        open: called when a call begins; returns what takes its messages.
        one_request: its callers send one message only.
        paced: it answers no more than its caller reads. Callers of others who ask on and read nothing are
            refused.
    """

    open: Callable[[StreamOfCalls], Receiver]
    one_request: bool = False
    paced: bool = False


@dataclass(frozen=True)
class Service:
    """A gRPC service.

    Attributes:
        name: its full one.
        descriptor: its file's FileDescriptor, for reflection.
        early: the names of the methods that are answered before the server is open: those that tell how it
            is. The others are refused until then.
    """

    name: str
    descriptor: Any
    hot: Mapping[str, HotMethod] = field(default_factory=dict)
    plain: Mapping[str, PlainMethod] = field(default_factory=dict)
    streaming: Mapping[str, StreamingMethod] = field(default_factory=dict)
    early: Collection[str] = ()

    @property
    def late_paths(self) -> frozenset[str]:
        """The paths (``/SERVICE/METHOD``) of the methods that are answered only when the server is open."""
        methods = self.hot.keys() | self.plain.keys() | self.streaming.keys()
        return frozenset(f"/{self.name}/{method}" for method in methods - set(self.early))
