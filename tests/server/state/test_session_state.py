"""What runs that write have led to: in a session by itself, and through a version with its executor, whose
graph is held by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.request import Request
from hotgraph_server.errors import NOT_RUN, DeadlineExceeded, LoadError, NotDurable, RunFailed
from hotgraph_server.models.admission import cancel
from hotgraph_server.settings import StateSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.session_state import SessionState, begin, untracked

from ..fakes import Caller
from .simulated import READ, Adding, spec
from .versions import Start, add, read, starting

ADD_ROWS = Signature("add", (spec("by", (None,)),), (spec("total", (None,)),), writes=True)


@pytest.fixture
def start() -> Iterator[Start]:
    with starting() as start:
        yield start


class Session:
    """A graph with variables that the test opens, and that may refuse to be read or written."""

    def __init__(self, restore: StateRestore | None = None) -> None:
        self.graph = Adding()
        self.graph.open()
        self.told: list[str | None] = []
        self.state: SessionState = begin("m", self.graph, restore or StateRestore(StateSettings()))

    def add(self, by: int) -> None:
        try:
            self.graph.run(self.graph.signatures["add"], ("total",), [np.array(by)])
        except RunFailed:
            self.state.failed()
        else:
            self.state.ended_well(self.told.append)

    @property
    def totals(self) -> tuple[int, int]:
        return self.graph.total, self.graph.again


def _refuse(*_: object) -> Any:
    raise RunFailed(3, "it has no value")


class TestSession:
    def test_run_that_failed_half_way_is_undone_and_not_counted(self) -> None:
        session = Session()
        session.add(3)
        session.add(-1)
        assert (session.totals, session.told) == ((3, 3), [None])
        assert session.state.snapshotter.status.writes == 1

    def test_without_rollback_it_stays_half_done_until_the_state_is_asked_back(self) -> None:
        session = Session(StateRestore(StateSettings(rollback_failed_writes=False, transfer_state=True)))
        session.add(3)
        session.add(-1)
        assert session.totals == (2, 3)
        session.state.go_back()
        assert session.totals == (3, 3)

    def test_write_whose_values_cannot_be_read_is_told_so(self, caplog: pytest.LogCaptureFixture) -> None:
        session = Session()
        session.graph.read_variables = _refuse  # type: ignore[method-assign]
        session.add(3)
        assert session.told == ["it has no value"]
        assert "m: its variables cannot be read: it has no value" in caplog.text
        assert session.state.snapshotter.status.writes == 0

    def test_write_that_cannot_be_undone_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        session = Session()
        session.graph.write_variables = _refuse  # type: ignore[method-assign, assignment]
        session.add(-1)
        assert "m: a write could not be undone: it has no value" in caplog.text

    def test_state_of_another_version_is_taken_over(self) -> None:
        session = Session()
        session.state.take_over({"again": np.array(7), "total": np.array(7)}, 5)
        session.add(1)
        assert (session.totals, session.state.snapshotter.status.writes) == ((8, 8), 6)

    def test_variables_without_a_value_at_the_start_are_not_followed(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(Adding, "read_variables", _refuse)
        session = Session()
        assert "m: nothing is kept of its variables, one has no value: it has no value" in caplog.text
        session.add(3)
        session.state.go_back()
        assert (session.totals, session.told) == ((3, 3), [None])

    def test_values_that_the_graph_does_not_take_leave_it_as_it_was_saved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        restore = StateRestore(StateSettings(state_dir=str(tmp_path)), "m", 1, "0" * 32)
        first = Session(restore)
        first.state.snapshotter.start()
        first.add(3)
        first.state.snapshotter.close()
        refusals: list[Callable[..., None]] = [_refuse, Adding.write_variables]
        monkeypatch.setattr(Adding, "write_variables", lambda *given: refusals.pop(0)(*given))
        second = Session(restore)
        assert "m: its variables do not take what" in caplog.text
        assert second.totals == (0, 0)
        assert second.state.snapshotter.status.writes == 0

    def test_folder_that_cannot_be_read_keeps_the_version_from_starting(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / f"1-{'0' * 12}").write_bytes(b"")
        with pytest.raises(LoadError, match="its snapshots cannot be read"):
            Session(StateRestore(StateSettings(state_dir=str(tmp_path)), "m", 1, "0" * 32))

    def test_untracked_state_counts_writes_and_touches_no_variable(self) -> None:
        told: list[str | None] = []
        state = untracked("m")
        state.ended_well(told.append)
        state.failed()
        state.go_back()
        state.take_over({}, 4)
        assert (told, state.snapshotter.status.writes) == ([None], 4)


def test_failed_write_has_changed_nothing(start: Start) -> None:
    version, _ = start()
    assert int(add(version, 3)[0].answer()[0]) == 3
    assert isinstance(add(version, -1)[0].error(), RunFailed)
    assert read(version) == [3, 3]


def test_without_undo_it_may_have(start: Start) -> None:
    version, _ = start(rollback_failed_writes=False)
    add(version, -1)[0].error()
    assert read(version) == [-1, 0]


def test_caller_who_leaves_while_it_runs_is_answered_all_the_same(start: Start) -> None:
    version, graph = start()
    graph.shut()
    caller, call = add(version, 3)
    graph.wait_until_held()
    assert cancel(call, expired=True) is True
    assert not caller.outcomes
    graph.let_all_go()
    assert int(caller.answer()[0]) == 3


def test_caller_who_leaves_before_is_told_that_it_was_not_run(start: Start) -> None:
    version, graph = start()
    graph.shut()
    first, _ = add(version, 3)
    graph.wait_until_held()
    second, call = add(version, 4)
    left = cancel(call, expired=True)
    assert isinstance(left, DeadlineExceeded)
    assert NOT_RUN in str(left)
    graph.let_all_go()
    assert int(first.answer()[0]) == 3
    assert second.error() is left
    assert read(version) == [3, 3]


def test_writes_run_one_by_one_in_their_order(start: Start) -> None:
    version, graph = start()
    graph.shut()
    callers = [add(version, by)[0] for by in range(1, 8)]
    graph.let_all_go()
    assert [int(caller.answer()[0]) for caller in callers] == [1, 3, 6, 10, 15, 21, 28]


def test_rows_of_several_calls_form_one_step_only_where_the_owner_says_so(start: Start) -> None:
    version, graph = start(1, ADD_ROWS, READ, state_batch_writes=True)
    assert version.unbatched_reasons["add"] is None
    runs_before = len(graph.runs)
    graph.shut()
    signature = version.signatures["add"]
    callers = [Caller() for _ in range(4)]
    for by, caller in enumerate(callers, 1):
        version.submit(Request(signature, [np.array([by])], ("total",), caller.completion))
        if by == 1:
            graph.wait_until_held()
    graph.let_all_go()
    assert [caller.answer()[0].tolist() for caller in callers] == [[1], [10], [10], [10]]
    assert len(graph.runs) - runs_before == 2
    assert start(1, ADD_ROWS, READ)[0].unbatched_reasons["add"] is not None


def test_step_of_several_calls_that_fails_is_not_tried_in_parts(start: Start) -> None:
    version, graph = start(1, ADD_ROWS, READ, state_batch_writes=True)
    graph.shut()
    callers = [Caller() for _ in range(3)]
    for by, caller in zip((1, 5, -9), callers, strict=True):
        version.submit(Request(version.signatures["add"], [np.array([by])], ("total",), caller.completion))
        if by == 1:
            graph.wait_until_held()
    runs = len(graph.runs)
    graph.let_all_go()
    assert callers[0].answer()[0].tolist() == [1]
    assert all(isinstance(caller.error(), RunFailed) for caller in callers[1:])
    assert len(graph.runs) - runs == 1
    assert read(version) == [1, 1]


def test_restart_goes_on_from_the_drained_state(start: Start, tmp_path: Path) -> None:
    version, _ = start(state_dir=str(tmp_path))
    add(version, 5)[0].answer()
    version.stop(10)
    again, _ = start(state_dir=str(tmp_path))
    assert read(again) == [5, 5]
    assert again.snapshotter is not None
    assert again.snapshotter.status.writes == 1


def test_write_that_cannot_be_saved_is_said_to_have_happened(start: Start, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    version, _ = start(state_dir=str(tmp_path / "state"), state_sync="every_write")
    (tmp_path / "state").symlink_to(in_the_way)
    error = add(version, 5)[0].error()
    assert isinstance(error, NotDurable)
    assert "the write has happened" in str(error)
    assert read(version) == [5, 5]
    (tmp_path / "state").unlink()


def test_at_start_a_version_takes_over_from_the_snapshots_of_another(start: Start, tmp_path: Path) -> None:
    old, _ = start(state_dir=str(tmp_path))
    add(old, 5)[0].answer()
    old.stop(10)
    assert read(start(2, state_dir=str(tmp_path))[0]) == [0, 0]
    carrying, _ = start(3, state_dir=str(tmp_path), transfer_state=True)
    assert read(carrying) == [5, 5]


def test_version_with_others_beside_it_starts_from_its_own_snapshots(start: Start, tmp_path: Path) -> None:
    for number, by in ((1, 7), (2, 10)):
        version, _ = start(number, state_dir=str(tmp_path))
        for _ in range(3 - number):
            add(version, by)[0].answer()
        version.stop(10)
    settings = StateSettings(state_dir=str(tmp_path), transfer_state=True)
    found = [
        StateRestore(settings, "m", 2, "0" * 32, has_siblings=has_siblings).beginning(
            Adding().read_variables()
        )
        for has_siblings in (True, False)
    ]
    assert [int(beginning.values["total"]) for beginning in found] == [10, 14]
    assert [beginning.writes for beginning in found] == [1, 2]


def test_stray_file_beside_the_snapshots_of_versions_keeps_nobody_from_taking_over(
    start: Start, tmp_path: Path
) -> None:
    old, _ = start(state_dir=str(tmp_path))
    add(old, 5)[0].answer()
    old.stop(10)
    (tmp_path / "m" / "a stray file").write_bytes(b"")
    assert read(start(2, state_dir=str(tmp_path), transfer_state=True)[0]) == [5, 5]


def test_what_was_answered_is_saved_though_a_later_run_does_not_end(start: Start, tmp_path: Path) -> None:
    version, graph = start(state_dir=str(tmp_path))
    add(version, 5)[0].answer()
    graph.shut()
    add(version, 6)
    graph.wait_until_held()
    assert not version.stop(0.0)
    assert read(start(state_dir=str(tmp_path))[0]) == [5, 5]
    graph.let_all_go()


def test_two_versions_keep_their_variables_apart(start: Start, tmp_path: Path) -> None:
    one, _ = start(1, state_dir=str(tmp_path))
    two, _ = start(2, state_dir=str(tmp_path))
    add(one, 1)[0].answer()
    add(two, 10)[0].answer()
    assert (read(one), read(two)) == ([1, 1], [10, 10])
