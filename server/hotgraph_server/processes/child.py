"""One process, as its supervisor sees it: started, talked to, given connections, and waited for.

Everything is called in the thread of the supervisor's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import logging
import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from hotgraph_server.observability.admin.http import Request, Response
from hotgraph_server.processes import messages
from hotgraph_server.processes.member import on_command_line
from hotgraph_server.transport.handed_over import CLOSED, TAKEN, hand_over

_LOG = logging.getLogger(__name__)

# Of bytes that each stand for a closed connection.
_AT_A_TIME = 4096
# A process whose line has ended has ended, or is about to.
_ENDING_S = 10.0
_LOOKING_S = 0.02


class Stage(enum.Enum):
    """starting -> answering -> live -> leaving -> gone; any of them may be left out but the last."""

    STARTING = "starting"
    ANSWERING = "loading"
    LIVE = "live"
    LEAVING = "draining"
    GONE = "gone"


class Child:
    """
    Args:
        index, of: which one of how many.
        processors: that it runs on; empty: wherever it likes.
        rest: listen for REST; it inherits them.
        changed: called when `stage` is another one, or a connection was closed.
        returned: called with each connection that it was given and has not taken before it ended.
        health: listen for health alone; it inherits them.

    Attributes:
        index: see above.
        stage: how far it is.
        open_connections: so many does it have of those that it was given.
        given: the number of the last one.
        told_ready: what it was told last of whether all are ready; None: nothing.
        lived_s: from its start to its end, seconds; once it is gone.
        ended: its exit status, once it is gone; negative: the signal that ended it.
    """

    def __init__(
        self,
        index: int,
        of: int,
        processors: Sequence[int],
        rest: Sequence[socket.socket],
        changed: Callable[[], None],
        returned: Callable[[socket.socket], None],
        health: Sequence[socket.socket] = (),
    ) -> None:
        self.index = index
        self.stage = Stage.STARTING
        self.open_connections = 0
        self.given = 0
        self.told_ready: bool | None = None
        self.lived_s = 0.0
        self._started_at = time.monotonic()
        self._of = of
        self._processors = processors
        self._rest = list(rest)
        self._health = list(health)
        self._changed = changed
        self._returned = returned
        self._on_their_way: deque[socket.socket] = deque()
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._pages: dict[int, asyncio.Future[Response]] = {}
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._hearing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def takes_connections(self) -> bool:
        """Shall it have more?"""
        return self.has_channel and self.stage in (Stage.ANSWERING, Stage.LIVE)

    @property
    def has_channel(self) -> bool:
        """Can it be given any?"""
        return self._channel is not None

    async def start(self, command: Sequence[str]) -> None:
        """Start the process.

        Args:
            command: what is run; in place of ``{}`` stands what the process is given.

        Raises:
            OSError: it cannot be started.
        """
        control, its_control = socket.socketpair()
        channel, its_channel = socket.socketpair()
        with its_control, its_channel:
            given = on_command_line(self.index, self._of, its_control, its_channel, self._rest, self._health)
            inherited = [one.fileno() for one in (its_control, its_channel, *self._rest, *self._health)]
            try:
                with _running_on(self._processors):
                    # In a session of its own: what a terminal says to all that runs in it (Ctrl-C) is heard
                    # by the supervisor, and by the process from there, once.
                    self._process = subprocess.Popen(
                        [given if word == "{}" else word for word in command],
                        stdin=subprocess.DEVNULL,
                        pass_fds=inherited,
                        start_new_session=True,
                    )
            except BaseException:
                control.close()
                channel.close()
                raise
        control.setblocking(False)
        channel.setblocking(False)
        self._channel = channel
        self._loop.add_reader(channel, self._hear_of_connections)
        reader, self._writer = await asyncio.open_unix_connection(sock=control)
        self._hearing = self._loop.create_task(self._hear(reader))

    def give(self, sock: socket.socket, number: int) -> bool:
        """Hand a connection over, the `number`th of all. Returns whether that can be done; if so, it is the
        child's to close."""
        assert self._channel is not None
        try:
            hand_over(self._channel, sock)
        except OSError as error:
            _LOG.debug("process %d takes no connection: %s", self.index, error)
            return False
        self._on_their_way.append(sock)
        self.given = number
        self.open_connections += 1
        return True

    def tell(self, message: Mapping[str, Any]) -> None:
        """Say something to the process, if it still listens; see messages.py."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(messages.encode(message))

    def leave(self) -> None:
        """Let it go: others answer in its place, so it shall stop when its callers have gone to them."""
        self._move(Stage.LEAVING)
        if self._channel is not None:
            # Behind the last connection that is on its way.
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
        self.tell({"do": "leave"})

    def stop(self) -> None:
        """Let it stop as after SIGTERM."""
        self.tell({"do": "stop"})

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def page(self, request: Request, timeout_s: float) -> Response | None:
        """A page of its admin port; None: it made none in `timeout_s` seconds."""
        number = next(self._numbers)
        asked = self._pages[number] = self._loop.create_future()
        what = {"method": request.method, "path": request.path, "headers": dict(request.headers)}
        self.tell({"do": "page", "id": number, **what})
        try:
            return await asyncio.wait_for(asked, timeout_s)
        except asyncio.TimeoutError:
            return None
        finally:
            del self._pages[number]

    async def hears(self, timeout_s: float) -> bool:
        """Has it taken in all that it was told so far? Waits for that so many seconds at most."""
        return await self.page(Request("GET", "/healthz"), timeout_s) is not None

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                text, body = messages.lengths(await reader.readexactly(messages.HEAD_BYTES))
                self._heard(messages.decode(await reader.readexactly(text)), await reader.readexactly(body))
        except (OSError, EOFError):
            pass
        finally:
            await self._see_it_end()

    def _heard(self, message: Mapping[str, Any], body: bytes) -> None:
        if "id" in message:
            asked = self._pages.get(message["id"])
            if asked is not None and not asked.done():
                status = HTTPStatus(message["status"])
                asked.set_result(Response(status, body, message["kind"], message["headers"]))
            return
        stage = {"answering": Stage.ANSWERING, "live": Stage.LIVE, "stopping": Stage.LEAVING}[message["is"]]
        if self.stage is not Stage.LEAVING:
            self._move(stage)

    async def _see_it_end(self) -> None:
        """The line has ended, and so has the process, or soon will."""
        assert self._process is not None
        self._forget_channel()
        until = time.monotonic() + _ENDING_S
        while (status := self._process.poll()) is None:
            if time.monotonic() > until:
                _LOG.warning("process %d (%d) does not end; it is killed", self.index, self.pid)
                self._process.kill()
                until += _ENDING_S
            await asyncio.sleep(_LOOKING_S)
        assert self._writer is not None
        self._writer.close()
        self.lived_s = time.monotonic() - self._started_at
        self.ended.set_result(status)
        self._move(Stage.GONE)

    def _hear_of_connections(self) -> None:
        """The process says which connections it has taken, in the order in which it was given them, and how
        many it has closed."""
        assert self._channel is not None
        try:
            said = self._channel.recv(_AT_A_TIME)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        for _ in range(said.count(TAKEN)):
            self._on_their_way.popleft().close()
        self.open_connections -= said.count(CLOSED)
        if not said:
            self._forget_channel()
        self._changed()

    def _forget_channel(self) -> None:
        if self._channel is not None:
            self._loop.remove_reader(self._channel)
            self._channel.close()
            self._channel = None
        while self._on_their_way:
            self.open_connections -= 1
            self._returned(self._on_their_way.popleft())

    def _move(self, stage: Stage) -> None:
        self.stage = stage
        self._changed()


@contextlib.contextmanager
def _running_on(processors: Sequence[int]) -> Iterator[None]:
    """Inside, this thread runs on these alone, and so does what it starts, from its first instruction on."""
    if not processors or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
