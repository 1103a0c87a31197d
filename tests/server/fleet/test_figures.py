from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.fleet.figures import Look, NoFigures, percentile, read
from hotgraph_server.fleet.observed import ModelSeen, ReplicaSeen, ReplicaState
from tests.server.fleet.statuses import BOUNDS_S, model, signature, status, version

REPLICA = ReplicaSeen("r", ReplicaState.READY, address="127.0.0.1:1")
SHADOW = {
    "of": 1,
    "compared": 7,
    "differed": 1,
    "failed": 0,
    "dropped": 3,
    "slower": 1.25,
    "largest": 0.5,
    "reason": "output 'y' differs",
}


def second(first: Any, then: Any) -> ReplicaSeen:
    _, look = read(REPLICA, first, None)
    return read(REPLICA, then, look)[0]


def test_rate_is_of_the_calls_between_two_looks() -> None:
    seen = second(
        status(10.0, model("m", version(1, signature(100)))),
        status(12.0, model("m", version(1, signature(150)))),
    )
    assert seen.models["m"].calls_per_s == pytest.approx(25.0)
    assert seen.calls_per_s == pytest.approx(25.0)
    assert seen.models["m"].calls == 150


def test_first_look_is_compared_with_the_start_of_the_server() -> None:
    seen, _ = read(REPLICA, status(10.0, model("m", version(1, signature(100))), began_s=5.0), None)
    assert seen.models["m"].calls_per_s == pytest.approx(20.0)


def test_server_that_began_anew_has_counted_all_since_then() -> None:
    seen = second(
        status(10.0, model("m", version(1, signature(100)))),
        status(12.0, model("m", version(1, signature(150))), began_s=11.0),
    )
    assert seen.models["m"].calls_per_s == pytest.approx(150.0)


def test_version_that_was_loaded_again_has_counted_all_since_then() -> None:
    seen = second(
        status(10.0, model("m", version(1, signature(100)))),
        status(12.0, model("m", version(1, signature(10)))),
    )
    assert seen.models["m"].calls_per_s == pytest.approx(5.0)


def test_calls_that_were_refused_have_failed_and_those_that_left_have_not() -> None:
    events = {"refused_full": 3, "expired": 2, "cancelled": 50}
    seen, _ = read(REPLICA, status(10.0, model("m", version(1, signature(5, failed=1, events=events)))), None)
    assert (seen.models["m"].calls, seen.models["m"].failed) == (11, 6)


def test_answers_of_the_cache_are_calls() -> None:
    seen, _ = read(REPLICA, status(10.0, model("m", version(1, signature(5, cache_hits=20)))), None)
    assert seen.models["m"].calls == 25


def test_queue_wait_is_of_those_that_ran_since_the_look_before() -> None:
    seen = second(
        status(10.0, model("m", version(1, signature(100, waited_s=50.0)))),
        status(12.0, model("m", version(1, signature(110, waited_s=50.1)))),
    )
    assert seen.queue_wait_ms == pytest.approx(10.0)


def test_duty_is_of_the_busiest_version_where_there_are_processors_enough() -> None:
    busy, idle = signature(1, ran_s=1.6), signature(1, ran_s=0.2)
    seen = second(
        status(10.0, processors=4),
        status(12.0, model("m", version(1, busy)), model("n", version(1, idle)), processors=4),
    )
    assert seen.duty == pytest.approx(0.8)


def test_duty_is_of_all_together_where_they_share_a_processor() -> None:
    part = signature(1, ran_s=0.5)
    models = [model(name, version(1, part)) for name in "abc"]
    assert second(status(10.0), status(12.0, *models)).duty == pytest.approx(0.75)


def test_calls_in_the_shadow_are_no_calls_of_the_model() -> None:
    told = model("m", version(2, signature(70), shadow=SHADOW), version(1, signature(7)), default=1)
    seen, _ = read(REPLICA, status(10.0, told), None)
    found = seen.models["m"]
    assert (found.calls, found.default, found.versions) == (7, 1, (1, 2))
    assert found.shadow is not None
    assert (found.shadow.compared, found.shadow.slower, found.shadow.reason) == (
        7,
        1.25,
        "output 'y' differs",
    )


def test_version_that_is_not_live_is_not_there() -> None:
    told = model("m", version(2, state="draining"))
    seen, _ = read(REPLICA, status(10.0, told, model("loading")), None)
    assert seen.models == {}


def test_memory_is_of_all_versions() -> None:
    told = model("m", version(1, memory_bytes=10), version(2, memory_bytes=None), version(3, memory_bytes=5))
    seen, _ = read(REPLICA, status(10.0, told), None)
    assert seen.models["m"].memory_bytes == 15


def test_highest_version_is_the_default_where_the_server_says_nothing_else() -> None:
    seen, _ = read(REPLICA, status(10.0, model("m", version(1), version(3))), None)
    assert seen.models["m"].default == 3


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0, 0], 0.99, None),
        ([100, 0, 0, 0], 0.5, 0.0005),
        ([0, 100, 0, 0], 1.0, 0.01),
        ([90, 0, 10, 0], 0.99, 0.01 + 0.09 * 0.9),
        ([0, 0, 0, 5], 0.99, 0.1),
    ],
)
def test_percentile_lies_in_the_bucket_that_it_falls_into(
    counts: list[int], share: float, expected: float | None
) -> None:
    found = percentile(counts, BOUNDS_S, share)
    assert found == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0.01, 1.0))
def test_percentile_never_falls_with_the_share(counts: list[int], share: float) -> None:
    low, high = percentile(counts, BOUNDS_S, share / 2), percentile(counts, BOUNDS_S, share)
    assert (low is None) == (high is None) == (sum(counts) == 0)
    assert low is None or high is None or low <= high


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_no_status_is_refused_as_that(told: Any) -> None:
    with pytest.raises(NoFigures):
        read(REPLICA, told, None)


@given(
    st.sampled_from(["now_s", "uptime_s", "processes", "process", "bounds", "models"]), JSON, st.booleans()
)
def test_status_with_one_odd_part_is_read_or_refused(key: str, odd: Any, again: bool) -> None:
    told = {**status(10.0, model("m", version(1, signature(5)))), key: odd}
    look = Look(1.0, 0.0) if again else None
    try:
        seen, _ = read(REPLICA, told, look)
    except NoFigures:
        return
    assert all(isinstance(found, ModelSeen) for found in seen.models.values())
