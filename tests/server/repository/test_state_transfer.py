"""From one version to the next, through both with their executors; the graphs are held by the test."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.batching.request import Request
from hotgraph_server.errors import LoadError
from hotgraph_server.repository.state_transfer import hand_over
from hotgraph_server.state.store import Store

from ..fakes import Caller, submit
from ..state.versions import Start, add, read, starting


def _no_space(*_: object) -> Path:
    raise OSError("no space left on device")


@pytest.fixture
def start() -> Iterator[Start]:
    with starting() as start:
        yield start


def test_new_version_goes_on_where_the_old_one_ends_and_no_write_is_lost(start: Start) -> None:
    old, graph = start()
    new, _ = start(2)
    graph.shut()
    before = [add(old, by)[0] for by in (1, 2)]
    graph.wait_until_held()
    handing = threading.Thread(target=hand_over, args=(old, new), kwargs={"replaced": True})
    handing.start()
    while not old.write_gate.is_redirected:
        pass
    # It has found the old version and comes while this one still runs what came before.
    late = add(old, 4)[0]
    graph.let_all_go()
    handing.join(30)
    after = [add(old, 8)[0], add(new, 16)[0]]
    assert [int(caller.answer()[0]) for caller in (*before, late, *after)] == [1, 3, 7, 15, 31]
    assert read(new) == [31, 31]
    # The old one is read as it was left.
    assert read(old) == [3, 3]


def test_call_that_is_held_back_stays_what_it_is(start: Start) -> None:
    old, _ = start()
    new, _ = start(2)
    old.write_gate.redirect(new.write_gate)
    caller = Caller()
    arrays = [np.array(1)]
    call = submit(
        old,
        Request(
            old.signatures["add"], arrays, ("total",), caller.completion, member_arrivals=(1.0, 2.0, 3.0)
        ),
    )
    assert (call.rows, call.member_arrivals, call.queue_until) == (3, (2.0, 3.0), math.inf)
    old.write_gate.release()
    caller.answer()


def test_version_that_cannot_take_over_leaves_the_old_one_as_it_was(start: Start) -> None:
    old, _ = start()
    new, _ = start(2)
    add(old, 1)[0].answer()
    new.stop(10)
    with pytest.raises(LoadError, match="could not take over"):
        hand_over(old, new, replaced=True)
    assert int(add(old, 2)[0].answer()[0]) == 3


def test_two_that_stay_keep_apart_what_they_have_taken_over(start: Start) -> None:
    old, _ = start()
    new, _ = start(2)
    add(old, 1)[0].answer()
    hand_over(old, new, replaced=False)
    assert int(add(old, 2)[0].answer()[0]) == 3
    assert int(add(new, 10)[0].answer()[0]) == 11
    assert (read(old), read(new)) == ([3, 3], [11, 11])


def test_version_that_is_loaded_again_loses_nothing_when_the_one_before_closes(
    start: Start, tmp_path: Path
) -> None:
    state: dict[str, object] = {"state_dir": str(tmp_path), "state_sync": "every_write"}
    old, _ = start(**state)
    new, _ = start(**state)
    # Answered, and on disk, after the new one has looked there.
    add(old, 1)[0].answer()
    hand_over(old, new, replaced=True)
    assert int(add(new, 2)[0].answer()[0]) == 3
    old.stop(10)
    # As after a crash of the new one.
    assert read(start(**state)[0]) == [3, 3]


def test_version_that_could_not_take_over_leaves_the_snapshots_of_the_other_alone(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state: dict[str, object] = {"state_dir": str(tmp_path), "state_sync": "every_write"}
    old, _ = start(**state)
    new, _ = start(**state)
    add(old, 1)[0].answer()
    assert new.snapshotter is not None
    with monkeypatch.context() as full:
        full.setattr(Store, "save", _no_space)
        with pytest.raises(LoadError, match="no space left"):
            hand_over(old, new, replaced=True)
    add(old, 2)[0].answer()
    new.stop(10)
    assert read(start(**state)[0]) == [3, 3]
