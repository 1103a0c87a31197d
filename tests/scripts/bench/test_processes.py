"""Servers as processes: everything that they start is seen, and nothing of it survives."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import Launch, NoLine, Server

# A server whose worker has a session of its own, as some have. The worker waits to be ended.
WITH_WORKER = """
import subprocess, sys
pause = [sys.executable, "-c", "import signal; signal.pause()"]
worker = subprocess.Popen(pause, stdin=subprocess.DEVNULL, start_new_session=True)
print("worker", worker.pid, flush=True)
for line in sys.stdin:
    print("heard", line, end="", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(Launch([sys.executable, "-c", WITH_WORKER], {}), tmp_path / "log")
    yield started
    started.stop()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_worker_in_a_session_of_its_own_ends_with_its_server(server: Server) -> None:
    worker = int(server.wait_for_line("worker ", 30))
    assert is_running(worker)
    server.stop()
    assert server.ended
    assert not is_running(worker)


def test_worker_whose_server_has_died_is_still_ended(server: Server) -> None:
    worker = int(server.wait_for_line("worker ", 30))
    assert server.cpu_s() >= 0
    os.kill(server.pid, 9)
    server.stop()
    assert not is_running(worker)


def test_frozen_server_is_stopped_all_the_same(server: Server) -> None:
    worker = int(server.wait_for_line("worker ", 30))
    server.freeze()
    server.stop()
    assert not is_running(worker)


def test_line_is_answered_by_a_later_line(server: Server) -> None:
    server.wait_for_line("worker ", 30)
    assert server.ask("one", "heard ", 30) == "one"
    assert server.ask("two", "heard ", 30) == "two"


def test_server_that_ends_without_a_word_is_not_waited_for(tmp_path: Path) -> None:
    server = Server(Launch([sys.executable, "-c", "print('sorry')"], {}), tmp_path / "log")
    with pytest.raises(NoLine, match="it ended"):
        server.wait_for_line("ready", 600)
    assert server.last_words() == "sorry"
    server.stop()


def test_memory_of_a_server_is_that_of_its_first_process(server: Server) -> None:
    server.wait_for_line("worker ", 30)
    assert server.resident_bytes() > 2**20
