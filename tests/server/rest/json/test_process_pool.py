"""Jobs in another process: what runs where, for how long, and what becomes of a process that is lost."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from hotgraph_server.errors import DeadlineExceeded, Draining, InvalidCall, NotReady
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.tfs import predict
from hotgraph_server.signatures import Signature, TensorSpec

from ...fakes import HANG_S, signature

T = TypeVar("T")
ROOT = Path(__file__).parents[4]
SMALL, LARGE = 2**20, 2**27

needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux, Python 3.9")


def never_ends() -> None:
    # One C function, which lets nothing else in its process have the interpreter.
    sum(iter(int, 1))


def says_so_and_never_ends() -> None:
    os.write(1, b"begun\n")
    never_ends()


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fails_for_want_of_a_file() -> None:
    raise OSError(errno.EMFILE, "a job's own error")


@pytest.fixture
def pool() -> Iterator[JsonProcessPool]:
    found = JsonProcessPool(1)
    yield found
    found.stop()


def there(
    pool: JsonProcessPool, function: Callable[..., T], *args: Any, nbytes: int = SMALL, **kwargs: Any
) -> T:
    """What a function returns in the process."""
    return pool.submit(lambda: pool.run(function, *args, **kwargs), nbytes, "caller").result(HANG_S)


def test_function_runs_in_another_process_that_stays(pool: JsonProcessPool) -> None:
    other = there(pool, os.getpid)
    assert other != os.getpid()
    assert there(pool, os.getpid) == other


def test_what_is_not_submitted_runs_here(pool: JsonProcessPool) -> None:
    assert pool.run(os.getpid) == os.getpid()
    assert JsonProcessPool(0).run(os.getpid) == os.getpid()


def test_request_and_response_are_the_same_as_here(pool: JsonProcessPool) -> None:
    of = Signature(
        "serving_default",
        (TensorSpec("x", "x:0", np.dtype(np.float32), None), TensorSpec("t", "t:0", np.dtype(object), None)),
        (),
        defaults={"t": np.array(b"a", object)},
    )
    body = b'{"instances": [{"x": 1}, {"x": NaN}]}' + b" " * 100_000
    found = there(pool, predict.read_request, body, {"serving_default": of})
    here = predict.read_request(body, {"serving_default": of})
    assert repr(found) == repr(here)
    arrays = [np.array([1, np.nan], np.float32)]
    written = there(pool, predict.write_outputs, ("y",), arrays, rows=True)
    assert written == predict.write_outputs(("y",), arrays, rows=True)


@pytest.mark.parametrize(
    "strings",
    [
        np.array([[b"", b"a"], [b"\0b", b"c" * 100_000]], object),
        np.array([b"%d" % one for one in range(10_000)], object),
        np.array(b"alone", object),
        np.array([], object),
        np.array([b"a", "b"], object),
    ],
    ids=["all kinds", "many", "one", "none", "mixed"],
)
def test_strings_come_back_as_they_went(pool: JsonProcessPool, strings: np.ndarray[Any, Any]) -> None:
    found = there(pool, np.asarray, strings)
    assert (found.shape, found.tolist()) == (strings.shape, strings.tolist())


def test_error_comes_back_as_what_it_is(pool: JsonProcessPool) -> None:
    with pytest.raises(InvalidCall) as error:
        there(pool, predict.read_request, b"{}", {"serving_default": signature()})
    assert str(error.value) == "Missing 'inputs' or 'instances' key"
    # A job's own error is none of the process, whatever it is.
    with pytest.raises(OSError, match="a job's own error"):
        there(pool, fails_for_want_of_a_file)
    assert there(pool, os.getpid) != os.getpid()


def test_process_that_dies_takes_its_job_with_it_and_no_other(pool: JsonProcessPool) -> None:
    first = there(pool, os.getpid)
    with pytest.raises(NotReady, match="has ended"):
        there(pool, dies)
    second = there(pool, os.getpid)
    assert second not in (first, os.getpid())
    # One that has died while nobody asked costs nobody anything.
    with os.fdopen(os.pidfd_open(second)) as lost:
        os.kill(second, signal.SIGKILL)
        assert select.select([lost], [], [], HANG_S)[0]
    assert there(pool, os.getpid) not in (second, os.getpid())


def test_job_that_takes_too_long_is_ended_with_its_process() -> None:
    pool = JsonProcessPool(1, limit_s=0.001)
    with pytest.raises(DeadlineExceeded, match=r"its JSON has taken longer than 0.001 s"):
        there(pool, never_ends)
    pool.stop()


def test_job_is_ended_at_its_calls_deadline(pool: JsonProcessPool) -> None:
    soon = pool.submit(lambda: pool.run(never_ends), 1, "caller", time.monotonic() + 0.01)
    with pytest.raises(DeadlineExceeded):
        soon.result(HANG_S)
    late = pool.submit(lambda: pool.run(os.getpid), 1, "caller", time.monotonic())
    with pytest.raises(DeadlineExceeded):
        late.result(HANG_S)


def test_large_job_does_not_keep_out_small_ones() -> None:
    pool = JsonProcessPool(2)
    stuck = [pool.submit(lambda: pool.run(never_ends), LARGE, "attacker") for _ in range(3)]
    for _ in range(3):
        assert there(pool, os.getpid) != os.getpid()
    assert not any(future.done() for future in stuck)
    pool.stop()
    for future in stuck:
        with pytest.raises(Draining):
            future.result(HANG_S)


def test_job_that_is_given_up_while_it_waits_never_runs(pool: JsonProcessPool) -> None:
    begun, go = threading.Event(), threading.Event()

    def held() -> None:
        begun.set()
        assert go.wait(HANG_S)

    running = pool.submit(held, SMALL, "caller")
    assert begun.wait(HANG_S)
    waiting = pool.submit(lambda: pytest.fail("it ran"), SMALL, "caller")
    assert waiting.cancel()
    go.set()
    running.result(HANG_S)
    assert there(pool, os.getpid) != os.getpid()


@pytest.mark.parametrize("error", [PermissionError(13, "not allowed"), ImportError("no sem_open")])
def test_machine_that_allows_no_processes_is_told_once_and_everything_runs_here(
    pool: JsonProcessPool,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(multiprocessing, "get_context", refuse)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert there(pool, os.getpid) == os.getpid()
    (line,) = [one.message for one in caplog.records if "own process" in one.message]
    assert repr(error) in line


def test_server_without_files_refuses_for_now_and_reads_nothing_here(
    pool: JsonProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", full)
        with pytest.raises(NotReady, match="cannot be read now"):
            there(pool, os.getpid)
    assert there(pool, os.getpid) != os.getpid()


def test_process_outlives_what_a_closing_terminal_sends(pool: JsonProcessPool) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        other = there(pool, os.getpid)
        os.kill(other, number)
        assert there(pool, os.getpid) == other


def test_after_the_stop_nothing_is_taken(pool: JsonProcessPool) -> None:
    assert there(pool, os.getpid) != os.getpid()
    pool.stop()
    pool.stop()
    with pytest.raises(Draining):
        there(pool, os.getpid)


def test_after_the_stop_its_threads_can_be_waited_for(pool: JsonProcessPool) -> None:
    before = set(threading.enumerate())
    assert there(pool, os.getpid) != os.getpid()
    started = [one for one in threading.enumerate() if one not in before]
    assert started
    pool.stop()
    pool.join(time.monotonic() + HANG_S)
    assert not any(one.is_alive() for one in started)


def test_thread_that_does_not_end_is_named_and_left(
    pool: JsonProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    holding, held = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        holding.wait(HANG_S)

    pool.submit(hold, 1, "")
    assert held.wait(HANG_S)
    pool.stop()
    pool.join(time.monotonic())
    assert "thread 'REST JSON apart" in caplog.text
    holding.set()
    pool.join(time.monotonic() + HANG_S)


SERVER = """
import os, sys
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from tests.server.rest.json.test_process_pool import says_so_and_never_ends

if __name__ == "__main__":
    pool = JsonProcessPool(1)
    print(pool.submit(lambda: pool.run(os.getpid), 1, "").result(), flush=True)
    pool.submit(lambda: pool.run(says_so_and_never_ends), 1, "").result()
"""


@needs_pidfd
@pytest.mark.parametrize("busy", [True, False])
def test_process_does_not_outlive_a_server_that_is_killed(busy: bool) -> None:
    script = SERVER if busy else SERVER.replace("pool.run(says_so_and_never_ends)", "sys.stdin.read()")
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        process = int(server.stdout.readline())
        if busy:
            assert server.stdout.readline() == b"begun\n"
        with os.fdopen(os.pidfd_open(process)) as watched:
            server.kill()
            assert select.select([watched], [], [], HANG_S)[0], "it is still there"
