from __future__ import annotations

import asyncio
import dataclasses
import threading
from http import HTTPStatus
from typing import Any

import pytest

from hotgraph_server.fleet.figures import NoFigures
from hotgraph_server.fleet.observed import ReplicaSeen, ReplicaState
from hotgraph_server.fleet.observing import OLDEST_S, Observer, ask_status
from hotgraph_server.observability.admin.http import JSON, Request, Response, text
from hotgraph_server.observability.admin.server import AdminServer
from tests.server.fleet.statuses import model, signature, status, version


def replica(name: str, admin: str = "a:1", incarnation: str = "1") -> ReplicaSeen:
    return ReplicaSeen(name, ReplicaState.READY, admin_address=admin, incarnation=incarnation)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def tells(address: str) -> Any:
    return status(10.0, model(address, version(1, signature(10))))


def test_look_fills_in_what_replicas_tell() -> None:
    observer = Observer(tells, Clock())
    assert observer.fill([replica("r", "a:1")])[0].models == {}
    asyncio.run(observer.look())
    found = observer.fill([replica("r", "a:1")])[0]
    assert (found.replica_id, list(found.models), found.rss_bytes) == ("r", ["a:1"], 2**20)


def test_all_are_asked_at_the_same_time_and_one_that_hangs_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hotgraph_server.fleet.observing.LOOK_S", 0.05)
    asked = []

    async def ask(address: str) -> Any:
        asked.append(address)
        if address == "hangs:1":
            await asyncio.Event().wait()
        return await tells(address)

    observer = Observer(ask, Clock())
    replicas = [replica("a", "hangs:1"), replica("b", "b:1"), replica("c", "c:1")]
    observer.fill(replicas)
    asyncio.run(observer.look())
    assert asked == ["hangs:1", "b:1", "c:1"]
    assert [list(one.models) for one in observer.fill(replicas)] == [[], ["b:1"], ["c:1"]]


@pytest.mark.parametrize("error", [OSError("refused"), NoFigures("odd"), asyncio.IncompleteReadError(b"", 1)])
def test_replica_that_cannot_be_asked_keeps_what_was_known_for_a_while(error: Exception) -> None:
    clock, answers = Clock(), [status(10.0, model("m", version(1))), error, error]

    async def ask(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    observer = Observer(ask, clock)
    observer.fill([replica("r")])
    for _ in range(2):
        asyncio.run(observer.look())
        assert "m" in observer.fill([replica("r")])[0].models
    clock.now += OLDEST_S
    assert "m" in observer.fill([replica("r")])[0].models
    clock.now += 0.1
    assert observer.fill([replica("r")])[0].models == {}


def test_another_process_under_the_same_name_is_not_told_of_by_the_figures_of_the_first() -> None:
    observer = Observer(tells, Clock())
    observer.fill([replica("r")])
    asyncio.run(observer.look())
    assert observer.fill([replica("r", incarnation="2")])[0].models == {}


def test_replica_that_has_no_port_yet_is_not_asked() -> None:
    observer = Observer(tells, Clock())
    starting = dataclasses.replace(replica("r"), admin_address="")
    observer.fill([starting])
    asyncio.run(observer.look())
    assert observer.fill([starting]) == [starting]


def test_figures_of_replicas_that_went_are_forgotten() -> None:
    observer = Observer(tells, Clock())
    observer.fill([replica("r")])
    asyncio.run(observer.look())
    observer.fill([])
    asyncio.run(observer.look())
    assert observer.fill([replica("r")])[0].models == {}


def test_thread_looks_until_it_is_stopped_and_none_is_left() -> None:
    looked = threading.Event()

    async def ask(address: str) -> Any:
        looked.set()
        return await tells(address)

    observer = Observer(ask)
    observer.fill([replica("r")])
    observer.start()
    assert looked.wait(60)
    observer.stop()
    observer.stop()
    assert "fleet figures" not in {thread.name for thread in threading.enumerate()}


def answering(request: Request) -> Response:
    assert request.path == "/api/status"
    return Response(HTTPStatus.OK, b'{"a": [1]}', JSON)


def refusing(_: Request) -> Response:
    return text(HTTPStatus.SERVICE_UNAVAILABLE, "no")


def test_admin_port_is_asked_over_http() -> None:
    server = AdminServer("127.0.0.1", 0, answering)
    server.start()
    try:
        assert asyncio.run(ask_status(server.address)) == {"a": [1]}
    finally:
        server.stop()


def test_answer_that_is_no_200_is_refused() -> None:
    server = AdminServer("127.0.0.1", 0, refusing)
    server.start()
    try:
        with pytest.raises(NoFigures, match="503"):
            asyncio.run(ask_status(server.address))
    finally:
        server.stop()
