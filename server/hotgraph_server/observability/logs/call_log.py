"""Lines for calls, written by a thread of their own: for those that fail, and, if asked for, for each.

What it promises: whoever ends a call only notes it; no lock is held while a line is made, nothing waits for
stderr. What may wait is bounded, and what is dropped is counted and told. Of calls that fail so many a second
have a line (bound.py); every 10 s one line says how many others there were, by their status.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from hotgraph_server.observability.log_settings import BOUNDED_ELSEWHERE, WHILE_S
from hotgraph_server.observability.logs.bound import Bound
from hotgraph_server.observability.logs.calls import (
    MAX_NAME,
    MAX_PATH,
    MAX_TEXT,
    FailedCall,
    said_of_any,
    said_of_failed,
)
from hotgraph_server.observability.logs.formats import FIELDS
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.observability.tracing.traceparent import HEADER, trace_id_of
from hotgraph_server.threads.budgeted_writer import BudgetedWriter
from hotgraph_server.transport.service import Failure
from hotgraph_server.transport.status import code_of

_LOG = logging.getLogger(__name__)
# What `--log-level` calls them: "calls" and "access".
_CALLS = logging.getLogger("hotgraph_server.calls")
_ACCESS = logging.getLogger("hotgraph_server.access_log")

# For a reader of stderr that is slow at the end; what is left then is lost.
_STOP_S = 5.0
_WAITING = 4096


class Facts(Protocol):
    """What is known of a call that has failed; see protocols/submission.py."""

    @property
    def model(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def signature(self) -> str: ...
    @property
    def arrived(self) -> float | None: ...
    @property
    def ran(self) -> tuple[float, float] | None: ...


class _Others(NamedTuple):
    """Calls that failed and have no line of their own."""

    by_status: dict[str, int]


class CallLog(BudgetedWriter[Trace | FailedCall | _Others]):
    """See the head of this file. `start` and `stop` belong to one thread; any may call the rest.

    Args:
        failed_a_second: lines for calls that fail; 0: they have none.
        facts_of: what is known of a call that has failed.
        clock: monotonic seconds.
        later: calls a function after so many seconds.
    """

    def __init__(
        self,
        failed_a_second: int,
        facts_of: Callable[[Failure], Facts],
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        super().__init__("call log", "the lines of calls are", _WAITING)
        self._facts_of = facts_of
        self._clock = clock
        self._later = later or _later
        self._lock = threading.Lock()  # guards the bound
        self._bound = Bound(failed_a_second) if failed_a_second else None

    def stop_writing(self, timeout_s: float = _STOP_S) -> None:
        """Write what waits, and end, within so many seconds; once no more calls come."""
        self._tell_others()
        self.stop(timeout_s)

    def offer(self, trace: Trace) -> bool:
        """Have a line of the access log written; see tracing.followed.Sink."""
        return self._offer(trace, 1)

    def tell(self, failure: Failure) -> None:
        """See transport.service.Tell."""
        if self._bound is None or not _CALLS.isEnabledFor(logging.INFO):
            return
        now, status = self._clock(), code_of(failure.error).name
        with self._lock:
            taken = self._bound.takes(now, status)
            is_first = not taken and self._bound.others == 1
        if is_first:
            self._later(WHILE_S, self._tell_others)
        if taken:
            self._offer(self._noted(failure, status, now), 1)

    def _noted(self, failure: Failure, status: str, now: float) -> FailedCall:
        facts = self._facts_of(failure)
        waited_s = ran_s = -1.0
        if facts.arrived is not None:
            started, ended = facts.ran or (now, now)
            waited_s = started - facts.arrived
            ran_s = ended - started if facts.ran else -1.0
        # What waits is counted in lines: none holds more than a line says, and what tells that it was cut.
        return FailedCall(
            failure.method[: MAX_PATH + 1],
            failure.peer[: MAX_NAME + 1],
            status,
            str(failure.error)[: MAX_TEXT + 1],
            trace_id_of(failure.header(HEADER) or ""),
            facts.model[: MAX_NAME + 1],
            facts.version,
            facts.signature[: MAX_NAME + 1],
            waited_s,
            ran_s,
        )

    def _tell_others(self) -> None:
        if self._bound is None:
            return
        with self._lock:
            others = self._bound.take_others()
        if others:
            self._offer(_Others(others), 1)

    def write(self, item: Trace | FailedCall | _Others) -> None:
        """See BudgetedWriter."""
        try:
            if isinstance(item, Trace):
                _ACCESS.info("call", extra={FIELDS: said_of_any(item), BOUNDED_ELSEWHERE: True})
            elif isinstance(item, FailedCall):
                _CALLS.info("call failed", extra={FIELDS: said_of_failed(item), BOUNDED_ELSEWHERE: True})
            else:
                count = sum(item.by_status.values())
                extra = {FIELDS: item.by_status, BOUNDED_ELSEWHERE: True}
                _CALLS.info("%s more calls failed", f"{count:,}", extra=extra)
        except Exception:
            # No line is worth the thread.
            _LOG.exception("a call's line could not be written")

    def idle(self) -> None:
        """See BudgetedWriter."""
        if refused := self._count_refused():
            _LOG.warning("%d lines of calls were not written, because too many waited", refused)

    def close(self) -> None:
        """See BudgetedWriter."""


def _later(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.name, timer.daemon = "log lines", True
    timer.start()
