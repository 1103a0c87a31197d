"""One of several processes, as it sees itself: what its supervisor has given it, and what that tells it.

A thread reads what the supervisor says. It is there before anything that takes long, as the import of
TensorFlow does, so that a process whose supervisor has gone ends at once while it has nothing to answer, and
as after SIGTERM from then on: nothing is left behind, even when the supervisor is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, BinaryIO

from hotgraph_server.observability.admin.http import Request, Response
from hotgraph_server.processes import messages
from hotgraph_server.transport.handed_over import HandedOver

_LOG = logging.getLogger(__name__)

Answer = Callable[[Request], Response | Future[Response]]

_ENDED_WITH_ITS_SUPERVISOR = 1


class Member:
    """What a server that is one of several needs to know.

    Args:
        index: which one, from 0.
        of: how many there are.
        control: to the supervisor; closed when that has gone.
        connections: those that callers of gRPC have made.
        rest: listen for REST, for all processes; empty: there is none.
        health: listen for health alone, for all processes; empty: there is none.

    Attributes:
        all_ready: do all processes answer calls?
        leaves: do others answer in its place, so that callers may be asked to go there before it stops?
    """

    def __init__(
        self,
        index: int,
        of: int,
        control: socket.socket,
        connections: HandedOver,
        rest: list[socket.socket],
        health: Sequence[socket.socket] = (),
    ) -> None:
        self.index = index
        self.of = of
        self.connections = connections
        self.rest = rest
        self.health = health
        self.all_ready = False
        self.leaves = False
        self._control = control
        self._sending = threading.Lock()  # a message is sent whole
        self._lock = threading.Lock()  # guards what follows, so that what is told last is what is true last
        self._hear_ready: Callable[[bool], None] = lambda ready: None
        # Before there is anything to be stopped in order.
        self._stop: Callable[[], None] = lambda: os._exit(_ENDED_WITH_ITS_SUPERVISOR)
        self._answer: Answer | None = None
        self._renew: Callable[[], None] = lambda: None
        self._shed: Callable[[int], None] = lambda connections: None
        self._thread = threading.Thread(target=self._read, name="supervision", daemon=True)

    @classmethod
    def of_words(cls, text: str) -> Member:
        """What a supervisor has put on the command line (`on_command_line`)."""
        given = json.loads(text)
        files = [given["control"], given["connections"], *given["rest"], *given["health"]]
        for number in files:
            # For this process alone, and none that it starts.
            os.set_inheritable(number, False)
        control, connections, *shared = (socket.socket(fileno=number) for number in files)
        rest, health = shared[: len(given["rest"])], shared[len(given["rest"]) :]
        return cls(given["index"], given["of"], control, HandedOver(connections), rest, health)

    def start(self) -> None:
        """Hear the supervisor from now on. The thread ends with the process."""
        self._thread.start()

    def stop_by(self, stop: Callable[[], None]) -> None:
        """From now on `stop`, which must not wait, is called when the process shall stop; it may be called
        more than once."""
        with self._lock:
            self._stop = stop

    def answering(
        self, hear: Callable[[bool], None], renew: Callable[[], None], shed: Callable[[int], None]
    ) -> None:
        """Connections are taken from now on.

        Args:
            hear: is told whether all processes answer calls, at once of how it is now; must not wait.
            renew: is called when rules of access shall be read again.
            shed: is called when the callers of so many connections shall go to other processes.
        """
        self._renew, self._shed = renew, shed
        with self._lock:
            self._hear_ready = hear
            hear(self.all_ready)
        self.say("answering")

    def pages_by(self, answer: Answer) -> None:
        """From now on `answer` makes the pages of the admin port, in the thread that hears the supervisor."""
        self._answer = answer

    def say(self, state: str) -> None:
        """Tell the supervisor ``answering``, ``live`` or ``stopping``; see messages.py."""
        self._send({"is": state})

    def _send(self, message: Mapping[str, Any], body: bytes = b"") -> None:
        with self._sending, contextlib.suppress(OSError):
            # Where nobody hears it, the thread that reads finds out as well.
            self._control.sendall(messages.encode(message, body))

    def _read(self) -> None:
        try:
            with self._control, self._control.makefile("rb") as file:
                while (message := _next(file)) is not None:
                    self._act(message)
        finally:
            self._stop_now()

    def _act(self, message: Mapping[str, Any]) -> None:
        what = message["do"]
        if what == "all ready":
            with self._lock:
                self.all_ready = message["ready"]
                self._hear_ready(self.all_ready)
        elif what == "page":
            self._make_page(message)
        elif what == "renew access":
            self._renew()
        elif what == "shed":
            self._shed(message["connections"])
        else:
            self.leaves = what == "leave"
            self._stop_now()

    def _stop_now(self) -> None:
        with self._lock:
            stop = self._stop
        stop()

    def _make_page(self, message: Mapping[str, Any]) -> None:
        request = Request(message["method"], message["path"], message["headers"])

        def send(response: Response) -> None:
            head = {"status": response.status, "kind": response.kind, "headers": dict(response.headers)}
            self._send({"id": message["id"], **head}, response.body)

        # Without a page it is the supervisor that waits, and not for long.
        if self._answer is None:
            return
        try:
            answered = self._answer(request)
        except Exception:
            # A page that breaks must not end the thread.
            _LOG.exception("the admin page %r broke", request.path)
            return
        if isinstance(answered, Response):
            send(answered)
        else:
            answered.add_done_callback(lambda done: send(done.result()))


def on_command_line(
    index: int,
    of: int,
    control: socket.socket,
    connections: socket.socket,
    rest: list[socket.socket],
    health: Sequence[socket.socket] = (),
) -> str:
    """What `Member.of_words` reads: numbers of files that the process inherits."""
    return json.dumps(
        {
            "index": index,
            "of": of,
            "control": control.fileno(),
            "connections": connections.fileno(),
            "rest": [one.fileno() for one in rest],
            "health": [one.fileno() for one in health],
        }
    )


def _next(file: BinaryIO) -> dict[str, Any] | None:
    """The next message; None: there will be none."""
    try:
        head = file.read(messages.HEAD_BYTES)
        if len(head) < messages.HEAD_BYTES:
            return None
        length, more = messages.lengths(head)
        text = file.read(length)
        file.read(more)
    except OSError:
        return None
    return messages.decode(text) if len(text) == length else None
