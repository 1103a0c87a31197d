"""What servers tell on their admin ports, for the tests of the fleet."""

from __future__ import annotations

from typing import Any

BOUNDS_S = [0.001, 0.01, 0.1]


def signature(answered: int = 0, **other: Any) -> dict[str, Any]:
    """Figures of a signature; every call has taken 1 to 10 ms."""
    return {
        "answered": answered,
        "failed": 0,
        "cache_hits": 0,
        "ran_s": 0.0,
        "waited_s": 0.0,
        "call_durations": [0, answered, 0, 0],
        "events": {},
        **other,
    }


def version(number: int = 1, *signatures: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Figures of a version."""
    return {"number": number, "state": "live", "signatures": list(signatures), **other}


def model(name: str = "m", *versions: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Figures of a model."""
    return {"name": name, "versions": list(versions), **other}


def status(
    now_s: float, *models: dict[str, Any], began_s: float = 0.0, processors: int = 1
) -> dict[str, Any]:
    """What a server tells at a moment of its clock."""
    return {
        "now_s": now_s,
        "uptime_s": now_s - began_s,
        "processes": 1,
        "process": {"rss_bytes": 2**20, "processors": processors},
        "bounds": {"duration_s": BOUNDS_S},
        "models": list(models),
    }
