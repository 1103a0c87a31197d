from __future__ import annotations

import threading

import pytest

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.settings import ShadowSettings

from ..fakes import HANG_S, idle_version


def version(name: str, number: int, state: State = State.LIVE) -> Version:
    """In any state."""
    one = idle_version(name, number)
    one.state = state
    return one


def test_what_is_published_is_found_by_name_and_number() -> None:
    registry = Registry()
    a1, a2, b1 = version("a", 1), version("a", 2), version("b", 1)
    registry.publish([b1, a1])
    registry.publish([a2])
    assert registry.find("a", 1) is a1
    assert registry.find("b", 1) is b1
    assert registry.find("a", 3) is None
    assert registry.find("c") is None
    assert registry.versions() == [a2, a1, b1]


def test_without_a_number_the_highest_live_version_answers() -> None:
    registry = Registry()
    old, live = version("a", 9), version("a", 10)
    registry.publish([old, live, version("a", 11, State.DRAINING), version("a", 12, State.CLOSED)])
    assert registry.find("a") is live


def test_default_version_answers_where_no_other_is_named() -> None:
    registry = Registry()
    old, new = version("a", 1), version("a", 2)
    registry.replace("a", [old, new], {}, ShadowSettings(default_version=1))
    assert registry.find("a") is old
    assert registry.find("a", 2) is new
    registry.replace("a", [old, new])
    assert registry.find("a") is new


@pytest.mark.parametrize("state", [State.DRAINING, State.CLOSED])
def test_default_version_that_is_not_live_gives_way_to_the_highest(state: State) -> None:
    registry = Registry()
    old, new = version("a", 1), version("a", 2)
    registry.replace("a", [old, new], {}, ShadowSettings(default_version=1))
    old.state = state
    assert registry.find("a") is new
    registry.replace("a", [new], {}, ShadowSettings(default_version=1))
    assert registry.find("a") is new


def test_model_without_versions_has_no_default() -> None:
    registry = Registry()
    registry.replace("a", [version("a", 1)], {}, ShadowSettings(default_version=1))
    registry.replace("a", [], {}, ShadowSettings(default_version=1))
    assert registry.find("a") is None
    registry.publish([zero := version("a", 0), five := version("a", 5)])
    assert registry.find("a") is five
    assert registry.find("a", 0) is zero


def test_if_none_is_live_the_highest_can_say_why() -> None:
    registry = Registry()
    registry.publish([version("a", 1, State.CLOSED), failed := version("a", 2, State.CLOSED)])
    assert registry.find("a") is failed


def test_version_with_the_same_number_replaces_the_former() -> None:
    registry = Registry()
    registry.publish([version("a", 1)])
    registry.publish([newer := version("a", 1)])
    assert registry.versions() == [newer]


def test_table_that_a_reader_holds_never_changes() -> None:
    registry = Registry()
    registry.publish([version("a", 1)])
    held = registry.table
    registry.publish([version("a", 2), version("b", 1)])
    assert {name: list(numbered) for name, numbered in held.items()} == {"a": [1]}
    assert {name: list(numbered) for name, numbered in registry.table.items()} == {"a": [2, 1], "b": [1]}
    with pytest.raises(TypeError):
        registry.table["c"] = {}  # type: ignore[index]


def test_writers_at_the_same_time_lose_nothing() -> None:
    registry = Registry()
    together = threading.Barrier(8)

    def publish(writer: int) -> None:
        together.wait(HANG_S)
        for number in range(50):
            registry.publish([version(f"m{writer}", number)])

    threads = [threading.Thread(target=publish, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert len(registry.versions()) == 8 * 50


def test_model_is_replaced_with_its_labels_in_one_step() -> None:
    registry = Registry()
    one, two = version("a", 1), version("a", 2)
    registry.replace("a", [one, two], {"stable": 1, "gone": 7})
    assert registry.labels("a") == {"stable": 1}
    assert registry.find("a", label="stable") is one
    assert registry.find("a", label="gone") is None
    registry.replace("a", [two])
    assert (registry.versions(), registry.labels("a")) == ([two], {})


def test_model_without_versions_is_not_there() -> None:
    registry = Registry()
    registry.replace("a", [version("a", 1)], {"stable": 1})
    registry.publish([other := version("b", 1)])
    registry.replace("a", [])
    assert registry.find("a") is None
    assert registry.labels("a") == {}
    assert registry.versions() == [other]
