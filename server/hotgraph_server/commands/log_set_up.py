"""The log of a command that serves: on stderr, as its settings say."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from hotgraph_server.commands import signals
from hotgraph_server.observability.log_settings import Limit
from hotgraph_server.observability.logs import levels
from hotgraph_server.observability.logs.formats import JsonFormat, TextFormat
from hotgraph_server.observability.logs.patient_stream import PatientHandler, PatientStream
from hotgraph_server.settings import LoggingSettings
from hotgraph_server.settings.log import JSON

if TYPE_CHECKING:
    from hotgraph_server.processes.member import Member


def set_up_logging(
    verbose: bool, member: Member | None = None, settings: LoggingSettings | None = None
) -> None:
    """Our log goes to stderr, and says whose it is of several processes; of others' only warnings do. Done
    again when more of the settings is known: handlers that somebody else has set up are left as they are."""
    settings = settings or LoggingSettings()
    formatter: logging.Formatter
    if settings.log_format == JSON:
        formatter = JsonFormat({} if member is None else {"process": member.index})
    else:
        formatter = TextFormat("" if member is None else f"[{member.index}] ")
    root = logging.getLogger()
    if not root.handlers:
        handler = PatientHandler(PatientStream(sys.stderr))
        handler.setFormatter(formatter)
        root.addHandler(handler)
    for one in root.handlers:
        if isinstance(one.formatter, TextFormat | JsonFormat):
            one.setFormatter(formatter)
    signals.say_as(_as_entry(formatter) if settings.log_format == JSON else str)
    levels.apply(settings.levels, verbose=verbose)


def limit_logging() -> None:
    """From now on callers have a say in what is logged, and so it has an end."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Limit(handler))


def _as_entry(formatter: logging.Formatter) -> signals.Worded:
    def worded(line: str) -> str:
        record = logging.LogRecord("hotgraph_server", logging.INFO, "", 0, "%s", (line,), None)
        return formatter.format(record)

    return worded
