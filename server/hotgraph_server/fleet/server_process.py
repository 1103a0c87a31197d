"""One server as a child of this process: begun, begun anew when it ends by itself, asked to load models,
ended.

It comes back with the models that it had, but for those that ended it (crashes.py). It ends with this
process, whatever ends that: the system sends it SIGTERM, so that its calls are answered. For this the thread
that begins it must live as long as it does, since the system counts the thread as the parent.

Nothing here knows Ray or TensorFlow. The server is talked to over HTTP, as anybody could.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hotgraph_server.errors import FleetError, ReplicaGone
from hotgraph_server.fleet.child import free_ports, prepared, rss_bytes
from hotgraph_server.fleet.cores import Cores
from hotgraph_server.fleet.crashes import Crashes
from hotgraph_server.fleet.loading import versions_in
from hotgraph_server.fleet.observed import ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.settings_file import settings_file
from hotgraph_server.threads.joining import join_within

_LOG = logging.getLogger(__name__)

SERVING = "serving on "
LOAD_S = 600.0
_ASK_S = 10.0
_END_S = 10.0
_PAUSE_S = 0.5
_MOST_PAUSE_S = 30.0
# Of models that come back; more would take each other's processors.
_AT_ONCE = 2


@dataclass(frozen=True)
class ServerSpec:
    """A server.

    Attributes:
        host: that it listens on, an IP address.
        repository: its models.
        settings: as in its settings file.
        cores: so many of its own; 0: none.
        command: before the arguments.
    """

    host: str
    repository: str
    settings: Mapping[str, object]
    cores: int = 0
    command: Sequence[str] = (sys.executable, "-m", "hotgraph_server", "serve")


class ServerProcess:
    """The constructor starts nothing. All methods may be called by any thread."""

    def __init__(
        self, spec: ServerSpec, cores: Cores | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._cores = cores or Cores()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        # One at a time, so that two that ask for the same model load it once.
        self._loads = threading.Lock()
        # Guards what is below; held for no call and no wait.
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._address = ""
        self._rest = ""
        self._admin = ""
        self._ready = False
        self._draining = False
        self._begun = 0
        self._models: dict[str, Mapping[str, str]] = {}
        self._live: dict[str, tuple[int, ...]] = {}
        self._loading: set[str] = set()
        self._crashes = Crashes()
        self._trouble = ""

    def start(self) -> None:
        """Begin it, and keep it from now on; returns at once."""
        self._thread = threading.Thread(target=self._keep, name="server of a replica", daemon=True)
        self._thread.start()

    def drain(self) -> None:
        """It answers what it has, takes nothing new, ends, and does not come back; returns at once."""
        # First, so that none is begun behind the signal's back.
        self._ending.set()
        with self._lock:
            self._draining = True
            self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it at once, and for good; idempotent."""
        self._ending.set()
        with self._lock:
            self._signal(signal.SIGKILL)
        if self._thread is not None:
            join_within(self._thread, _END_S)
        self._cores.give_back()

    def load(self, model: str, parameters: Mapping[str, str]) -> None:
        """Have it serve a model; returns when it does. Does nothing where it does already, by these.

        Raises:
            ReplicaGone: its server has ended meanwhile.
            FleetError: it does not, and why.
        """
        with self._lock:
            self._loading.add(model)
        try:
            with self._loads:
                if self._models.get(model) != parameters or model not in self._live:
                    self._load(model, parameters)
        finally:
            with self._lock:
                self._loading.discard(model)

    def unload(self, model: str) -> None:
        """Have it give up a model; returns when it has.

        Raises:
            FleetError: it has not, and why.
        """
        with self._loads:
            self._ask("POST", f"/v2/repository/models/{quote(model, safe='')}/unload", {})
            with self._lock:
                self._models.pop(model, None)
                self._live.pop(model, None)

    def report(self, replica_id: str = "", node_id: str = "") -> ReplicaSeen:
        """What is known of it; returns at once."""
        with self._lock:
            child = self._child
            state = ReplicaState.READY if self._ready else ReplicaState.STARTING
            return ReplicaSeen(
                replica_id,
                ReplicaState.DRAINING if self._draining else state,
                self._address,
                self._rest if self._address else "",
                # Who drains closes its admin port at some moment.
                self._admin if self._address and not self._draining else "",
                node_id,
                f"{os.getpid()}.{child.pid}.{self._begun}" if child is not None else "",
                {name: ModelSeen(versions) for name, versions in self._live.items()} if self._ready else {},
                rss_bytes=rss_bytes(child.pid) if child is not None else 0,
                loading=frozenset(self._loading),
                restarts=max(0, self._begun - 1),
                trouble=self._trouble,
            )

    def _load(self, model: str, parameters: Mapping[str, str]) -> None:
        with self._lock:
            begun = self._begun
            if why := self._crashes.why_not(model, parameters, self._clock()):
                raise FleetError(why)
        path = f"/v2/repository/models/{quote(model, safe='')}/load"
        try:
            self._ask("POST", path, {"parameters": dict(parameters)} if parameters else {}, LOAD_S)
        except _EndedWhileAsked:
            with self._lock:
                # Not by being stopped, or drained.
                if not self._ending.is_set():
                    self._crashes.ended(model, parameters, self._clock())
            raise
        told = self._ask("GET", f"/v2/models/{quote(model, safe='')}", None)
        versions = tuple(sorted(int(one) for one in told.get("versions", ()) if str(one).isdecimal()))
        if missing := set(versions_in(parameters)) - set(versions):
            raise FleetError(f"its server has no version {min(missing)} of it in {self._spec.repository}")
        with self._lock:
            self._models[model] = dict(parameters)
            self._crashes.loaded(model, parameters)
            # Not of the next server, where this one has ended since.
            if self._begun == begun and self._child is not None:
                self._live[model] = versions or (1,)

    def _keep(self) -> None:
        pause_s = 0.0
        while not self._ending.wait(pause_s):
            served = False
            try:
                served = self._run_once()
            except OSError as error:
                _LOG.error("a replica's server cannot be begun: %s", error)
                self._has_trouble(f"its server cannot be begun: {error}")
            # At once, unless it does not come to serve at all.
            pause_s = 0.0 if served else min(max(2 * pause_s, _PAUSE_S), _MOST_PAUSE_S)

    def _run_once(self) -> bool:
        """Begin it, and wait until it has ended; did it come to serve?"""
        rest, admin = free_ports(self._spec.host)
        child = self._begin(_command(self._spec, rest, admin))
        if child is None:
            return False
        restoring: threading.Thread | None = None
        last = "it said nothing"
        assert child.stderr is not None
        with child.stderr as lines:
            for line in lines:
                # Into this process's log, which Ray keeps. The server goes on where that cannot be written.
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(line)
                last = line.strip() or last
                if line.startswith(SERVING) and restoring is None:
                    self._has_trouble("")
                    address = line.removeprefix(SERVING).strip()
                    restoring = threading.Thread(
                        target=self._restore, args=(address, rest, admin), name="models of a replica"
                    )
                    restoring.start()
        child.wait()
        with self._lock:
            self._child, self._address, self._ready = None, "", False
            self._live = {}
        if restoring is None:
            if not self._ending.is_set():
                self._has_trouble(f"its server does not start: {last}")
            return False
        # It ends by itself: nobody answers it any more.
        restoring.join(_END_S)
        return True

    def _has_trouble(self, why: str) -> None:
        with self._lock:
            self._trouble = why[:300]

    def _begin(self, command: Sequence[str]) -> subprocess.Popen[str] | None:
        cores = self._cores.held or self._cores.take(self._spec.cores)
        with self._lock:
            # A drain or stop that came before finds no child to end.
            if self._ending.is_set():
                return None
            self._child = child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                preexec_fn=prepared(cores),
            )
            self._begun += 1
        return child

    def _restore(self, address: str, rest: int, admin: int) -> None:
        """The models that it had; then it is ready. What cannot be loaded any more is missing."""
        host = address.rpartition(":")[0]
        with self._lock:
            self._address, self._rest, self._admin = address, f"{host}:{rest}", f"{host}:{admin}"
            models = list(self._models.items())
            suspects = [one for one in models if self._crashes.is_suspect(*one)]
        with self._loads:
            with ThreadPoolExecutor(_AT_ONCE, "models of a replica") as pool:
                list(pool.map(self._bring_back, (one for one in models if one not in suspects)))
            # Last and one by one, so that it shows which of them it is, and others are there before.
            for one in suspects:
                self._bring_back(one)
        with self._lock:
            # It may have ended in between, and another one have begun.
            self._ready = self._address == address

    def _bring_back(self, one: tuple[str, Mapping[str, str]]) -> None:
        model, parameters = one
        try:
            self._load(model, parameters)
        except FleetError as error:
            _LOG.warning("model %s did not come back: %s", model, error)

    def _ask(self, method: str, path: str, body: Any, timeout_s: float = _ASK_S) -> Any:
        with self._lock:
            address = self._rest if self._address else ""
        if not address:
            raise ReplicaGone("its server is not there")
        host, _, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise ReplicaGone(f"its server does not answer: {error!r}") from error
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError as error:
            raise FleetError(f"its server does not answer: {error!r}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _EndedWhileAsked(f"its server does not answer: {error!r}") from error
        finally:
            connection.close()
        try:
            told = json.loads(text) if text else {}
        except ValueError:
            told = {}
        if answer.status != 200:
            why = told.get("error") if isinstance(told, dict) else None
            raise FleetError(str(why or f"its server answers {answer.status}")[:1000])
        return told

    def _signal(self, number: signal.Signals) -> None:
        """Requires the lock."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)


class _EndedWhileAsked(ReplicaGone):
    """It had taken the request."""


def _command(spec: ServerSpec, rest: int, admin: int) -> list[str]:
    file = settings_file({"model_control": "explicit", **spec.settings})
    where = ["--host", spec.host, "--port", "0", "--rest-port", str(rest), "--admin-port", str(admin)]
    return [*spec.command, "--config", str(file), "--repository", spec.repository, *where]
