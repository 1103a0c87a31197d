"""The process that starts the others, hands connections to them, and starts anew what has ended.

Why it is not one that exists. gunicorn's arbiter forks, which threads of TensorFlow and gRPC do not survive.
uvicorn's supervisor starts processes afresh and replaces them one by one, as is done here; but it runs only
uvicorn, looks twice a second what has happened, starts what dies again without a pause, and leaves to chance
which process gets a connection. Those of gRPC are few and live long: by chance one process has them all.

Who does what
    * The ports are the supervisor's. It accepts every connection of gRPC and hands it to the process with the
      fewest open ones; so a port is open, and the same, whatever ends and begins behind it. TLS is up to the
      process. Connections of REST come and go by the thousand; processes accept them from one shared socket.
    * A process that ends is started again, after pauses that double, and then the others let go of as many
      callers as they have above their share. One that ends before the first start is over ends that start.
    * SIGTERM: all stop, side by side, each as a single server does. SIGHUP: each is replaced by one that has
      read the configuration anew and answers calls, and then leaves: its callers are asked to go elsewhere,
      and what they send meanwhile is answered.
    * Nothing of a graph, a call or a model is here: TensorFlow is never imported.

One thread, with one event loop; beside it the admin port's, and one that adds figures up for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence

from hotgraph_server.errors import HotgraphError, StartError
from hotgraph_server.processes import shares
from hotgraph_server.processes.child import Child, Stage
from hotgraph_server.processes.ports import Ports
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.accepting import SocketAcceptor

_LOG = logging.getLogger(__name__)

# Beyond the time that calls have: for runs that nobody waits for, and for what is written at the end.
_ENDING_S = 30.0
_LEFT = "the processes stay as they are: %s"
_FAILED = 1


class Supervisor:
    """
    Args:
        listening, rest: where calls come in.
        count: so many processes.
        command: what a process runs; see Child.start.
        renew: reads the configuration again, for processes to come; raises HotgraphError: they cannot.
        say: writes a line on stderr.
        health_port: for health alone; 0: there is none.

    Attributes:
        children: the processes, by index; after the start.
        restarts: how often each was started again because it had ended.
        is_ready: do all of them answer calls?
    """

    def __init__(
        self,
        listening: ListenSettings,
        rest: RestSettings,
        count: int,
        command: Sequence[str],
        renew: Callable[[], None],
        say: Callable[[str], None],
        health_port: int = 0,
    ) -> None:
        self.children: list[Child] = []
        self.restarts = [0] * count
        self.is_ready = False
        self._settings = listening
        self._rest_settings = rest
        self._health_port = health_port
        self._count = count
        self._command = command
        self._renew = renew
        self._say = say
        # Those that are not among the children yet, or no more.
        self._others: set[Child] = set()
        self._started = False
        self._stopping = False
        self._accepting = False
        self._given = 0

    def run(self, admin: Callable[[Supervisor], Callable[[], None]]) -> int:
        """Serve until a signal says otherwise; returns the exit status.

        Args:
            admin: opens the admin port, in this thread, and returns what closes it.

        Raises:
            StartError: a port cannot be had, or a process not be started.
        """
        return asyncio.run(self._main(admin))

    async def _main(self, admin: Callable[[Supervisor], Callable[[], None]]) -> int:
        loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._ports = Ports(self._settings, self._rest_settings, self._health_port)
        self._acceptor = SocketAcceptor(self._ports.grpc, self._take)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set)
        close_admin = None
        keeping: list[asyncio.Task[None]] = []
        try:
            close_admin = admin(self)
            failed = await self._start()
            if failed is not None:
                return failed
            keeping = [loop.create_task(self._keep(index)) for index in range(self._count)]
            keeping.append(loop.create_task(self._replace_when_asked()))
            await self._stop_asked.wait()
            self._stopping = True
            return await self._stop(keeping)
        finally:
            for child in self._everybody():
                child.kill()
            self._acceptor.close()
            self._ports.close()
            if close_admin is not None:
                close_admin()

    # The start

    async def _start(self) -> int | None:
        """Start all; returns the exit status if one has ended instead, and None otherwise."""
        _LOG.info("%d processes are started, %s", self._count, shares.told(_usable(), self._count))
        for index in range(self._count):
            self.children.append(await self._begin(index))
        await self._until(
            lambda: all(one.stage is Stage.LIVE for one in self.children) or self._first_gone() is not None
        )
        gone = self._first_gone()
        if gone is not None:
            status = await gone.ended
            # It has said why.
            self._say(f"process {gone.index} could not start, and so the others do not: {_told(status)}")
            return status if status > 0 else _FAILED
        self._started = True
        self._change()
        # They have heard that all are ready when they answer: messages keep their order.
        await asyncio.gather(*(child.hears(_ENDING_S) for child in self.children))
        if self._ports.rest_address:
            _LOG.info("REST port: http://%s/", self._ports.rest_address)
        self._say(f"serving on {self._ports.address}")
        return None

    def _first_gone(self) -> Child | None:
        return next((one for one in self.children if one.stage in (Stage.LEAVING, Stage.GONE)), None)

    async def _begin(self, index: int) -> Child:
        """Raises StartError: there can be no process more."""
        child = Child(
            index,
            self._count,
            shares.processors(_usable(), index, self._count),
            self._ports.rest,
            self._change,
            self._take,
            self._ports.health,
        )
        try:
            await child.start(self._command)
        except OSError as error:
            raise StartError(f"process {index} cannot be started: {error.strerror or error}") from error
        self._others.add(child)
        return child

    # While it serves

    async def _keep(self, index: int) -> None:
        """Start one again whenever it has ended."""
        pause_s = 0.0
        while True:
            child = self.children[index]
            status = await asyncio.shield(child.ended)
            if self.children[index] is not child:
                # It has been replaced.
                continue
            pause_s = shares.next_pause_s(pause_s, child.lived_s)
            _LOG.warning(
                "process %d (%d) has ended: %s; another one is started in %.1f s",
                *(index, child.pid, _told(status), pause_s),
            )
            await asyncio.sleep(pause_s)
            if self.children[index] is child:
                try:
                    child = self.children[index] = await self._begin(index)
                except StartError as error:
                    _LOG.warning("%s", error)
                    continue
                self.restarts[index] += 1
                self._change()
                await self._until(lambda child=child: child.stage is not Stage.STARTING)  # type: ignore[misc]
                await self._until(lambda child=child: child.stage is not Stage.ANSWERING)  # type: ignore[misc]
                self._share()

    def _share(self) -> None:
        """Let callers go of who has more than its share: those of a process that was missing have gone to the
        others, and of themselves they stay there."""
        live = [child for child in self.children if child.stage is Stage.LIVE]
        surplus = shares.too_many([child.open_connections for child in live])
        for child, connections in zip(live, surplus, strict=True):
            if connections:
                child.tell({"do": "shed", "connections": connections})

    async def _replace_when_asked(self) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            for child in self._everybody():
                # First: nothing that is wrong shall keep a key that was taken back.
                child.tell({"do": "renew access"})
            try:
                self._renew()
                await self._replace_all()
            except HotgraphError as error:
                _LOG.warning(_LEFT, error)
            except Exception:
                _LOG.exception(_LEFT, "a bug of ours")

    async def _replace_all(self) -> None:
        """One by one, so that there is never one less than there shall be."""
        for index in range(self._count):
            new = await self._begin(index)
            await self._until(lambda new=new: new.stage in (Stage.LIVE, Stage.LEAVING, Stage.GONE))  # type: ignore[misc]
            if new.stage is not Stage.LIVE:
                new.kill()
                _LOG.warning(_LEFT, f"process {index} did not start: {_told(await new.ended)}")
                return
            # First it hears that all are ready, and then it gets callers who may ask for that.
            self._tell_ready(new)
            await new.hears(_ENDING_S)
            old, self.children[index] = self.children[index], new
            self._change()
            if old.stage is not Stage.GONE:
                old.leave()
                await asyncio.wait([old.ended], timeout=self._settings.drain_s + _ENDING_S)
                old.kill()
            _LOG.info("process %d was replaced: %d by %d", index, old.pid, new.pid)
        _LOG.info("the configuration was read again, and is taken by all %d processes", self._count)

    # The end

    def _stop_signal(self, number: int) -> None:
        if self._started and not self._stop_asked.is_set():
            self._stop_asked.set()
            self._say("stopping: calls already taken are answered; once more to end at once")
            return
        for child in self._everybody():
            child.kill()
        self._ports.close()
        # As a shell reports a process that a signal has ended.
        os._exit(128 + number)

    async def _stop(self, keeping: Sequence[asyncio.Task[None]]) -> int:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
        asked = {child for child in self._everybody() if child.stage in (Stage.LIVE, Stage.LEAVING)}
        for child in self._everybody() - asked:
            # Nobody waits for an answer of one that has not begun to give any.
            child.kill()
        for child in asked:
            child.stop()
        ends = [child.ended for child in self._everybody()]
        if ends:
            await asyncio.wait(ends, timeout=self._settings.drain_s + _ENDING_S)
        wrong = [
            f"process {child.index}: {_told(child.ended.result()) if child.ended.done() else 'does not end'}"
            for child in asked
            if not child.ended.done() or child.ended.result()
        ]
        if wrong:
            self._say(f"stopped, but not in order: {', '.join(sorted(wrong))}")
            return _FAILED
        _LOG.info("all calls answered, stopped")
        return 0

    # What changes

    def _take(self, sock: socket.socket) -> None:
        """A connection has come."""
        takers = [child for child in self._everybody() if child.takes_connections]
        if self._stopping:
            takers = [child for child in self._everybody() if child.has_channel]
        elif self._started:
            takers = [child for child in takers if child.stage is Stage.LIVE] or takers
        for child in sorted(takers, key=lambda one: (one.open_connections, one.given)):
            self._given += 1
            if child.give(sock, self._given):
                return
        # Its caller sees it closed, and tries again.
        sock.close()

    def _change(self) -> None:
        """Something is not as it was."""
        self._others = {child for child in self._others if child.stage is not Stage.GONE}
        self.is_ready = self._started and all(child.stage is Stage.LIVE for child in self.children)
        for child in self._everybody():
            if child.stage is Stage.LIVE:
                self._tell_ready(child)
        if self._stopping:
            takes = any(child.has_channel for child in self._everybody())
        else:
            takes = any(child.takes_connections for child in self._everybody())
        if takes is not self._accepting:
            # Without anybody to take them they wait.
            self._accepting = takes
            self._acceptor.open() if takes else self._acceptor.hold()
        self._news.set()

    def _tell_ready(self, child: Child) -> None:
        if child.told_ready is not self.is_ready:
            child.told_ready = self.is_ready
            child.tell({"do": "all ready", "ready": self.is_ready})

    def _everybody(self) -> set[Child]:
        return {*self.children, *self._others}

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await self._news.wait()


def _usable() -> list[int]:
    """The processors that this process may run on; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _told(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
