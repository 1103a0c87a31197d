"""What became of models, and what their callers were told, as a scrape shows it."""

from __future__ import annotations

from hotgraph_server.errors import InvalidCall, QueueFull
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.status import ModelFigures, State, VersionStatus
from hotgraph_server.observability.metrics.models import model_metrics

from .scraped import Scraped


def samples(scraped: Scraped, *known: ModelFigures) -> dict[tuple[str, ...], float]:
    """By name and the values of labels in their order."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in model_metrics(scraped.models, known)
        for sample in metric.samples
    }


def states(found: dict[tuple[str, ...], float]) -> set[tuple[str, ...]]:
    return {key[1:] for key, value in found.items() if key[0] == "hotgraph_version_state" and value}


def test_version_that_could_not_be_loaded_is_shown_beside_the_one_that_is_live(scraped: Scraped) -> None:
    versions = (VersionStatus(4, State.FAILED, "no"), VersionStatus(3, State.LIVE))
    found = samples(scraped, ModelFigures("m", versions, loads=1, failed_loads=2))
    assert states(found) == {("m", "4", "failed"), ("m", "3", "live")}
    assert found["hotgraph_loads_total", "m", "live"] == 1
    assert found["hotgraph_loads_total", "m", "failed"] == 2


def test_memory_is_shown_by_the_device_that_it_is_on(scraped: Scraped) -> None:
    scraped.version.memory = MemoryUsage(5 << 20, 7 << 20, "/device:GPU:1")
    found = samples(scraped)
    assert found["hotgraph_version_memory_bytes", "m", "3", "CPU:0"] == 5 << 20
    assert found["hotgraph_version_memory_bytes", "m", "3", "GPU:1"] == 7 << 20


def test_model_without_any_version_yet_has_its_loads_at_nought(scraped: Scraped) -> None:
    found = samples(scraped, ModelFigures("late"))
    assert found["hotgraph_loads_total", "late", "failed"] == 0
    assert states(found) == {("m", "3", "live")}


def test_repository_knows_better_than_the_version_what_becomes_of_it(scraped: Scraped) -> None:
    found = samples(scraped, ModelFigures("m", (VersionStatus(3, State.DRAINING),)))
    assert states(found) == {("m", "3", "draining")}


def test_errors_are_their_versions_or_their_models_or_nobodys(scraped: Scraped) -> None:
    statistics, registry = scraped.version.statistics, scraped.models.last_errors
    statistics.failed("s", QueueFull("the queue", 1, 1))
    statistics.failed("other", QueueFull("the queue", 1, 1))
    registry.add("INVALID_ARGUMENT", str(InvalidCall("no")), model="m", counted_for="m")
    registry.add("NOT_FOUND", "no model", model="nobody")
    found = {
        key[1:]: value for key, value in samples(scraped).items() if key[0] == "hotgraph_call_errors_total"
    }
    assert found["m", "3", "RESOURCE_EXHAUSTED"] == 2
    assert found["m", "", "INVALID_ARGUMENT"] == 1
    assert found["", "", "NOT_FOUND"] == 1
    assert found["m", "3", "UNAVAILABLE"] == 0
    assert "nobody" not in {key[0] for key in found}
