"""The port's life: bound at once, drained at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading

import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.models.status import State

from ..fakes import HANG_S, FakeGraph
from . import serving
from .serving import Answer, Rest, ask

PREDICT = "/v1/models/m:predict"
BODY = {"instances": [[1, 2]]}
ANSWER = {"predictions": [[2.0, 4.0]]}


class InTheRun:
    """A call that is inside a run of a graph that the test holds."""

    def __init__(self, rest: Rest, graph: FakeGraph) -> None:
        self.graph = graph
        self._answers: list[Answer] = []
        graph.shut()
        self._caller = threading.Thread(target=lambda: self._answers.append(rest.post(PREDICT, BODY)))
        self._caller.start()
        graph.wait_until_held()

    def answer(self) -> Answer:
        self._caller.join(HANG_S)
        return self._answers[0]


def test_port_in_use_is_one_line_that_names_it(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "free_port", lambda: rest.port)
    with pytest.raises(StartError) as error:
        Rest()
    assert str(error.value) == (
        f"rest-port {rest.port}: cannot listen on 127.0.0.1:{rest.port}: the port is in use"
    )


def test_address_is_where_it_answers(rest: Rest) -> None:
    assert rest.server.address == f"127.0.0.1:{rest.port}"


def test_port_answers_before_there_are_models(rest: Rest) -> None:
    rest.state = State.LOADING
    answer = rest.post(PREDICT, BODY)
    assert (answer.code, answer.error) == (503, "the models are loading")


def test_who_leaves_is_answered_and_then_its_connection_is_closed(rest: Rest) -> None:
    graph = FakeGraph()
    rest.serve(graph)
    with contextlib.closing(rest.connect()) as idle:
        ask(idle, "GET", "/v1/models/m")
        call = InTheRun(rest, graph)
        leaving = threading.Thread(target=rest.server.leave, args=(HANG_S,))
        leaving.start()
        # At once: it waits for a request that may as well go elsewhere.
        assert idle.sock is not None
        assert idle.sock.recv(1) == b""
    graph.let_all_go()
    leaving.join(HANG_S)
    assert not leaving.is_alive()
    assert call.answer().code == 200


def test_stop_lets_the_calls_inside_finish(rest: Rest) -> None:
    graph = FakeGraph()
    rest.serve(graph)
    call = InTheRun(rest, graph)
    rest.state = State.DRAINING
    assert rest.post(PREDICT, BODY).code == 503
    stopped: list[bool] = []
    stopping = threading.Thread(target=lambda: stopped.append(rest.server.stop(HANG_S)))
    stopping.start()
    graph.let_all_go()
    assert call.answer().json == ANSWER
    stopping.join(HANG_S)
    assert stopped == [True]
    with pytest.raises(ConnectionRefusedError):
        rest.get("/v1/models/m")


def test_stop_tells_the_calls_that_take_too_long(rest: Rest) -> None:
    graph = FakeGraph()
    rest.serve(graph)
    call = InTheRun(rest, graph)
    rest.state = State.DRAINING
    assert rest.server.stop(0) is False
    assert call.answer().code == 503
    # What the run gives then is nobody's any more, and no error in anybody's log.
    graph.let_all_go()


def test_stop_waits_for_nobody_who_has_not_finished_asking(
    rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    idle = rest.connect()
    idle.connect()
    with contextlib.closing(idle), socket.create_connection(("127.0.0.1", rest.port)) as slow:
        slow.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{{".encode())
        rest.state = State.DRAINING
        assert rest.server.stop(HANG_S) is True
    assert not [record for record in caplog.records if "has not ended" in record.message]


def test_stop_twice_and_stop_without_start_do_nothing(rest: Rest) -> None:
    assert rest.server.stop(HANG_S) is True
    assert rest.server.stop(HANG_S) is True


def test_nothing_is_logged_of_requests(rest: Rest, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        rest.serve(FakeGraph())
        caplog.clear()
        rest.post(PREDICT, BODY)
        rest.get("/v1/models/nobody")
        assert not caplog.records


def test_broken_http_is_refused_and_harms_nobody(rest: Rest) -> None:
    rest.serve(FakeGraph())
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", rest.port), HANG_S) as client:
            client.sendall(garbage)
            response = http.client.HTTPResponse(client)
            response.begin()
            assert response.status == 400
    assert rest.post(PREDICT, BODY).json == ANSWER


def test_many_clients_at_once_get_their_own_answers(rest: Rest) -> None:
    rest.serve(FakeGraph())
    answers: dict[int, Answer] = {}

    def call(index: int) -> None:
        answers[index] = rest.post(PREDICT, {"instances": [[index, 0]]})

    callers = [threading.Thread(target=call, args=(index,)) for index in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(HANG_S)
    assert {index: json.loads(answer.body) for index, answer in answers.items()} == {
        index: {"predictions": [[2.0 * index, 0.0]]} for index in range(16)
    }
