"""loadtest/sending/{step,pools,links}.py, against servers behind real sockets.

What is compared is what became of calls, never how long it took.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme

from hotgraph_client import Tls
from hotgraph_client.loadtest.load import Answer, Arrivals, Assignment, Destination, Payload
from hotgraph_client.loadtest.sending import pools
from hotgraph_client.loadtest.sending.calls import Call
from hotgraph_client.loadtest.sending.messages import Finished, Known
from hotgraph_client.loadtest.sending.schedule import Schedule
from hotgraph_client.loadtest.sending.step import Step

from .servers import MESSAGE, Server, frame, grpc_talk, http_answer, http_talk, serving

GRPC = Payload("/test.Echo/Call", (), MESSAGE)
HTTP = Payload("/v2/models/m/infer", (("content-type", "text/plain"),), MESSAGE)


def at_once(count: int) -> Arrivals:
    """So many calls, all due at the beginning."""
    return Arrivals("trace", moments=np.zeros(count))


def spread(count: int, seconds: float) -> Arrivals:
    return Arrivals("trace", moments=np.linspace(0.0, seconds, count, endpoint=False))


def assigned(
    port: int, arrivals: Arrivals, payloads: tuple[Payload, ...] = (GRPC,), **more: Any
) -> Assignment:
    to = Destination("127.0.0.1", port, f"127.0.0.1:{port}", http=payloads[0].path.startswith("/v2"))
    values: dict[str, Any] = {"destination": to, "seconds": 0.2, "patience_s": 20.0, **more}
    return Assignment(payloads=payloads, arrivals=arrivals, begin_s=0.0, **values)


def closed(callers: int) -> Arrivals:
    """Callers who go on until the test stops them."""
    return Arrivals("closed", callers=callers)


class Ends:
    """What became of the calls, and how the test has a say in between."""

    def __init__(self, between: Callable[[], bool] = lambda: False) -> None:
        self.between = between
        self.known: list[Known] = []

    def heard(self, schedule: Schedule, now: float) -> bool:
        return self.between()

    def tell(self, known: list[Known]) -> bool:
        self.known += known
        return True

    @property
    def counts(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for known in self.known:
            counts.update({"answered": known.answered, "due": known.due, **known.errors})
        return dict(+counts)


def carried_out(assignment: Assignment, between: Callable[[], bool] = lambda: False) -> tuple[Ends, Finished]:
    ends = Ends(between)
    with Step(assignment) as step:
        finished = step.run(time.monotonic(), ends)
    ends.known += finished.known
    return ends, finished


class Echo(grpc.GenericRpcHandler):
    """Answers what it is sent, or an error where the message asks for one; gRPC's own, in C++."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str | bytes]] = []
        self.time_left: list[float | None] = []

    def service(self, details: Any) -> Any:
        self.metadata.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self.call)

    def call(self, request: bytes, context: Any) -> bytes:
        self.time_left.append(context.time_remaining())
        if request.startswith(b"error"):
            context.abort(grpc.StatusCode.NOT_FOUND, "no model 'grün'")
        return request


@contextlib.contextmanager
def echoing(echo: Echo, options: tuple[tuple[str, int], ...] = ()) -> Iterator[int]:
    server = grpc.server(
        ThreadPoolExecutor(4),
        handlers=[echo],
        options=[("grpc.max_receive_message_length", -1), *options],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_grpcs_own_server_answers_each_call_with_what_it_was_sent() -> None:
    payloads = (GRPC, dataclasses.replace(GRPC, body=b"x" * 1_000_000), dataclasses.replace(GRPC, body=b""))
    with echoing(Echo()) as port:
        ends, finished = carried_out(assigned(port, at_once(60), payloads))
    assert ends.counts == {"due": 60, "answered": 60}
    answers = sorted(finished.answers, key=lambda answer: answer.payload)
    assert answers == [Answer(place, (), one.body, 20) for place, one in enumerate(payloads)]


def test_few_streams_at_once_are_enough_for_many_calls() -> None:
    with echoing(Echo(), (("grpc.max_concurrent_streams", 2),)) as port:
        ends, _ = carried_out(assigned(port, at_once(100), connections=1))
    # it may refuse one in spite of that, and then once more: gRPC's clients do not try a third time either
    assert ends.counts["due"] == 100
    assert ends.counts["answered"] >= 95


def test_error_has_its_name_and_the_servers_text() -> None:
    payload = dataclasses.replace(GRPC, body=b"error")
    with echoing(Echo()) as port:
        ends, finished = carried_out(assigned(port, at_once(10), (GRPC, payload)))
    assert ends.counts == {"due": 10, "answered": 5, "NOT_FOUND": 5}
    assert finished.error_texts == {"NOT_FOUND": "no model 'grün'"}


def test_headers_go_with_each_call() -> None:
    echo = Echo()
    payload = dataclasses.replace(GRPC, headers=(("x-of-this", "2"),))
    with echoing(echo) as port:
        to = Destination("127.0.0.1", port, "name:1", headers=(("authorization", "Bearer k"),))
        carried_out(assigned(port, at_once(3), (payload,), destination=to))
    assert [one["authorization"] for one in echo.metadata] == ["Bearer k"] * 3
    assert [one["x-of-this"] for one in echo.metadata] == ["2"] * 3


def test_deadline_is_told_as_what_is_left_of_it() -> None:
    echo = Echo()
    with echoing(echo) as port:
        carried_out(assigned(port, at_once(5), deadline_s=30.0))
        carried_out(assigned(port, at_once(5)))
    told, untold = echo.time_left[:5], echo.time_left[5:]
    assert all(left is not None and 0 < left <= 30.0 for left in told)
    # grpcio's answer where there is none is None, or far from now.
    assert all(left is None or left > 1e6 for left in untold)


def test_closed_loop_never_has_more_calls_under_way_than_callers() -> None:
    lock, now, most, total = threading.Lock(), [0], [0], [0]

    class Counting(Echo):
        def call(self, request: bytes, context: Any) -> bytes:
            with lock:
                total[0] += 1
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.001)
            with lock:
                now[0] -= 1
            return request

    with echoing(Counting()) as port:
        ends, _ = carried_out(assigned(port, closed(3), seconds=60.0), lambda: total[0] > 30)
    assert most[0] == 3
    assert ends.counts["due"] == ends.counts["answered"] > 30


def test_nobody_there_is_said_of_every_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    ends, finished = carried_out(assigned(port, spread(20, 0.2)))
    assert ends.counts == {"due": 20, "UNREACHABLE": 20}
    assert finished.error_texts == {"UNREACHABLE": "Connection refused"}


@pytest.mark.parametrize("payload", [GRPC, HTTP])
def test_calls_under_way_end_with_their_connection_and_later_ones_find_another(payload: Payload) -> None:
    lock, calls = threading.Lock(), [0]

    def is_fatal() -> bool:
        with lock:
            calls[0] += 1
            return calls[0] == 20

    def grpc_answer(server: Server, stream: int) -> None:
        if is_fatal():
            raise OSError
        server.answer(stream)

    def http(body: bytes) -> bytes:
        return b"" if is_fatal() else http_answer(body)

    talk = http_talk(http) if payload is HTTP else grpc_talk(grpc_answer)
    with serving(talk) as server:
        ends, finished = carried_out(
            assigned(server.port, closed(1), (payload,), connections=1, seconds=60.0), lambda: calls[0] > 30
        )
    counts = ends.counts
    assert counts["DISCONNECTED"] == 1
    assert counts["answered"] == counts["due"] - 1 >= 30
    assert finished.error_texts == {"DISCONNECTED": "the server closed the connection"}
    assert server.connections == 2


def test_server_that_comes_back_is_found_again() -> None:
    answered, gone_at = [0], [0.0]

    def answer(server: Server, stream: int) -> None:
        server.answer(stream)
        answered[0] += 1

    talk = grpc_talk(answer)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        port = first.enter_context(serving(talk)).port

        def between() -> bool:
            if answered[0] >= 20 and not gone_at[0]:
                first.close()
                gone_at[0] = time.monotonic()
            elif gone_at[0] and time.monotonic() > gone_at[0] + 0.3 and len(back) == 0:
                back.append(stack.enter_context(serving(talk, port=port)))
                answered[0] = 0
            return bool(back) and answered[0] >= 40

        back: list[object] = []
        rate = Arrivals("poisson", rate=200.0)
        ends, _ = carried_out(assigned(port, rate, connections=2, seconds=60.0), between)
    counts = ends.counts
    assert counts["UNREACHABLE"] > 0
    assert counts["answered"] >= 40
    assert sum(counts.values()) == 2 * counts["due"]


def test_goodbye_loses_no_call() -> None:
    """As a proxy does that is replaced, or a server for whom connections have an age."""
    calls: list[int] = []

    def answer(server: Server, stream: int) -> bytes | None:
        server.answer(stream)
        calls.append(stream)
        # What is on its way is answered: 2^31 - 1 says that nothing was refused.
        return frame(7, 0, 0, struct.pack(">II", 2**31 - 1, 0) + b"max_age") if stream == 21 else None

    with serving(grpc_talk(answer)) as server:
        ends, _ = carried_out(
            assigned(server.port, closed(4), connections=2, seconds=60.0), lambda: len(calls) > 100
        )
    counts = ends.counts
    assert counts["answered"] == counts["due"] > 100
    assert server.connections > 2


@pytest.mark.parametrize(("refused", "counts"), [(1, {"answered": 1}), (9, {"UNAVAILABLE": 1})])
def test_call_with_which_the_server_would_not_begin_is_sent_once_more(
    refused: int, counts: dict[str, int]
) -> None:
    streams: list[int] = []

    def answer(server: Server, stream: int) -> None:
        streams.append(stream)
        if stream <= refused:
            server.h2.reset_stream(stream, 7)
        else:
            server.answer(stream)

    with serving(grpc_talk(answer)) as server:
        ends, _ = carried_out(assigned(server.port, at_once(1), connections=1))
    assert ends.counts == {"due": 1, **counts}
    assert streams == [1, 3]


def test_server_of_another_protocol_is_asked_again_with_pauses() -> None:
    with serving(http_talk(lambda body: http_answer(b"?"))) as server:
        ends, finished = carried_out(assigned(server.port, spread(200, 0.2), connections=1))
    counts = ends.counts
    assert counts["due"] == 200
    assert counts["UNREACHABLE"] == 200
    assert server.connections < 10
    assert finished.error_texts["UNREACHABLE"]


@pytest.mark.parametrize(("payload", "connections"), [(GRPC, 10), (HTTP, 60)])
def test_server_that_hangs_up_at_once_is_asked_again_with_pauses(payload: Payload, connections: int) -> None:
    with serving(lambda sock: None) as server:
        ends, _ = carried_out(assigned(server.port, spread(200, 0.2), (payload,), connections=1))
    counts = ends.counts
    assert counts["due"] == 200
    assert counts.get("DISCONNECTED", 0) + counts["UNREACHABLE"] == 200
    # Of HTTP/1.1, calls that are due together want one each.
    assert server.connections < connections


@pytest.mark.parametrize(("idle_s", "connections"), [(1.0, 1), (60.0, 2)])
def test_end_of_a_connection_that_lay_idle_is_no_reason_to_pause(idle_s: float, connections: int) -> None:
    end_of_first, now = threading.Event(), [1000.0]
    talks: list[socket.socket] = []

    def talk(sock: socket.socket) -> None:
        talks.append(sock)
        if len(talks) == 1:
            end_of_first.wait(20)
        else:
            http_talk(http_answer)(sock)

    with serving(talk) as server, contextlib.ExitStack() as stack:
        assignment = assigned(server.port, at_once(0), (HTTP,), connections=1)
        ended: list[str] = []
        pool = pools.Pool(
            assignment,
            pools.requests_of(assignment),
            lambda call, reply, when: ended.append(reply.status),
            lambda: now[0],
        )
        stack.callback(pool.close)
        pool.open(20.0)
        now[0] += idle_s
        end_of_first.set()
        call = Call(0, now[0])
        for _ in range(200):
            pool.turn(0.01)
            if server.open == 0 or len(talks) == 2:
                break
        pool.turn(0.05)
        pool.send(call, now[0])
        for _ in range(200):
            pool.turn(0.01)
            if ended:
                break
    assert ended == (["UNREACHABLE"] if connections == 1 else [""])
    assert server.connections == connections


def test_http_has_a_connection_for_each_call_under_way_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "MOST_HTTP", 5)
    barrier = threading.Barrier(5)

    def answer(body: bytes) -> bytes:
        # Passed only by five at once.
        barrier.wait(timeout=20)
        return http_answer(body)

    with serving(http_talk(answer)) as server:
        ends, _ = carried_out(assigned(server.port, at_once(40), (HTTP,), connections=2))
    assert ends.counts == {"due": 40, "answered": 40}
    assert server.most_open == server.connections == 5


def test_http_connection_that_is_not_kept_is_replaced() -> None:
    with serving(http_talk(lambda body: http_answer(body, headers=b"connection: close\r\n"))) as server:
        ends, finished = carried_out(assigned(server.port, at_once(12), (HTTP,), connections=2))
    assert ends.counts == {"due": 12, "answered": 12}
    assert server.connections >= 12
    (answer,) = finished.answers
    assert (answer.body, answer.count) == (MESSAGE, 12)
    assert dict(answer.headers)["connection"] == "close"


def test_http_error_has_its_status_and_the_servers_text() -> None:
    def answer(body: bytes) -> bytes:
        return http_answer(b'{"error": "no model"}', b"404 Not Found")

    with serving(http_talk(answer)) as server:
        ends, finished = carried_out(assigned(server.port, at_once(5), (HTTP,)))
    assert ends.counts == {"due": 5, "HTTP 404": 5}
    assert finished.error_texts == {"HTTP 404": "no model"}


@pytest.mark.parametrize("payload", [GRPC, HTTP])
def test_silent_server_is_given_up_and_told_so(payload: Payload) -> None:
    reset = threading.Event()

    def talk(sock: socket.socket) -> None:
        server = Server()
        while data := sock.recv(65_536):
            if payload is GRPC:
                server.receive(data)
                sock.sendall(server.h2.data_to_send())
                if server.reset:
                    reset.set()
        reset.set()

    with serving(talk) as server:
        ends, finished = carried_out(
            assigned(server.port, at_once(4), (payload,), patience_s=0.1, connections=4)
        )
        assert reset.wait(20)
    assert ends.counts == {"due": 4, "NO_ANSWER": 4}
    assert finished.error_texts == {"NO_ANSWER": ""}


@pytest.mark.parametrize("payload", [GRPC, HTTP])
def test_unix_socket_is_as_good(payload: Payload, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    talk = http_talk(http_answer) if payload is HTTP else grpc_talk(lambda one, stream: one.answer(stream))
    with serving(talk, path=path):
        to = Destination(path, 0, "localhost", http=payload is HTTP)
        ends, _ = carried_out(assigned(0, at_once(10), (payload,), destination=to))
    assert ends.counts == {"due": 10, "answered": 10}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.contextmanager
def encrypted(authority: trustme.CA, payload: Payload, protocols: list[str]) -> Iterator[Destination]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("model.example").configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    answer = b"y" * 300_000
    message = b"\x00" + struct.pack(">I", len(answer)) + answer
    talk = (
        http_talk(lambda body: http_answer(answer))
        if payload is HTTP
        else grpc_talk(lambda one, stream: one.answer(stream, message))
    )
    with serving(talk, context=context) as server:
        tls = Tls(root_certificates=authority.cert_pem.bytes(), server_name="model.example")
        yield Destination("127.0.0.1", server.port, "model.example", http=payload is HTTP, tls=tls)


@pytest.mark.parametrize(
    ("payload", "protocols"), [(GRPC, ["h2"]), (GRPC, []), (HTTP, ["h2", "http/1.1"]), (HTTP, [])]
)
def test_encrypted_calls_are_answered(authority: trustme.CA, payload: Payload, protocols: list[str]) -> None:
    large = dataclasses.replace(payload, body=b"x" * 20_000)
    with encrypted(authority, payload, protocols) as to:
        ends, finished = carried_out(assigned(0, at_once(20), (large,), destination=to))
    assert ends.counts == {"due": 20, "answered": 20}
    assert [(one.count, len(one.body)) for one in finished.answers] == [(20, 300_000)]


def test_certificate_of_a_stranger_is_refused_and_named(authority: trustme.CA) -> None:
    with encrypted(authority, GRPC, ["h2"]) as to:
        tls = Tls(root_certificates=trustme.CA().cert_pem.bytes(), server_name="model.example")
        ends, finished = carried_out(
            assigned(0, spread(5, 0.1), destination=dataclasses.replace(to, tls=tls))
        )
    assert ends.counts == {"due": 5, "UNREACHABLE": 5}
    assert "certificate" in finished.error_texts["UNREACHABLE"]


def test_name_that_nobody_knows_is_an_error_of_the_assignment() -> None:
    to = Destination("no.such.host.invalid", 80, "no.such.host.invalid:80")
    with pytest.raises(OSError, match=r".+"):
        Step(assigned(0, at_once(1), destination=to))


def test_assignment_without_payloads_is_refused() -> None:
    with pytest.raises(ValueError, match="payloads"):
        Step(dataclasses.replace(assigned(1, at_once(1)), payloads=()))
