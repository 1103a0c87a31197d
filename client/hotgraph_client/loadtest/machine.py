"""The machine that a load came from, as reports tell it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_protos.version import __version__

_CPUINFO = Path("/proc/cpuinfo")
_RELEASE = Path("/etc/os-release")


def describe_machine() -> dict[str, Any]:
    """cpu, cores (that this process may use), memory_gib, system, python, numpy, hotgraph; what the system
    does not say is left out."""
    found: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "system": _system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "hotgraph": __version__,
    }
    return {name: value for name, value in found.items() if value is not None}


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    named = _field(_CPUINFO, "model name", ":") or platform.processor() or platform.machine()
    return " ".join(named.split())


def _system() -> str:
    pretty = _field(_RELEASE, "PRETTY_NAME", "=")
    kernel = f"{platform.system()} {platform.release()}"
    return f"{pretty.strip(chr(34))}, {kernel}" if pretty else kernel


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _field(file: Path, name: str, sign: str) -> str:
    """The first value of that name in a file of names and values; empty: there is none."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (value.strip() for line in lines for key, _, value in [line.partition(sign)] if key.strip() == name),
        "",
    )
