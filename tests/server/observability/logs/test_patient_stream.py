"""patient_stream.py: a pipe that nobody reads stops nobody who writes."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from hotgraph_server.observability.logs.patient_stream import PatientHandler, PatientStream


class Pipe:
    """A pipe whose reader is the test."""

    def __init__(self) -> None:
        self._read, written = os.pipe()
        os.set_blocking(self._read, False)
        self.stream: TextIO = os.fdopen(written, "w")

    def read(self) -> str:
        found = b""
        try:
            while some := os.read(self._read, 1 << 16):
                found += some
        except BlockingIOError:
            pass
        return found.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._read)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    one.close()


def test_lines_come_whole_and_in_their_order(pipe: Pipe) -> None:
    stream = PatientStream(pipe.stream)
    stream.write("a\n")
    stream.write("\ud800" + "b" * 20_000 + "\n")
    assert pipe.read() == "a\n\\ud800" + "b" * 20_000 + "\n"


def test_full_pipe_stops_no_writer_and_what_was_lost_is_told_once(pipe: Pipe) -> None:
    handler = PatientHandler(PatientStream(pipe.stream, patience_ms=1))
    line = logging.LogRecord("a", logging.INFO, "", 0, "x" * 999, (), None)
    for _ in range(100):
        handler.emit(line)
    held = pipe.read().count("x\n")
    assert held < 100
    handler.emit(line)
    handler.emit(line)
    told, *rest = pipe.read().splitlines()
    assert told == f"{100 - held} lines of the log were lost, because nobody read them"
    assert rest == ["x" * 999] * 2


def test_what_has_no_descriptor_is_written_to_as_it_is() -> None:
    stream = io.StringIO()
    handler = PatientHandler(PatientStream(stream))
    handler.emit(logging.LogRecord("a", logging.INFO, "", 0, "said", (), None))
    assert stream.getvalue() == "said\n"


def test_line_that_is_cut_in_the_middle_runs_into_no_other(pipe: Pipe) -> None:
    stream = PatientStream(pipe.stream, patience_ms=1)
    stream.write("x" * 1_000_000 + "\n")
    begun = pipe.read()
    assert 0 < len(begun) < 1_000_000
    stream.write("next\n")
    assert pipe.read() == "\nnext\n"
    assert stream.take_lost() == 1
