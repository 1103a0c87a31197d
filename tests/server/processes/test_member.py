"""One of several processes, told this and that by who holds the other end."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, BinaryIO

import pytest

from hotgraph_server.observability.admin.http import Request, Response, text
from hotgraph_server.processes import messages
from hotgraph_server.processes.member import Member, on_command_line
from hotgraph_server.transport.handed_over import HandedOver

PATIENCE_S = 30.0


class Other:
    """The other end."""

    def __init__(self) -> None:
        self.control, control = socket.socketpair()
        self.channel, channel = socket.socketpair()
        self.control.settimeout(PATIENCE_S)
        self.member = Member(1, 3, control, HandedOver(channel), [])
        self._file: BinaryIO = self.control.makefile("rb")

    def tell(self, **message: Any) -> None:
        self.control.sendall(messages.encode(message))

    def heard(self) -> tuple[dict[str, Any], bytes]:
        length, more = messages.lengths(self._file.read(messages.HEAD_BYTES))
        return messages.decode(self._file.read(length)), self._file.read(more)

    def close(self) -> None:
        self._file.close()
        self.control.close()
        self.channel.close()
        self.member.connections.close()


@pytest.fixture
def other() -> Iterator[Other]:
    other = Other()
    # A test that forgets it shall not end the process.
    other.member.stop_by(lambda: None)
    other.member.start()
    yield other
    other.close()


def test_it_hears_whether_all_are_ready_first_of_how_it_is(other: Other) -> None:
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()
    other.member.answering(heard.put, lambda: heard.put("renew"), heard.put)
    assert heard.get(timeout=PATIENCE_S) is False
    assert other.heard() == ({"is": "answering"}, b"")
    other.tell(do="all ready", ready=True)
    assert heard.get(timeout=PATIENCE_S) is True
    assert other.member.all_ready
    other.tell(do="renew access")
    assert heard.get(timeout=PATIENCE_S) == "renew"
    other.tell(do="shed", connections=4)
    assert heard.get(timeout=PATIENCE_S) == 4


def test_it_makes_pages_and_one_that_breaks_is_none(other: Other) -> None:
    def answer(request: Request) -> Response:
        if request.path == "/broken":
            raise ValueError("broken")
        return text(HTTPStatus.ACCEPTED, f"{request.method} {request.path} {request.accept}")

    other.member.pages_by(answer)
    other.tell(do="page", id=1, method="GET", path="/broken", headers={})
    other.tell(do="page", id=2, method="GET", path="/a", headers={"accept": "b"})
    message, body = other.heard()
    assert (message["id"], message["status"], body) == (2, 202, b"GET /a b\n")


@pytest.mark.parametrize(("what", "leaves"), [("stop", False), ("leave", True)])
def test_it_stops_when_told(other: Other, what: str, leaves: bool) -> None:
    stopped: queue.SimpleQueue[bool] = queue.SimpleQueue()
    other.member.stop_by(lambda: stopped.put(other.member.leaves))
    other.tell(do=what)
    assert stopped.get(timeout=PATIENCE_S) is leaves


def test_it_stops_when_nobody_is_there_any_more(other: Other) -> None:
    stopped: queue.SimpleQueue[bool] = queue.SimpleQueue()
    other.member.stop_by(lambda: stopped.put(True))
    # In the middle of a message.
    other.control.sendall(messages.encode({"do": "stop"})[:5])
    other.control.shutdown(socket.SHUT_WR)
    assert stopped.get(timeout=PATIENCE_S)
    # Nobody hears it, which is no error.
    other.control.close()
    other.member.say("stopping")


def test_files_of_the_command_line_are_not_inherited_any_further() -> None:
    control, other = socket.socketpair()
    channel, listener, health = socket.socket(), socket.socket(), socket.socket()
    numbers = listener.fileno(), health.fileno()
    for one in (control, channel, listener, health):
        one.set_inheritable(True)
    member = Member.of_words(on_command_line(2, 5, control, channel, [listener], [health]))
    assert (member.index, member.of) == (2, 5)
    assert tuple(one.fileno() for one in (*member.rest, *member.health)) == numbers
    for one in (control, channel, listener, health):
        assert not one.get_inheritable()
        # They are the member's now.
        one.detach()
    ended: queue.SimpleQueue[bool] = queue.SimpleQueue()
    member.stop_by(lambda: ended.put(True))
    member.start()
    other.close()
    assert ended.get(timeout=PATIENCE_S)
    member.connections.close()
    member.rest[0].close()
    member.health[0].close()
