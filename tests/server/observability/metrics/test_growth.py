"""growth.py: how much counters grow, by their names and over all their series."""

from __future__ import annotations

from hotgraph_server.observability.metrics.growth import Growth


class Counting:
    """Counters that a test sets."""

    def __init__(self, **counts: dict[str, int]) -> None:
        self.counts = counts
        self.reads = 0

    def __call__(self) -> dict[str, dict[str, int]]:
        self.reads += 1
        return {name: dict(series) for name, series in self.counts.items()}


def test_growth_of_all_series_of_a_name_is_summed() -> None:
    counters = Counting(runs={"a": 1, "b": 10}, calls={"a": 100})
    growth = Growth(counters, ["runs"])
    counters.counts["runs"].update(a=2, b=15)
    assert growth.by_name() == [("runs", 6)]


def test_series_that_is_new_counts_whole_and_one_that_has_gone_not_at_all() -> None:
    counters = Counting(runs={"old": 7})
    growth = Growth(counters, ["runs"])
    counters.counts = {"runs": {"new": 3}}
    assert growth.by_name() == [("runs", 3)]


def test_name_that_is_not_there_is_left_out() -> None:
    assert Growth(Counting(runs={}), ["none", "runs"]).by_name() == [("runs", 0)]


def test_counters_are_not_read_for_no_names() -> None:
    counters = Counting(runs={"a": 1})
    assert Growth(counters, []).by_name() == []
    assert counters.reads == 0
