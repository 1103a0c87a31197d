"""The figures of sequences in Prometheus' form; see prometheus.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hotgraph_server.models.version import Version
from hotgraph_server.sequences.figures import SequenceFigures

_OF_VERSION = ("model", "version")
_GAUGES: tuple[tuple[str, str, Callable[[SequenceFigures], float]], ...] = (
    ("hotgraph_sequences", "Sequences that live now.", lambda now: now.live),
    ("hotgraph_sequences_with_slot", "Of these, those that wait for no slot.", lambda now: now.with_slot),
    (
        "hotgraph_sequence_waiting_calls",
        "Calls that wait for those before them in their sequence, or for a slot.",
        lambda now: now.waiting_calls,
    ),
    ("hotgraph_sequence_state_bytes", "Memory of all states.", lambda now: now.state_nbytes),
)


def sequence_metrics(versions: Sequence[Version]) -> Iterator[Metric]:
    """Of the versions that keep sequences; the figures of a version are all of one moment."""
    found: list[tuple[tuple[str, str], SequenceFigures]] = [
        ((version.name, str(version.number)), version.sequences.figures())
        for version in versions
        if version.sequences is not None
    ]
    for name, help, value in _GAUGES:
        gauge = GaugeMetricFamily(name, help, labels=_OF_VERSION)
        for labels, now in found:
            gauge.add_metric(labels, value(now))
        yield gauge
    ended = CounterMetricFamily(
        "hotgraph_sequences_ended", "Sequences that have ended.", labels=(*_OF_VERSION, "reason")
    )
    for labels, now in found:
        for reason, count in now.ended.items():
            ended.add_metric((*labels, reason.name.lower()), count)
    yield ended
