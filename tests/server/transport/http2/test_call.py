"""What all calls have in common: how they end, and how they are refused."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.service import Reply

from .host import StillHost, end, fail, finish
from .peer import REQUEST, prefixed


class TestLeaving:
    @pytest.mark.parametrize("how", ["reset", "lost", "expired", "cancelled"])
    def test_end_from_outside_is_told_once(self, how: str) -> None:
        host = StillHost()
        number = host.request(prefixed(b""))
        told: list[int] = []
        host.seen[0][1].when_gone(lambda: told.append(1))
        end(host, number, how)
        assert told == [1]
        assert host.taken == 0
        end(host, number, how)
        assert told == [1]
        host.seen[0][1].when_gone(lambda: told.append(2))
        assert told == [1, 2]

    def test_answered_call_is_told_nothing_more(self) -> None:
        host = StillHost()
        number = host.request(prefixed(b""), more=(("grpc-timeout", "1S"),))
        told: list[int] = []
        call = host.calls[number]
        call.when_gone(lambda: told.append(1))
        finish(host.seen[0][1])
        host.deliver()
        call.expire()
        call.cancel()
        host.connection.lose()
        assert told == []
        assert host.answer(number).status == 0

    def test_whoever_cannot_be_told_is_logged_and_harms_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        host = StillHost()
        first, second = host.request(prefixed(b"")), host.request(prefixed(b""))
        told: list[int] = []
        host.seen[0][1].when_gone(lambda: fail(ZeroDivisionError("broken")) and None)
        host.seen[1][1].when_gone(lambda: told.append(1))
        with caplog.at_level(logging.ERROR):
            host.connection.lose()
        assert told == [1]
        assert host.taken == 0
        assert "could not be told" in caplog.text
        assert first != second

    @pytest.mark.parametrize(("how", "status"), [("expired", 4), ("cancelled", 1)])
    def test_end_by_the_server_is_a_status(self, how: str, status: int) -> None:
        host = StillHost()
        number = host.request(prefixed(b""))
        end(host, number, how)
        assert host.answer(number).trailers_only
        assert host.answer(number).status == status

    @pytest.mark.parametrize("how", ["expired", "cancelled"])
    @pytest.mark.parametrize("kind", ["hot", "streaming"])
    def test_end_in_the_middle_of_an_answer_is_a_reset(self, how: str, kind: str) -> None:
        """A status there would be taken for the end of the message, or be no valid block at all."""
        host = StillHost(kind, window=50)
        number = host.request(prefixed(b""))
        if kind == "hot":
            finish(host.seen[0][1], bytes(100))
        else:
            host.opened[0].send(bytes(100))
        assert len(host.answer(number).data) == 50
        end(host, number, how)
        answer = host.answer(number)
        assert answer.reset == Code.CANCEL
        assert answer.trailers == {}
        assert host.taken == 0

    def test_deadline_is_told_to_the_server_and_nearer_ones_again(self) -> None:
        host = StillHost()
        host.request(prefixed(b""))
        assert host.expiring == []
        host.request(prefixed(b""), more=(("grpc-timeout", "1H"),))
        call = host.calls[3]
        assert host.expiring == [call]
        reply = host.seen[1][1]
        nearer = reply.deadline - 5
        reply.expire_at(reply.deadline + 5)
        assert host.expiring == [call]
        reply.expire_at(nearer)
        assert host.expiring == [call, call]
        assert call.deadline == nearer

    @pytest.mark.parametrize("how", ["answered", "reset", "lost", "expired", "cancelled", "failed"])
    def test_ended_call_leaves_no_cycle_behind(self, how: str) -> None:
        """The arrays behind thousands of calls a second must not wait for the garbage collector."""
        host = StillHost()
        number = host.request(prefixed(b""))
        reply = host.seen[0][1]

        class Owner:
            """As the models' calls do, it knows the reply, and the reply knows it."""

            def __init__(self, reply: Reply) -> None:
                self.reply = reply

            def leave(self) -> None:
                finish(self.reply)

        owner = Owner(reply)
        reply.when_gone(owner.leave)
        gc.collect()
        gc.disable()
        try:
            watched = weakref.ref(owner)
            if how == "answered":
                finish(reply)
            elif how == "failed":
                reply.finish(lambda: fail(InvalidCall("no")))
            else:
                end(host, number, how)
            host.deliver()
            del owner, reply
            host.seen.clear()
            host.calls.clear()
            host.expiring.clear()
            assert watched() is None
        finally:
            gc.enable()


class TestRefusedCalls:
    def test_unknown_method_is_unimplemented(self) -> None:
        host = StillHost()
        headers = [(name, "/unknown" if name == ":path" else value) for name, value in REQUEST]
        number = host.client.request(headers=headers)
        host.exchange()
        assert host.answer(number).status == 12

    @pytest.mark.parametrize(
        ("name", "value", "status"),
        [("content-type", "application/json", 415), (":method", "GET", 405), ("grpc-timeout", "soon", 400)],
    )
    def test_what_is_no_grpc_gets_a_status_of_http(self, name: str, value: str, status: int) -> None:
        host = StillHost()
        fields = {**dict(REQUEST), name: value}
        number = host.client.request(headers=list(fields.items()))
        host.client.h2.send_data(number, b"{}", end_stream=True)
        host.exchange()
        assert host.answer(number).headers == {":status": str(status)}
        assert host.answer(number).trailers_only
