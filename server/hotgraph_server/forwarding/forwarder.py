"""Sends calls on: decides in the thread that brings them, and does the rest in its own (loop.py).

    around          a service, of whose calls those are sent on that are about a model which is not here
    elsewhere       the same for requests of HTTP
      _begin        is there room? Then the call is the loop's          the thread that brings it
        _sent_on    peer by peer until one is connected; its answer     the loop
          finish    once                                                the loop

What is sent on: unary calls about one model (messages.py), and requests of HTTP about one, as bytes; with
the caller's metadata (headers.py), what is left of its deadline, and a mark. Streams are not: their calls may
belong together, and their server keeps what they share. Where to: to servers that the peers file names
(peers.py), and nowhere else, whatever a caller says.

Guarantees
    * A call is sent to one server. Another is asked only where no connection could be had: nothing was sent.
    * What has come with the mark is answered here, so that no call goes from server to server for ever.
    * The answer, or the error with its status, text and pushback, is the peer's. What the peer says of its
      load is left out: a balancer would take it for this server's.
    * Where no peer can be reached it is UNAVAILABLE, so that callers and proxies try elsewhere.
    * A caller that leaves, or whose deadline comes, ends the call at the peer too.
    * So many calls, and so much of their messages, are under way at a time; more are refused
      (RESOURCE_EXHAUSTED).
    * A call ends in one way: its task ends. It is cancelled when its caller has gone, and then finishes
      nothing: the transport has told the caller.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from hotgraph_server.errors import CallError, Draining, InternalError, QueueFull
from hotgraph_server.forwarding import headers
from hotgraph_server.forwarding.figures import ForwardingFigures, Outcome
from hotgraph_server.forwarding.headers import FORWARDED
from hotgraph_server.forwarding.links import Links, NobodyThere, PeersError
from hotgraph_server.forwarding.loop import LoopThread
from hotgraph_server.forwarding.messages import MODEL_IN
from hotgraph_server.forwarding.peers import Peers, in_order
from hotgraph_server.transport.http import Content, Endpoint, Request
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import (
    Answered,
    HotMethod,
    PlainMethod,
    Reply,
    Service,
    as_hot,
    failing,
)

_LOG = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[Answered]]
"""Asks the peer at that address; raises NobodyThere, or PeersError."""

_DOWN_S = 1.0
"""So long a peer that could not be reached comes after the others."""


class Forwarder:
    """Any thread may call everything, but for what begins with an underscore.

    Args:
        peers: who has which model, now.
        knows: is a model of that name here?
        max_calls, max_bytes: that may be under way.
        links: the ways to peers; None: its own.
    """

    def __init__(
        self,
        peers: Callable[[], Peers],
        knows: Callable[[str], bool],
        max_calls: int,
        max_bytes: int,
        links: Links | None = None,
    ) -> None:
        self._peers = peers
        self._knows = knows
        self._max_calls, self._max_bytes = max_calls, max_bytes
        self._lock = threading.Lock()  # guards the figures, which a scrape reads
        self._ended: Counter[Outcome] = Counter()
        self._seconds = 0.0
        self._calls = self._held_bytes = 0
        # Of the loop's thread.
        self._links = links or Links()
        self._under_way: Counter[str] = Counter()
        self._down: dict[str, float] = {}  # until when
        self._turn = 0
        self._loop = LoopThread("forwarding", self._links.close)

    def start(self) -> None:
        """Send calls on from now on."""
        self._loop.start()

    def stop(self, timeout_s: float) -> bool:
        """End: calls that are under way are given up. Returns whether its thread has ended in time."""
        return self._loop.stop(timeout_s)

    def figures(self) -> ForwardingFigures:
        """As of now."""
        with self._lock:
            ended = {outcome: self._ended[outcome] for outcome in Outcome}
            return ForwardingFigures(
                ended, self._seconds, self._calls, self._held_bytes, len(self._peers().addresses)
            )

    def peers_changed(self, addresses: frozenset[str]) -> None:
        """Let go of connections to those that are no peers any more."""

        def keep() -> None:
            # One that still has calls to answer goes with a later change, or at the end.
            self._loop.spawn(
                self._links.keep(addresses | {one for one, count in self._under_way.items() if count})
            )

        self._loop.do(keep)

    # gRPC

    def around(self, service: Service) -> Service:
        """The same service, of whose calls those are sent on that are about a model which is not here."""
        prefix = f"/{service.name}/"
        hot = {
            name: self._around(prefix + name, method) if prefix + name in MODEL_IN else method
            for name, method in service.hot.items()
        }
        plain = {
            name: self._around_plain(prefix + name, method) if prefix + name in MODEL_IN else method
            for name, method in service.plain.items()
        }
        return dataclasses.replace(service, hot=hot, plain=plain)

    def _around_plain(self, path: str, method: PlainMethod) -> PlainMethod:
        return dataclasses.replace(method, later=self._around(path, as_hot(method)))

    def _around(self, path: str, method: HotMethod) -> HotMethod:
        model_in, knows = MODEL_IN[path], self._knows

        def answer(message: Message, reply: Reply) -> None:
            model = model_in(message)
            if not model or knows(model) or not self._can_send_on(model, reply.header(FORWARDED)):
                method(message, reply)
                return
            # Not a copy, where it is bytes: and what is large comes in a thread that keeps no other call
            # waiting.
            body, metadata = bytes(message), headers.over_grpc(reply.headers)

            async def ask(address: str) -> Answered:
                return await self._links.call(address, path, body, metadata, reply.deadline)

            self._begin(model, len(body), ask, reply)

        return answer

    # HTTP

    def elsewhere(self, request: Request, model: str, most_bytes: int) -> Endpoint | None:
        """What is done with a request for a model that is not here; None: it is answered here.

        Args:
            most_bytes: of its body.
        """
        if not model or self._knows(model) or not self._can_send_on(model, request.headers.get(FORWARDED)):
            return None
        begin = functools.partial(self._begin_request, request, model)
        # Nothing of its JSON is read here.
        return Endpoint(begin, most_bytes, json_bytes=0, limited=request.method == "POST")

    def _begin_request(self, request: Request, model: str, body: Message, reply: Reply) -> None:
        sent, said = bytes(body), headers.over_http(request.headers)
        target = f"{request.path}?{request.query}" if request.query else request.path

        async def ask(address: str) -> Answered:
            found = await self._links.request(address, request.method, target, said, sent, reply.deadline)
            kind = next((value for name, value in found.headers if name.lower() == "content-type"), "")
            told = headers.of_answer(found.headers)
            return Content([found.body] if found.body else [], kind, found.status, told, as_is=True)

        self._begin(model, len(sent), ask, reply)

    # Both

    def _can_send_on(self, model: str, mark: str | None) -> bool:
        """Not what was sent on already: two servers that each take the other for the one that has a model
        would hand the call to and fro for ever."""
        return mark is None and self._loop.takes and bool(self._peers().having(model))

    def _begin(self, model: str, nbytes: int, ask: Ask, reply: Reply) -> None:
        """Raises QueueFull."""
        with self._lock:
            if self._calls >= self._max_calls:
                self._ended[Outcome.REFUSED] += 1
                raise QueueFull("forwarding to other servers", self._calls, self._max_calls)
            # One that is larger than all that may be is let in alone.
            if self._calls and self._held_bytes + nbytes > self._max_bytes:
                self._ended[Outcome.REFUSED] += 1
                held, limit = self._held_bytes >> 20, self._max_bytes >> 20
                raise QueueFull("forwarding to other servers", held, limit, "MiB")
            self._calls += 1
            self._held_bytes += nbytes
        call = _Call(self, model, nbytes, ask, reply)
        # First, so that a call which is left at once is seen to be before it is begun.
        reply.when_gone(call.leave)
        if not self._loop.do(call.begin):
            call.over(Outcome.UNREACHABLE)
            raise Draining("this server")

    def _is_over(self, outcome: Outcome, nbytes: int, seconds: float) -> None:
        with self._lock:
            self._calls -= 1
            self._held_bytes -= nbytes
            self._ended[outcome] += 1
            if outcome is Outcome.ANSWERED:
                self._seconds += seconds

    async def _sent_on(self, model: str, ask: Ask) -> Answered:
        """The answer of the first peer that can be reached. Raises PeersError."""
        now = time.monotonic()
        self._down = {address: until for address, until in self._down.items() if until > now}
        candidates = self._peers().having(model)
        self._turn += 1
        for address in in_order(candidates, self._under_way, self._down, self._turn) if candidates else ():
            self._under_way[address] += 1
            try:
                return await ask(address)
            except NobodyThere:
                self._down[address] = time.monotonic() + _DOWN_S
            finally:
                self._under_way[address] -= 1
                if not self._under_way[address]:
                    del self._under_way[address]
        raise _Nobody(model)


class _Nobody(PeersError):
    """No peer that has the model could be reached."""

    def __init__(self, model: str) -> None:
        super().__init__(
            grpc.StatusCode.UNAVAILABLE,
            f"model '{model}' is not on this server, and none that has it can be reached",
        )


def _lost(model: str) -> PeersError:
    text = f"the connection to the server that has model '{model}' is lost"
    return PeersError(grpc.StatusCode.UNAVAILABLE, text)


class _Call:
    """A call that is sent on."""

    def __init__(self, owner: Forwarder, model: str, nbytes: int, ask: Ask, reply: Reply) -> None:
        self._owner, self._model, self._nbytes, self._ask = owner, model, nbytes, ask
        self._reply: Reply | None = reply
        self._began = time.monotonic()
        # Of the loop's thread.
        self._task: asyncio.Task[None] | None = None
        self._left = False

    def leave(self) -> None:
        """Its caller has gone; any thread."""
        self._owner._loop.do(self._leave)

    def begin(self) -> None:
        """In the loop."""
        if self._left:
            self.over(Outcome.LEFT)
            return
        self._task = self._owner._loop.spawn(self._run())
        self._task.add_done_callback(self._ended)

    def over(self, outcome: Outcome) -> None:
        """Once."""
        # What the caller is told by knows this call, and this knows it: a cycle, if it were not cut here.
        self._reply = None
        self._owner._is_over(outcome, self._nbytes, time.monotonic() - self._began)

    def _leave(self) -> None:
        self._left = True
        if self._task is not None:
            self._task.cancel()

    def _ended(self, _: object) -> None:
        # A task that is cancelled before its first turn has not run a line of `_run`.
        if self._reply is not None:
            self.over(Outcome.LEFT)

    async def _run(self) -> None:
        outcome = Outcome.LEFT
        finish: Callable[[], Answered] | None = None
        try:
            answer = await self._owner._sent_on(self._model, self._ask)
            outcome, finish = Outcome.ANSWERED, functools.partial(_as_it_is, answer)
        except asyncio.CancelledError:
            # Left, or this server ends: whoever waits is told so by the transport. If neither, the channel
            # was closed under the call, and nobody else would tell.
            if not self._left and self._owner._loop.takes:
                outcome, finish = Outcome.ERROR, failing(self._about(_lost(self._model)))
        except PeersError as error:
            outcome = Outcome.UNREACHABLE if isinstance(error, _Nobody) else Outcome.ERROR
            finish = failing(self._about(error))
        except Exception:
            _LOG.exception("a call could not be forwarded")
            outcome, finish = Outcome.ERROR, failing(self._about(InternalError()))
        reply = self._reply
        self.over(outcome)
        if finish is not None and reply is not None:
            reply.finish(finish)

    def _about(self, error: CallError) -> CallError:
        error.about = (self._model, 0, "")
        return error


def _as_it_is(answer: Any) -> Answered:
    found: Answered = answer
    return found
