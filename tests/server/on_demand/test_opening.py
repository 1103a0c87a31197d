"""Models on demand as the server sees them: nothing at all, unless that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from hotgraph_server.errors import NotLoaded
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.registry import Registry
from hotgraph_server.on_demand.opening import Demand
from hotgraph_server.settings import ControlSettings, ModelSettings, ServerSettings
from hotgraph_server.transport.service import Service

from .fakes import FakeModels, FakeVersion

MODELS = (ModelSettings("m", Path("/m")),)


def demand(registry: Registry, model_control: str = "auto") -> Demand:
    settings = ServerSettings(MODELS, control=ControlSettings(model_control=model_control))
    return Demand(settings, registry, lambda settings, folder: MemoryUsage(1), lambda name: None)


def test_where_it_is_not_asked_for_nothing_is_other_than_it_was() -> None:
    registry, shown = Registry(), list[int]()
    none = demand(registry, "none")
    assert none.coordinator is None
    service = Service("s", None)
    assert none.around_service(service, ["M"]) is service
    assert none.around(print) is print
    version = FakeVersion("m", 1, 1, 1.0)
    none.publish("m", [cast(Any, version)], lambda: shown.append(1))
    assert (shown, version.loaded_at_call) == ([1], False)
    none.know(MODELS)
    assert not none.expects("m")
    registry.check_loaded("m")
    assert none.figures() is None
    assert not none.knows("m")
    none.start(FakeModels({}))
    none.wake()
    none.check_pinned()
    none.wind_down()
    none.stop(0.0)


def test_a_known_model_is_expected_to_answer_and_its_callers_hear_that_it_is_not_loaded() -> None:
    registry = Registry()
    auto = demand(registry)
    registry.check_loaded("m")
    auto.know(MODELS)
    assert auto.expects("m")
    assert not auto.expects("other")
    assert (auto.knows("m"), auto.knows("other")) == (True, False)
    assert auto.coordinator is not None
    auto.coordinator.learnt.failed("m", "broken", 0.0)
    auto.know(MODELS)
    assert (auto.expects("m"), auto.knows("m")) == (False, True)
    with pytest.raises(NotLoaded):
        registry.check_loaded("m")
    registry.check_loaded("other")


def test_a_version_is_said_to_be_there_when_it_can_be_found_and_to_be_gone_before() -> None:
    """Otherwise who does not find what is said to be there tries again and again."""
    registry = Registry()
    auto = demand(registry)
    auto.know(MODELS)
    assert auto.coordinator is not None
    said, told = list[object](), auto.coordinator.published
    auto.coordinator.published = lambda name, versions: (said.append(bool(versions)), told(name, versions))  # type: ignore[method-assign, assignment, func-returns-value]
    version = cast(Any, FakeVersion("m", 1, 1, 1.0))
    auto.publish("m", [version], lambda: said.append(f"shown {version.loaded_at_call}"))
    auto.publish("m", [], lambda: said.append("hidden"))
    assert said == ["shown True", True, False, "hidden"]
