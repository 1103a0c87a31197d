"""One request of HTTP and its answer: the Reply that an API gets, and what becomes of both.

The request comes in steps (incoming.py), and so does its answer, each where it keeps no other call waiting:

    finish      there is an answer                                  any thread
    deliver     encode it                                           by its size
                compress it, if that is asked for                   by its size
                send it

Threads. `deliver`, `expire`, `cancel` and `lose` require the server's connections_lock (sockets/server.py).
`finish`, `when_gone` and `aside` come from any thread: they note what is to be done.
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, Draining, forget_traceback
from hotgraph_server.transport.http import Content, Endpoint, HttpError, Request
from hotgraph_server.transport.http1 import codings
from hotgraph_server.transport.http1.incoming import LARGE_JSON_BYTES, Connected, Host, Http, Incoming
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Answered, Failure, Left, failing
from hotgraph_server.transport.status import as_call_error

_LOG = logging.getLogger(__name__)


class Exchange(Incoming):
    """See the head of this file.

    Attributes:
        request: what stood before the body.
        complete: the body has come, or nobody waits for it.
        begun: its turn has come.
        closes: the connection is closed behind its answer.
        deadline: for the body to come and then for the answer, monotonic seconds.
        peer, observer: as a Reply's.
        json_bytes_out: see HttpReply.
        held_bytes: of its body and its answer; see inflight.Inflight.
    """

    __slots__ = (
        *("_announced", "_awaited", "_body", "_coding", "_connection", "_content", "_encode", "_endpoint"),
        *("_error", "_gone", "_host", "_http", "_leave", "_swallowed", "_take_back", "_taken"),
        *("begun", "closes", "complete", "deadline", "held_bytes", "json_bytes_out", "open", "peer"),
        "request",
    )

    observer: ReplyObserver | None = None
    held_up: Callable[[bool], object] | None = None

    def __init__(self, connection: Connected, request: Request, host: Host, http: Http) -> None:
        self.request = request
        self.open = True
        self.complete = self.begun = self.closes = False
        self.deadline = math.inf
        self.peer = connection.peer
        self.json_bytes_out = 0
        self.held_bytes = 0
        self._connection = connection
        self._host = host
        self._http = http
        self._endpoint: Endpoint | None = None
        self._error: CallError | None = None  # what it is refused with, known before its turn has come
        self._announced = 0
        self._body: Message = b""
        self._coding = ""  # that it is compressed in
        self._swallowed = 0
        self._taken = False  # counted among those that are owed an answer
        self._gone = self._awaited = False
        self._leave: Callable[[], Left] | None = None
        self._take_back: Callable[[], object] | None = None  # of a step that waits elsewhere
        self._encode: Callable[[], Answered] | None = None
        self._content: tuple[Content, str] | None = None  # encoded, and compressed so

    # The answer: HttpReply

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        self._encode = encode
        self._host.post(self)

    def aside(self, make: Callable[[], Answered]) -> None:
        """See HttpReply."""

        def work() -> None:
            try:
                made = make()
            except Exception as error:
                self.finish(failing(error))
            else:
                self.finish(lambda: made)

        self._http.aside(work)

    def expire_at(self, deadline: float) -> None:
        """See Reply."""
        if deadline < self.deadline:
            self.deadline = deadline
            self._host.expire_later(self)

    def deliver(self) -> None:
        """Send what was noted, or go on with it elsewhere."""
        encode, self._encode = self._encode, None
        content, self._content = self._content, None
        # News for one who has gone do no harm, but are not worth encoding.
        if not self.open:
            return
        if self.deadline <= self._host.sends_at and self._leave is not None:
            # The leader, which tells calls so, may not have come to it yet.
            self.expire()
            if not self.open:
                return
        try:
            if content is not None:
                self._answer(*content)
            elif encode is None:
                return
            elif self.json_bytes_out > LARGE_JSON_BYTES:
                # Whoever worked on it has done so: there is no outcome to be waited for beside this one.
                self._leave = None
                self._elsewhere(functools.partial(self._encode_elsewhere, encode), self.json_bytes_out)
            else:
                self._send(_content_of(encode()))
        except Exception as error:
            self._fail(error)

    def _encode_elsewhere(self, encode: Callable[[], Answered]) -> None:
        """In whatever thread: the answer is made there, and compressed."""
        # Not whether it has been left: an outcome may be waited for all the same.
        if not self.open:
            return
        try:
            content = _content_of(encode())
            coding = self._coding_of(content)
            self._content = (_packed(content, coding) if coding else content), coding
        except Exception as error:
            self.json_bytes_out = 0
            self._encode = failing(error)
        self._host.post(self)

    def _send(self, content: Content) -> None:
        coding = self._coding_of(content)
        if not coding:
            self._answer(content, "")
        elif sum(map(len, content)) <= LARGE_JSON_BYTES:
            self._answer(_packed(content, coding), coding)
        else:
            self._http.aside(functools.partial(self._encode_elsewhere, lambda: content))

    def _answer(self, content: Content, coding: str) -> None:
        """What the caller came for."""
        endpoint = self._endpoint
        self._host.admission.answered += bool(endpoint and endpoint.limited)
        self._connection.answer(self, content, coding)

    def _coding_of(self, content: Content) -> str:
        accept = self.request.headers.get("accept-encoding")
        if not accept or content.as_is or sum(map(len, content)) <= codings.WORTH_BYTES:
            return ""
        if any(name == "content-encoding" for name, _ in content.headers):
            return ""
        return codings.wanted(accept)

    def extra_headers(self) -> Sequence[tuple[str, str]]:
        """That every answer to such a request has."""
        return self._http.api.headers(self.request)

    # The end

    def cancel(self, error: CallError | None = None) -> None:
        """The server waits no longer, for bodies that have not come either."""
        error = error or Draining("this server")
        if self.begun:
            self._break_off(error)
        elif self.open:
            self.refuse(error, at_once=not self.complete)

    def expire(self) -> None:
        """The time for the body is up, or that for the answer."""
        if not self.open or time.monotonic() < self.deadline:
            return
        if self.begun:
            super().expire()
        elif not self.complete:
            late = f"the request's body has not come within {self._http.body_s:g} s"
            self.refuse(HttpError(408, late), at_once=True)

    def lose(self) -> None:
        """The caller has gone."""
        if self.open:
            self._left()
            self.over()

    def over(self) -> None:
        """It has been answered, or will not be: let go of everything."""
        self.open = False
        # What works on it refers to it, and it to that: a cycle, and the body with it.
        self._leave = self._take_back = None
        self._body = b""
        self._host.inflight.end(self, self._connection)
        if self._taken:
            endpoint = self._endpoint
            self._host.admission.let_go(bool(endpoint and endpoint.limited and self._error is None))

    def _left(self) -> Left:
        take_back, self._take_back = self._take_back, None
        if take_back is not None:
            take_back()
        return super()._left()

    def header(self, name: str) -> str | None:
        """See Reply."""
        return self.request.headers.get(name)

    @property
    def headers(self) -> Mapping[str, str]:
        """See Reply."""
        return self.request.headers

    def _end_with(self, error: CallError, leave: Callable[[], Left] | None) -> None:
        if self.begun:
            self._fail(error, leave)
        else:
            self.lose()

    def _fail(self, error: BaseException, leave: Callable[[], Left] | None = None) -> None:
        known = as_call_error(error)
        if self.open:
            self._host.admission.failed("http", known)
            tell = self._host.tell
            if tell is not None:
                method = f"{self.request.method} {self.request.path}"
                tell(Failure(method, self.peer, known, self.header, leave or self._leave))
            try:
                self._connection.answer(self, self._http.api.error(self.request, known), "")
            except Exception:
                # The thread that serves has other calls to look after, and this one's caller waits.
                _LOG.exception("a call's error could not be told")
                self._connection.end()
        forget_traceback(error)
        if known is not error:
            forget_traceback(known)


def _content_of(answer: Any) -> Content:
    if isinstance(answer, Content):
        return answer
    return Content([bytes(answer)] if isinstance(answer, bytes | bytearray) else answer)


def _packed(content: Content, coding: str) -> Content:
    return Content([codings.packed(content, coding)], content.kind, content.status, content.headers)
