"""The load that a tuning is asked about: a rate and sizes, lines of JSON, or the records of a request log.

Records come from the process that measures, which can read them (request_logs.Logged, as a mapping).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotgraph_server.tuning.traffic import (
    Senseless,
    Trace,
    Traffic,
    logged_traffic,
    poisson_traffic,
    read_trace,
    spread_over_seconds,
    trace_of,
)

_JSON = (".json", ".jsonl")


def json_log(log: str) -> Trace | None:
    """The calls of a log that is lines of JSON, as scripts/simulate takes them; None: it is of another kind,
    or there is none.

    Raises:
        Senseless: it cannot be read, or is none.
    """
    if not log.endswith(_JSON):
        return None
    try:
        return trace_of(read_trace(Path(log).read_text().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise Senseless(f"--log {log}: {error}") from error


def traffic_of(
    rate: float | None, rows: Mapping[int, float], trace: Trace | None, records: Mapping[str, Any] | None
) -> Traffic:
    """The load.

    Args:
        rate: calls a second; None: as the log has it.
        rows: sizes of calls where there is no log.
        trace: of a log that is JSON; None: it is not.
        records: of a request log; None: there is none.

    Raises:
        Senseless: neither the log nor anybody says how many calls come in a second.
    """
    if records is not None:
        if not all(records["stamps"]):
            if rate is None:
                raise Senseless("the records of --log have no times: give a rate with --rate")
            sizes = Counter(records["rows"])
            return poisson_traffic(rate, {size: float(count) for size, count in sizes.items()})
        spread = spread_over_seconds(records["stamps"], records["rows"])
        # What was written down is a sample of what came.
        trace = Trace(spread.moments * records["sampling_rate"], spread.rows)
    if trace is not None:
        return logged_traffic(trace, rate)
    if rate is None:
        raise Senseless("--rate is needed, or a --log that has times")
    return poisson_traffic(rate, rows)


def replay_of(log: str, traffic: Traffic, records: Mapping[str, Any] | None) -> tuple[str, float] | None:
    """A request log, and how many times as fast its records are to be sent to be `traffic`; None: they have
    no times, or it is no such log."""
    if traffic.log is None or records is None:
        return None
    stamps = records["stamps"]
    recorded_per_s = len(stamps) / max(max(stamps) - min(stamps), 1)
    return log, traffic.rate / recorded_per_s
