"""A supervisor and its processes, which end, crash and are replaced under callers; without a model.

One supervisor serves most tests, which leave it as they found it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ...acceptance.command import Serving
from ...ports import free_port
from ..fakes import until

PATIENCE_S = 60.0
ROOT = Path(__file__).parents[3]
CALLERS = 32


class Toys(Serving):
    """A supervisor of toys.

    Attributes:
        file: what its processes are like.
        admin: where its admin port is.
    """

    def __init__(self, folder: Path, count: int, **like: object) -> None:
        self.file = folder / "like.json"
        self.become(**like)
        port = free_port()
        self.admin = f"http://127.0.0.1:{port}"
        words = [str(count), str(port), str(self.file)]
        command = [sys.executable, "-m", "tests.server.processes.toys", *words]
        super().__init__(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True))

    def become(self, **like: object) -> None:
        self.file.write_text(json.dumps(like))

    def page(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.admin + path, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def until(self, holds: Callable[[], object]) -> None:
        """Asks again and again, until it is so."""
        until(holds, PATIENCE_S, 0.02)

    def is_ready(self) -> bool:
        return self.page("/readyz") == (200, "live\n")

    def pids(self) -> dict[int, int]:
        """Of the processes, by index, as callers see them."""
        found: dict[int, int] = {}
        # Each connection goes to who has the fewest, so that soon all have had one.
        with contextlib.ExitStack() as stack:
            while len(found) < 2:
                channel = stack.enter_context(connect(self.address))
                _, index, pid = call(channel).split()
                found[int(index)] = int(pid)
        return found


def connect(address: str, **options: object) -> grpc.Channel:
    """A connection of its own: otherwise channels of one process share one."""
    given = {"grpc.use_local_subchannel_pool": 1, **options}
    return grpc.insecure_channel(address, list(given.items()))


def call(channel: grpc.Channel) -> str:
    answer: bytes = toy(channel)(b"", timeout=PATIENCE_S)
    return answer.decode()


def toy(channel: grpc.Channel) -> Any:
    return channel.unary_unary("/test.Toys/Call")


def health(address: str) -> int:
    with connect(address) as channel:
        request = health_pb2.HealthCheckRequest()
        return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S).status)


class Callers:
    """Call on and on, each by a connection of its own.

    Attributes:
        failed: who, and with what.
    """

    def __init__(self, address: str, count: int = CALLERS, options: Mapping[str, object] = {}) -> None:
        self.failed: list[tuple[int, grpc.StatusCode]] = []
        self.answered = 0
        self.names: set[str] = set()
        self._end = threading.Event()
        self._channels = [connect(address, **options) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._call, args=numbered) for numbered in enumerate(self._channels)
        ]

    def _call(self, number: int, channel: grpc.Channel) -> None:
        while not self._end.is_set():
            try:
                self.names.add(call(channel).split()[0])
                self.answered += 1
            except grpc.RpcError as error:
                self.failed.append((number, error.code()))
                # grpc's client tells of a connection that has gone before it has closed it: a call within the
                # same millisecond is sent into the void as well ("sendmsg: Broken pipe").
                self._end.wait(0.1)

    def once_unavailable(self) -> bool:
        """Has each failed once at most, and that as UNAVAILABLE?"""
        codes = {code for _, code in self.failed}
        return len(dict(self.failed)) == len(self.failed) and codes <= {grpc.StatusCode.UNAVAILABLE}

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for channel in self._channels:
            channel.close()


# Callers leave the machine time for what else shall happen.
LIKE = {"name": "a", "hold_s": 0.05}

RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    """Two processes."""
    serving = Toys(tmp_path_factory.mktemp("toys"), 2, **LIKE)
    try:
        serving.until_it_serves()
        yield serving
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
    finally:
        serving.close()


@pytest.fixture
def toys(shared: Toys) -> Toys:
    shared.until(shared.is_ready)
    return shared


def test_connections_go_to_who_has_the_fewest(toys: Toys) -> None:
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(connect(toys.address)) for _ in range(8)]
        indices = sorted(call(channel).split()[1] for channel in channels)
    assert indices == ["0"] * 4 + ["1"] * 4


def test_each_process_is_a_process_on_processors_of_its_own(toys: Toys) -> None:
    pids = toys.pids()
    assert len({*pids.values(), toys.process.pid}) == 3
    found = [os.sched_getaffinity(pid) for _, pid in sorted(pids.items())]
    if len(os.sched_getaffinity(0)) >= 2:
        assert not found[0] & found[1]
        assert found[0] | found[1] == os.sched_getaffinity(0)


def test_nothing_of_the_supervisor_s_imports_tensorflow(toys: Toys) -> None:
    maps = Path(f"/proc/{toys.process.pid}/maps").read_text()
    assert "grpc" in maps
    assert "tensorflow" not in maps


def test_figures_of_all_are_on_one_port(toys: Toys) -> None:
    toys.pids()
    _, page = toys.page("/metrics")
    counts = {
        line.partition(" ")[0]: float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(("toy_calls_total", "hotgraph_process_up"))
    }
    assert [counts[f'hotgraph_process_up{{process="{index}"}}'] for index in (0, 1)] == [1.0, 1.0]
    each = [counts[f'toy_calls_total{{process="{index}"}}'] for index in (0, 1)]
    assert min(each) > 0
    assert f"toy_calls_total {sum(each)}" in toys.page("/metrics/sums")[1]
    assert toys.page("/api/status/1") == (200, "page of 1\n")
    assert toys.page("/api/status/2")[0] == 404
    assert toys.page("/healthz") == (200, "ok\n")


def test_killed_process_costs_its_calls_alone_and_another_one_is_started(toys: Toys) -> None:
    before = toys.pids()
    with Callers(toys.address) as callers:
        toys.until(lambda: callers.answered > 100)
        os.kill(before[1], signal.SIGKILL)
        toys.wait_for_text("process 1 ")
        toys.until(lambda: not toys.is_ready())
        assert "process 1" in toys.page("/readyz")[1]
        assert health(toys.address) == health_pb2.HealthCheckResponse.NOT_SERVING
        toys.until(toys.is_ready)
    # Of each of its callers the call that it had, and of no other.
    assert 0 < len(callers.failed) < CALLERS
    assert callers.once_unavailable(), callers.failed
    after = toys.pids()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert health(toys.address) == health_pb2.HealthCheckResponse.SERVING


def test_who_retries_sees_no_failure_when_a_process_is_killed(toys: Toys) -> None:
    with Callers(toys.address, options={"grpc.service_config": RETRIES}) as callers:
        toys.until(lambda: callers.answered > 100)
        os.kill(toys.pids()[0], signal.SIGKILL)
        toys.wait_for_text("process 0 ")
        toys.until(toys.is_ready)
    assert callers.failed == []


def test_callers_are_shared_anew_when_one_that_was_missing_is_back(toys: Toys) -> None:
    with Callers(toys.address, 8) as callers:
        toys.until(lambda: callers.answered > 100)
        os.kill(toys.pids()[0], signal.SIGKILL)
        toys.wait_for_text("process 0 ")

        def connections() -> list[str]:
            lines = toys.page("/metrics")[1].splitlines()
            return [line[-3:] for line in lines if line.startswith("hotgraph_process_connections")]

        toys.until(lambda: connections() == ["4.0", "4.0"])
    # That they were asked to go costs none of them a call.
    assert len(callers.failed) <= 8
    assert callers.once_unavailable(), callers.failed


@pytest.mark.timeout(1200)  # forty processes start one after the other, beside their callers
def test_all_are_replaced_under_callers_without_a_failed_call(toys: Toys, thorough: bool) -> None:
    name = "a"
    with Callers(toys.address) as callers:
        toys.until(lambda: callers.answered > 100)
        for number in range(20 if thorough else 2):
            before, name = toys.pids(), f"name{number}"
            toys.become(**{**LIKE, "name": name})
            toys.hang_up()
            toys.wait_for_text("is taken by all 2 processes")
            assert not set(before.values()) & set(toys.pids().values())
            assert health(toys.address) == health_pb2.HealthCheckResponse.SERVING
        toys.until(lambda: name in callers.names)
    assert callers.failed == []
    assert len(callers.names) == (21 if thorough else 3)


@pytest.mark.parametrize(
    ("like", "says"),
    [
        ({"refuse": True}, "the processes stay as they are: it is wrong"),
        ({"ends": 3}, "the processes stay as they are: process 0 did not start: exit status 3"),
    ],
)
def test_configuration_that_does_not_load_leaves_all_as_they_are(
    toys: Toys, like: dict[str, object], says: str
) -> None:
    before = toys.pids()
    good = json.loads(toys.file.read_text())
    toys.become(**like)
    toys.hang_up()
    toys.wait_for_text(says)
    assert toys.pids() == before
    assert toys.is_ready()
    toys.become(**good)


def test_start_that_fails_ends_with_the_process_s_own_status(tmp_path: Path) -> None:
    toys = Toys(tmp_path, 2, ends=7)
    try:
        toys.wait_for_line("toy: ends with 7")
        toys.wait_for_text("could not start, and so the others do not: exit status 7")
        assert toys.status() == 7
    finally:
        toys.close()


def test_what_dies_again_and_again_is_started_ever_more_seldom_and_nothing_is_left_in_the_end(
    tmp_path: Path,
) -> None:
    toys = Toys(tmp_path, 2, name="a")
    try:
        toys.until_it_serves()
        pids = toys.pids()
        toys.become(ends=5)
        os.kill(pids[0], signal.SIGKILL)
        for pause in (
            "SIGKILL; another one is started in 0.5 s",
            "exit status 5; another one is started in 1.0 s",
        ):
            toys.wait_for_text(pause)
        # Meanwhile the other one answers.
        with connect(toys.address) as channel:
            assert call(channel).split()[1] == "1"
        toys.wait_for_text("started in 2.0 s")
        toys.process.kill()
        toys.process.wait(PATIENCE_S)
        toys.until(lambda: not _is_there(pids[1]))
    finally:
        toys.close()


def test_stop_lets_all_answer_what_they_have_and_a_second_one_does_not(tmp_path: Path) -> None:
    toys = Toys(tmp_path, 2, name="a", hold_s=3.0)
    try:
        toys.until_it_serves()
        with connect(toys.address) as one, connect(toys.address) as other:
            calls = [toy(channel).future(b"") for channel in (one, other)]
            toys.until(lambda: toys.page("/metrics/sums")[1].endswith("toy_calls_total 2.0\n"))
            toys.process.send_signal(signal.SIGTERM)
            toys.wait_for_line("stopping:")
            assert sorted(one.result(PATIENCE_S).split()[1] for one in calls) == [b"0", b"1"]
        assert toys.status() == 0
    finally:
        toys.close()


def test_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    toys = Toys(tmp_path, 2, name="a", hold_s=PATIENCE_S)
    try:
        toys.until_it_serves()
        with connect(toys.address) as channel:
            waiting = toy(channel).future(b"")
            toys.until(lambda: toys.page("/metrics/sums")[1].endswith("toy_calls_total 1.0\n"))
            toys.process.send_signal(signal.SIGINT)
            toys.wait_for_line("stopping:")
            toys.process.send_signal(signal.SIGINT)
            assert toys.status() == 128 + signal.SIGINT
            with pytest.raises(grpc.RpcError):
                waiting.result(PATIENCE_S)
    finally:
        toys.close()


def _is_there(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
