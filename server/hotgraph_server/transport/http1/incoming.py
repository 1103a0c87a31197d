"""A request as it comes: where it leads, its body, and the step in which that becomes a call.

A request is done in steps, each where it keeps no other call waiting: what is small in the thread that
serves, what is larger in a thread of its own, and what is mostly JSON, and much of it, where the API says
(`Api.apart`): while Python reads JSON it holds the interpreter's lock, and every call waits.

    take        bytes of the body, as they come                     the thread that serves
    begin       it is complete, and what came before it is answered
      unpack    it is compressed                                    aside
      hand in   the endpoint makes a call of it, or an answer       by its size

What comes then is in exchange.py.

Threads. `take`, `begin` and what else has no other note require the server's connections_lock
(sockets/server.py).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from hotgraph_server.errors import CallError
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http import Api, Content, Endpoint, HttpError, Request
from hotgraph_server.transport.http1 import codings
from hotgraph_server.transport.http2.admission import Admission
from hotgraph_server.transport.inflight import Inflight, TooMuchInside
from hotgraph_server.transport.leaving import Leaving
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import LARGE_MESSAGE, Answered, Left, Tell, failing
from hotgraph_server.transport.status import as_call_error

# The JSON of as many bytes is read in a tenth of a millisecond, which a thread costs as well.
LARGE_JSON_BYTES = 16 * 1024
# Three milliseconds of the interpreter; sending it to another process and back takes one.
_VERY_LARGE_JSON_BYTES = 256 * 1024

SWALLOWED_BYTES = 2**20
"""So much of a body that nobody wants is read, for the connection to go on; behind more it is closed."""


@dataclass(frozen=True)
class Http:
    """What a server of sockets needs for HTTP.

    Attributes:
        api: all that is answered.
        aside: has work done in threads that keep no call waiting.
        answer_s: for an answer, from when its request was complete, seconds; infinite: no limit.
        body_s: for a body to come, seconds; infinite: no limit.
    """

    api: Api
    aside: Callable[[Callable[[], None]], object]
    answer_s: float = math.inf
    body_s: float = math.inf


class Host(Protocol):
    """The server, as its exchanges see it; see http2/call.py. `in_order`: it has as long as all that are
    noted so."""

    admission: Admission
    inflight: Inflight
    arrived_at: float
    sends_at: float
    tell: Tell | None

    def post(self, call: Any) -> None: ...

    def expire_later(self, call: Any | Alarm, *, in_order: bool = False) -> None: ...


class Connected(Protocol):
    """The connection, as its exchanges see it (connection.py).

    Attributes:
        peer: ``HOST:PORT`` of the caller.
        held_bytes: of its exchanges; see inflight.Inflight.
        refusal: what all its requests are refused with; None: they are taken.
    """

    peer: str
    held_bytes: int
    refusal: CallError | None

    def answer(self, exchange: Any, content: Content, coding: str) -> None:
        """Send the answer of the first exchange that has none; it is over then."""

    def give_up(self, exchange: Any) -> None:
        """An exchange is to be answered before its body has come, and nothing behind it is read."""

    def end(self) -> None:
        """Nothing more is said: the connection is closed, and whoever still waits is lost."""


class Incoming(Leaving):
    """The half of an Exchange that is a request. Constructor and slots are the Exchange's.

    Attributes:
        request: what stood before the body.
        complete: the body has come, or nobody waits for it.
        begun: its turn has come.
        deadline: for the body to come and then for the answer, monotonic seconds.
        held_bytes: of its body and its answer; see inflight.Inflight.
    """

    __slots__ = tuple[str, ...]()

    request: Request
    complete: bool
    begun: bool
    deadline: float
    held_bytes: int
    peer: str
    _announced: int  # bytes that the body will have; 0: that is not known
    _body: Message
    _coding: str  # that it is compressed in
    _connection: Connected
    _endpoint: Endpoint | None
    _error: CallError | None  # what it is refused with, known before its turn has come
    _host: Host
    _http: Http
    _swallowed: int
    _take_back: Callable[[], object] | None  # of a step that waits elsewhere
    _taken: bool  # counted among those that are owed an answer

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        raise NotImplementedError

    def _fail(self, error: BaseException, leave: Callable[[], Left] | None = None) -> None:
        """Answer with an error."""
        raise NotImplementedError

    def enter(self) -> None:
        """Its head has come: where does it lead?"""
        if self._connection.refusal is not None:
            self.refuse(self._connection.refusal)
            return
        try:
            endpoint = self._http.api.endpoint(self.request)
            if encoding := self.request.headers.get("content-encoding"):
                self._coding = codings.known(encoding)
        except ValueError as unknown:
            self.refuse(HttpError(415, str(unknown), [("accept-encoding", "gzip, deflate")]))
        except Exception as error:
            self.refuse(as_call_error(error))
        else:
            self._endpoint = endpoint

    @property
    def refused(self) -> bool:
        """Is what still comes of its body of no use?"""
        return self._error is not None

    def refuse(self, error: CallError, *, at_once: bool = False) -> None:
        """Whatever comes of its body is dropped. `at_once`: it is not waited for, and the connection is
        closed behind the answer."""
        if self._error is None:
            self._error = error
        self._body = b""
        self._host.inflight.end(self, self._connection)
        if at_once:
            self._connection.give_up(self)

    def announce(self, nbytes: int) -> None:
        """Its body will have so many bytes; 0: that is not known."""
        self._announced = nbytes
        if self._endpoint is not None and nbytes > self._endpoint.most_bytes:
            self.refuse(_too_large(self._endpoint.most_bytes), at_once=True)
        elif self.refused and nbytes > SWALLOWED_BYTES:
            self._connection.give_up(self)

    def take(self, data: bytes | memoryview) -> None:
        """More of the body; a view is valid during the call only."""
        if self._error is not None:
            self._swallowed += len(data)
            if self._swallowed > SWALLOWED_BYTES and not self.complete:
                self._connection.give_up(self)
            return
        try:
            self._host.inflight.take(self, self._connection, len(data))
        except TooMuchInside as error:
            self.refuse(error)
            return
        body = self._body
        if isinstance(body, bytearray):
            body += data
        elif isinstance(data, bytes) and not body:
            self._body = data
        elif len(data) == self._announced:
            self._body = bytes(data)
        else:
            self._body = bytearray(body)
            self._body += data
        assert self._endpoint is not None
        if len(self._body) > self._endpoint.most_bytes:
            self.refuse(_too_large(self._endpoint.most_bytes), at_once=True)

    def begin(self) -> None:
        """All is there, and it is this one's turn."""
        self.begun = self._taken = True
        endpoint, error = self._endpoint, self._error
        refusal = self._host.admission.take(bool(endpoint and endpoint.limited and error is None))
        if error is not None or refusal is not None:
            self._fail(error or refusal)  # type: ignore[arg-type]
            return
        if self._http.answer_s != math.inf:
            self.deadline = self._host.arrived_at + self._http.answer_s
            self._host.expire_later(self, in_order=True)
        else:
            self.deadline = math.inf
        try:
            if self._coding:
                self._http.aside(self._unpack)
            else:
                self._hand_in(self._body)
        except Exception as failure:
            # Here at once and not by way of the outbox, which more refusals than answers would go.
            self._fail(failure)

    def _unpack(self) -> None:
        """In a thread aside."""
        if not self.open:
            return
        try:
            assert self._endpoint is not None
            most = self._endpoint.most_bytes
            hold = functools.partial(self._host.inflight.take, self, self._connection)
            body = codings.unpacked(bytes(self._body), self._coding, most, hold)
            if body is None:
                raise _too_large(most)
            self._body = body
            if self.open:
                self._hand_in(body, is_aside=True)
            else:
                self._body = b""
        except Exception as error:
            self.finish(failing(error))

    def _hand_in(self, body: Message, *, is_aside: bool = False) -> None:
        """The body to the endpoint, in a thread for as much."""
        endpoint = self._endpoint
        assert endpoint is not None
        nbytes = len(body)
        json_bytes = nbytes if endpoint.json_bytes is None else min(endpoint.json_bytes, nbytes)
        if (json_bytes <= LARGE_JSON_BYTES and nbytes <= LARGE_MESSAGE) or (
            is_aside and json_bytes <= _VERY_LARGE_JSON_BYTES
        ):
            endpoint.begin(body, self)
        else:
            self._elsewhere(self._begin_elsewhere, json_bytes)

    def _begin_elsewhere(self) -> None:
        # The body first: who leaves in between takes it away, and an empty one is a request as well.
        body = self._body
        if not self.open or self._endpoint is None:
            return
        try:
            self._endpoint.begin(body, self)
        except Exception as error:
            self.finish(failing(error))

    def _elsewhere(self, job: Callable[[], None], json_bytes: int) -> None:
        """Have a job done in a thread that is for so much JSON.

        Raises:
            CallError: there is too much already.
        """
        if json_bytes > _VERY_LARGE_JSON_BYTES:
            caller = self.peer.rpartition(":")[0]
            # An outcome that was waited for past the deadline is written whenever that can be done.
            deadline = math.inf if self._awaited else self.deadline
            self._take_back = self._http.api.apart(
                job, lambda error: self.finish(failing(error)), json_bytes, caller, deadline
            )
            if self._take_back is not None:
                return
        self._http.aside(job)


def _too_large(most_bytes: int) -> HttpError:
    return HttpError(413, f"the request is larger than {most_bytes / 2**20:.4g} MiB")
