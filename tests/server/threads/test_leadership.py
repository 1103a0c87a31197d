"""Leader and followers: who takes turns, and that it is one at a time and always somebody."""

from __future__ import annotations

import math
import queue
import statistics
import threading
from collections.abc import Callable, Iterator

import pytest

from hotgraph_server.threads import leadership as leadership_module
from hotgraph_server.threads.leadership import WATCH_S, Leadership

from ..fakes import HANG_S, switching_often, until

SHORT_S, LONG_S = 1e-6, 1.0

_WAKE, _END = "wake", "end"


class Sockets:
    """What turns are taken at: the test says what comes.

    Attributes:
        turned: the names of the threads, turn by turn.
        waiting: released whenever the serving thread begins to wait in a turn.
    """

    def __init__(self, leadership: Leadership) -> None:
        self.leadership = leadership
        self.turned: list[str] = []
        self.waiting = threading.Semaphore(0)
        self._come: queue.SimpleQueue[Callable[[], object] | str] = queue.SimpleQueue()
        self._taken = threading.Lock()
        self.thread = threading.Thread(target=leadership.serve, args=(self.turn, self.wake), name="serving")

    def turn(self, timeout_s: float) -> bool:
        assert self._taken.acquire(blocking=False), "two threads take turns"
        try:
            self.turned.append(threading.current_thread().name)
            if threading.current_thread() is self.thread:
                self.waiting.release()
            try:
                come = self._come.get(timeout=None if math.isinf(timeout_s) else timeout_s)
            except queue.Empty:
                return False
            if callable(come):
                come()
            return come == _END
        finally:
            self._taken.release()

    def wake(self) -> None:
        self._come.put(_WAKE)

    def comes(self, what: Callable[[], object] = lambda: None) -> None:
        """The leader reads this."""
        self._come.put(what)

    def end(self) -> None:
        self._come.put(_END)

    def until_waiting(self) -> None:
        assert self.waiting.acquire(timeout=HANG_S), "the serving thread takes no turn"


@pytest.fixture(autouse=True)
def watch_s(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How often the serving thread looks: so seldom that a test in which nobody leads does not go on, but for
    those of the watch itself."""
    seconds: float = getattr(request, "param", HANG_S)
    monkeypatch.setattr(leadership_module, "WATCH_S", seconds)
    return seconds


watched = pytest.mark.parametrize("watch_s", [WATCH_S], indirect=True)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    found = Sockets(Leadership())
    found.thread.start()
    found.until_waiting()
    yield found
    found.end()
    found.thread.join(HANG_S)
    assert not found.thread.is_alive()


def hand(sockets: Sockets, graph_s: float = SHORT_S, times: int = 1) -> None:
    """The serving thread, which leads, reads what is for so many executors, and wakes them."""

    def wakes() -> None:
        for _ in range(times):
            sockets.leadership.wakes(graph_s)

    sockets.comes(wakes)


def take(sockets: Sockets) -> None:
    """The serving thread follows, and this thread leads."""
    hand(sockets)
    until(lambda: sockets.leadership.take(again=True))


def test_serving_thread_leads_where_nobody_else_does(sockets: Sockets) -> None:
    assert not sockets.leadership.take()
    sockets.comes()
    sockets.until_waiting()
    assert sockets.turned == ["serving"] * 2
    assert sockets.leadership.turns.by_executors == 0


def test_lead_goes_with_a_short_run_to_the_executor_that_is_woken_for_it(sockets: Sockets) -> None:
    take(sockets)
    sockets.comes()
    assert sockets.leadership.turn(math.inf)
    assert sockets.turned == ["serving", threading.current_thread().name]
    assert sockets.leadership.turns[:2] == (1, 1)
    sockets.leadership.promote()
    sockets.until_waiting()


@pytest.mark.parametrize(("graph_s", "times"), [(LONG_S, 1), (math.inf, 1), (SHORT_S, 2), (SHORT_S, 0)])
def test_leader_leads_on_where_a_turn_brings_a_long_run_or_several(
    sockets: Sockets, graph_s: float, times: int
) -> None:
    hand(sockets, graph_s, times)
    sockets.until_waiting()
    assert not sockets.leadership.take()
    assert sockets.turned == ["serving"] * 2


def test_no_executor_ever_leads_where_that_is_off() -> None:
    sockets = Sockets(Leadership(auto=False))
    sockets.thread.start()
    sockets.until_waiting()
    hand(sockets)
    sockets.until_waiting()
    assert not sockets.leadership.take()
    sockets.end()
    sockets.thread.join(HANG_S)


def test_no_executor_leads_before_there_are_sockets_or_behind_their_end(sockets: Sockets) -> None:
    assert not Leadership().take()
    sockets.end()
    sockets.thread.join(HANG_S)
    assert not sockets.leadership.take()
    sockets.thread = threading.Thread(target=lambda: None)
    sockets.thread.start()


def test_lead_is_free_during_a_short_run_and_the_executor_takes_it_up_again(sockets: Sockets) -> None:
    take(sockets)
    for _ in range(20):
        sockets.leadership.run(SHORT_S, behind_turn=True)
        assert sockets.leadership.take()
        sockets.comes()
        assert sockets.leadership.turn(math.inf)
    assert "serving" not in sockets.turned[1:]
    sockets.leadership.promote()
    sockets.until_waiting()


@pytest.mark.parametrize(("graph_s", "behind_turn"), [(LONG_S, True), (SHORT_S, False)])
def test_serving_thread_is_promoted_for_a_long_run_and_where_more_waits_than_one_run(
    sockets: Sockets, graph_s: float, behind_turn: bool
) -> None:
    take(sockets)
    sockets.leadership.run(graph_s, behind_turn=behind_turn)
    sockets.until_waiting()
    assert not sockets.leadership.take()


@watched
@pytest.mark.parametrize("looks", [0, 1, 3])
def test_serving_thread_leads_where_a_run_does_not_end(sockets: Sockets, looks: int, watch_s: float) -> None:
    take(sockets)
    # After some looks it sleeps without a limit, while nobody runs anything.
    threading.Event().wait(looks * watch_s)
    sockets.leadership.run(SHORT_S, behind_turn=True)
    sockets.until_waiting()
    assert not sockets.leadership.take()


@watched
def test_executor_that_is_handed_a_call_and_never_takes_the_lead_does_not_leave_it_to_nobody(
    sockets: Sockets,
) -> None:
    hand(sockets)
    sockets.until_waiting()
    assert sockets.turned == ["serving"] * 2


def test_leader_leads_on_where_the_executor_that_it_woke_has_run_before_the_turn_is_over(
    sockets: Sockets,
) -> None:
    """That one finds no lead, and sleeps: if the leader followed, nobody would read."""

    def wakes_and_waits() -> None:
        sockets.leadership.wakes(SHORT_S)
        thread = threading.Thread(target=runs)
        thread.start()
        thread.join(HANG_S)

    def runs() -> None:
        assert not sockets.leadership.take(again=True)
        assert not sockets.leadership.take()

    sockets.comes(wakes_and_waits)
    sockets.until_waiting()
    take(sockets)
    sockets.comes(wakes_and_waits)
    assert sockets.leadership.turn(math.inf)
    sockets.leadership.promote()
    sockets.until_waiting()


def test_executor_that_only_asks_before_it_runs_gets_the_lead_behind_its_run(sockets: Sockets) -> None:
    def wakes_and_waits() -> None:
        sockets.leadership.wakes(SHORT_S)
        assert not sockets.leadership.take(again=True)

    sockets.comes(wakes_and_waits)
    until(lambda: sockets.leadership.take(again=True))
    sockets.leadership.promote()
    sockets.until_waiting()


def test_only_within_a_turn_is_a_thread_the_one_that_looks_behind_it(sockets: Sockets) -> None:
    take(sockets)
    assert not sockets.leadership.leads
    sockets.comes(lambda: within.append(sockets.leadership.leads))
    within: list[bool] = []
    assert sockets.leadership.turn(math.inf)
    assert within == [True]
    assert not sockets.leadership.leads
    sockets.leadership.promote()
    sockets.until_waiting()


def test_executor_follows_where_its_turn_brings_work_for_another_one(sockets: Sockets) -> None:
    take(sockets)
    hand(sockets)
    assert not sockets.leadership.turn(math.inf)
    # The other one.
    assert sockets.leadership.take()
    sockets.leadership.promote()
    sockets.until_waiting()


def test_only_the_leader_wakes_for_the_lead(sockets: Sockets) -> None:
    sockets.leadership.wakes(SHORT_S)
    sockets.comes()
    sockets.until_waiting()
    assert not sockets.leadership.take()


def test_turn_that_breaks_in_an_executor_leaves_the_lead_to_the_serving_thread(
    sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks() -> None:
        raise RuntimeError("the cable")

    take(sockets)
    sockets.comes(breaks)
    assert not sockets.leadership.turn(math.inf)
    sockets.until_waiting()
    assert "a turn broke" in caplog.text
    assert not sockets.leadership.take()


def test_last_turn_ends_it_whoever_takes_it(sockets: Sockets) -> None:
    take(sockets)
    sockets.end()
    assert not sockets.leadership.turn(math.inf)
    sockets.thread.join(HANG_S)
    assert not sockets.thread.is_alive()
    assert not sockets.leadership.take()
    sockets.thread = threading.Thread(target=lambda: None)
    sockets.thread.start()


def test_another_thread_wakes_who_takes_a_turn(sockets: Sockets) -> None:
    take(sockets)
    threading.Thread(target=sockets.leadership.wake).start()
    assert sockets.leadership.turn(math.inf)
    sockets.leadership.promote()
    sockets.until_waiting()


def test_cost_of_a_hand_over_is_the_median_of_the_last_ones_and_has_an_edge() -> None:
    leadership = Leadership()
    first = leadership.hand_over_s
    took = [number * 1e-5 for number in range(1, 15)]
    for seconds in took:
        leadership.took(seconds)
    assert leadership.hand_over_s == first
    leadership.took(60.0)
    assert leadership.hand_over_s == pytest.approx(statistics.median([*took, 60.0]))
    leadership.took(60.0)
    assert leadership.hand_over_s == pytest.approx(9e-5)
    for _ in range(15):
        leadership.took(60.0)
    assert leadership.hand_over_s == pytest.approx(500e-6)


def test_every_thing_that_comes_is_taken_once_and_one_at_a_time_however_threads_change() -> None:
    """Four executors, which take what a leader reads for them, and all of it is read by somebody."""
    leadership = Leadership()
    sockets = Sockets(leadership)
    inboxes = [queue.SimpleQueue[int | None]() for _ in range(4)]
    done: list[int] = []
    count = 400

    def executor(inbox: queue.SimpleQueue[int | None]) -> None:
        leads = False
        while True:
            try:
                come = inbox.get(block=not leads)
            except queue.Empty:
                leads = leadership.turn(math.inf)
                continue
            if leads:
                leads = False
                leadership.run(LONG_S if come is None or come % 7 == 0 else SHORT_S, behind_turn=True)
            if come is None:
                return
            done.append(come)
            leads = leadership.take()

    def read(number: int) -> None:
        leadership.wakes(LONG_S if number % 5 == 0 else SHORT_S)
        inboxes[number % len(inboxes)].put(number)

    executors = [threading.Thread(target=executor, args=(inbox,)) for inbox in inboxes]
    with switching_often():
        for thread in (sockets.thread, *executors):
            thread.start()
        for number in range(count):
            sockets.comes(lambda number=number: read(number))  # type: ignore[misc]
        until(lambda: len(done) == count)
        for inbox in inboxes:
            inbox.put(None)
        for _ in inboxes:
            sockets.wake()
        for thread in executors:
            thread.join(HANG_S)
            assert not thread.is_alive()
        sockets.end()
        sockets.thread.join(HANG_S)
    assert not sockets.thread.is_alive()
    assert sorted(done) == list(range(count))
    assert leadership.turns.by_executors > 0
