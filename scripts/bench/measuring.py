"""One measured run of one contender in one cell."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import grpc
import numpy as np
from numpy.typing import NDArray

from bench import h2load
from bench.agenda import Entry
from bench.contest import Contender, Contest
from bench.environment import Cache
from bench.figures import Run, Tail
from bench.processes import NoLine
from bench.workload import BATCH_ROWS, Cell
from hotgraph_protos.open_inference import ModelStatisticsRequest, ModelStatisticsResponse

Latencies = NDArray[np.float64]
"""Seconds; float64 [calls]."""

_BARE_SPARE_S = 120.0
_STATISTICS = "/inference.GRPCInferenceService/ModelStatistics"
_STATISTICS_S = 30.0
# The samples lie this share of the duration inside it, so that h2load's start does not matter.
_MARGIN = 0.1


@dataclass(frozen=True)
class Statistics:
    """What a server had done at one moment: rows, runs, nanoseconds in runs, when the last run ended."""

    rows: int
    runs: int
    run_ns: int
    last_run_ms: int


@dataclass(frozen=True)
class Sample:
    """A moment (seconds since the epoch), and what the server had used and done by then."""

    at: float
    cpu_s: float
    statistics: Statistics | None


def measure(
    cache: Cache, contest: Contest, contender: Contender, entry: Entry, round_number: int
) -> tuple[Run, Latencies]:
    """Measure once. What goes wrong is in the run's `failure`; latencies are empty then."""
    run = Run(contender.rival.name, entry.cell, round_number)
    none = np.empty(0)
    with contender.awake():
        if contender.server.ended:
            return replace(run, failure=f"the server has ended: {contender.server.last_words()}"), none
        try:
            if contender.rival.protocol is None:
                return _run_bare(contender, run, entry.seconds), none
            return _run_load(cache, contest, contender, run, entry)
        except (h2load.LoadFailed, NoLine, grpc.RpcError) as error:
            return replace(run, failure=str(error).splitlines()[0]), none


def tails_of(latencies: Mapping[tuple[str, Cell], Sequence[Latencies]]) -> list[Tail]:
    """Of each rival and cell, over all its rounds."""
    found: list[Tail] = []
    for (rival, cell), rounds in latencies.items():
        every = np.concatenate(rounds)
        if len(every):
            found.append(Tail(rival, cell, len(every), float(np.percentile(every, 99.9)) * 1e3))
    return found


def duty(first: Statistics | None, last: Statistics | None) -> float | None:
    """The share of the time between two samples that went into runs.

    Runs are counted when they end, so the time is taken from the end of the last run before the first
    sample to the end of the last one before the second: both counts are then of whole runs. The server
    gives these ends in whole milliseconds. Its run time includes joining and cutting, which the
    executor's thread does as well.
    """
    if first is None or last is None or last.last_run_ms <= first.last_run_ms:
        return None
    return (last.run_ns - first.run_ns) / 1e6 / (last.last_run_ms - first.last_run_ms)


def rows_per_run(first: Statistics | None, last: Statistics | None) -> float | None:
    """Mean rows of the runs between two samples."""
    if first is None or last is None or last.runs == first.runs:
        return None
    return (last.rows - first.rows) / (last.runs - first.runs)


def run_ms(first: Statistics | None, last: Statistics | None) -> float | None:
    """Mean milliseconds of the runs between two samples."""
    if first is None or last is None or last.runs == first.runs:
        return None
    return (last.run_ns - first.run_ns) / 1e6 / (last.runs - first.runs)


def _run_load(
    cache: Cache, contest: Contest, contender: Contender, run: Run, entry: Entry
) -> tuple[Run, Latencies]:
    cell, seconds, warm_up_s = entry.cell, entry.seconds, entry.warm_up_s
    log = cache.at("logs", "h2load.log")
    log.unlink(missing_ok=True)
    command = h2load.command(contest.target(contender, cell.rows), cell.in_flight, seconds, warm_up_s, log)
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        first = _sample(contender, cell.model, started + warm_up_s + _MARGIN * seconds)
        last = _sample(contender, cell.model, started + warm_up_s + (1 - _MARGIN) * seconds)
        load = h2load.finish(process, cell.in_flight, seconds, log)
    finally:
        process.kill()
        process.wait()
    if len(load.ended) < cell.in_flight:
        raise h2load.LoadFailed(f"only {len(load.ended)} calls ended in {seconds} s: too few for a figure")
    protocol = contender.rival.protocol
    if protocol is not None and protocol.grpc:
        load.check_sizes(contender.answer_bytes[cell.rows], cell.in_flight)
    calls = load.calls_between(first.at, last.at)
    measured = replace(
        run,
        calls_per_s=load.calls_per_s(cell.in_flight),
        p50_ms=load.latency_ms(50),
        p90_ms=load.latency_ms(90),
        p99_ms=load.latency_ms(99),
        max_ms=load.latency_ms(100),
        failed_calls=load.failures,
        cpu_us=(last.cpu_s - first.cpu_s) / calls * 1e6 if calls else None,
        duty=duty(first.statistics, last.statistics),
        rows_per_run=rows_per_run(first.statistics, last.statistics),
        run_ms=run_ms(first.statistics, last.statistics),
    )
    return measured, load.latency_s


def _run_bare(contender: Contender, run: Run, seconds: float) -> Run:
    rows = min(run.cell.rows * run.cell.in_flight, BATCH_ROWS)
    runs, passed = contender.server.ask(f"{rows} {seconds}", "ran ", seconds + _BARE_SPARE_S).split()
    run_s = float(passed) / int(runs)
    calls_per_s = rows / run.cell.rows / run_s
    return replace(run, calls_per_s=calls_per_s, rows_per_run=float(rows), run_ms=run_s * 1e3)


def _sample(contender: Contender, model: str, moment: float) -> Sample:
    time.sleep(max(moment - time.time(), 0.0))
    statistics = _statistics(contender.address, model) if contender.rival.statistics else None
    return Sample(time.time(), contender.server.cpu_s(), statistics)


def _statistics(address: str, model: str) -> Statistics:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            _STATISTICS, ModelStatisticsRequest.SerializeToString, ModelStatisticsResponse.FromString
        )
        (figures,) = call(ModelStatisticsRequest(name=model), timeout=_STATISTICS_S).model_stats
    return Statistics(
        rows=figures.inference_count,
        runs=figures.execution_count,
        run_ns=sum(size.compute_infer.ns for size in figures.batch_stats),
        last_run_ms=figures.last_inference,
    )
