"""What is traced: the settings, and how clients word a change of them. Pure.

Names, values, codes and messages are those of Triton's trace extension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.settings import TraceSettings

OFF = "OFF"
TIMESTAMPS = "TIMESTAMPS"
TENSORS = "TENSORS"
LEVELS = (TIMESTAMPS, TENSORS)

_MAX = 2**31 - 1


@dataclass(frozen=True)
class TraceConfig:
    """What holds for the calls of a model.

    Attributes:
        level: which of LEVELS a trace holds; none: no call is traced.
        rate: one call in so many is traced; 0: none.
        count: how many are traced in all; -1: no limit.
        log_frequency: how many traces a file has; 0: one file has them all.
    """

    level: frozenset[str] = frozenset()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0


Change = Mapping[str, Any]
"""Fields of TraceConfig and their new values; None: what was said before is forgotten."""


def at_start(settings: TraceSettings) -> TraceConfig:
    """What holds until a client says otherwise."""
    return TraceConfig(
        level=frozenset(settings.trace_level.split(",")) - {OFF},
        rate=settings.trace_rate,
        count=settings.trace_count,
        log_frequency=settings.trace_log_frequency,
    )


def read_change(settings: Mapping[str, Sequence[str]]) -> Change:
    """What a request's settings ask for; a name without values asks to forget.

    Raises:
        Unsupported: a setting that no request can change.
        InvalidCall: a name or value that is none.
    """
    fixed = {"trace_file": "trace file location", "trace_mode": "trace mode"}
    for name, what in fixed.items():
        if name in settings:
            raise Unsupported(f"{what} can not be updated through network protocol")
    change = {}
    for name, values in settings.items():
        if name not in _FIELDS:
            raise InvalidCall(f"unknown trace setting '{name}'; there are {', '.join(_FIELDS)}")
        field, read = _FIELDS[name]
        change[field] = read(name, values) if values else None
    return change


def shown(config: TraceConfig, file: str) -> dict[str, list[str]]:
    """All settings as responses show them."""
    return {
        "trace_level": [level for level in LEVELS if level in config.level] or [OFF],
        "trace_rate": [str(config.rate)],
        "trace_count": [str(config.count)],
        "log_frequency": [str(config.log_frequency)],
        "trace_file": [file],
        "trace_mode": ["triton"],
    }


def _level(name: str, values: Sequence[str]) -> frozenset[str]:
    for value in values:
        if value not in (*LEVELS, OFF):
            raise InvalidCall(f"Unable to parse '{name}', got: {value}")
    if OFF in values and len(values) > 1:
        raise InvalidCall("Expect only one trace level 'OFF' is specified")
    return frozenset(values) - {OFF}


def _number(least: int) -> Callable[[str, Sequence[str]], int]:
    def read(name: str, values: Sequence[str]) -> int:
        if len(values) != 1:
            raise InvalidCall(f"expect only 1 value for '{name}'")
        text = values[0]
        # int() would take more: spaces, underscores and other scripts' digits.
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()):
            raise InvalidCall(f"Unable to parse '{name}', got: {text}")
        if len(digits) > 10 or not -_MAX - 1 <= int(text) <= _MAX:
            raise InvalidCall(
                f"Unable to parse '{name}', value is out of range [ {least}, {_MAX} ], got: {text}"
            )
        value = int(text)
        if value < least:
            raise InvalidCall(f"Unable to parse '{name}'. Expecting value >= {least}, got: {text}")
        return value

    return read


_FIELDS: Mapping[str, tuple[str, Callable[[str, Sequence[str]], Any]]] = {
    "trace_level": ("level", _level),
    "trace_rate": ("rate", _number(0)),
    "trace_count": ("count", _number(-1)),
    "log_frequency": ("log_frequency", _number(0)),
}
