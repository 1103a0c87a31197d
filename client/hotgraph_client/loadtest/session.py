"""One load test from end to end: asks the target, makes the calls, puts loads on, writes down what it found.

This is where the parts meet; each is told in its own module. Needs the extra's packages.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..client import Client
from ..errors import HotgraphError
from ..tls import Tls
from .checking import Checker
from .dialects.description import Dialect
from .dialects.opening import SERVING_NAME, open_dialect
from .document import VERSION, Document, Slo, Step
from .finding import PROBE_CALLERS, PROBE_S, find
from .inputs.items import InputError
from .inputs.opening import open_inputs
from .inputs.options import FIRST, NONE, InputOptions
from .inputs.payloads import payloads_of, trace_of
from .load import Answer, Destination
from .machine import cores, describe_machine
from .moments import read_moments
from .options import Options
from .plan import Closed, Load, Open, probed, processes_for
from .runner import Calls, Runner, Timing, Watcher
from .sending.merging import assignments_for
from .sending.processes import Senders
from .server_figures import PrometheusPage, Sampler, Source, Statistics
from .steps import Checked, step_of

SECONDS = 10.0
"""Of a step, where nobody says."""

UNENDING_S = 1e7
"""Of a load that goes on until it is stopped."""

LIVE_RATE = 10.0
CONNECTIONS = 4


@dataclass(frozen=True)
class Target:
    """What is called.

    Attributes:
        text: TARGET as the user wrote it.
        key: that the server asks for.
        metrics: URL of the server's Prometheus text; None: without.
        protocol: auto, v2 or tfs.
        command: the whole line, for the document.
    """

    text: str
    destinations: tuple[Destination, ...]
    model: str
    version: str
    signature: str
    protocol: str
    tls: Tls | None
    key: str | None = field(repr=False)
    metrics: str | None
    command: str


class Session:
    """A load test that has asked its target and made its calls, and has sent nothing yet.

    Attributes:
        dialect: what the target speaks.
        notes: of the inputs, what people should know.

    Raises:
        TargetError: the target cannot be called so.
        InputError: inputs that cannot be made or read.
    """

    def __init__(self, target: Target, options: Options, inputs: InputOptions) -> None:
        self._target = target
        self._options = options
        self._started = datetime.datetime.now(datetime.timezone.utc)
        protocol = {"tfs": SERVING_NAME}.get(target.protocol, target.protocol)
        self.dialect: Dialect = open_dialect(
            target.destinations[0], target.model, target.version, target.signature, protocol
        )
        if options.replay is not None and not options.replay.exists():
            raise InputError(f"--replay {options.replay}: there is no such file or folder")
        described = open_inputs(self.dialect.description, inputs)
        self.notes = (*described.notes, *self._of_metrics())
        self._source = described.source
        self._payloads = payloads_of(self.dialect, described, inputs.max_bytes)
        self._check = inputs.check
        self._checker = Checker(self._payloads.items, self.dialect.read, _mode(inputs.check))
        self._calls = self._calls_of()
        self.processes = options.processes or processes_for(options.loads, cores(), len(target.destinations))

    @contextmanager
    def runner(self, watcher: Watcher) -> Iterator[tuple[Runner, Senders]]:
        """What puts loads on, with its processes; they are gone at the end."""
        options = self._options
        timing = Timing(
            seconds=options.seconds or SECONDS,
            warm_up_s=options.warm_up_s,
            arrivals=options.arrivals,
            usable_cores=min(self.processes, cores()),
            connections=self._connections(),
            deadline_s=options.deadline_s,
            seed=options.seed,
        )
        with ExitStack() as stack:
            senders = stack.enter_context(Senders(self.processes))
            sampler = Sampler(self._server_source(stack))
            split = partial(assignments_for, self.processes)
            yield Runner(senders, split, self._calls, timing, watcher, sampler=sampler), senders

    def put_on(self, runner: Runner, note: Callable[[str], None]) -> tuple[list[Step], Slo | None]:
        """All that the options ask for; fewer steps where the runner is stopped."""
        options = self._options
        if options.promise:
            start = self._start(runner, note)
            return find(
                runner, options.promise, options.slo_text, start, within=options.sweep, need=options.need
            )
        loads: Sequence[Load] = options.loads
        if not loads:
            capacity = self._probe(runner, note)
            loads = probed(capacity) if capacity else ()
        return runner.steps(loads, options.repeats), None

    def put_on_live(self, runner: Runner) -> list[Step]:
        """One load, until it is stopped or its time is over."""
        load = self.live_load
        run = runner.once(load, of=1, seconds=self._options.seconds or UNENDING_S)
        return [step_of(load, [run])] if run.measured else []

    @property
    def live_load(self) -> Open:
        """What --live begins with."""
        load = self._options.loads[0] if self._options.loads else None
        return Open(load.rate if isinstance(load, Open) else LIVE_RATE, live=True)

    @property
    def title(self) -> str:
        """What is called, for people."""
        return f"{self._target.model} on {self._target.text}"

    @property
    def rows(self) -> list[int]:
        """Of each payload."""
        return [payload.rows for payload in self._payloads.payloads]

    @property
    def mix(self) -> dict[int, float]:
        """Share of calls by their rows."""
        return {int(rows): share for rows, share in self._payloads.rows.items()}

    def document(self, steps: Sequence[Step], slo: Slo | None) -> Document:
        """What --json writes."""
        description, options = self.dialect.description, self._options
        server = {"name": description.server, "version": description.server_version}
        document: Document = {
            "hotgraph_loadtest": VERSION,
            "started": self._started.isoformat(timespec="seconds"),
            "command": self._target.command,
            "target": self._target.text,
            "protocol": description.protocol,
            "model": description.model,
            "version": description.version,
            "signature": description.signature,
            "machine": {**describe_machine(), "server": server},
            "input": {
                "source": self._source,
                "items": len(self._payloads.payloads),
                "rows": self._payloads.rows,
                "bytes": round(self._payloads.mean_bytes),
            },
            "load": self._load(options),
            "steps": list(steps),
        }
        if slo is not None:
            document["slo"] = slo
        return document

    def _load(self, options: Options) -> dict[str, Any]:
        closed = any(isinstance(load, Closed) for load in options.loads)
        return {
            "kind": "closed" if closed else "open",
            "arrivals": "closed" if closed else "trace" if self._is_timed else options.arrivals,
            "seconds": options.seconds or SECONDS,
            "warm_up_s": 0.0 if self._is_timed else options.warm_up_s,
            "repeats": options.repeats,
            "processes": self.processes,
            "connections": self._connections() * self.processes,
            "deadline_ms": None if options.deadline_s is None else 1e3 * options.deadline_s,
            "check": self._check,
        }

    def _connections(self) -> int:
        wanted = self._options.connections
        return CONNECTIONS if wanted is None else max(1, round(wanted / self.processes))

    def _start(self, runner: Runner, note: Callable[[str], None]) -> float:
        sweep, loads = self._options.sweep, self._options.loads
        if sweep is not None:
            return float((sweep.low * sweep.high) ** 0.5)
        if loads and isinstance(loads[0], Open):
            return loads[0].rate
        return float(f"{max(self._probe(runner, note) / 2, 0.1):.2g}")

    def _probe(self, runner: Runner, note: Callable[[str], None]) -> float:
        """Calls a second that the target can do, roughly; 0: it answered none."""
        note("probe: a short closed loop finds out what the server can do")
        run = runner.once(Closed(PROBE_CALLERS), seconds=PROBE_S)
        step = step_of(run.load, [run])
        if not step["latency_ms"] and not runner.stopped:
            raise NoAnswer(step)
        # of a server that needs longer than the probe for a call: as many as it has at once
        return step["achieved_per_s"] or 1e3 * PROBE_CALLERS / step["latency_ms"].get("p50", math.inf)

    def _calls_of(self) -> Calls:
        payloads = self._payloads
        check = partial(_check_by, self._checker)
        calls = Calls(self._target.destinations, payloads.payloads, check, payloads.weights)
        if self._check == NONE:
            calls = replace(calls, keep_answers=0)
        if not self._is_timed:
            return calls
        moments, order = (_moments(self._options.trace), None) if self._options.trace else trace_of(payloads)
        moments = moments / self._options.speed
        if len(moments) and moments[-1] > UNENDING_S:
            raise InputError(
                f"{self._source}: it goes on for {moments[-1] / 86400:.3g} days: are its times right?"
                " give a part of it, or a --speed"
            )
        return replace(calls, moments=moments, order=order)

    @property
    def _is_timed(self) -> bool:
        return self._options.replay is not None or self._options.trace is not None

    def _of_metrics(self) -> Iterator[str]:
        """Said before the load, for the report will not have what nobody tells."""
        page = self._metrics_page()
        if page is not None and page.read() is None:
            yield (
                f"--metrics {page.name} says nothing of '{self.dialect.description.model}': the server's"
                " figures will be missing (hotgraph has them at http://HOST:ADMIN-PORT/metrics)"
            )

    def _metrics_page(self) -> PrometheusPage | None:
        about = self.dialect.description
        if self._target.metrics is None:
            return None
        return PrometheusPage(self._target.metrics, about.model, about.version, about.signature)

    def _server_source(self, stack: ExitStack) -> Source | None:
        page = self._metrics_page()
        if page is not None:
            return page
        target = self._target
        first = target.text.split(",")[0].strip()
        try:
            tls = None if first.startswith("https://") and target.tls is None else target.tls
            client = stack.enter_context(Client(first, retries=0, tls=tls, key=target.key))
        except (ValueError, HotgraphError):
            return None
        return Statistics(client, self.dialect.description.model, target.version)


class NoAnswer(Exception):
    """Not one call of a probe was answered; the text says why, in one line."""

    def __init__(self, step: Step) -> None:
        errors = ", ".join(
            f"{count} x {status} {step['error_texts'].get(status, '')}".rstrip()
            for status, count in step["errors"].items()
        )
        why = step["void_why"] if step["void"] else ""
        super().__init__(f"no call was answered: {errors or why or 'nothing came back'}")


def _moments(trace: Path) -> NDArray[np.float64]:
    try:
        return read_moments(trace.read_text(encoding="utf-8", errors="replace"), f"--trace {trace}")
    except OSError as error:
        raise InputError(f"--trace {trace}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(str(error)) from None


def _check_by(checker: Checker, answers: Sequence[Answer]) -> Checked:
    found = checker.check(answers)
    return Checked(found.wrong, found.why, found.unmeasured)


def _mode(check: str) -> Literal["first", "given", "none"]:
    return "first" if check == FIRST else "none" if check == NONE else "given"
