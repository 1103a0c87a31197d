from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.report import plain

from . import documents
from .conftest import Make

CELLS = re.compile(r"(?<!\\)\|")


def test_every_step_has_a_line_with_its_figures(made: Make) -> None:
    document = made("ramp")
    lines = plain(document).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 2 + len(document["steps"])
    assert rows[2].startswith("| 100/s | 100 | 100 | 1.61 | ")
    assert {len(CELLS.findall(row)) for row in rows} == {9}
    assert lines[2].startswith("Kept up to 900 calls/s; ")
    assert lines[-1].startswith("1500/s is void: the sender's lag")


def test_a_document_without_steps_is_its_sentence() -> None:
    assert plain({"model": "m", "target": "t:1"}) == "**m** at t:1\n\nNothing was sent.\n"


@given(st.text())
def test_names_are_no_markup(name: str) -> None:
    document = documents.document(documents.open_step(100, seconds=1), model=name)
    document["steps"][0]["label"] = name or "none"
    rows = [line for line in plain(document).split("\n") if line.startswith("| ")]
    assert len(rows) == 3
    assert {len(CELLS.findall(row.replace("\\\\", ""))) for row in rows} == {9}
    assert not re.findall(r"(?<!\\)[<`]", plain(document).replace("\\\\", ""))
