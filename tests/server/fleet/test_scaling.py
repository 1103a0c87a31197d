from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.fleet.observed import FleetSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.scaling import Trend, scaled
from hotgraph_server.fleet.spec import FleetSpec, ReplicaSpec, ScalingSpec

SCALING = ScalingSpec(duty_high=0.8, duty_low=0.4, queue_wait_high_ms=20, out_hold_s=10, in_hold_s=60)


def spec(least: int = 1, most: int = 8) -> FleetSpec:
    replicas = ReplicaSpec(count=least, least=least, most=most)
    return FleetSpec("a", Path("m"), Path("s"), replicas=replicas, scaling=SCALING)


def fleet(at_s: float, count: int, duty: float, wait_ms: float = 0.0) -> FleetSeen:
    replicas = [
        ReplicaSeen(f"r{number}", ReplicaState.READY, "h:1", duty=duty, queue_wait_ms=wait_ms)
        for number in range(count)
    ]
    return FleetSeen(at_s, (), tuple(replicas))


def after(seconds: float, count: int, duty: float, wait_ms: float = 0.0, of: FleetSpec | None = None) -> int:
    """So many are wanted when it has been so for so long."""
    begun = scaled(of or spec(), count, fleet(0, count, duty, wait_ms), Trend())
    assert begun.replicas == count
    return scaled(of or spec(), count, fleet(seconds, count, duty, wait_ms), begun.trend).replicas


def test_busy_fleet_grows_once_it_has_been_so_for_long() -> None:
    assert after(9.9, 2, 0.85) == 2
    assert after(10, 2, 0.85) == 3


def test_fleet_grows_at_once_to_what_would_do() -> None:
    assert after(10, 4, 1.0) == 7
    assert after(10, 4, 1.0, of=spec(1, 5)) == 5


def test_calls_that_wait_are_a_reason_whatever_the_duty() -> None:
    assert after(10, 2, 0.5, wait_ms=21) == 3
    assert after(60, 2, 0.1, wait_ms=21) == 3


def test_idle_fleet_shrinks_by_one_and_later() -> None:
    assert after(59.9, 3, 0.1) == 3
    assert after(60, 3, 0.1) == 2


def test_fleet_does_not_shrink_into_what_would_make_it_grow() -> None:
    assert after(100, 2, 0.35) == 2
    assert after(100, 4, 0.35) == 3


def test_what_lies_between_begins_time_anew() -> None:
    first = scaled(spec(), 2, fleet(0, 2, 0.9), Trend())
    between = scaled(spec(), 2, fleet(5, 2, 0.6), first.trend)
    again = scaled(spec(), 2, fleet(10, 2, 0.9), between.trend)
    assert scaled(spec(), 2, fleet(19, 2, 0.9), again.trend).replicas == 2
    assert scaled(spec(), 2, fleet(20, 2, 0.9), again.trend).replicas == 3


def test_nothing_changes_while_replicas_are_to_come_or_go() -> None:
    busy = scaled(spec(), 3, fleet(0, 2, 0.9), Trend())
    assert scaled(spec(), 3, fleet(100, 2, 0.9), busy.trend).replicas == 3
    assert scaled(spec(), 1, fleet(100, 2, 0.0), Trend(None, 0.0)).replicas == 1


def test_fleet_short_of_room_alone_grows_to_what_would_hold_all_within_most() -> None:
    short = Placement(unplaced={"a": "no room"}, replicas_wanted=5)
    begun = scaled(spec(), 2, fleet(0, 2, 0.0), Trend(), short)
    assert scaled(spec(), 2, fleet(9, 2, 0.0), begun.trend, short).replicas == 2
    grown = scaled(spec(), 2, fleet(10, 2, 0.0), begun.trend, short)
    assert grown.replicas == 5
    assert grown.reason == "duty 0.00, 0 ms in the queue, 1 models short of room: 2 -> 5"
    assert scaled(spec(1, 4), 2, fleet(10, 2, 0.0), begun.trend, short).replicas == 4
    # What no number of replicas helps is no reason for more.
    too_large = Placement(unplaced={"a": "too large"}, replicas_wanted=2)
    assert scaled(spec(), 2, fleet(10, 2, 0.0), begun.trend, too_large).replicas == 2


def test_idle_fleet_keeps_the_replicas_that_hold_its_models() -> None:
    full = Placement(replicas_wanted=3)
    begun = scaled(spec(), 4, fleet(0, 4, 0.0), Trend(), full)
    assert scaled(spec(), 4, fleet(60, 4, 0.0), begun.trend, full).replicas == 3
    begun = scaled(spec(), 3, fleet(0, 3, 0.0), Trend(), full)
    assert scaled(spec(), 3, fleet(1000, 3, 0.0), begun.trend, full).replicas == 3


def test_replicas_that_never_come_are_wanted_no_more_once_others_are_idle() -> None:
    begun = scaled(spec(), 4, fleet(0, 2, 0.1), Trend())
    assert scaled(spec(), 4, fleet(59, 2, 0.1), begun.trend).replicas == 4
    assert scaled(spec(), 4, fleet(60, 2, 0.1), begun.trend).replicas == 3
    busy = scaled(spec(), 4, fleet(0, 2, 0.5), Trend())
    assert scaled(spec(), 4, fleet(1000, 2, 0.5), busy.trend).replicas == 4


def test_number_that_the_file_no_longer_allows_is_brought_within_it() -> None:
    assert scaled(spec(1, 3), 8, fleet(0, 8, 0.5), Trend()).replicas == 3
    assert scaled(spec(2, 3), 1, fleet(0, 1, 0.5), Trend()).replicas == 2


def test_fleet_of_one_size_is_left_as_it_is() -> None:
    assert after(1000, 2, 1.0, of=spec(2, 2)) == 2


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100), st.integers(0, 9)), max_size=40),
)
def test_wanted_stays_within_the_bounds(wanted: int, looks: list[tuple[float, float, int]]) -> None:
    trend = Trend()
    for at_s, (duty, wait_ms, missing) in enumerate(looks):
        found = scaled(spec(), wanted, fleet(at_s * 7.0, max(0, wanted - missing // 5), duty, wait_ms), trend)
        assert 1 <= found.replicas <= 8
        assert bool(found.reason) == (found.replicas != wanted)
        wanted, trend = found.replicas, found.trend
