"""The gate alone, between queues that the test holds: no write is lost or overtaken across a swap."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import CallError, Cancelled, NotReady, QueueFull
from hotgraph_server.models.write_gate import WriteGate

from ..fakes import HANG_S, Caller, call, rows, signature

WRITE = signature("write", writes=True)


class Side:
    """A version's queue, as far as its gate knows it."""

    def __init__(self, title: str = "old", put: Callable[[Call], None] | None = None) -> None:
        self.queued: list[Call] = []
        self.adopted: list[Call] = []
        self.knows = True
        self.refusal: CallError | None = None
        self.gate = WriteGate(title, put or self.put, self.adopt)

    def put(self, call: Call) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.queued.append(call)

    def adopt(self, call: Call) -> bool:
        if self.knows:
            self.adopted.append(call)
        return self.knows


class Write(Caller):
    """A caller, and its call."""

    def __init__(self) -> None:
        super().__init__()
        self.call = call(rows(1), WRITE, self.completion)


@pytest.fixture
def old() -> Side:
    return Side("old")


@pytest.fixture
def new() -> Side:
    return Side("new")


def submitted(to: Side) -> Write:
    write = Write()
    to.gate.submit(write.call)
    return write


def test_call_goes_to_the_own_queue_until_there_is_a_redirection(old: Side) -> None:
    write = submitted(to=old)
    assert old.queued == [write.call]
    assert not old.gate.is_redirected


def test_queue_that_refuses_is_heard_by_who_submits(old: Side) -> None:
    old.refusal = QueueFull("old", 1, 1)
    with pytest.raises(QueueFull):
        submitted(to=old)


def test_redirected_calls_are_held_back_and_released_in_their_order(old: Side, new: Side) -> None:
    first = submitted(to=old)
    old.gate.redirect(new.gate)
    assert old.gate.is_redirected
    held = [submitted(to=old) for _ in range(3)]
    assert (old.queued, new.queued) == ([first.call], [])
    assert new.adopted == [one.call for one in held]
    old.gate.release()
    later = submitted(to=old)
    assert new.queued == [*(one.call for one in held), later.call]
    assert old.queued == [first.call]


def test_call_that_ended_while_it_was_held_back_is_not_queued(old: Side, new: Side) -> None:
    old.gate.redirect(new.gate)
    gone, stays = submitted(to=old), submitted(to=old)
    assert gone.completion.leave(Cancelled())
    old.gate.release()
    assert new.queued == [stays.call]


def test_call_that_the_target_refuses_at_the_release_ends_with_its_error(old: Side, new: Side) -> None:
    old.gate.redirect(new.gate)
    write = submitted(to=old)
    new.refusal = QueueFull("new", 1, 1)
    old.gate.release()
    assert write.error() is new.refusal
    assert write.thread == threading.get_ident()


def test_delivery_of_a_refusal_may_submit_again(old: Side, new: Side) -> None:
    """No call ends under the gate's lock."""
    old.gate.redirect(new.gate)
    again = Write()

    class Persistent(Write):
        def _deliver(self, outcome: object) -> None:
            new.refusal = None
            old.gate.submit(again.call)

    old.gate.submit(Persistent().call)
    new.refusal = QueueFull("new", 1, 1)
    releasing = threading.Thread(target=old.gate.release, daemon=True)
    releasing.start()
    releasing.join(HANG_S)
    assert not releasing.is_alive()
    assert new.queued == [again.call]


def test_call_that_the_target_does_not_know_is_refused_at_once(old: Side, new: Side) -> None:
    old.gate.redirect(new.gate)
    new.knows = False
    with pytest.raises(NotReady, match="old is being replaced; the call was not run"):
        submitted(to=old)
    old.gate.release()
    assert new.queued == []
    with pytest.raises(NotReady, match="old is being replaced"):
        submitted(to=old)


def test_taken_back_it_ends_what_was_held_back_and_calls_go_as_before(old: Side, new: Side) -> None:
    old.gate.redirect(new.gate)
    held = submitted(to=old)
    old.gate.resume()
    error = held.error()
    assert isinstance(error, NotReady)
    assert "the next version could not take over; the call was not run" in str(error)
    after = submitted(to=old)
    assert (old.queued, new.queued) == ([after.call], [])
    assert not old.gate.is_redirected


def test_delivery_of_what_was_taken_back_may_submit_again(old: Side, new: Side) -> None:
    old.gate.redirect(new.gate)
    again = Write()

    class Persistent(Write):
        def _deliver(self, outcome: object) -> None:
            old.gate.submit(again.call)

    old.gate.submit(Persistent().call)
    resuming = threading.Thread(target=old.gate.resume, daemon=True)
    resuming.start()
    resuming.join(HANG_S)
    assert not resuming.is_alive()
    assert old.queued == [again.call]


def test_gates_lead_on_from_version_to_version(old: Side, new: Side) -> None:
    newest = Side("newest")
    old.gate.redirect(new.gate)
    held = submitted(to=old)
    new.gate.redirect(newest.gate)
    old.gate.release()
    # It came on, and is held back there.
    assert (new.queued, newest.queued) == ([], [])
    later = submitted(to=old)
    new.gate.release()
    assert newest.queued == newest.adopted == [held.call, later.call]


# Two threads. What must wait for the other is given a moment in which it could go wrong; if it waits, as it
# must, the moment may be as short as it likes.

FOR_A_WRONG_TURN_S = 0.05


class Slow(Side):
    """A queue in which a put begins, and ends when the test says so."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.begun, self.may_end = threading.Event(), threading.Event()

    def put(self, call: Call) -> None:
        self.begun.set()
        assert self.may_end.wait(HANG_S)
        super().put(call)


def test_redirection_waits_for_the_call_that_is_being_queued(new: Side) -> None:
    """Or that call came behind what the executor is asked after the redirection, and its write were lost."""
    old = Slow("old")
    write, order = Write(), list[str]()

    def redirect() -> None:
        old.gate.redirect(new.gate)
        order.append(f"redirected behind {len(old.queued)}")

    submitting = threading.Thread(target=old.gate.submit, args=(write.call,), daemon=True)
    submitting.start()
    assert old.begun.wait(HANG_S)
    redirecting = threading.Thread(target=redirect, daemon=True)
    redirecting.start()
    redirecting.join(FOR_A_WRONG_TURN_S)
    old.may_end.set()
    for thread in (submitting, redirecting):
        thread.join(HANG_S)
    assert order == ["redirected behind 1"]


class SlowTarget:
    """Has no gate of its own; what it does first begins, and ends when the test says so."""

    def __init__(self, slow: str) -> None:
        self.queued: list[Call] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._slow = slow

    def adopt(self, call: Call) -> bool:
        self._pause("adopt")
        return True

    def submit(self, call: Call) -> None:
        self._pause("submit")
        self.queued.append(call)

    def _pause(self, what: str) -> None:
        if what == self._slow and not self.begun.is_set():
            self.begun.set()
            assert self.may_end.wait(HANG_S)


def during(target: SlowTarget, first: Callable[[], object], second: Callable[[], object]) -> None:
    """Do the second while the target is slow with the first."""
    one, other = (threading.Thread(target=act, daemon=True) for act in (first, second))
    one.start()
    assert target.begun.wait(HANG_S)
    other.start()
    other.join(FOR_A_WRONG_TURN_S)
    target.may_end.set()
    for thread in (one, other):
        thread.join(HANG_S)
        assert not thread.is_alive()


def test_call_that_comes_during_the_release_stays_behind_those_that_were_held_back(old: Side) -> None:
    target = SlowTarget("submit")
    old.gate.redirect(target)
    held = [submitted(to=old) for _ in range(3)]
    late = Write()
    during(target, old.gate.release, lambda: old.gate.submit(late.call))
    assert target.queued == [*(one.call for one in held), late.call]


def test_release_waits_for_the_call_that_is_being_held_back(old: Side) -> None:
    target, first, second = SlowTarget("adopt"), Write(), Write()
    old.gate.redirect(target)

    def release_and_go_on() -> None:
        old.gate.release()
        old.gate.submit(second.call)

    during(target, lambda: old.gate.submit(first.call), release_and_go_on)
    assert target.queued == [first.call, second.call]


def test_taking_back_waits_for_the_call_that_is_being_held_back(old: Side) -> None:
    """Or it went on to the version that does not take over."""
    target, write = SlowTarget("adopt"), Write()
    old.gate.redirect(target)
    during(target, lambda: old.gate.submit(write.call), old.gate.resume)
    assert isinstance(write.error(), NotReady)
    assert (target.queued, old.queued) == ([], [])
