"""moments.py: traces of moments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest import moments
from hotgraph_client.loadtest.moments import read_moments


def test_lines_are_moments_in_any_order_and_what_is_no_column_is_passed_over() -> None:
    found = read_moments("# seconds,rows\n0.25,4\n\n  0 1\n1e-1\tx\n", "f")
    assert found.tolist() == [0.0, 0.1, 0.25]
    assert found.dtype == np.float64


@pytest.mark.parametrize("line", ["soon", "-1", "nan", "inf", "1e300", "1;2"])
def test_line_that_is_no_moment_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"burst.txt, line 2: .* is no moment"):
        read_moments(f"0.5\n{line}\n", "burst.txt")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_file_without_moments_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="f has no moments"):
        read_moments(text, "f")


def test_more_than_fit_are_an_error_and_not_a_full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "MOST", 3)
    assert len(read_moments("1\n2\n3\n# 4\n", "f")) == 3
    with pytest.raises(ValueError, match="f has more than 3 moments"):
        read_moments("1\n2\n3\n4\n", "f")


@given(st.text())
def test_any_text_is_moments_or_an_error_of_one_line(text: str) -> None:
    try:
        found, fault = read_moments(text, "f"), "none"
    except ValueError as error:
        found, fault = np.zeros(1), str(error)
    assert len(fault.splitlines()) == 1
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert (found >= 0).all()


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_what_is_written_is_read(seconds: list[float]) -> None:
    assert read_moments("\n".join(map(repr, seconds)), "f").tolist() == sorted(seconds)
