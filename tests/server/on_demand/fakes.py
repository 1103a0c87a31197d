"""A repository whose loads and closings happen when the test says so, and versions that are only figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from hotgraph_server.errors import CallError, LoadError
from hotgraph_server.models.memory_usage import Basis, MemoryUsage
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.coordinator import OnDemand
from hotgraph_server.on_demand.waiting import Waiter
from hotgraph_server.repository.room import Held, Holding
from hotgraph_server.settings import ModelSettings, OnDemandSettings, RepositorySettings, ResidencySettings
from hotgraph_server.state.snapshotter import SnapshotStatus

from ..fakes import FakeClock, until

MB = 2**20


class FakeStatistics:
    """How many calls there were, and when the last was."""

    def __init__(self) -> None:
        self.calls = 0
        self.ran_ms = 0

    def activity(self) -> tuple[int, int]:
        return self.calls, self.ran_ms


class FakeSnapshotter:
    """A folder that takes what it is given when the test says so."""

    def __init__(self, folder: Path | None = Path("/state")) -> None:
        self.writes = self.saved = 0
        self.folder = folder
        self.asked: list[Future[str | None]] = []

    @property
    def status(self) -> SnapshotStatus:
        return SnapshotStatus(self.writes, self.saved, self.folder)

    def save(self) -> Future[str | None]:
        self.asked.append(Future())
        return self.asked[-1]

    def done(self, problem: str | None = None) -> None:
        """The last save has ended."""
        self.saved = self.saved if problem else self.writes
        self.asked[-1].set_result(problem)


class FakeVersion:
    """Of models.version.Version what is seen here."""

    def __init__(self, name: str, number: int, nbytes: int, load_s: float) -> None:
        self.name = name
        self.number = number
        self.title = f"model '{name}' version {number}"
        self.memory = MemoryUsage(nbytes, basis=Basis.MEASURED)
        self.load_s = load_s
        self.statistics = FakeStatistics()
        self.waiting = 0
        self.in_run_for_s = 0.0
        self.sequences: Any = None
        self.signatures: Mapping[str, Any] = {}
        self.snapshotter: FakeSnapshotter | None = None
        self.loaded_at_call = False

    def call(self, calls: int = 1, ran_ms: int = 1) -> None:
        """It has been called so often."""
        self.statistics.calls += calls
        self.statistics.ran_ms = ran_ms


class FakeModels:
    """Of repository.Repository what is seen here.

    Attributes:
        sizes: of each model's version on disk, bytes.
        log: what was asked of it.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.measured: dict[str, int] = {}
        self.load_s: dict[str, float] = {}
        self.states: dict[str, State] = {}
        self.errors: dict[str, str] = {}
        self.called: set[str] = set()
        self.newer: set[str] = set()  # of which another version waits for its load
        self.versions: dict[str, FakeVersion] = {}
        self.publish: Callable[[str, Sequence[Version]], None] = lambda name, versions: None
        self.log: list[str] = []
        self.settled: list[tuple[str, Callable[[list[Unavailable]], None]]] = []

    def holdings(self) -> list[Holding]:
        return [
            Holding(name, name in self.called, self._outcome(name), self.held(name))
            for name in self.sizes
            if name in self.called or name in self.states
        ]

    def to_load(self, name: str) -> list[Held]:
        return [Held(name, 1, State.KNOWN, Path(f"/{name}/1"))] if name in self.sizes else []

    def call(self, name: str) -> None:
        self.log.append(f"call {name}")
        self.called.add(name)
        self.errors.pop(name, None)
        self.states.setdefault(name, State.LOADING)

    def give_up(self, name: str) -> None:
        self.log.append(f"give up {name}")
        self.called.discard(name)
        self.newer.discard(name)
        if self.states.get(name) is State.LIVE:
            self.states[name] = State.DRAINING
            self.publish(name, ())

    def reconsider(self) -> None:
        self.log.append("reconsider")

    def when_settled(self, names: list[str], tell: Callable[[list[Unavailable]], None]) -> Callable[[], None]:
        self.settled.append((names[0], tell))
        return lambda: None

    # What the test says.

    def live(self, name: str) -> FakeVersion:
        """A load has gone well."""
        assert self.states[name] is State.LOADING
        nbytes = self.measured.get(name, self.sizes[name])
        version = FakeVersion(name, 1, nbytes, self.load_s.get(name, 1.0))
        self.versions[name] = version
        self.states[name] = State.LIVE
        self.publish(name, [cast(Version, version)])
        if name not in self.called:
            self.give_up(name)
        return version

    def fail(self, name: str, why: str = "broken") -> None:
        """A load has failed."""
        assert self.states.pop(name) is State.LOADING
        self.errors[name] = why

    def closed(self, name: str) -> None:
        """A version is gone."""
        assert self.states.pop(name) is State.DRAINING
        del self.versions[name]

    def held_bytes(self) -> int:
        """Of all that is in memory, on its way in or out."""
        return sum(self.measured.get(name, self.sizes[name]) for name in self.states)

    def held(self, name: str) -> list[Held]:
        if name not in self.states:
            return []
        state = self.states[name]
        version = self.versions.get(name) if state is State.LIVE else None
        newer = [Held(name, 2, State.WAITING, Path(f"/{name}/2"))] if name in self.newer else []
        return [*newer, Held(name, 1, state, Path(f"/{name}/1"), cast(Any, version))]

    def _outcome(self, name: str) -> list[Unavailable] | None:
        if name in self.errors:
            return [Unavailable(name, 1, LoadError(f"/{name}", self.errors[name]))]
        return [] if self.states.get(name) is State.LIVE else None


class World:
    """A coordinator over a FakeModels; its thread is the test, which calls `tick`.

    Attributes:
        ended: how each call has ended, by what it was called: "live" or the text of its error.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        limit_mb: int = 100,
        *,
        pinned: Sequence[str] = (),
        slots: int = 2,
        **settings: Any,
    ) -> None:
        self.clock = FakeClock()
        self.registry = Registry()
        self.models = FakeModels({name: size * MB for name, size in sizes.items()})
        self.changed: list[str] = []
        self.demand = OnDemand(
            OnDemandSettings(memory_mb=limit_mb, **settings),
            RepositorySettings(load_threads=slots),
            self.registry,
            lambda settings, folder: MemoryUsage(self.models.sizes[settings.name], basis=Basis.MEASURED),
            self.changed.append,
            self.clock,
        )
        self.settings = {
            name: ModelSettings(name, Path(f"/{name}"), residency=ResidencySettings(pin=name in pinned))
            for name in sizes
        }
        self.demand.know(list(self.settings.values()))
        self.models.publish = self.demand.published
        self.demand.over(self.models)
        self.ended: dict[str, str] = {}
        self.waiters: dict[str, Waiter] = {}

    def call(self, model: str, name: str = "", within_s: float = 60.0) -> str:
        """A call; returns "waits", "live", or the text of the error that it is refused with."""
        name = name or model
        now = self.clock()
        waiter = Waiter(
            model,
            now,
            now + within_s,
            lambda: self._end(name, "live"),
            lambda error: self._end(name, str(error)),
        )
        self.waiters[name] = waiter
        try:
            return "waits" if self.demand.callers.wait(waiter) else "live"
        except CallError as error:
            return str(error)

    def tick(self) -> float:
        return self.demand.tick()

    def load(self, *models: str) -> None:
        """These are live, one after the other, and idle; time has passed."""
        for model in models:
            assert self.call(model, f"first {model}") == "waits"
            self.tick()
            for other in [name for name, state in self.models.states.items() if state is State.DRAINING]:
                self.models.closed(other)
                self.tick()
            self.models.live(model)
            self.tick()
            until(lambda model=model: f"first {model}" in self.ended)  # type: ignore[misc]
            self.clock.now += 10.0
            until(lambda: not self.demand.handing_out.models)

    def _end(self, name: str, how: str) -> None:
        assert name not in self.ended, "a call ends once"
        self.ended[name] = how
