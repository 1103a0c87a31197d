from __future__ import annotations

import random

import hpack
import pytest

from fuzzing.http2_cases import PING, Frame, Http2Cases, frames_in
from hotgraph_server.transport.http2 import frames

CALLS = (("/s/One", b"abc"), ("/s/Two", b""))


def whole(case: list[bytes]) -> bytes:
    return b"".join(case)


def test_a_case_follows_from_seed_and_number_alone() -> None:
    assert Http2Cases(CALLS, 1).case(7) == Http2Cases(CALLS, 1).case(7)
    assert Http2Cases(CALLS, 1).case(7) != Http2Cases(CALLS, 2).case(7)
    assert Http2Cases(CALLS, 1).case(7) != Http2Cases(CALLS, 1).case(8)


def test_each_ends_with_the_ping_that_tells_that_it_was_read() -> None:
    cases = Http2Cases(CALLS, 1)
    for number in range(50):
        assert whole(cases.case(number)).endswith(PING)


def test_there_are_cases_of_many_kinds() -> None:
    cases = Http2Cases(CALLS, 1)
    made = [whole(cases.case(number)) for number in range(300)]
    kinds = {frame.kind for data in made for frame in frames_in(data[len(frames.PREFACE) :])}
    assert set(range(frames.CONTINUATION + 1)) <= kinds
    assert len(set(made)) > 250
    assert any(len(cases.case(number)) > 1 for number in range(20))


@pytest.mark.parametrize("number", range(20))
def test_a_conversation_before_any_change_is_of_calls_that_can_be_read(number: int) -> None:
    sent = Http2Cases(CALLS, 1).conversation(random.Random(number))
    decoder = hpack.Decoder()
    block = b""
    paths = []
    for frame in sent:
        if frame.kind == frames.HEADERS:
            block = frame.payload[5:] if frame.flags & frames.HAS_PRIORITY else frame.payload
        elif frame.kind == frames.CONTINUATION:
            block += frame.payload
        if frame.kind in (frames.HEADERS, frames.CONTINUATION) and frame.flags & frames.END_HEADERS:
            paths += [str(value) for name, value in decoder.decode(block) if str(name) == ":path"]
    assert {"/s/One", "/s/Two"} & set(paths)


def test_frames_come_back_from_their_bytes_and_a_length_can_lie() -> None:
    sent = [Frame(frames.PING, 0, 0, b"12345678"), Frame(frames.DATA, 1, 3, b"abc")]
    assert frames_in(b"".join(frame.encoded() for frame in sent)) == sent
    assert frames_in(sent[1]._replace(lie=-1).encoded())[0].payload == b"ab"
