"""Where servers are sent more than they can answer: who takes part, and a round of it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import triton
from bench.calls import Caller, Question
from bench.environment import Cache, CannotSetUp
from bench.generator import Asked, call
from bench.outcomes import Closed, Ended, Outcome, judge, judge_idle
from bench.overload_results import Overload
from bench.places import Installed, Place
from bench.processes import Launch, NoLine, Server, free_port
from bench.protocols import V2, BadAnswer
from bench.rivals import RIVALS, hotgraph_launcher
from bench.workload import SLOW, SLOW_ROWS
from hotgraph_client.loadtest.load import Arrivals

DEADLINE_S = 0.050
_CLIENTS = (1, 2, 3)
_READY_S = 120.0
_CAPACITY_S = 1.5
_BUSY_CLIENTS = 2 * SLOW_ROWS
_SETTLE_S = 0.3
_QUESTIONS = 16

_QUEUE_ROWS = 24
"""That fit into 50 ms of a model that takes 8 rows in 16 ms."""
_TIMEOUT = (
    "dynamic_batching { default_queue_policy { timeout_action: REJECT  default_timeout_microseconds: 50000  "
    "allow_timeout_override: true %s} }"
)


@dataclass(frozen=True)
class Contender:
    """A server of the bench; `name` is a rival's, or one with a policy."""

    name: str
    rival: str
    settings: str
    launch: Callable[[Place], Launch]


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "hotgraph",
            "hotgraph",
            f"--max-batch-rows {SLOW_ROWS} --batching always, otherwise defaults",
            # On our word: the model reckons with the number of rows, so that TensorFlow cannot compute it
            # once for all, and its structure does not tell that nothing of that comes into an answer.
            hotgraph_launcher("--max-batch-rows", str(SLOW_ROWS), "--batching", "always"),
        ),
        Contender("triton", "triton", "dynamic_batching, no queue policy", triton.launch),
        Contender(
            "triton-timeout",
            "triton",
            "dynamic_batching with a queue timeout of 50 ms (REJECT)",
            lambda place: triton.launch(place, _TIMEOUT % ""),
        ),
        Contender(
            "triton-queue",
            "triton",
            f"the same and max_queue_size {_QUEUE_ROWS}",
            lambda place: triton.launch(place, _TIMEOUT % f"max_queue_size: {_QUEUE_ROWS} "),
        ),
    )
}


def say(text: str) -> None:
    """To the person who waits."""
    print(text, file=sys.stderr, flush=True)


class Arena:
    """The servers and the bare loop, all on one core; one at a time has work. Used by one thread."""

    def __init__(self, cache: Cache, folder: Path, core: int, results: Overload) -> None:
        self._cache = cache
        self._folder = folder
        self._core = core
        self._results = results
        self._servers: dict[str, tuple[Server, str]] = {}
        self._bare: Server | None = None
        random = np.random.default_rng(0)
        inputs = [random.random((1, *SLOW.shape), np.float32).round(3) for _ in range(_QUESTIONS)]
        # Twice a float is exact: the right answer is known to the last bit.
        self._questions = [Question(rows, rows * 2) for rows in inputs]

    def start(self, names: Sequence[str]) -> None:
        """Start servers one by one; those that cannot take part are noted and left out."""
        self._bare, _ = self._launch("bare", Installed(Path(sys.executable)), RIVALS["bare-frozen"].launch)
        self._bare.wait_for_line("ready", _READY_S)
        for name in names:
            contender = CONTENDERS[name]
            rival = RIVALS[contender.rival]
            say(f"starting {name}")
            try:
                installed = rival.set_up(self._cache)
                server, address = self._launch(name, installed, contender.launch)
                self._servers[name] = (server, address)
                if rival.says_address:
                    address = server.wait_for_line("serving on ", _READY_S)
                self._wait_until_right(server, address)
            except (CannotSetUp, NoLine, BadAnswer) as error:
                self._results.left_out[name] = str(error)
                say(f"left out: {name}: {error}")
                if name in self._servers:
                    self._servers.pop(name)[0].stop()
                continue
            self._servers[name] = (server, address)
            versions = ", ".join(f"{what} {version}" for what, version in installed.versions.items())
            self._results.settings[name] = contender.settings + (f" [{versions}]" if versions else "")

    def close(self) -> None:
        servers = [server for server, _ in self._servers.values()] + ([self._bare] if self._bare else [])
        for server in servers:
            server.ask_to_end()
        for server in servers:
            server.stop()

    def one_round(self, round_number: int, loads: Sequence[float], seconds: float, idle_s: float) -> None:
        """The capacity, every server alone with a few callers, and every server under every load."""
        run_s = self._run_s()
        say(f"round {round_number + 1}: a run takes {run_s * 1e3:.2f} ms")
        names = list(self._servers)
        turn = round_number % max(len(names), 1)
        names = [*names[turn:], *names[:turn]]
        for clients, name in itertools.product(_CLIENTS, names):
            self._idle(name, round_number, clients, run_s, idle_s)
        for name in names:
            self._busy(name, round_number, SLOW_ROWS / run_s, idle_s)
        for number, load in enumerate(loads):
            # Again, since a machine's speed wanders; and the same moments for everybody.
            capacity = SLOW_ROWS / self._run_s()
            for name in names:
                self._load(name, round_number, load, capacity, seconds, seed=round_number * 100 + number)

    def _run_s(self) -> float:
        assert self._bare is not None
        runs, passed = self._bare.ask(f"{SLOW_ROWS} {_CAPACITY_S}", "ran ", _READY_S).split()
        run_s = float(passed) / int(runs)
        self._results.run_ms.append(run_s * 1e3)
        return run_s

    def _idle(self, name: str, round_number: int, clients: int, run_s: float, seconds: float) -> None:
        ended = self._closed_loop(name, clients, seconds)
        if ended is not None:
            idle = judge_idle(name, round_number, clients, ended, run_s)
            self._results.idle.append(idle)
            say(f"{name:15} {clients} callers: {idle.p50_ms:.1f} ms, at most {idle.max_ms:.1f} ms")

    def _busy(self, name: str, round_number: int, capacity: float, seconds: float) -> None:
        ended = self._closed_loop(name, _BUSY_CLIENTS, seconds)
        if ended is not None:
            right = sum(call.outcome is Outcome.RIGHT for call in ended)
            closed = Closed(name, round_number, _BUSY_CLIENTS, right / seconds / capacity)
            self._results.closed.append(closed)
            say(f"{name:15} {_BUSY_CLIENTS} callers: {closed.goodput:.2f} of the capacity")

    def _closed_loop(self, name: str, clients: int, seconds: float) -> list[Ended] | None:
        try:
            return self._call(name, Arrivals("closed", callers=clients), seconds, None, seed=1)
        except OSError as error:
            self._failed(name, f"{clients} callers", error)
            return None

    def _load(
        self,
        name: str,
        round_number: int,
        load: float,
        capacity: float,
        seconds: float,
        seed: int,
    ) -> None:
        try:
            arrivals = Arrivals("poisson", rate=load * capacity)
            ended = self._call(name, arrivals, seconds, DEADLINE_S, seed)
        except OSError as error:
            self._failed(name, f"{load:g} times the capacity", error)
            return
        level = judge(name, round_number, load, capacity, seconds, ended, DEADLINE_S)
        self._results.levels.append(level)
        say(
            f"{name:15} {load:g} times: goodput {level.goodput:.2f}, late {level.late}, "
            f"stalled {level.stalled}, {level.ends}"
        )
        # What is still queued must not be the next load's trouble.
        time.sleep(_SETTLE_S)
        with contextlib.suppress(BadAnswer):
            self._wait_until_right(*self._servers[name])

    def _failed(self, name: str, what: str, error: Exception) -> None:
        self._results.notes.append(f"{name}, {what}: {error}")
        say(self._results.notes[-1])

    def _call(
        self, name: str, arrivals: Arrivals, seconds: float, deadline_s: float | None, seed: int
    ) -> list[Ended]:
        asked = [
            Asked(V2.path, V2.encode(SLOW.name, question.inputs), question.answer.astype("<f4").tobytes())
            for question in self._questions
        ]
        return call(self._servers[name][1], asked, arrivals, seconds, deadline_s, seed)

    def _launch(
        self, name: str, installed: Installed, launch: Callable[[Place], Launch]
    ) -> tuple[Server, str]:
        place = Place(self._cache, installed, SLOW, self._folder, free_port(), [], SLOW_ROWS)
        started = launch(place)
        pinned = replace(started, command=["taskset", "--cpu-list", str(self._core), *started.command])
        server = Server(pinned, self._cache.at("logs", f"overload-{name}.log"))
        return server, f"127.0.0.1:{place.port}"

    def _wait_until_right(self, server: Server, address: str) -> None:
        """Raises BadAnswer: it does not answer right for long."""
        deadline = time.monotonic() + _READY_S
        while True:
            with contextlib.closing(Caller(V2, SLOW.name, address)) as caller:
                try:
                    caller.check(self._questions[0])
                    return
                except BadAnswer:
                    if server.ended or time.monotonic() > deadline:
                        raise
            time.sleep(0.25)
