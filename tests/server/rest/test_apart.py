from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest import apart as apart_module
from hotgraph_server.rest import json_predict
from hotgraph_server.rest.apart import Apart
from hotgraph_server.signatures import Signature, TensorSpec

from ..fakes import signature


def dies_elsewhere(home: int) -> str:
    if os.getpid() != home:
        os._exit(1)
    return "here"


@pytest.fixture
def apart() -> Iterator[Apart]:
    found = Apart(1)
    yield found
    found.stop()


def test_function_runs_in_another_process_that_stays(apart: Apart) -> None:
    other = apart.run(os.getpid)
    assert other != os.getpid()
    assert apart.run(os.getpid) == other


def test_request_and_response_are_the_same_as_here(apart: Apart) -> None:
    of = Signature(
        "serving_default",
        (TensorSpec("x", "x:0", np.dtype(np.float32), None), TensorSpec("t", "t:0", np.dtype(object), None)),
        (),
        defaults={"t": np.array(b"a", object)},
    )
    body = b'{"instances": [{"x": 1}, {"x": NaN}]}'
    there = apart.run(json_predict.read_request, body, {"serving_default": of})
    here = json_predict.read_request(body, {"serving_default": of})
    assert repr(there) == repr(here)
    arrays = [np.array([1, np.nan], np.float32)]
    there_bytes = apart.run(json_predict.write_outputs, ("y",), arrays, rows=True)
    assert there_bytes == json_predict.write_outputs(("y",), arrays, rows=True)


def test_error_comes_back_as_what_it_is(apart: Apart) -> None:
    with pytest.raises(InvalidCall) as error:
        apart.run(json_predict.read_request, b"{}", {"serving_default": signature()})
    assert str(error.value) == "Missing 'inputs' or 'instances' key"


def test_without_a_process_everything_runs_here() -> None:
    assert Apart(0).run(os.getpid) == os.getpid()


def test_process_that_dies_is_told_once_and_its_work_done_here(
    apart: Apart, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert apart.run(dies_elsewhere, os.getpid()) == "here"
    assert len([one for one in caplog.records if "own process" in one.message]) == 1
    assert apart.run(os.getpid) == os.getpid()


@pytest.mark.parametrize("error", [PermissionError(13, "no /dev/shm"), ImportError("no sem_open")])
def test_machine_without_shared_memory_is_told_once_and_everything_runs_here(
    apart: Apart, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_semaphores(*_: object) -> object:
        raise error

    monkeypatch.setattr(apart_module, "ProcessPoolExecutor", no_semaphores)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert apart.run(os.getpid) == os.getpid()
    (line,) = [one.message for one in caplog.records if "own process" in one.message]
    assert repr(error) in line


def test_process_that_cannot_be_started_is_told_once_and_everything_runs_here(
    apart: Apart, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_threads(*_: object, **__: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", no_threads)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert apart.run(os.getpid) == os.getpid()
    assert len([one for one in caplog.records if "can't start new thread" in one.message]) == 1


def test_process_outlives_what_a_closing_terminal_sends(apart: Apart) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        other = apart.run(os.getpid)
        os.kill(other, number)
        assert apart.run(os.getpid) == other


def test_after_the_stop_everything_runs_here(apart: Apart) -> None:
    assert apart.run(os.getpid) != os.getpid()
    apart.stop()
    apart.stop()
    assert apart.run(os.getpid) == os.getpid()
