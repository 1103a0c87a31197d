"""forwarding.py: all that is asked of the one reply is asked of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hotgraph_server.transport.forwarding import ForwardingReply
from hotgraph_server.transport.service import Answered, Left


class Noting:
    """A reply that notes what it is asked."""

    peer = "here:1"
    deadline = 7.0
    observer = None
    held_up = None

    def __init__(self) -> None:
        self.asked: list[object] = []

    def finish(self, encode: Callable[[], Answered]) -> None:
        self.asked.append(encode())

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        self.asked.append(cancel())

    def expire_at(self, deadline: float) -> None:
        self.asked.append(deadline)

    headers: Mapping[str, str] = {"its": "own"}

    def header(self, name: str) -> str | None:
        return f"its {name}"


def test_everything_is_handed_on() -> None:
    inner = Noting()
    reply = ForwardingReply(inner)
    assert (reply.peer, reply.deadline, reply.observer) == ("here:1", 7.0, None)
    reply.when_gone(lambda: True)
    reply.expire_at(3.0)
    reply.finish(lambda: b"answer")
    assert inner.asked == [True, 3.0, b"answer"]
    assert reply.header("traceparent") == "its traceparent"
    assert reply.headers == {"its": "own"}
