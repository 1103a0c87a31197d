"""What is counted of a call's way, and which of several ways is shown."""

from __future__ import annotations

from codemap.way import Figures, Step, figures, legs, table, typical

WAY = [
    Step("serving", "transport/lane.py", "read", 0),
    Step("serving", "transport/lane.py", "take", 1),
    Step("executor", "batching/queue.py", "take", 0),
    Step("executor", "tensors.py", "join", 1),
    Step("executor", "tensors.py", "join", 1),
    Step("serving", "transport/lane.py", "write", 0),
]


def test_room_is_the_folder_at_the_top_or_the_module_that_lies_in_none() -> None:
    rooms = [step.room for step in WAY]
    assert rooms == ["transport", "transport", "batching", "tensors", "tensors", "transport"]


def test_every_entry_counts_and_functions_files_and_rooms_count_once() -> None:
    assert figures(WAY) == Figures(calls=6, functions=5, files=3, rooms=3, hand_overs=2)


def test_way_of_nothing_has_no_hand_over() -> None:
    assert figures([]) == Figures(0, 0, 0, 0, 0)


def test_functions_of_one_name_in_two_files_are_two() -> None:
    assert figures([Step("t", "a.py", "f", 0), Step("t", "b.py", "f", 0)]).functions == 2


def test_leg_ends_where_another_thread_goes_on() -> None:
    assert [len(leg) for leg in legs(WAY)] == [2, 3, 1]


def test_typical_way_is_the_one_of_median_length() -> None:
    ways = [WAY[:1], WAY[:6], WAY[:3], WAY[:2]]
    assert typical(ways) is ways[3]
    assert typical(ways[:3]) is ways[2]


def test_table_shows_legs_threads_and_how_far_calls_differ() -> None:
    lines = table([WAY, WAY[:5], WAY])
    assert lines[1].split() == ["1", "serving", "2", "1", "transport"]
    assert lines[2].split() == ["2", "executor", "3", "2", "batching", "tensors"]
    assert "serving: 3 calls in 1 files" in lines
    assert "in all: 6 calls of 5 functions in 3 files of 3 rooms; 2 hand-overs" in lines
    assert lines[-1] == "3 calls like it: 5 to 6 calls, 3 to 3 files, 1 to 2 hand-overs"


def test_steps_are_listed_in_order_below_their_leg() -> None:
    lines = table([WAY], list_steps=True)
    assert [line.strip() for line in lines[2:4]] == ["transport/lane.py: read", "transport/lane.py: take"]
    assert lines[5].strip() == "batching/queue.py: take"
