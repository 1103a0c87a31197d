"""/metrics against a parser that is not ours, over versions whose runs the test makes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.metrics.prometheus import (
    ServerCollector,
    prometheus_registry,
    versions_of_packages,
)
from hotgraph_server.settings import ModelSettings
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event
from hotgraph_server.warmup.plan import Form, Plan, Threads

from ...fakes import HANG_S, FakeClock, FakeGraph, signature

DOCS = Path(__file__).parents[4] / "docs" / "metrics.md"

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


class Scraped:
    """One live version `m` 3 and what a scrape of it shows."""

    def __init__(self, *names: str) -> None:
        graph = FakeGraph(*(signature(name) for name in names))
        self.clock = FakeClock()
        self.version = open_version(ModelSettings("m", Path("unused")), 3, graph.open, self.clock)
        self.models = Registry()
        self.models.publish([self.version])
        self.ready = True
        self.slept: list[float] = []
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(
            ServerCollector(self.models, lambda: self.ready, self.clock, self.slept.append)
        )

    def scrape(self) -> Samples:
        text = generate_latest(self.registry).decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parse(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Of a series of the version's signature "s", or of the version for what has no signature."""
        samples = self.scrape()
        of_version = {"model": "m", "version": "3"}
        for known in ({**of_version, "signature": "s"}, of_version, {}):
            found = samples.get((name, frozenset({**known, **labels}.items())))
            if found is not None:
                return found
        raise AssertionError(f"no series {name} {labels}")


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    scraped = Scraped("s")
    yield scraped
    assert scraped.version.stop(HANG_S)


def test_every_series_of_a_signature_is_there_before_its_first_call(scraped: Scraped) -> None:
    before = scraped.scrape()
    scraped.version.statistics.add_run("s", [1.0], rows=1, started=2.0, ended=3.0)
    for event in Event:
        scraped.version.statistics.count("s", event)
    assert set(scraped.scrape()) == set(before)


def test_calls_are_counted_once_by_how_they_ended(scraped: Scraped) -> None:
    statistics = scraped.version.statistics
    statistics.add_run("s", [1.0, 1.0, 1.0], rows=3, started=2.0, ended=3.0)
    statistics.add_run("s", [1.0, 1.0], rows=2, started=2.0, ended=3.0, failed=True)
    refusals = (
        *(Event.REFUSED_FULL, Event.REFUSED_LATE, Event.REFUSED_DRAINING),
        *(Event.REFUSED_BY_SIZE, Event.TIMED_OUT),
    )
    for n, event in enumerate(refusals, 1):
        statistics.count("s", event, n)
    statistics.count("s", Event.EXPIRED, 7)
    statistics.count("s", Event.CANCELLED, 8)
    outcomes = ("answered", "failed", "refused", "expired", "cancelled")
    calls = {outcome: scraped.value("hotgraph_calls_total", outcome=outcome) for outcome in outcomes}
    assert calls == {"answered": 3, "failed": 2, "refused": 15, "expired": 7, "cancelled": 8}
    reasons = ("queue_full", "too_late", "draining", "queue_size", "queue_timeout")
    refused = [scraped.value("hotgraph_refused_calls_total", reason=reason) for reason in reasons]
    assert refused == [1, 2, 3, 4, 5]
    assert scraped.value("hotgraph_runs_total", outcome="answered") == 1
    assert scraped.value("hotgraph_runs_total", outcome="failed") == 1


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Event.POISON, "hotgraph_poison_calls_total"),
        (Event.APART, "hotgraph_apart_calls_total"),
        (Event.RERUN, "hotgraph_rerun_batches_total"),
        (Event.OUT_OF_MEMORY, "hotgraph_out_of_memory_total"),
        (Event.CHECKED, "hotgraph_checked_calls_total"),
        (Event.DIFFERED, "hotgraph_differing_calls_total"),
        (Event.SPLIT, "hotgraph_split_calls_total"),
        (Event.DELAYED, "hotgraph_delayed_calls_total"),
    ],
)
def test_event_that_ends_no_call_has_a_counter_of_its_own(scraped: Scraped, event: Event, name: str) -> None:
    scraped.version.statistics.count("s", event, 5)
    assert scraped.value(name) == 5
    assert not any(value for (name, _), value in scraped.scrape().items() if name == "hotgraph_calls_total")


def test_trust_is_shown_where_joined_calls_are_checked(scraped: Scraped) -> None:
    assert scraped.value("hotgraph_trusted_calls") == 0
    scraped.version.trust["s"].take(12, 0.0)
    assert scraped.value("hotgraph_trusted_calls") == 12


def test_histograms_are_cumulative_and_end_with_all(scraped: Scraped) -> None:
    for rows in (1, 3, 3, 2000):
        scraped.version.statistics.add_run("s", [1.0, 2.0], rows=rows, started=2.5, ended=3.0)
    edges = [*(f"{float(bound):.1f}" for bound in ROWS_BOUNDS), "+Inf"]
    buckets = [scraped.value("hotgraph_batch_rows_bucket", le=edge) for edge in edges]
    assert buckets == [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert scraped.value("hotgraph_batch_rows_sum") == 2007
    assert scraped.value("hotgraph_batch_rows_count") == 4
    for name, per_run, total in (
        ("run_duration", 1, 2.0),
        ("queue_wait", 2, 8.0),
        ("call_duration", 2, 12.0),
    ):
        assert scraped.value(f"hotgraph_{name}_seconds_bucket", le="+Inf") == 4 * per_run
        assert scraped.value(f"hotgraph_{name}_seconds_count") == 4 * per_run
        assert scraped.value(f"hotgraph_{name}_seconds_sum") == pytest.approx(total)
    assert scraped.value("hotgraph_queue_wait_seconds_bucket", le="0.25") == 0
    assert scraped.value("hotgraph_queue_wait_seconds_bucket", le="0.5") == 4
    assert len(DURATION_BOUNDS_S) + 1 == sum(
        name == "hotgraph_run_duration_seconds_bucket" for name, _ in scraped.scrape()
    )


def test_duty_is_of_the_time_since_the_last_scrape(scraped: Scraped) -> None:
    statistics = scraped.version.statistics
    scraped.scrape()
    statistics.add_run("s", [0.0], rows=1, started=0.0, ended=3.0)
    scraped.clock.now += 12.0
    assert scraped.value("hotgraph_executor_duty_ratio") == 0.25
    scraped.clock.now += 12.0
    assert scraped.value("hotgraph_executor_duty_ratio") == 0.0
    # A run counts when it ends: this one began three scrapes ago.
    statistics.add_run("s", [0.0], rows=1, started=0.0, ended=30.0)
    scraped.clock.now += 12.0
    assert scraped.value("hotgraph_executor_duty_ratio") == 1.0
    assert scraped.value("hotgraph_executor_busy_seconds_total") == 33.0


def test_two_scrapes_at_one_moment_divide_by_nothing(scraped: Scraped) -> None:
    scraped.scrape()
    assert scraped.value("hotgraph_executor_duty_ratio") == 0.0


def test_state_is_the_one_series_that_is_one(scraped: Scraped) -> None:
    def states() -> dict[str, float]:
        return {state.value: scraped.value("hotgraph_version_state", state=state.value) for state in State}

    assert states() == {"waiting": 0, "loading": 0, "live": 1, "draining": 0, "closed": 0, "failed": 0}
    assert scraped.version.stop(HANG_S)
    assert states() == {"waiting": 0, "loading": 0, "live": 0, "draining": 0, "closed": 1, "failed": 0}


def test_ready_is_what_the_server_says(scraped: Scraped) -> None:
    assert scraped.value("hotgraph_ready") == 1
    scraped.ready = False
    assert scraped.value("hotgraph_ready") == 0


def test_signature_that_batches_is_told_from_one_that_does_not(scraped: Scraped) -> None:
    assert scraped.value("hotgraph_signature_batches", reason="") == 1
    scraped.version.unbatched_reasons = {"s": "it has no inputs"}
    assert scraped.value("hotgraph_signature_batches", reason="it has no inputs") == 0


def test_plan_is_shown_with_what_it_gains(scraped: Scraped) -> None:
    plan = Plan(
        Form.FROZEN, Threads.POOL, xla_rows=(1, 8), reason="0.5 ms a run", gain=1.5, xla_gains=(1.25, 2.0)
    )
    scraped.version.plans = {"s": plan}
    about = {"form": "frozen", "threads": "on the pool", "xla_rows": "1,8", "reason": "0.5 ms a run"}
    assert scraped.value("hotgraph_plan_info", **about) == 1
    assert scraped.value("hotgraph_plan_gain_ratio") == 1.5
    assert scraped.value("hotgraph_plan_xla_gain_ratio", rows="1") == 1.25
    assert scraped.value("hotgraph_plan_xla_gain_ratio", rows="8") == 2.0


@pytest.mark.parametrize("odd", ['a "quoted" one', "two\nlines", "back\\slash", "ü ✓", 'all\\ "of\n it"'])
def test_text_from_a_model_reaches_the_reader_as_it_is(scraped: Scraped, odd: str) -> None:
    """Signature names come from the SavedModel, reasons from TensorFlow's messages."""
    scraped.version.statistics.count(odd, Event.EXPIRED, 2)
    scraped.version.unbatched_reasons = {odd: odd}
    assert scraped.value("hotgraph_calls_total", signature=odd, outcome="expired") == 2
    assert scraped.value("hotgraph_signature_batches", signature=odd, reason=odd) == 0
    text = generate_openmetrics(scraped.registry).decode()  # type: ignore[no-untyped-call]
    families = parse_openmetrics(text)  # type: ignore[no-untyped-call]
    signatures = {sample.labels.get("signature") for family in families for sample in family.samples}
    assert odd in signatures


def test_other_threads_get_the_interpreter_between_any_two_metrics(scraped: Scraped) -> None:
    text = generate_latest(scraped.registry).decode()
    assert len(scraped.slept) == text.count("# TYPE ")
    assert min(scraped.slept) > 0


def test_several_versions_and_signatures_are_told_apart() -> None:
    scraped = Scraped("s", "other")
    second = open_version(ModelSettings("m", Path("unused")), 4, FakeGraph(signature("s")).open)
    scraped.models.publish([second])
    scraped.version.statistics.count("other", Event.EXPIRED, 1)
    second.statistics.count("s", Event.EXPIRED, 2)
    try:
        assert scraped.value("hotgraph_calls_total", outcome="expired") == 0
        assert scraped.value("hotgraph_calls_total", outcome="expired", signature="other") == 1
        assert scraped.value("hotgraph_calls_total", outcome="expired", version="4") == 2
    finally:
        assert scraped.version.stop(HANG_S)
        assert second.stop(HANG_S)


def test_build_and_process_are_shown(scraped: Scraped) -> None:
    text = generate_latest(prometheus_registry(scraped.models, lambda: True)).decode()
    families = {family.name: family for family in parse(text)}
    (build,) = families["hotgraph_build_info"].samples
    assert build.labels == versions_of_packages()
    assert {"version", "python", "tensorflow", "grpcio"} == set(build.labels)
    assert {"python_info", "python_gc_collections"} <= set(families)


def test_what_was_lost_on_its_way_to_a_file_is_counted(scraped: Scraped) -> None:
    shown = prometheus_registry(scraped.models, lambda: True, lambda: {"request_log": 3, "trace": 0})
    text = generate_latest(shown).decode()
    assert 'hotgraph_lost_records_total{kind="request_log"} 3.0' in text
    assert 'hotgraph_lost_records_total{kind="trace"} 0.0' in text


def families_shown(scraped: Scraped) -> set[str]:
    text = generate_latest(prometheus_registry(scraped.models, lambda: True)).decode()
    return {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if name.startswith("hotgraph_")}


def test_documentation_lists_exactly_what_there_is(scraped: Scraped) -> None:
    documented = set(re.findall(r"^\| `(hotgraph_\w+)`", DOCS.read_text("utf-8"), re.MULTILINE))
    assert documented == families_shown(scraped)


def test_every_metric_of_an_example_exists(scraped: Scraped) -> None:
    text = generate_latest(prometheus_registry(scraped.models, lambda: True)).decode()
    shown = {sample.name for family in parse(text) for sample in family.samples} | families_shown(scraped)
    used = set(
        re.findall(r"\bhotgraph_\w+", "".join(re.findall(r"```.*?```", DOCS.read_text("utf-8"), re.S)))
    )
    assert used
    assert used <= shown
