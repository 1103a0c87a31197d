"""A gRPC method's response on its way to JSON."""

from __future__ import annotations

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall, NotFound
from hotgraph_server.rest.translated_reply import TranslatedReply
from hotgraph_server.transport.service import failing

from ..protocols.fakes import FakeReply


def translated(reply: FakeReply) -> TranslatedReply:
    return TranslatedReply(reply, pb.ModelReadyRequest, lambda response: f'"{response.name}"'.encode())


def test_response_is_written_whether_it_comes_in_one_piece_or_in_several() -> None:
    message = pb.ModelReadyRequest(name="m").SerializeToString()
    for pieces in (message, [memoryview(message[:1]), memoryview(message[1:])]):
        reply = FakeReply()
        translated(reply).finish(lambda pieces=pieces: pieces)  # type: ignore[misc]
        assert reply.answer() == b'"m"'


def test_error_goes_through() -> None:
    reply = FakeReply()
    translated(reply).finish(failing(NotFound("why")))
    with pytest.raises(NotFound, match="why"):
        reply.answer()


def test_text_that_is_no_utf8_is_refused() -> None:
    reply = FakeReply()
    translated(reply).finish(lambda: b"\x0a\x01\xff")
    with pytest.raises(InvalidCall, match="no UTF-8, which JSON needs"):
        reply.answer()


def test_call_is_the_callers() -> None:
    reply = FakeReply(deadline=7.0)
    outer = translated(reply)
    outer.expire_at(5.0)
    assert (outer.deadline, reply.expires) == (7.0, 5.0)
