"""What models hold and whether they may go, from versions that are only figures."""

from __future__ import annotations

import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hotgraph_server.models.memory_usage import Basis, MemoryUsage
from hotgraph_server.models.status import State
from hotgraph_server.on_demand.census import Census
from hotgraph_server.on_demand.decisions import Phase, Resident
from hotgraph_server.on_demand.learnt import Learnt
from hotgraph_server.repository.room import Held, Holding
from hotgraph_server.settings import ModelSettings, ResidencySettings

from ..fakes import signature
from .fakes import MB, FakeSnapshotter, FakeVersion

SETTINGS = ModelSettings("m", Path("/m"))
PINNED = ModelSettings("m", Path("/m"), residency=ResidencySettings(pin=True))


def census(usage: MemoryUsage | None = None) -> Census:
    return Census(Learnt(60.0), lambda settings, folder: usage or MemoryUsage(10 * MB))


def version(nbytes: int = 10 * MB) -> FakeVersion:
    return FakeVersion("m", 1, nbytes, 1.0)


def held(state: State, found: FakeVersion | None = None, number: int = 1) -> Held:
    return Held("m", number, state, Path(f"/m/{number}"), cast(Any, found))


def holding(*versions: Held) -> Holding:
    return Holding("m", True, None, versions)


def test_versions_that_wait_hold_nothing_and_the_others_by_their_phase() -> None:
    rows = census().residents(
        holding(
            held(State.WAITING, number=4),
            held(State.LIVE, version(7), number=3),
            held(State.LIVE, version(8), number=2),
            held(State.DRAINING, version(5), number=1),
        ),
        SETTINGS,
        3.0,
        busy=False,
    )
    assert rows == [
        Resident("m", 15, Phase.LIVE, kept=3.0),
        Resident("m", 5, Phase.LEAVING, kept=3.0),
    ]


def test_one_that_is_being_closed_holds_what_it_held_while_it_was_live() -> None:
    counted = census()
    counted.residents(holding(held(State.LIVE, version(7))), SETTINGS, 0.0, busy=False)
    (row,) = counted.residents(holding(held(State.DRAINING)), SETTINGS, 0.0, busy=False)
    assert (row.phase, row.nbytes) == (Phase.LEAVING, 7)


def test_who_is_served_no_more_is_not_pinned() -> None:
    for settings, pinned in ((SETTINGS, False), (PINNED, True), (None, False)):
        (row,) = census().residents(holding(held(State.LIVE, version())), settings, 0.0, busy=False)
        assert row.pinned is pinned


def test_a_version_with_living_sequences_is_busy() -> None:
    one = version()
    for living in (1, 0):
        figures = SimpleNamespace(live=living)
        one.sequences = SimpleNamespace(figures=lambda figures=figures: figures)
        (row,) = census().residents(holding(held(State.LIVE, one)), SETTINGS, 0.0, busy=False)
        assert row.busy is bool(living)


def test_a_version_whose_tables_may_have_changed_is_busy_for_good(caplog: pytest.LogCaptureFixture) -> None:
    one, counted = version(), census()
    writes = signature(writes=True)
    one.signatures = {"s": SimpleNamespace(writes=True, other_state=frozenset({"table"}), name=writes.name)}
    one.snapshotter = FakeSnapshotter()
    (row,) = counted.residents(holding(held(State.LIVE, one)), SETTINGS, 0.0, busy=False)
    assert not row.busy
    one.call()
    for _ in range(3):
        (row,) = counted.residents(holding(held(State.LIVE, one)), SETTINGS, 0.0, busy=False)
        assert row.busy
    assert len(caplog.records) == 1
    assert "no snapshots are taken" in caplog.text


def test_needs_are_what_was_measured_before() -> None:
    counted = census(MemoryUsage(30 * MB, basis=Basis.MEASURED))
    assert counted.needs([held(State.KNOWN)], SETTINGS, 20 * MB) == (30 * MB, 30 * MB)


def test_an_estimate_above_the_room_is_worth_a_try_where_the_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x" * 1000)
    counted = census(MemoryUsage(30 * MB))
    known = Held("m", 1, State.KNOWN, tmp_path)
    assert counted.needs([known], SETTINGS, 20 * MB) == (20 * MB, 1000)
    assert counted.needs([known], SETTINGS, 40 * MB) == (30 * MB, 1000)
    _, least = counted.needs([known], SETTINGS, 999)
    assert least == 1000


def test_models_that_were_called_are_told_once_the_last_one_last() -> None:
    counted, a, b = census(), FakeVersion("a", 1, 1, 1.0), FakeVersion("b", 1, 1, 1.0)
    rows = [
        Holding(one.name, True, [], [Held(one.name, 1, State.LIVE, Path("/"), cast(Any, one))])
        for one in (a, b)
    ]
    b.call(1, ran_ms=5)
    a.call(2, ran_ms=9)
    assert counted.called(rows) == ["b", "a"]
    assert counted.called(rows) == []
    b.call(1, ran_ms=10)
    assert counted.called(rows) == ["b"]
    assert counted.calls == 4
    # Those of one that is gone stay counted, with the last of them.
    b.call(3, ran_ms=11)
    assert counted.called(rows[:1]) == []
    assert counted.calls == 7


def test_no_version_is_held_from_one_look_to_the_next() -> None:
    """Else it would still be there when the next one is loaded in its place."""
    counted, one = census(), version()
    one.snapshotter = FakeSnapshotter()
    one.snapshotter.writes = 1
    one.call(3)
    gone = weakref.ref(one)
    counted.called([holding(held(State.LIVE, one))])
    counted.residents(holding(held(State.LIVE, one)), SETTINGS, 0.0, busy=False)
    assert not counted.save(holding(held(State.LIVE, one)))
    del one
    assert gone() is None
    assert counted.calls == 3


def test_state_is_saved_once_and_it_goes_when_that_is_done() -> None:
    counted, one = census(), version()
    one.snapshotter = FakeSnapshotter()
    assert counted.save(holding(held(State.LIVE, one)))
    one.snapshotter.writes = 2
    assert not counted.save(holding(held(State.LIVE, one)))
    assert not counted.save(holding(held(State.LIVE, one)))
    assert len(one.snapshotter.asked) == 1
    one.snapshotter.done()
    (row,) = counted.residents(holding(held(State.LIVE, one)), SETTINGS, 0.0, busy=False)
    assert not row.busy
    assert counted.save(holding(held(State.LIVE, one)))
