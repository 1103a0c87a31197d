"""/metrics against a parser that is not ours, over versions whose runs the test makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.forwarding.figures import ForwardingFigures, Outcome
from hotgraph_server.models.status import State
from hotgraph_server.observability.metrics.doors import NO_DOORS
from hotgraph_server.observability.metrics.prometheus import (
    OwnFigures,
    of_no_server,
    prometheus_registry,
    versions_of_packages,
)
from hotgraph_server.statistics import Event
from hotgraph_server.threads.leadership import Turns

from ...fakes import HANG_S
from .scraped import Scraped

DOCS = Path(__file__).parents[4] / "docs" / "metrics.md"


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


def test_build_and_process_are_shown(scraped: Scraped) -> None:
    text = generate_latest(prometheus_registry(scraped.models, lambda: True)).decode()
    families = {family.name: family for family in parse(text)}
    (build,) = families["hotgraph_build_info"].samples
    assert build.labels == versions_of_packages()
    assert {"version", "python", "tensorflow", "grpcio"} == set(build.labels)
    assert {"python_info", "python_gc_collections"} <= set(families)


def test_figures_of_the_server_itself_are_shown(scraped: Scraped) -> None:
    own = OwnFigures({"request_log": 3, "trace": 0}, Turns(by_serving=7, by_executors=5, hand_over_s=2e-4))
    text = generate_latest(prometheus_registry(scraped.models, lambda: True, lambda: own)).decode()
    assert 'hotgraph_lost_records_total{kind="request_log"} 3.0' in text
    assert 'hotgraph_lost_records_total{kind="trace"} 0.0' in text
    assert 'hotgraph_turns_total{leader="serving"} 7.0' in text
    assert 'hotgraph_turns_total{leader="executor"} 5.0' in text
    assert "hotgraph_hand_over_seconds 0.0002" in text


def test_ends_of_certificates_are_shown_where_there_is_tls(scraped: Scraped) -> None:
    doors = NO_DOORS._replace(certificate_expiries={"server": 1_900_000_000.5, "client_ca": 2e9})
    own = OwnFigures({}, Turns(0, 0, 0.0), doors)
    text = generate_latest(prometheus_registry(scraped.models, lambda: True, lambda: own)).decode()
    assert 'hotgraph_tls_certificate_expires_seconds{certificate="server"} 1.9000000005e+09' in text
    assert 'hotgraph_tls_certificate_expires_seconds{certificate="client_ca"} 2e+09' in text
    assert "hotgraph_tls" not in generate_latest(prometheus_registry(scraped.models, lambda: True)).decode()


def families_shown(scraped: Scraped) -> set[str]:
    own = of_no_server()._replace(
        doors=NO_DOORS._replace(certificate_expiries={"server": 2e9}),
        forwarding=ForwardingFigures(dict.fromkeys(Outcome, 0), 0.0, 0, 0, 0),
    )
    text = generate_latest(prometheus_registry(scraped.models, lambda: True, lambda: own)).decode()
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


def test_calls_that_are_sent_on_are_shown_where_they_can_be(scraped: Scraped) -> None:
    ended = dict.fromkeys(Outcome, 0) | {Outcome.ANSWERED: 3}
    figures = ForwardingFigures(ended, seconds=1.5, under_way=2, held_bytes=100, peers=4)
    own = OwnFigures({}, Turns(0, 0, 0.0), forwarding=figures)
    text = generate_latest(prometheus_registry(scraped.models, lambda: True, lambda: own)).decode()
    assert 'hotgraph_forwarded_calls_total{outcome="answered"} 3.0' in text
    # There from the start, so that the first one is an increase.
    assert 'hotgraph_forwarded_calls_total{outcome="unreachable"} 0.0' in text
    assert "hotgraph_forwarded_seconds_total 1.5" in text
    assert "hotgraph_forwarding_calls 2.0" in text
    assert "hotgraph_forwarding_bytes 100.0" in text
    assert "hotgraph_forwarding_peers 4.0" in text
    assert (
        "hotgraph_forward" not in generate_latest(prometheus_registry(scraped.models, lambda: True)).decode()
    )
