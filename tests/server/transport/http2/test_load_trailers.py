"""What answers say of the server's load at their end, on the wire: grpcio's client keeps it to itself."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import QueueFull
from hotgraph_server.transport.http2.header_blocks import HeaderWriter
from hotgraph_server.transport.http2.hpack_decoder import FieldDecoder
from hotgraph_server.transport.load_trailers import LoadTrailers

from .host import StillHost, finish
from .peer import prefixed

ASKS = "x-load-format"
ASKED = ((ASKS, "bin"),)
REPORT = bytes(range(10))
ON_THE_WIRE = base64.b64encode(REPORT).rstrip(b"=").decode()


class Load:
    """Tells each call of what it has asked for."""

    def __init__(self, *, always: bool = False) -> None:
        self.asked: list[str] = []
        self.trailers = LoadTrailers(ASKS, self._of, always=always)

    def _of(self, asked: str) -> tuple[str, str | bytes] | None:
        self.asked.append(asked)
        return None if asked == "nonsense" else ("x-load-bin", REPORT)


@pytest.fixture
def load() -> Load:
    return Load()


@pytest.fixture
def host(load: Load) -> StillHost:
    host = StillHost()
    host.load = load.trailers
    return host


def test_answer_to_a_call_that_asks_ends_with_the_report(host: StillHost) -> None:
    number = host.request(prefixed(b"a"), more=ASKED)
    finish(host.seen[0][1])
    answer = host.answer(number)
    assert (answer.status, answer.trailers["x-load-bin"]) == (0, ON_THE_WIRE)
    assert not answer.trailers_only


def test_call_that_does_not_ask_is_answered_as_ever_and_no_report_is_made(
    host: StillHost, load: Load
) -> None:
    number = host.request(prefixed(b"a"))
    finish(host.seen[0][1])
    assert "x-load-bin" not in host.answer(number).trailers
    assert load.asked == []


def test_every_call_is_told_where_all_shall_be() -> None:
    host, load = StillHost(), Load(always=True)
    host.load = load.trailers
    number = host.request(prefixed(b"a"))
    finish(host.seen[0][1])
    assert host.answer(number).trailers["x-load-bin"] == ON_THE_WIRE
    assert load.asked == [""]


def test_answer_that_waits_for_its_callers_windows_has_it_behind_the_last_byte(load: Load) -> None:
    host = StillHost(window=10)
    host.load = load.trailers
    number = host.request(prefixed(b"a"), more=ASKED)
    finish(host.seen[0][1], b"x" * 1000)
    assert not host.answer(number).trailers
    host.client.h2.increment_flow_control_window(10_000, number)
    host.exchange()
    answer = host.answer(number)
    assert answer.messages == [b"x" * 1000]
    assert answer.trailers["x-load-bin"] == ON_THE_WIRE


def test_refusal_has_it_in_its_one_block(host: StillHost) -> None:
    """A balancer that heard nothing of those that are refused would send the more."""
    host.error = QueueFull("the server", 1, 1)
    answer = host.answer(host.request(prefixed(b"a"), more=ASKED))
    assert answer.trailers_only
    assert (answer.status, answer.headers["x-load-bin"]) == (8, ON_THE_WIRE)


def test_stream_has_it_at_its_end(load: Load) -> None:
    host = StillHost("stream")
    host.load = load.trailers
    number = host.request(prefixed(b"a"), more=ASKED)
    (stream,) = host.opened
    stream.send(b"one")
    host.deliver()
    assert load.asked == []
    stream.end()
    assert host.answer(number).trailers["x-load-bin"] == ON_THE_WIRE


def test_call_that_asks_for_nonsense_is_answered_all_the_same(host: StillHost) -> None:
    number = host.request(prefixed(b"a"), more=((ASKS, "nonsense"),))
    finish(host.seen[0][1])
    answer = host.answer(number)
    assert answer.status == 0
    assert "x-load-bin" not in answer.trailers


@given(st.binary(max_size=300) | st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=300))
def test_any_report_is_one_field_that_another_reader_reads(value: str | bytes) -> None:
    fields = FieldDecoder(1 << 16).decode(HeaderWriter.trailer("x-load-bin", value))
    ((name, found),) = fields
    assert name == "x-load-bin"
    if isinstance(value, bytes):
        assert base64.b64decode(found + "=" * (-len(found) % 4)) == value
    else:
        assert found == value
