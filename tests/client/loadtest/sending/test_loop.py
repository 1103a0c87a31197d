"""loadtest/sending/loop.py: on a clock and connections that the test has in its hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hotgraph_client.loadtest.load import Arrivals, Assignment, Destination, Payload
from hotgraph_client.loadtest.sending.calls import Call, Reply
from hotgraph_client.loadtest.sending.loop import Loop
from hotgraph_client.loadtest.sending.messages import Known
from hotgraph_client.loadtest.sending.schedule import Schedule, schedule_of
from hotgraph_client.loadtest.sending.tally import Tally

BEGIN = 100.0
NEVER = float("inf")


class World:
    """A clock, a server that answers when `answer_at` says so, and whoever asked for the calls.

    Sending and looking at the clock take no time but what `cost_s` says.
    """

    def __init__(self, answer_at: Callable[[float], float], cost_s: float = 0.0) -> None:
        self.now = BEGIN - 0.5
        self.answer_at = answer_at
        self.cost_s = cost_s
        self.loop: Loop
        self.on_the_way: list[tuple[float, Call]] = []
        self.sent: list[float] = []
        self.given_up: list[Call] = []
        self.told: list[Known] = []
        self.told_at: list[float] = []
        self.asked: dict[float, Callable[[Schedule, float], bool]] = {}
        self.is_deaf = False

    def send(self, call: Call, now: float) -> None:
        self.now += self.cost_s
        self.sent.append(now)
        self.on_the_way.append((self.answer_at(now), call))

    def give_up(self, call: Call) -> None:
        self.given_up.append(call)

    def turn(self, wait_s: float) -> None:
        assert wait_s >= 0.0
        self.on_the_way.sort(key=lambda one: one[0])
        next_s = self.on_the_way[0][0] if self.on_the_way else NEVER
        # At least the microsecond that looking takes.
        self.now = max(self.now + 1e-5, min(self.now + wait_s, next_s))
        while self.on_the_way and self.on_the_way[0][0] <= self.now:
            _, call = self.on_the_way.pop(0)
            self.loop.over(call, Reply(""), self.now)

    def tend(self, now: float) -> None:
        pass

    def heard(self, schedule: Schedule, now: float) -> bool:
        asked = [moment for moment in self.asked if moment <= now]
        return any([self.asked.pop(moment)(schedule, now) for moment in asked])

    def tell(self, known: list[Known]) -> bool:
        if self.is_deaf:
            return False
        self.told += known
        self.told_at.append(self.now)
        return True

    def run(self, arrivals: Arrivals, **more: Any) -> dict[int, Known]:
        values: dict[str, Any] = {"seconds": 4.0, **more}
        payload = Payload("/p", (), b"")
        assignment = Assignment(Destination("h", 1, "h:1"), (payload,), arrivals, BEGIN, **values)
        schedule = schedule_of(assignment, BEGIN)
        tally = Tally(assignment, BEGIN + assignment.warm_up_s)
        # As if half of the time were the processor's.
        self.loop = Loop(assignment, BEGIN, schedule, tally, self, lambda: self.now, lambda: self.now / 2)
        self.loop.run(self)
        total: dict[int, Known] = {}
        for known in self.told + self.loop.untold:
            one = total.setdefault(known.second, Known(known.second))
            one.due += known.due
            one.answered += known.answered
            for status, count in known.errors.items():
                one.errors[status] = one.errors.get(status, 0) + count
            one.latency_us.extend(known.latency_us)
            one.lag_us.extend(known.lag_us)
        return total


def uniform(rate: float) -> Arrivals:
    # Away from the borders between seconds.
    return Arrivals("uniform", rate=rate, phase=0.0005)


def test_calls_are_sent_when_they_are_due_and_counted_in_their_second() -> None:
    world = World(lambda sent: sent + 0.003)
    total = world.run(uniform(100.0), warm_up_s=2.0)
    assert sorted(total) == [-2, -1, 0, 1, 2, 3]
    assert all(one.due == one.answered == 100 for one in total.values())
    assert all(3000 <= value < 3200 for one in total.values() for value in one.latency_us)
    # It looks at the clock every 10 us of this world.
    assert all(value <= 50 for one in total.values() for value in one.lag_us)


def test_stall_of_a_second_shows_in_the_latency_of_every_call_that_was_due_during_it() -> None:
    stall = (BEGIN + 1.0, BEGIN + 2.0)
    world = World(lambda sent: stall[1] if stall[0] <= sent < stall[1] else sent + 0.001)
    total = world.run(uniform(200.0))
    stalled = sorted(total[1].latency_us)
    assert len(stalled) == 200
    # Spread evenly over what was left of the second: half of them waited more than half of it.
    assert sum(value > 500_000 for value in stalled) == 100
    assert stalled[-1] > 990_000
    for second in (0, 2, 3):
        assert max(total[second].latency_us) < 1200
    assert max(total[1].lag_us) < 100


def test_sender_that_is_stalled_itself_says_so_and_counts_from_when_calls_were_due() -> None:
    world = World(lambda sent: sent + 0.001)

    def stall(schedule: Schedule, now: float) -> bool:
        world.now += 0.5
        return False

    world.asked[BEGIN + 1.0] = stall
    total = world.run(uniform(200.0))
    assert total[1].due == 200
    assert sum(value > 250_000 for value in total[1].lag_us) == pytest.approx(50, abs=5)
    assert sum(value > 250_000 for value in total[1].latency_us) == pytest.approx(50, abs=5)


def test_answers_are_read_while_calls_are_due_faster_than_they_can_be_sent() -> None:
    world = World(lambda sent: sent + 0.001, cost_s=0.002)
    total = world.run(uniform(1000.0), seconds=1.0)
    assert total[0].answered == 1000
    # Two seconds of sending in one: the last is due a second before it is sent.
    assert max(total[0].lag_us) == pytest.approx(1_000_000, rel=0.05)
    assert world.told_at[0] < BEGIN + 1.2


def test_closed_loop_has_as_many_calls_under_way_as_callers() -> None:
    world = World(lambda sent: sent + 0.1)
    total = world.run(Arrivals("closed", callers=3))
    # 3 callers, each ten calls a second, for 4 s.
    assert sum(one.due for one in total.values()) == pytest.approx(120, abs=3)
    assert all(one.due == one.answered for one in total.values())
    assert all(value < 100_300 for one in total.values() for value in one.latency_us)


@pytest.mark.parametrize(("deadline_s", "after_s"), [(None, 2.0), (0.5, 2.5)])
def test_silent_server_is_given_up_when_patience_is_over(deadline_s: float | None, after_s: float) -> None:
    world = World(lambda sent: NEVER)
    total = world.run(uniform(10.0), seconds=1.0, patience_s=2.0, deadline_s=deadline_s)
    assert total[0].due == 10
    assert total[0].errors == {"NO_ANSWER": 10}
    assert [call.due for call in world.given_up] == sorted(call.due for call in world.given_up)
    assert world.now == pytest.approx(BEGIN + 0.9 + after_s, abs=0.1)


def test_end_that_comes_after_a_call_was_given_up_does_not_count() -> None:
    world = World(lambda sent: sent + 3.0)
    total = world.run(uniform(10.0), seconds=5.0, patience_s=1.0)
    assert sum(one.errors["NO_ANSWER"] for one in total.values()) == 50
    assert sum(one.answered for one in total.values()) == 0


def test_every_second_is_told_once_and_what_changes_later_is_added() -> None:
    world = World(lambda sent: sent + 1.5)
    total = world.run(uniform(10.0))
    assert world.told_at == pytest.approx([BEGIN + place for place in range(1, 6)], abs=0.1)
    assert [one.due for one in total.values()] == [10, 10, 10, 10]
    of_first = [known for known in world.told if known.second == 0]
    assert [(known.due, known.answered) for known in of_first] == [(10, 0), (0, 5), (0, 5)]


def test_what_nobody_hears_is_kept_for_the_end() -> None:
    world = World(lambda sent: sent + 0.001)
    world.is_deaf = True
    total = world.run(uniform(10.0))
    assert world.told == []
    assert [one.answered for one in total.values()] == [10, 10, 10, 10]


def test_rate_may_be_changed_while_it_runs() -> None:
    world = World(lambda sent: sent + 0.001)

    def faster(schedule: Schedule, now: float) -> bool:
        schedule.change(100.0, now)
        return False

    world.asked[BEGIN + 2.0] = faster
    total = world.run(uniform(10.0))
    assert [total[second].due for second in (0, 1)] == [10, 10]
    assert [total[second].due for second in (2, 3)] == pytest.approx([100, 100], abs=5)


def test_stop_ends_the_calls_and_waits_for_those_under_way() -> None:
    world = World(lambda sent: sent + 0.5)
    world.asked[BEGIN + 2.0] = lambda schedule, now: True
    total = world.run(uniform(10.0), warm_up_s=1.0)
    assert total[-1].answered == 10
    assert sum(one.due for second, one in total.items() if second >= 0) == pytest.approx(10, abs=1)
    assert all(one.due == one.answered for one in total.values())
    assert world.loop.seconds == pytest.approx(1.0, abs=0.05)
    assert world.now < BEGIN + 3.0


def test_processor_time_is_that_of_what_is_measured() -> None:
    world = World(lambda sent: sent + 0.5)
    world.run(uniform(10.0), warm_up_s=2.0)
    assert world.loop.seconds == pytest.approx(4.0, abs=0.05)
    assert world.loop.cpu_s == pytest.approx(2.0, abs=0.05)


def test_measurement_goes_on_to_its_end_where_calls_are_few() -> None:
    world = World(lambda sent: sent + 0.001)
    world.run(Arrivals("uniform", rate=0.0))
    assert world.now == pytest.approx(BEGIN + 4.0, abs=0.05)
    assert world.loop.seconds == pytest.approx(4.0, abs=0.05)


def test_load_that_is_hopelessly_too_much_ends_when_patience_does() -> None:
    world = World(lambda sent: sent + 0.001, cost_s=0.01)
    total = world.run(uniform(10_000.0), seconds=1.0, patience_s=2.0)
    assert world.now == pytest.approx(BEGIN + 3.0, abs=0.3)
    assert max(total[0].lag_us) > 2_000_000
    assert total[0].due == total[0].answered == pytest.approx(300, rel=0.1)
