from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet.status_tables import STALE_S, one_line, plain, shown
from tests.server.fleet.documents import document


def test_head_says_how_the_fleet_is_and_how_old_that_is() -> None:
    assert shown(document(at_s=1000.0), 1002.0).head == (
        "fleet shop: 2 of 3 replicas ready, 3 models, 103 calls/s; 2.0 s old"
    )


def test_document_of_a_driver_that_is_gone_says_what_to_do() -> None:
    fresh = shown(document(at_s=1000.0), 1000.0 + STALE_S)
    assert not any("driver" in line for line in fresh.warnings)
    stale = shown(document(at_s=1000.0), 1034.0)
    assert stale.warnings[0] == (
        "no driver tells of it for 34 s (it was process 4711): hotgraph fleet up takes over; replicas that "
        "run go on without one"
    )


def test_warnings_are_what_its_owner_should_know() -> None:
    assert list(shown(document(), 1000.0).warnings) == [
        "r2 is lost",
        "flowers: version 4 answers in the shadow of version 3 on r0 (31 compared, 2 differed, runs take "
        "1.07 times as long)",
        "voices: version 2 was refused: its runs take 2.10 times as long",
        "words has no place: no replica has 9000 MB",
    ]


def test_tables_have_a_row_for_each_node_replica_and_model() -> None:
    nodes, replicas, models = shown(document(), 1000.0).tables
    assert [row[0] for row in nodes.rows] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert replicas.rows[0] == [
        *("r0", "ready", "10.0.0.1:8500", "10.0.0.1", "0", "42 %", "1.5 ms", "83.2", "1.4 GB", "2"),
    ]
    assert models.rows[0] == [
        *("flowers", "2 of 2", "3, 4", "comparing to 4", "315 MB", "103", "0.5", "12.3 ms", "r0, r1"),
    ]
    assert models.rows[2] == ["words", "0 of 2", "-", "-", "-", "0", "0", "-", "-"]


def test_plain_text_stands_in_columns() -> None:
    lines = plain(shown(document(), 1000.0)).splitlines()
    heading = next(line for line in lines if line.startswith("  model"))
    row = next(line for line in lines if line.startswith("  flowers"))
    assert row.index("comparing") == heading.index("rollout")
    assert lines[-1] == "  r2 is lost"


@pytest.mark.parametrize(
    "odd", [None, [], {}, {"format": 99}, {"format": 1}, {**document(), "models": [{"name": "m"}]}]
)
def test_what_is_no_document_is_refused(odd: Any) -> None:
    with pytest.raises(FleetError, match="the status is"):
        shown(odd, 0.0)


@given(st.text())
def test_names_do_nothing_to_the_terminal(text: str) -> None:
    assert one_line(text).isprintable()
