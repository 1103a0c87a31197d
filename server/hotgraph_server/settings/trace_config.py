"""Triton's ``--trace-config``, as settings of ours. Pure.

``--trace-config KEY=VALUE`` is for all modes, ``--trace-config MODE,KEY=VALUE`` for one, and the flag may be
given again; several pairs in one, as in ``mode=opentelemetry,url=URL``, are read as well. Triton's mode
``triton`` is the trace file, ``opentelemetry`` is OTLP: there `rate` is the share of calls without a parent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_server.errors import SettingsError

TRITON, OPENTELEMETRY = "triton", "opentelemetry"
_MODES = (TRITON, OPENTELEMETRY)

# Where Triton sends spans, if nothing is said.
_URL = "http://localhost:4318"
_TRACES_PATH = re.compile(r"/v1/traces/?$")

# Their key, and ours with what reads its value.
_OF_TRITON = {
    "file": ("trace_file", str),
    "log-frequency": ("trace_log_frequency", int),
    "level": ("trace_level", str),
    "rate": ("trace_rate", int),
    "count": ("trace_count", int),
}
# Of its batches of spans, which OTEL_BSP_... say here.
_OF_BATCHES = ("bsp_max_queue_size", "bsp_schedule_delay", "bsp_max_export_batch_size")


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """Values of settings by their keys.

    Args:
        words: of each time that the flag was given.

    Raises:
        SettingsError: one of them cannot be read, or means nothing here.
    """
    mode, pairs = TRITON, list[tuple[str, str, str]]()
    for word in words:
        of = ""
        for part in word.split(","):
            key, separator, value = part.partition("=")
            if part in _MODES:
                of = part
            elif not separator or not key:
                # "level=TIMESTAMPS,TENSORS" has a comma of its own, and so may a resource's value.
                if not pairs or pairs[-1][1] not in ("level", "resource"):
                    raise SettingsError(f"--trace-config {word}: {part!r} is no KEY=VALUE")
                pairs[-1] = (*pairs[-1][:2], f"{pairs[-1][2]},{part}")
            elif key == "mode":
                if value not in _MODES:
                    raise SettingsError(f"--trace-config mode={value}: there are {', '.join(_MODES)}")
                mode = value
            else:
                pairs.append((of, key, value))
    mine = [(key, value) for of, key, value in pairs if of in ("", mode)]
    return _for_otlp(mine) if mode == OPENTELEMETRY else _for_files(mine)


def _for_files(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in _OF_TRITON:
            raise SettingsError(f"--trace-config {key}=: mode triton has {', '.join(_OF_TRITON)}")
        name, _ = _OF_TRITON[key]
        if key == "level":
            # Given again, Triton adds them up.
            levels = {*found.get(name, "").split(","), *value.split(",")} - {""}
            value = ",".join(level for level in ("OFF", "TIMESTAMPS", "TENSORS") if level in levels) or value
        found[name] = _number(key, value) if _OF_TRITON[key][1] is int else value
    return found


def _for_otlp(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    # As Triton has it: one call in a thousand, and no metrics.
    found: dict[str, Any] = {"otlp_endpoint": _URL, "otlp_sampling": 0.001, "otlp_metrics": False}
    resource: list[str] = []
    for key, value in pairs:
        if key == "url":
            found["otlp_endpoint"] = _TRACES_PATH.sub("", value)
        elif key == "resource":
            resource.append(value)
        elif key == "rate":
            rate = _number(key, value)
            found["otlp_sampling"] = 1 / rate if rate > 0 else 0.0
        elif key == "level":
            if value == "OFF":
                found["otlp_sampling"] = 0.0
            elif value != "TIMESTAMPS":
                raise SettingsError(f"--trace-config level={value}: spans hold no tensors")
        elif key == "count" and _number(key, value) == -1:
            continue
        elif key in _OF_BATCHES:
            raise SettingsError(f"--trace-config {key}=: set OTEL_{key.upper()} in the environment instead")
        else:
            raise SettingsError(f"--trace-config {key}={value} means nothing with mode opentelemetry")
    if resource:
        found["otlp_resource"] = resource
    return found


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise SettingsError(f"--trace-config {key}={value}: not a whole number") from None


def over(values: Mapping[str, Any], words: Sequence[str] | None) -> dict[str, Any]:
    """`values`, with what `words` say over it."""
    return {**values, **(settings_of(words) if words else {})}
