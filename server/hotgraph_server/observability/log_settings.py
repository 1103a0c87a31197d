"""What is logged, how much of it, and how it looks: on the handlers that the process has.

Three switches (info, warning, error) and one level of verbosity, as Triton has them. Information and what is
more verbose is ours alone; warnings and errors are anybody's in this process that go through the same
handlers.

What callers can cause they can cause a million times. So of the lines from one place in the code (a kind:
what they say may be theirs) so many are written in a while, and the others counted and told of in one line.
That begins when calls are answered: what a start has to say is the owner's, and so is what verbosity adds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hotgraph_server.observability.logs.formats import JsonFormat, TextFormat

DEFAULT = "default"
ISO8601 = "ISO8601"
FORMATS = (DEFAULT, ISO8601)

_OURS = "hotgraph_server"
WHILE_S = 10.0
MAX_LINES = {logging.ERROR: 10, logging.WARNING: 10, logging.INFO: 1000}
"""So many lines of a kind are written in a while, by what they are at least. A guess: of models that come and
go there may be hundreds, and each has a line of its own."""

BOUNDED_ELSEWHERE = "is_bounded_elsewhere"
"""An entry's attribute: a rule of its own keeps its like few, or they are to be all there."""

_MAX_QUOTED = 200


@dataclass(frozen=True)
class LogConfig:
    """What is logged.

    Attributes:
        info, warning, error: are lines of this kind written? `error` stands for what is worse too.
        verbose: above 0 more is written than information.
        format: one of FORMATS: as the process has set it up, or with date and time in UTC.
    """

    info: bool = True
    warning: bool = True
    error: bool = True
    verbose: int = 0
    format: str = DEFAULT


class Logs:
    """The log of this process, as one server's clients change it. Any thread may call it.

    Args:
        handlers: that lines are written by; None: the root logger's, as they are at the first change.
    """

    def __init__(self, handlers: Sequence[logging.Handler] | None = None) -> None:
        self._given = handlers
        self._lock = threading.Lock()  # guards what follows
        self._switches = _Switches()
        self._before: tuple[int, list[tuple[logging.Handler, logging.Formatter | None]]] | None = None
        level = logging.getLogger(_OURS).getEffectiveLevel()
        self._config = LogConfig(info=level <= logging.INFO, verbose=int(level <= logging.DEBUG))

    @property
    def config(self) -> LogConfig:
        """What holds now."""
        return self._config

    def change(self, config: LogConfig) -> None:
        """From now on this holds."""
        ours = logging.getLogger(_OURS)
        with self._lock:
            if self._before is None:
                handlers = logging.getLogger().handlers if self._given is None else self._given
                self._before = ours.level, [(handler, handler.formatter) for handler in handlers]
            self._config = self._switches.config = config
            ours.setLevel(_level(config))
            for handler, formatter in self._before[1]:
                # Adding one that is there already does nothing.
                handler.addFilter(self._switches)
                # JSON has its time in that form already.
                is_own = config.format == DEFAULT or isinstance(formatter, JsonFormat)
                handler.setFormatter(formatter if is_own else _iso8601())

    def restore(self) -> None:
        """Leave the log as it was before the first change: the process may go on without this server."""
        with self._lock:
            if self._before is None:
                return
            level, handlers = self._before
            self._before = None
        logging.getLogger(_OURS).setLevel(level)
        for handler, formatter in handlers:
            handler.removeFilter(self._switches)
            handler.setFormatter(formatter)


class Limit(logging.Filter):
    """Lets through so many lines of a kind in a while; for one handler. Any thread may call it.

    Args:
        handler: writes how many there were besides.
        later: calls a function after so many seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        handler: logging.Handler,
        later: Callable[[float, Callable[[], None]], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._handler = handler
        self._later = later or _later
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows
        self._kinds: dict[tuple[str, int, str, int], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        most = MAX_LINES.get(_rank(record.levelno))
        if most is None or getattr(record, BOUNDED_ELSEWHERE, False):
            return True
        key = (record.name, record.levelno, record.pathname, record.lineno)
        now = self._clock()
        with self._lock:
            kind = self._kinds.get(key)
            if kind is None or (now >= kind.until and not kind.others):
                kind = self._kinds[key] = _Kind(now + WHILE_S)
            kind.lines += 1
            if kind.lines <= most:
                return True
            kind.others += 1
            first = kind.others == 1
            kind.last = record
            rest_s = max(kind.until - now, 0.0)
        if first:
            self._later(rest_s, lambda: self._tell(key))
        return False

    def _tell(self, key: tuple[str, int, str, int]) -> None:
        with self._lock:
            kind = self._kinds.pop(key)
        last = kind.last
        assert last is not None
        line = last.getMessage().partition("\n")[0][:_MAX_QUOTED]
        told = logging.LogRecord(
            *(last.name, last.levelno, last.pathname, last.lineno),
            *("... %s more of these: %s", (f"{kind.others:,}", line), None),
        )
        setattr(told, BOUNDED_ELSEWHERE, True)
        self._handler.handle(told)


@dataclass
class _Kind:
    """What there was of a kind: `until` when lines are counted, and what came after too many."""

    until: float
    lines: int = 0
    others: int = 0
    last: logging.LogRecord | None = None


def _rank(level: int) -> int:
    return next((rank for rank in (logging.ERROR, logging.WARNING, logging.INFO) if level >= rank), 0)


def _later(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.name, timer.daemon = "log lines", True
    timer.start()


class _Switches(logging.Filter):
    """Lets through what is switched on."""

    def __init__(self) -> None:
        super().__init__()
        self.config = LogConfig()

    def filter(self, record: logging.LogRecord) -> bool:
        config = self.config
        if record.levelno >= logging.ERROR:
            return config.error
        if record.levelno >= logging.WARNING:
            return config.warning
        if record.levelno >= logging.INFO:
            return config.info
        return config.verbose > 0


def _iso8601() -> logging.Formatter:
    return TextFormat(date="%Y-%m-%dT%H:%M:%SZ", utc=True)


def _level(config: LogConfig) -> int:
    if config.verbose:
        return logging.DEBUG
    return logging.INFO if config.info else logging.WARNING
