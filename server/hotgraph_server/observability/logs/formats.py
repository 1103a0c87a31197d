"""How a line of the log looks: as text or as JSON. Pure, but for the thread's trace (context.py).

Whatever is in a message, an entry is one line: callers have a say in what is logged, and shall forge no lines
of it. Control characters, and those that turn the direction of what a terminal shows, are escaped as in
Python; long messages are cut. A traceback has lines of its own, which are indented in text, so that they are
no entries either, and a string in JSON.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from hotgraph_server.observability.logs.context import TRACE_ID

MAX_MESSAGE = 8192
"""Characters of a message, or of a traceback; TensorFlow's can hold a whole graph's trace."""

FIELDS = "fields"
"""An entry's attribute: what it says besides, by names; plain values. An entry without it says which
trace the thread is at work for, if it is for one."""

_CUT_MARK = "... cut"
_PLAIN = re.compile(r"[A-Za-z0-9_.:/\[\]%+@-]+")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_INDENT = "    "


def escaped(text: str, most: int = MAX_MESSAGE) -> str:
    """A text as one line of at most `most` characters and a mark that it was cut."""
    if len(text) > most:
        text = text[:most] + _CUT_MARK
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class TextFormat(logging.Formatter):
    """``TIME LEVEL MESSAGE``.

    Args:
        of: stands before each message; empty: nothing.
        date: as `time.strftime` takes it.
        utc: is the time in UTC?
    """

    def __init__(self, of: str = "", date: str = "%H:%M:%S", *, utc: bool = False) -> None:
        super().__init__(f"%(asctime)s %(levelname).1s {of}%(message)s", date)
        self.converter = time.gmtime if utc else time.localtime

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = escaped(record.message)
        record.message += _said_besides(_fields_of(record))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        lines = _middle_cut(super().formatException(ei)).splitlines()
        return "\n".join(_INDENT + escaped(line) for line in lines)


class JsonFormat(logging.Formatter):
    """One object for each entry: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``trace_id``
    and ``exception`` if there are such, and what the entry says besides.

    Args:
        fixed: what every entry says.
    """

    def __init__(self, fixed: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._fixed = fixed or {}

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        entry: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
            **self._fixed,
        }
        entry |= {name: _as_json(value) for name, value in _fields_of(record).items()}
        if record.exc_info:
            entry["exception"] = _middle_cut(self.formatException(record.exc_info))
        # What is not ASCII is escaped, and with it everything that could end a line.
        return json.dumps(entry, separators=(",", ":"), default=str)


def _fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] | None = getattr(record, FIELDS, None)
    if fields is not None:
        return fields
    trace_id = TRACE_ID.get()
    return {"trace_id": trace_id} if trace_id else {}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + _CUT_MARK


def _as_json(value: Any) -> Any:
    # JSON has no word for what is not finite.
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _middle_cut(text: str) -> str:
    """Of a traceback the end tells the most, and where it begins the rest."""
    half = MAX_MESSAGE // 2
    return text if len(text) <= MAX_MESSAGE else f"{text[:half]}\n{_CUT_MARK} ...\n{text[-half:]}"


def _said_besides(fields: Mapping[str, Any]) -> str:
    """As `` NAME=VALUE NAME=VALUE``; what could be mistaken for more of these is in quotes."""
    return "".join(f" {name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
