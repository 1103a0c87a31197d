"""The figures of sequences as a scrape shows them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hotgraph_server.observability.metrics.sequences import sequence_metrics
from hotgraph_server.sequences.call import Ended
from hotgraph_server.sequences.figures import SequenceFigures


def version(number: int, figures: SequenceFigures | None) -> Any:
    sequences = None if figures is None else SimpleNamespace(figures=lambda: figures)
    return SimpleNamespace(name="m", number=number, sequences=sequences)


def samples(*versions: Any) -> dict[tuple[str, str, str], float]:
    """By name, version and reason."""
    return {
        (sample.name, sample.labels["version"], sample.labels.get("reason", "")): sample.value
        for metric in sequence_metrics(versions)
        for sample in metric.samples
    }


def test_figures_of_a_version_are_its_gauges_and_its_ends_a_counter_by_reason() -> None:
    ended = dict.fromkeys(Ended, 0) | {Ended.IDLE: 4, Ended.STATE_FULL: 1}
    found = samples(version(3, SequenceFigures(7, 5, 2, 96, ended)))
    assert found["hotgraph_sequences", "3", ""] == 7
    assert found["hotgraph_sequences_with_slot", "3", ""] == 5
    assert found["hotgraph_sequence_waiting_calls", "3", ""] == 2
    assert found["hotgraph_sequence_state_bytes", "3", ""] == 96
    assert found["hotgraph_sequences_ended_total", "3", "idle"] == 4
    assert found["hotgraph_sequences_ended_total", "3", "state_full"] == 1


def test_every_reason_is_there_before_it_happens() -> None:
    found = samples(version(3, SequenceFigures(0, 0, 0, 0, dict.fromkeys(Ended, 0))))
    reasons = {reason for name, _, reason in found if name == "hotgraph_sequences_ended_total"}
    assert reasons == {"end", "idle", "restarted", "cut", "failed", "state_full", "unloaded"}


def test_versions_without_sequences_have_no_series() -> None:
    assert samples(version(1, None)) == {}
