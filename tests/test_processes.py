"""In how many processes the tests run."""

from __future__ import annotations

import pytest

from hotgraph_server.threads import processors

from .conftest import processes_for


@pytest.mark.parametrize("named", [["a/test_b.py"], ["a/test_b.py::test_c[d.py::e]"], ["t.py::a", "t.py::b"]])
def test_one_file_is_run_in_this_process(named: list[str]) -> None:
    assert processes_for(named) == 0


@pytest.mark.parametrize("named", [[], ["tests/server"], ["a.py", "b.py"], ["tests", "a.py::b"]])
def test_all_else_is_run_by_all_processors(named: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 3)
    assert processes_for(named) == 3
