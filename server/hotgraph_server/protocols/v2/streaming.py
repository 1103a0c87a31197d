"""ModelStreamInfer: calls and answers on one stream, at any number of calls at once.

What a caller may rely on:

* Each request is a call of its own, read and queued as ModelInfer's are, so calls of one stream share
  batches with each other and with all others. They reach the queue in the order in which they came: behind
  one that waits for its model to be loaded the others wait here.
* Answers leave in the order of the requests, each as soon as it and all before it are there. With the
  answer goes the parameter ``triton_final_response``: it is the request's only one.
* What goes wrong with one request is told in the `error_message` of its answer, which has the request's id
  too, and the stream goes on. A caller who sends the header ``triton_grpc_error: true`` gets it as the
  stream's status instead: nothing is answered after it.
* A caller who leaves, or whose deadline passes, leaves all its calls; no other caller's are touched. A caller
  that says it will send no more gets the answers that are owed, and then the end.
* A server that stops waits for the calls that were taken, and tells later ones that it is stopping.

What bounds it: of one stream MAX_AT_WORK calls are in the queue, or wait for answers before them, at a
time. When there are so many the caller is held: the transport takes what is on its way and gives it no more
room. What came meanwhile waits here, MAX_WAITING messages at most, and then the stream ends with
RESOURCE_EXHAUSTED; what a transport takes from a caller who is held is some megabytes, so only messages
too small to be requests come to so many. Answers that the caller has not read count like calls at work, so
one who sends ahead and reads slowly is held too, until it has read all that there is.

Threads. Messages come in a thread of the transport's; outcomes in any. There is one lock per stream. It
guards what is known of the stream's calls, and nothing is done under it: one thread at a time starts calls,
one sends answers, and a thread that finds another at it leaves the rest to that one. A large message is
read in a thread that the transport has for that, which goes on starting calls from there.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping

from hotgraph_protos import open_inference as pb
from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, InternalError, StreamFull, forget_traceback
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.v2.door import OfRequest
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.transport.message_fields import Message, header
from hotgraph_server.transport.service import (
    LARGE_MESSAGE,
    Answered,
    HotMethod,
    StreamingMethod,
    StreamOfCalls,
    failing,
    joined,
)

_LOG = logging.getLogger(__name__)

MAX_AT_WORK = 256
"""Calls of one stream that are on their way at a time; enough for several of the largest batches."""

MAX_WAITING = 65536
"""Messages of one stream that wait for these."""

_ERRORS_AS_STATUS = "triton_grpc_error"

_RESPONSE = pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER

# Messages may be concatenated field by field, so this is put behind whatever the answer is.
_final = pb.ModelInferResponse()
_final.parameters["triton_final_response"].bool_param = True
_FINAL = _final.SerializeToString()


def methods(
    registry: Registry,
    regions: Regions | None = None,
    traced: Callable[[HotMethod, str], HotMethod] = lambda method, _: method,
) -> Mapping[str, StreamingMethod]:
    """ModelStreamInfer over a registry; without `regions` tensors may not lie in shared memory."""
    infer = traced(Infer(registry, regions, streamed=True), "ModelStreamInfer")
    opened = StreamingMethod(lambda stream: Conversation(infer, stream).receive, paced=True)
    return {"ModelStreamInfer": opened}


class Conversation:
    """One stream."""

    def __init__(self, infer: HotMethod, stream: StreamOfCalls) -> None:
        self._infer = infer
        self._stream = stream
        self._errors_as_status = stream.header(_ERRORS_AS_STATUS) == "true"
        self._lock = threading.Lock()  # guards what follows
        self._waiting: deque[Message] = deque()
        self._at_work: deque[_Part] = deque()  # in the order of their requests
        self._said_all = False  # the caller will send no more
        self._over = False  # nothing is sent any more
        self._held = False
        self._reads_behind = False  # when all answers have been read it goes on
        self._starting = False  # a thread starts calls
        self._sending = False  # a thread sends answers
        stream.when_gone(self._leave)

    def receive(self, message: Message | None) -> None:
        """Take a request; None: the caller will send no more.

        Raises:
            StreamFull: too many wait.
        """
        with self._lock:
            if self._over:
                return
            if message is None:
                self._said_all = True
            elif len(self._waiting) >= MAX_WAITING:
                raise StreamFull(MAX_WAITING)
            else:
                self._waiting.append(message)
        self._go_on()

    def _go_on(self) -> None:
        """Do all that can be done now. Any thread; also out of a call that this starts."""
        self._send_answers()
        self._start_calls()
        with self._lock:
            busy = self._waiting or self._at_work or self._sending or self._starting
            ended = self._said_all and not busy and not self._over
            self._over = self._over or ended
        if ended:
            self._stream.end()

    def _start_calls(self) -> None:
        with self._lock:
            if self._starting:
                return
            self._starting = True
        self._start_more()

    def _start_more(self) -> None:
        while (started := self._next_to_start()) is not None:
            part, message = started
            if len(message) > LARGE_MESSAGE:
                self._stream.aside(functools.partial(self._start_aside, part, message))
                return
            part.start(self._infer, message)
        with self._lock:
            asks = self._reads_behind and not self._over
        if asks:
            self._stream.when_read(self._caught_up)

    def _start_aside(self, part: _Part, message: Message) -> None:
        """Start the call of a large message, and those behind it, which must not overtake it."""
        part.start(self._infer, message)
        self._start_more()
        self._go_on()

    def _caught_up(self) -> None:
        with self._lock:
            self._reads_behind = False
        self._go_on()

    def _next_to_start(self) -> tuple[_Part, Message] | None:
        """None: there is none, and this thread has stopped starting."""
        with self._lock:
            unread = self._stream.unread
            full = len(self._at_work) + unread >= MAX_AT_WORK
            if self._over or not self._waiting or full or (self._at_work and self._at_work[-1].holds_up):
                self._starting = False
                self._reads_behind = unread > 0 and bool(self._waiting)
                if self._held is not bool(self._waiting) and not self._over:
                    self._held = not self._held
                    (self._stream.hold if self._held else self._stream.go_on)()
                return None
            # Under the lock: the thread that takes it out of the stream's calls knows whether to let go of
            # it.
            part = _Part(self._stream, self._go_on, self._stream.take())
            self._at_work.append(part)
            return part, self._waiting.popleft()

    def _send_answers(self) -> None:
        with self._lock:
            if self._sending:
                return
            self._sending = True
        while (part := self._next_to_send()) is not None:
            answer, error = part.answer()
            if error is not None and self._errors_as_status:
                self._end(error)
            else:
                self._stream.send(answer)
            part.let_go()

    def _next_to_send(self) -> _Part | None:
        """None: there is none, and this thread has stopped sending."""
        with self._lock:
            if self._over or not self._at_work or not self._at_work[0].finished:
                self._sending = False
                return None
            return self._at_work.popleft()

    def _end(self, error: CallError) -> None:
        with self._lock:
            over, self._over = self._over, True
        if not over:
            self._stream.end(error)
            self._leave()

    def _leave(self) -> None:
        """The caller waits for nothing any more."""
        with self._lock:
            self._over = True
            self._waiting.clear()
            left = list(self._at_work)
            self._at_work.clear()
        for part in left:
            part.leave()
            part.let_go()


class _Part:
    """One call of a stream, and the Reply that the method gets.

    Attributes:
        deadline: the stream has one for all its calls, which the transport looks after.
    """

    __slots__ = (
        *("_cancel", "_encode", "_forget_alarm", "_go_on", "_gone", "_left_by", "_refusal", "_stream"),
        *("_waits", "deadline"),
    )

    observer: ReplyObserver | None = None

    def __init__(self, stream: StreamOfCalls, go_on: Callable[[], None], refusal: CallError | None) -> None:
        self.deadline = math.inf
        self._stream = stream
        self._go_on = go_on
        self._refusal = refusal  # None: a stop of the server waits for it
        self._gone = False
        self._waits = False
        self._encode: Callable[[], Answered] | None = None
        self._cancel: Callable[[], object] | None = None
        self._left_by: Callable[[], object] | None = None  # for who is told of a failure
        self._forget_alarm: Callable[[], None] | None = None

    def start(self, infer: HotMethod, message: Message) -> None:
        """Read the message and queue its call; what goes wrong is its answer."""
        if self._gone:
            return
        try:
            if self._refusal is not None:
                raise self._refusal
            infer(message, self)
        except Exception as error:
            self.finish(failing(error))

    @property
    def peer(self) -> str:
        """See Reply."""
        return self._stream.peer

    def header(self, name: str) -> str | None:
        """See Reply."""
        return self._stream.header(name)

    @property
    def headers(self) -> Mapping[str, str]:
        """See Reply."""
        return self._stream.headers

    @property
    def finished(self) -> bool:
        """Is there an answer?"""
        return self._encode is not None

    @property
    def holds_up(self) -> bool:
        """Must those behind it wait, because it is not in the queue yet?"""
        return self._waits and not self.finished

    def held_up(self, waits: bool) -> None:
        """See Reply."""
        self._waits = waits
        if not waits:
            self._go_on()

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        self._encode = encode
        self._cancel = None
        self._take_alarm_back()
        self._go_on()

    def when_gone(self, cancel: Callable[[], object]) -> None:
        """See Reply."""
        self._cancel = self._left_by = cancel
        # Looked at after the note: if the end came between the two, one of the threads sees the other's.
        if self._gone:
            cancel()
        if self.finished:
            self._cancel = None

    def expire_at(self, deadline: float) -> None:
        """See Reply."""
        self._forget_alarm = self._stream.call_at(deadline, self._expire)
        if self.finished or self._gone:
            self._take_alarm_back()

    def leave(self) -> None:
        """Its caller has gone."""
        self._gone = True
        self._take_alarm_back()
        self._expire()

    def let_go(self) -> None:
        """It is over; once, by the thread that took it out of the stream's calls."""
        if self._refusal is None:
            self._stream.let_go()

    def answer(self) -> tuple[bytes, CallError | None]:
        """What is sent in answer, and what went wrong."""
        assert self._encode is not None
        left_by, self._left_by = self._left_by, None
        try:
            answer = joined(self._encode())
        except Exception as error:
            failure = error if isinstance(error, CallError) else _unexpected(error)
            text, request_id = str(failure), failure.request_id if isinstance(failure, OfRequest) else ""
            self._stream.failed(failure, left_by)
            forget_traceback(error)
            told = pb.ModelStreamInferResponse(error_message=text or type(failure).__name__)
            told.infer_response.id = request_id
            told.infer_response.MergeFromString(_FINAL)
            return told.SerializeToString(), failure
        return header(_RESPONSE, len(answer) + len(_FINAL)) + answer + _FINAL, None

    def _expire(self) -> None:
        cancel = self._cancel
        if cancel is not None:
            cancel()

    def _take_alarm_back(self) -> None:
        forget, self._forget_alarm = self._forget_alarm, None
        if forget is not None:
            forget()


def _unexpected(error: Exception) -> CallError:
    _LOG.error("unexpected error while answering a call of a stream", exc_info=error)
    return InternalError()
