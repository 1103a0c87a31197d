"""Calls that wait for their model: around methods, in front of what reads their messages.

A method that finds that its model is not loaded says so (NotLoaded) and has not used the reply. Then the call
waits as a method, a message and a reply, and is made again when the model is live. That the second try finds
the model gone again is possible, and then the call waits again, for no longer than the first time.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection
from typing import Any, Protocol

from hotgraph_server.errors import CallError, NotLoaded, NotReady
from hotgraph_server.models.registry import Registry
from hotgraph_server.on_demand.waiting import Waiter
from hotgraph_server.protocols.telling import telling
from hotgraph_server.transport.service import HotMethod, Reply, Service, as_hot, failing

# A model that is live when it is asked whether to wait, and not when it is called, that often: somebody gives
# it up all the time, and the caller may as well hear of it.
_TRIES = 5


class Callers(Protocol):
    """What callers.Callers is to this."""

    def wait(self, waiter: Waiter) -> bool: ...

    def leave(self, waiter: Waiter) -> None: ...

    def expiry(self, now: float) -> float: ...


class WaitingDoor:
    """Any thread may call everything.

    Args:
        callers: who waits.
        registry: keeps what callers are told that are refused.
        clock: monotonic seconds.
    """

    def __init__(self, callers: Callers, registry: Registry, clock: Callable[[], float]) -> None:
        self._callers = callers
        self._registry = registry
        self._clock = clock

    def around(self, method: HotMethod) -> HotMethod:
        """A hot method, or what begins a request of HTTP, whose calls wait for their models."""

        def call(message: Any, reply: Reply) -> None:
            try:
                method(message, reply)
            except NotLoaded as missing:
                now = self._clock()
                expires = min(reply.deadline, self._callers.expiry(now))
                self._wait(missing.model, method, message, reply, now, expires)

        return call

    def around_service(self, service: Service, plain: Collection[str] = ()) -> Service:
        """A service whose hot methods wait, and those of the plain ones too that are named."""
        hot = {name: self.around(method) for name, method in service.hot.items()}
        hot |= {name: self.around(as_hot(service.plain[name])) for name in plain}
        rest = {name: method for name, method in service.plain.items() if name not in plain}
        return dataclasses.replace(service, hot=hot, plain=rest)

    def _wait(
        self, model: str, method: HotMethod, message: Any, reply: Reply, arrived: float, expires: float
    ) -> None:
        """Wait, or call at once if the model is live by now.

        Raises:
            CallError: it does not wait, and why; or what the method raises.
        """
        held_up = reply.held_up or _nobody
        # First, as below: those behind it on a stream must not overtake it.
        held_up(True)
        for _ in range(_TRIES):
            waiter = Waiter(
                model,
                arrived,
                expires,
                functools.partial(self._again, method, message, reply, arrived, expires),
                lambda error: reply.finish(self._told(model, error)),
                has_deadline=expires >= reply.deadline,
            )
            # First: as soon as it waits, another thread may let it go on, and say itself how it is left.
            reply.when_gone(functools.partial(self._left, waiter))
            with telling(self._registry, model):
                if self._callers.wait(waiter):
                    return
            try:
                method(message, reply)
            except NotLoaded:
                continue
            held_up(False)
            return
        raise NotReady(f"model '{model}' is loaded and given up all the time")

    def _again(self, method: HotMethod, message: Any, reply: Reply, arrived: float, expires: float) -> None:
        """The model is live: call it. In a thread where nobody hears what is raised."""
        try:
            try:
                method(message, reply)
            except NotLoaded as missing:
                self._wait(missing.model, method, message, reply, arrived, expires)
            else:
                (reply.held_up or _nobody)(False)
        except Exception as error:
            reply.finish(failing(error))

    def _told(self, model: str, error: CallError) -> Callable[[], bytes]:
        error.about = error.about or (model, 0, "")
        self._registry.last_errors.add(error.status.name, str(error), model=model, counted_for=model)
        return failing(error)

    def _left(self, waiter: Waiter) -> None:
        # Nothing is returned: no outcome is to come.
        self._callers.leave(waiter)


def _nobody(_: bool) -> None:
    """Of a call that none comes behind."""
