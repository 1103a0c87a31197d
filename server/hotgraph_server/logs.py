"""What is logged, and how it looks: on the handlers that the process has.

Three switches (info, warning, error) and one level of verbosity, as Triton has them. Information and what is
more verbose is ours alone; warnings and errors are anybody's in this process that go through the same
handlers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT = "default"
ISO8601 = "ISO8601"
FORMATS = (DEFAULT, ISO8601)

_OURS = "hotgraph_server"
_LINE = "%(asctime)s %(levelname).1s %(message)s"


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
                handler.setFormatter(formatter if config.format == DEFAULT else _iso8601())

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
    made = logging.Formatter(_LINE, "%Y-%m-%dT%H:%M:%SZ")
    made.converter = time.gmtime
    return made


def _level(config: LogConfig) -> int:
    if config.verbose:
        return logging.DEBUG
    return logging.INFO if config.info else logging.WARNING
