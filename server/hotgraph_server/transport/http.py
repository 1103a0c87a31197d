"""What an API over HTTP is to the transport, as service.py says it of gRPC's.

    request line and headers -> Api.endpoint -> Endpoint
    the whole body           -> Endpoint.begin -> a call in a queue, or an answer
    Reply.finish(encode)     -> bytes: the body of a 200 in JSON; Content: any other answer; or an error

An API knows nothing of sockets, and the transport nothing of models. Each of the above may raise CallError,
which `Api.error` puts into words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import grpc

from hotgraph_server.errors import CallError
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply

JSON = "application/json"


class Request(NamedTuple):
    """What stands before a body.

    Attributes:
        method: in capitals, as sent.
        path: as sent, percent-encoded, without the query.
        query: what is behind the question mark; empty: nothing.
        headers: by their names in lower case; what was sent several times is joined by commas.
        peer: ``HOST:PORT`` of the caller.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str = ""


class Content(list[Any]):
    """An answer's body, in pieces of bytes, and what is said of it.

    Attributes:
        kind: its media type.
        status: of HTTP.
        headers: further ones, names in lower case. ``content-length`` is the transport's, and so is
            ``content-encoding`` unless it is among them: then the pieces are compressed already.
        as_is: it is not compressed, whatever the caller says that it reads.
    """

    def __init__(
        self,
        pieces: Iterable[bytes | memoryview] = (),
        kind: str = JSON,
        status: int = 200,
        headers: Sequence[tuple[str, str]] = (),
        *,
        as_is: bool = False,
    ) -> None:
        super().__init__(pieces)
        self.kind = kind
        self.status = status
        self.headers = headers
        self.as_is = as_is


class HttpReply(Reply, Protocol):
    """Where the answer of one request goes. `encode` may return a Content.

    Attributes:
        request: that it is the answer to.
        json_bytes_out: about how many bytes of JSON the answer will have, if the giver says so before
            `finish`: writing much of it is done where no other call waits for it.
    """

    request: Request
    json_bytes_out: int

    def aside(self, make: Callable[[], Any]) -> None:
        """Finish with what `make` returns or raises, which may take long: it is called in a thread that keeps
        no other call waiting."""


class Endpoint(NamedTuple):
    """What is done with a request.

    Attributes:
        begin: takes the body and the reply, and finishes that or raises CallError. In a thread of the
            transport's choice; it must not wait.
        most_bytes: of the body, when it is no longer compressed.
        json_bytes: so many of the body's first bytes are JSON, which takes time to read; None: all.
        limited: it is one of the calls of which so many may be inside.
    """

    begin: Callable[[Message, Any], None]
    most_bytes: int
    json_bytes: int | None = None
    limited: bool = False


Elsewhere = Callable[[Request, str], Endpoint | None]
"""What is done with a request about a model of that name that is not here; None: it is answered here."""


class Api(Protocol):
    """All that is answered over HTTP."""

    def endpoint(self, request: Request) -> Endpoint:
        """What a request leads to; asked before anything of its body is read. In the thread that serves: it
        must not wait.

        Raises:
            CallError: it leads nowhere, may not be made, or not now.
        """

    def error(self, request: Request, error: CallError) -> Content:
        """The answer that an error is."""

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        """What every answer to such a request says, errors too."""

    def apart(
        self,
        job: Callable[[], None],
        failed: Callable[[Exception], None],
        nbytes: int,
        caller: str,
        deadline: float,
    ) -> Callable[[], object] | None:
        """Have a job done that reads or writes so much JSON that no thread of this process should. Returns
        what takes that back; None: there is no other place for it, and a thread of this process has to.

        Args:
            job: raises nothing.
            failed: is called in its place where it cannot be done.
            caller: whose it is: those of much come after others.
            deadline: monotonic seconds; later it is called only to find that out.

        Raises:
            CallError: there is too much of it already.
        """


class HttpError(CallError):
    """A request is refused with a status that HTTP alone has.

    Attributes:
        http_status: that one.
        headers: that go with it.
    """

    status = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(self, http_status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.http_status = http_status
        self.headers = headers
        super().__init__(text)
