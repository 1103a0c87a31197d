"""ModelStatistics: the figures of statistics.py in the protocol's words."""

from __future__ import annotations

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.v2 import models
from hotgraph_server.protocols.v2.tables import Table
from hotgraph_server.statistics import ENDINGS, Event, OfSize, Snapshot, Total
from hotgraph_server.transport.service import PlainMethod


def methods(registry: Registry) -> Table:
    """The method over a registry."""

    def answer(request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        chosen = _chosen(registry, request.name, models.requested_number(request.version))
        return pb.ModelStatisticsResponse(model_stats=map(_statistics, chosen))

    return {"ModelStatistics": PlainMethod(pb.ModelStatisticsRequest, answer)}


def _chosen(registry: Registry, name: str, number: int | None) -> list[Version]:
    """The live versions that are asked about; without a name, of all models.

    Raises:
        InvalidCall: there is no such model or version; under this code, unlike elsewhere in the protocol.
    """
    if name and name not in registry.table and name in registry.loaded_at_call:
        # Its figures begin when it is loaded.
        return []
    if name and name not in registry.table:
        raise InvalidCall(f"requested model '{name}' is not available")
    chosen = [
        version
        for version in registry.versions()
        if name in ("", version.name) and number in (None, version.number) and version.state is State.LIVE
    ]
    if number is not None and not chosen:
        raise InvalidCall(f"requested model version is not available for model '{name}': {number}")
    return chosen


def _statistics(version: Version) -> pb.ModelStatistics:
    """Durations are summed over calls, so that each member of a batch adds the whole time of its run; those
    of batch_stats over runs. Memory is what was measured when the version was loaded."""
    figures: Snapshot = version.statistics.snapshot()
    infer = _within(figures.run, figures.run_input, figures.run_output)
    return pb.ModelStatistics(
        name=version.name,
        version=str(version.number),
        last_inference=figures.last_run_ms,
        inference_count=figures.rows,
        execution_count=figures.runs,
        inference_stats=pb.InferStatistics(
            success=_duration(figures.success),
            fail=_duration(_failed(figures)),
            queue=_duration(figures.queue),
            compute_input=_duration(figures.run_input),
            compute_infer=_duration(infer),
            compute_output=_duration(figures.run_output),
            cache_hit=_duration(figures.cache_hit),
            cache_miss=_duration(figures.cache_miss),
        ),
        batch_stats=[_of_size(rows, size) for rows, size in sorted(figures.by_rows.items())],
        memory_usage=[_memory(*held) for held in version.memory.by_device().items()],
        # Every call has one response, whose index is 0.
        response_stats={
            "0": pb.InferResponseStatistics(
                compute_infer=_duration(infer),
                compute_output=_duration(figures.run_output),
                success=_duration(figures.success),
                fail=_duration(figures.fail),
                cancel=pb.StatisticDuration(count=figures.events[Event.CANCELLED]),
            )
        },
    )


def _memory(device: str, nbytes: int) -> pb.MemoryUsage:
    kind, _, index = device.partition(":")
    return pb.MemoryUsage(type=kind, id=int(index), byte_size=nbytes)


def _failed(figures: Snapshot) -> Total:
    """Every call that got no answer, refused ones too; only those that were run have taken any time."""
    without_a_run = sum(figures.events[event] for event in ENDINGS)
    return Total(figures.fail.count + without_a_run, figures.fail.ns)


def _of_size(rows: int, size: OfSize) -> pb.InferBatchStatistics:
    joined, cut = Total(size.count, size.input_ns), Total(size.count, size.output_ns)
    return pb.InferBatchStatistics(
        batch_size=rows,
        compute_input=_duration(joined),
        compute_infer=_duration(_within(size, joined, cut)),
        compute_output=_duration(cut),
    )


def _within(run: Total, *parts: Total) -> Total:
    """What is left of runs without some parts of them."""
    return Total(run.count, max(run.ns - sum(part.ns for part in parts), 0))


def _duration(total: Total) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=total.count, ns=total.ns)
