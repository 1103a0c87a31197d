"""What a simulation starts from, beside what hotgraph tune has too: generated calls, and settings as text."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from hotgraph_server.batching.simulator import Arrival
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.traffic import Senseless

SETTINGS = (
    "max_batch_rows",
    "max_wait_us",
    "max_queued_calls",
    "max_queued_rows",
    "priority_levels",
    "split",
)
"""Those of BatchSettings that the queue itself acts on; a simulated call has no bytes."""


def poisson(
    rate: float,
    seconds: float,
    *,
    rows: int = 1,
    deadline_ms: float | None = None,
    levels: int = 1,
    seed: int = 1,
) -> list[Arrival]:
    """Calls that come independently of each other, `rate` a second; the same ones for the same seed."""
    chance, now = random.Random(seed), 0.0
    arrivals: list[Arrival] = []
    budget_s = math.inf if deadline_ms is None else deadline_ms / 1e3
    while (now := now + chance.expovariate(rate)) < seconds:
        arrivals.append(Arrival(now, rows, now + budget_s, len(arrivals) % levels + 1))
    return arrivals


def settings_of(texts: Mapping[str, str], levels: int) -> BatchSettings:
    """Settings of the queue; what is not named has its default.

    Args:
        texts: by name.
        levels: of priority, that the calls need; as many as there are if nothing else is said.

    Raises:
        Senseless: the simulation has no such setting, or it cannot have this value.
    """
    values: dict[str, int | bool] = {"priority_levels": levels}
    for name, text in texts.items():
        if name not in SETTINGS:
            raise Senseless(f"there is no setting {name!r} here; there are {', '.join(SETTINGS)}")
        values[name] = _value(name, text)
    if values["priority_levels"] < levels:
        raise Senseless(f"the calls have {levels} levels of priority, priority_levels is less")
    try:
        return BatchSettings(**values)  # type: ignore[arg-type]
    except SettingsError as error:
        raise Senseless(str(error)) from error


def _value(name: str, text: str) -> int | bool:
    if name == "split":
        if text not in ("true", "false"):
            raise Senseless(f"split must be true or false, got {text!r}")
        return text == "true"
    try:
        return int(text)
    except ValueError as error:
        raise Senseless(f"{name} must be a whole number, got {text!r}") from error
