"""Which sequences have a slot, and whose calls are in the next run."""

from __future__ import annotations

import math

from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.call import LiveSequence, SequenceCall, Stage
from hotgraph_server.sequences.schedule import Schedule

from ..fakes import Caller

NOW = 100.0


class Scene:
    """A schedule; each of its sequences is named by a number."""

    def __init__(self, **bounds: object) -> None:
        self.schedule = Schedule(Bounds(**{"slots": 2, "idle_s": 1.0, **bounds}))  # type: ignore[arg-type]
        self.live: dict[int, LiveSequence] = {}

    def call(self, name: int, now: float = NOW, rows: int = 1) -> SequenceCall:
        sequence = self.live.get(name)
        if sequence is None:
            sequence = self.live[name] = LiveSequence(name)
            self.schedule.begin(sequence)
        one = SequenceCall(name, [], ("y",), Caller().completion, shapes=((rows,),))
        sequence.waiting.append(one)
        self.schedule.look_at(sequence, now)
        return one

    def next_run(self, now: float = NOW, *, closing: bool = False) -> list[int | str]:
        calls = self.schedule.next_run(now, closing=closing)
        assert all(one.stage is Stage.RUNNING for one in calls)
        if calls:
            self.schedule.began()
        return [one.sequence_id for one in calls]

    def over(self, *names: int) -> None:
        self.schedule.over()
        for name in names:
            self.live[name].running = None
            self.schedule.look_at(self.live[name], NOW)

    def end(self, name: int) -> None:
        self.schedule.end(self.live.pop(name))

    def places(self) -> dict[int, int]:
        return {name: sequence.place for name, sequence in self.live.items()}


def test_slots_go_to_sequences_in_the_order_of_their_starts_and_the_lowest_is_used_again() -> None:
    scene = Scene()
    for name in (1, 2, 3, 4):
        scene.call(name)
    scene.next_run()
    assert scene.places() == {1: 0, 2: 1, 3: -1, 4: -1}
    assert scene.schedule.without_slot == 2
    scene.end(2)
    scene.end(1)
    scene.next_run()
    assert scene.places() == {3: 0, 4: 1}


def test_sequence_that_ends_before_it_has_a_slot_frees_none() -> None:
    scene = Scene(slots=1)
    scene.call(1)
    scene.call(2)
    scene.next_run()
    scene.end(2)
    scene.call(3)
    assert scene.next_run() == []
    assert scene.places() == {1: 0, 3: -1}


def test_oldest_runs_each_call_by_itself_and_one_of_a_sequence_at_a_time() -> None:
    scene = Scene()
    for name in (1, 1, 2):
        scene.call(name)
    assert [scene.next_run(), scene.next_run(), scene.next_run()] == [[1], [2], []]
    scene.over(1)
    assert scene.next_run() == [1]
    assert scene.schedule.due() == math.inf


def test_direct_runs_the_slots_that_are_ready_and_alike_and_nothing_beside_them() -> None:
    scene = Scene(slots=3, direct=True)
    for name, rows in ((1, 1), (2, 9), (3, 1)):
        scene.call(name, rows=rows)
    assert scene.next_run() == [1, 3]
    assert scene.next_run() == []
    scene.over(1, 3)
    assert scene.next_run() == [2]


def test_call_whose_shared_run_has_failed_runs_by_itself() -> None:
    scene = Scene(slots=3, direct=True)
    for name in (1, 2, 3):
        scene.call(name).alone = name != 3
    assert scene.next_run() == [1]
    scene.over()
    scene.live[3].waiting[0].alone = False
    assert scene.next_run() == [2]


def test_without_sharing_each_slot_runs_by_itself() -> None:
    scene = Scene(direct=True, shares=False)
    scene.call(1)
    scene.call(2)
    assert scene.next_run() == [1]


def test_direct_waits_for_enough_slots_or_until_the_first_has_waited_long_enough() -> None:
    scene = Scene(direct=True, least_ready=2, delay_s=5.0)
    scene.call(1)
    assert scene.next_run() == []
    assert scene.schedule.due() == NOW + 5.0
    assert scene.next_run(NOW + 5.0) == [1]
    # While it runs nothing is due, however long the next one has been ready.
    scene.call(2)
    scene.next_run()
    assert scene.schedule.due() == math.inf
    scene.over(1)
    scene.call(1)
    assert scene.next_run() == [2, 1]


def test_direct_waits_for_no_more_when_none_will_come() -> None:
    scene = Scene(direct=True, least_ready=2, delay_s=5.0)
    scene.call(1)
    assert scene.next_run(closing=True) == [1]


def test_sequence_of_which_nothing_waits_any_more_is_in_no_run() -> None:
    scene = Scene()
    scene.call(1)
    scene.next_run()
    scene.over(1)
    scene.call(1)
    scene.live[1].waiting.clear()
    scene.schedule.drop(scene.live[1])
    assert scene.next_run() == []
