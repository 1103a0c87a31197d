"""Callers of the REST port who want its time, its memory or its files, each with a good caller beside it.

The attacks are small enough for every run, and large enough that what once grew with their square would take
minutes; a failure says how long the good caller has waited.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..ports import free_port
from .command import Serving, arguments, serve, starting

PREDICT = "/v1/models/digits:predict"
STATUS = "/v1/models/digits"
GOOD = json.dumps({"instances": [[0.5] * 784]}).encode()
LARGE = json.dumps({"instances": [[0.5] * 784] * 100}).encode()
# No call of the good caller takes a tenth of it on an idle machine.
PATIENCE_S = 5.0
GIVE_UP_S = 100.0
MIB = 2**20


class Attacked:
    """A server, by its ports."""

    def __init__(self, serving: Serving, rest_port: int) -> None:
        self.serving = serving
        self.rest_port = rest_port

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=GIVE_UP_S)
        with contextlib.closing(connection):
            connection.request("POST", PREDICT, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    def raw(self, *parts: bytes) -> bytes:
        """What comes back until the server closes; it need not listen to the end."""
        with socket.create_connection(("127.0.0.1", self.rest_port), GIVE_UP_S) as client:
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    client.sendall(part)
            found = b""
            with contextlib.suppress(ConnectionError):
                while part := client.recv(MIB):
                    found += part
            return found

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.serving.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    @contextlib.contextmanager
    def good_caller(self, body: bytes = GOOD) -> Iterator[None]:
        """A caller that asks without a pause; fails the test if one of its answers was late or wrong."""
        waited: list[tuple[float, int]] = []
        over = threading.Event()

        def call() -> None:
            while not over.is_set() or not waited:
                begun = time.monotonic()
                try:
                    status = self.post(body)[0]
                except OSError:
                    status = 0
                waited.append((time.monotonic() - begun, status))

        caller = threading.Thread(target=call)
        caller.start()
        try:
            yield
        finally:
            over.set()
            caller.join()
        slowest = max(waited)
        told = f"{len(waited)} calls beside the attack, the slowest {slowest[0]:.2f} s: {slowest[1]}"
        assert {status for _, status in waited} == {200}, told
        assert slowest[0] < PATIENCE_S, told


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    port = free_port()
    with serve("--port", "0", "--rest-port", str(port)) as serving:
        found = Attacked(serving, port)
        assert found.post(LARGE)[0] == 200
        yield found


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "' + b'\\"' * 100_000,
        b'{"a": NaN, "b": "' + b'\\"' * 100_000,
        b'{"a": NaN, "b": ' + b'"\\\\' * 100_000,
        b"\\" * 200_000,
        b'{"instances": [' + b"-" * 200_000,
        b'{"instances": [' + b"Inf" * 60_000,
    ],
    ids=["escaped quotes", "with NaN", "open strings", "backslashes", "signs", "words"],
)
@pytest.mark.parametrize("times", [1, 20])
def test_text_that_is_hard_to_read_is_refused_while_others_are_served(
    attacked: Attacked, body: bytes, times: int
) -> None:
    with attacked.good_caller():
        status, answer = attacked.post(body * times)
    assert (status, list(json.loads(answer))) == (400, ["error"])


@pytest.mark.parametrize("depth", [65, 200, 1000, 1100, 100_000, 1_000_000])
@pytest.mark.parametrize(
    ("opening", "inside", "closing"), [(b"[", b"1", b"]"), (b"[", b"NaN", b"]"), (b'{"a":', b"1", b"}")]
)
def test_values_that_lie_deep_in_one_another_are_refused(
    attacked: Attacked, depth: int, opening: bytes, inside: bytes, closing: bytes
) -> None:
    for key in (b"instances", b"inputs", b"signature_name"):
        body = b'{"%s":' % key + opening * depth + inside + closing * depth + b"}"
        status, answer = attacked.post(body)
        assert (status, list(json.loads(answer))) == (400, ["error"])


def test_many_small_members_of_gzip_cost_as_much_as_their_bytes(attacked: Attacked) -> None:
    with attacked.good_caller():
        status, _ = attacked.post(gzip.compress(b"") * 100_000, {"Content-Encoding": "gzip"})
        assert status == 400
        split = b"".join(gzip.compress(GOOD[at : at + 1]) for at in range(len(GOOD)))
        assert attacked.post(split, {"Content-Encoding": "gzip"})[0] == 200
    before = attacked.resident_mib()
    bomb = gzip.compress(bytes(300 * MIB), 1)
    assert attacked.post(bomb, {"Content-Encoding": "gzip"})[0] == 413
    assert attacked.resident_mib() - before < 64


def test_one_callers_large_bodies_do_not_keep_out_anothers(attacked: Attacked) -> None:
    hard = b'{"instances": [' + b"NaN,0.5," * 600_000 + b"1]}"
    attackers = [threading.Thread(target=attacked.post, args=(hard,)) for _ in range(4)]
    with attacked.good_caller(LARGE):
        for attacker in attackers:
            attacker.start()
        for attacker in attackers:
            attacker.join()


@pytest.mark.parametrize(
    "field", [b"X%d: " + b"a" * 1000 + b"\r\n", b"a" * 1000], ids=["fields", "one field"]
)
def test_head_without_an_end_takes_no_memory(attacked: Attacked, field: bytes) -> None:
    block = b"".join(field % number if b"%" in field else field for number in range(1000))
    before = attacked.resident_mib()
    with attacked.good_caller():
        answer = attacked.raw(b"GET /v1/models/digits HTTP/1.1\r\nHost: x\r\nX: ", *[block] * 50)
    grown = attacked.resident_mib() - before
    assert grown < 32, f"{grown:.0f} MiB"
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]


def test_request_names_one_host(attacked: Attacked) -> None:
    for fields in (b"", b"Host: a\r\nHost: b\r\n"):
        answer = attacked.raw(b"GET /v1/models/digits HTTP/1.1\r\n" + fields + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 400 "), answer[:100]


def test_pipelined_requests_are_all_answered(attacked: Attacked) -> None:
    request = b"GET /v1/models/digits HTTP/1.1\r\nHost: x\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with attacked.good_caller():
        answers = attacked.raw(request * 1999 + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 2000


FILES = 64


@pytest.mark.skipif(sys.platform != "linux", reason="as many files as a process needs differ")
def test_process_without_files_says_so_briefly_and_recovers() -> None:
    rest_port, admin_port = free_port(), free_port()
    command = arguments("--port", "0", "--rest-port", str(rest_port), "--admin-port", str(admin_port))
    limited = ["bash", "-c", f"ulimit -n {FILES}; exec {shlex.join(command)}"]
    with starting(limited) as serving:
        serving.until_it_serves()
        data_port = int(serving.address.rpartition(":")[2])
        for port in (rest_port, admin_port, data_port):
            with contextlib.ExitStack() as stack:
                for _ in range(FILES + 20):
                    client = stack.enter_context(socket.socket())
                    client.setblocking(False)
                    client.connect_ex(("127.0.0.1", port))
                serving.wait_for_text("no more connections can be accepted for now")
            serving.wait_for_text("connections are accepted again")
            for good_port, path in ((rest_port, STATUS), (admin_port, "/healthz")):
                connection = http.client.HTTPConnection("127.0.0.1", good_port, timeout=GIVE_UP_S)
                with contextlib.closing(connection):
                    connection.request("GET", path)
                    assert connection.getresponse().status == 200
        log = "".join(serving.lines)
        assert "Traceback" not in log
        assert log.count("no more connections") <= 12, log
