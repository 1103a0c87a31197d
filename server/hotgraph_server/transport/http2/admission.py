"""Who is let in: which method a call is for, why it may not be made, and how many calls are owed an answer.

A call is looked at twice. When its headers have come, `decide` says which method it is for or why it is
refused; in this order: headers that are too large, what is no gRPC, what may not be made (Admit), a server
that is not open yet, one that takes no more calls, a method that there is not. When its message has come, it
counts (`take`) until it is over (`let_go`): a caller who opens calls and sends nothing keeps no other out.
Over the limit it is refused; but it counts all the same until the refusal is on its way.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import grpc

from hotgraph_server.errors import CallError, InternalError, QueueFull, Unsupported
from hotgraph_server.transport.http2.header_blocks import MAX_HEADER_LIST_BYTES, Head
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Admit, HotMethod, Service, StreamingMethod, as_hot


class HeadersTooLarge(CallError):
    """A call's headers are more than a call may have."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the call's headers have {size} bytes, and {limit} are allowed")


class UnaryRoute(NamedTuple):
    """A hot or plain method.

    Attributes:
        limited: its calls count towards the limit; those of hot methods do.
    """

    method: HotMethod
    limited: bool


class Admission:
    """
    Args:
        services: whose methods there are.
        connections_lock: the server's; see server.py.
        max_calls: limited calls that may be inside; further ones are refused.
        open_calls: counts the calls that a stop waits for.
        max_header_bytes: of a call's headers.
        admit: says which calls may not be made; None: all may.

    Attributes:
        not_yet: what calls are refused with, but for those of early methods; None: the server is open.
        refusal: what limited calls that come from now on are refused with; None: they are taken.
        inside: limited calls that are owed an answer.
        arrived: limited calls whose message has come, so far.
        answered: limited calls that got what they came for, so far; a call that is answered counts itself.
        errors: answers so far that were an error, by protocol (grpc, http) and the name of the status.
        faults: of these, the ones for which a bug of ours is to blame.
    """

    def __init__(
        self,
        services: Sequence[Service],
        connections_lock: threading.Lock,
        *,
        max_calls: int,
        open_calls: OpenCalls,
        max_header_bytes: int = MAX_HEADER_LIST_BYTES,
        admit: Admit | None = None,
    ) -> None:
        # Set by any thread, and looked at by the serving thread for each call.
        self.not_yet: CallError | None = None
        self.refusal: CallError | None = None
        self.inside = 0
        self.arrived = 0
        self.answered = 0
        self.errors = Counter[tuple[str, str]]()
        self.faults = 0
        self._connections_lock = connections_lock
        self._max_calls = max_calls
        self._open_calls = open_calls
        self._max_header_bytes = max_header_bytes
        self._admit = admit
        self._late = frozenset[str]().union(*(service.late_paths for service in services))
        self._unary: dict[str, UnaryRoute] = {}
        self._streaming: dict[str, StreamingMethod] = {}
        for service in services:
            self._add(service)

    def decide(self, head: Head) -> UnaryRoute | StreamingMethod | CallError:
        """The method that a request is for, or what it is refused with; a request whose `http_status` is not
        200 is refused with that."""
        if head.too_large:
            return HeadersTooLarge(head.too_large, self._max_header_bytes)
        path = head.path
        if head.http_status == 200:
            if self._admit is not None:
                refusal = self._admit(path, head.fields.get)
                if refusal is not None:
                    return refusal
            not_yet = self.not_yet
            if not_yet is not None and path in self._late:
                return not_yet
            unary = self._unary.get(path)
            if unary is not None:
                refusal = self.refusal
                return refusal if refusal is not None and unary.limited else unary
            streaming = self._streaming.get(path)
            if streaming is not None:
                return streaming
        return Unsupported("Method not found!")

    def take(self, limited: bool) -> CallError | None:
        """The message of a unary call has come; `let_go` is called once when the call is over. Returns why it
        is refused, or None. Requires connections_lock."""
        assert self._connections_lock.locked()
        self._open_calls.enter()
        if limited:
            self.arrived += 1
            self.inside += 1
            if self.inside > self._max_calls:
                return QueueFull("the server", self.inside - 1, self._max_calls)
        return None

    def let_go(self, limited: bool) -> None:
        """A call that was taken is over. Requires connections_lock."""
        assert self._connections_lock.locked()
        self.inside -= limited
        self._open_calls.leave()

    def failed(self, protocol: str, error: CallError) -> None:
        """A call has been answered with an error. Requires connections_lock."""
        assert self._connections_lock.locked()
        self.errors[protocol, error.status.name] += 1
        self.faults += isinstance(error, InternalError)

    def take_part(self) -> CallError | None:
        """A stream has brought a call. Returns why it is refused; None: it is taken, and `let_part_go` is
        called once when it is over. Any thread."""
        refusal = self.refusal
        if refusal is None:
            self._open_calls.enter()
        return refusal

    def let_part_go(self) -> None:
        """Such a call is over; any thread."""
        self._open_calls.leave()

    def _add(self, service: Service) -> None:
        for name, method in service.hot.items():
            self._unary[f"/{service.name}/{name}"] = UnaryRoute(method, limited=True)
        for name, plain in service.plain.items():
            # In the serving thread: they are quick, and so a caller who opens a call and never sends its
            # message holds no thread.
            self._unary[f"/{service.name}/{name}"] = UnaryRoute(as_hot(plain), limited=False)
        for name, streaming in service.streaming.items():
            self._streaming[f"/{service.name}/{name}"] = streaming
