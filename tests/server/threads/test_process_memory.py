from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.threads import process_memory
from hotgraph_server.threads.process_memory import allocated, in_status, resident_bytes

STATUS = """\
Name:\tpython
VmHWM:\t  999999 kB
VmRSS:\t  600000 kB
RssAnon:\t  200000 kB
RssFile:\t  399000 kB
RssShmem:\t    1000 kB
"""


def test_pages_of_files_are_left_out() -> None:
    assert in_status(STATUS) == 201_000 << 10


@pytest.mark.parametrize("size", ["-5", "\u0665", "9" * 5000, "", "5.0", "kB"])
def test_size_that_is_none_is_unknown(size: str) -> None:
    assert in_status(f"RssAnon:\t{size} kB\n") is None


@pytest.mark.parametrize("text", ["", "VmRSS:\t5 kB\n", "RssAnon:\n"])
def test_what_does_not_tell_is_unknown(text: str) -> None:
    assert in_status(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    in_status(text)
    in_status(f"RssAnon:{text}")


def test_c_library_counts_a_large_piece_once_and_its_end() -> None:
    if (before := allocated()) is None:
        pytest.skip("the C library does not tell")
    size = 1 << 28
    piece = (ctypes.c_char * size)()
    held = allocated()
    assert held is not None
    assert sum(held) - sum(before) >= size
    del piece
    after = allocated()
    assert after is not None
    assert sum(held) - sum(after) >= size * 9 // 10


DIVIDED = """
import ctypes
from hotgraph_server.threads.process_memory import KEPT_USUALLY, allocated, divide_large_pieces
divide_large_pieces(KEPT_USUALLY)
before = allocated()
piece = (ctypes.c_char * (16 << 20))()
after = allocated()
print(before is None or after.divided - before.divided >= 16 << 20 and after.mapped == before.mapped)
"""


def test_pieces_of_some_mb_are_divided_where_that_is_asked_for() -> None:
    """In a process of its own, whose C library stays as it was told."""
    told = subprocess.run([sys.executable, "-c", DIVIDED], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


def test_c_library_that_does_not_tell_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_memory, "mallinfo2", lambda: None)
    assert allocated() is None


def test_resident_memory_is_told_where_there_is_proc() -> None:
    found = resident_bytes()
    assert found is None or found > 1 << 20
