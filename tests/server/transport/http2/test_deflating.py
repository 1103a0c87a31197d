"""Answers compressed where their callers can read them so."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.transport.http2 import deflating
from hotgraph_server.transport.http2.deflating import (
    LEVELS,
    MAX_WAITING_BYTES,
    Deflated,
    Deflater,
    deflated,
    encoding_for,
)
from hotgraph_server.transport.http2.messages import unpacked
from hotgraph_server.transport.service import Answered

UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


class AStream:
    """What of a stream a deflater looks at."""

    def __init__(self, accepts: str | None = "identity, deflate, gzip") -> None:
        self.open = True
        self.head = self
        self.fields = {} if accepts is None else {"grpc-accept-encoding": accepts}


class Waiting:
    """A deflater whose thread is the test."""

    def __init__(self, least_bytes: int = 10) -> None:
        self.work: list[Callable[[], None]] = []
        self.deflater = Deflater(1, least_bytes, self.work.append)
        self.done: list[Deflated] = []

    def defer(self, answer: Answered, stream: Any = None) -> bool:
        given: Any = stream or AStream()
        return self.deflater.defer(given, answer, self.done.append)

    def run(self) -> list[Deflated]:
        while self.work:
            self.work.pop(0)()
        return self.done


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [
        ("identity, deflate, gzip", "gzip"),
        ("identity,deflate,gzip", "gzip"),
        ("deflate", "deflate"),
        ("identity, snappy, deflate", "deflate"),
        ("identity", ""),
        ("", ""),
        ("snappy,zstd", ""),
        ("GZIP", ""),
        ("gzip;q=0", ""),
        (",,, ,", ""),
        ("gzip" + " " * 300, ""),
    ],
)
def test_gzip_is_taken_where_it_is_accepted_and_deflate_where_that_is_all(
    accepts: str, encoding: str
) -> None:
    assert encoding_for(accepts) == encoding


def test_long_list_of_encodings_is_not_read() -> None:
    """Nor kept, as shorter ones are for the next call."""
    deflating.first_known.cache_clear()
    assert encoding_for(",".join(f"x{number}" for number in range(4000)) + ",gzip") == ""
    assert deflating.first_known.cache_info().currsize == 0
    for number in range(1000):
        assert encoding_for(f"x{number},gzip") == "gzip"
    assert deflating.first_known.cache_info().currsize <= 64


@pytest.mark.parametrize("encoding", UNPACK)
@pytest.mark.parametrize("level", LEVELS.values())
def test_answer_is_the_same_when_it_is_unpacked(encoding: str, level: int) -> None:
    whole = b"again and again " * 100_000
    for answer in (
        whole,
        bytearray(whole),
        [memoryview(whole)[:5], memoryview(whole)[5:5], memoryview(whole)[5:]],
    ):
        made = deflated(answer, encoding, level, lambda: True)
        assert made is not None
        assert len(made) < len(whole) // 10
        assert UNPACK[encoding](made) == unpacked(1, made, encoding, len(whole)) == whole


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5), st.sampled_from(sorted(UNPACK)))
def test_any_answer_becomes_smaller_or_is_none(parts: list[bytes], encoding: str) -> None:
    whole = b"".join(parts)
    made = deflated([memoryview(part) for part in parts], encoding, 1, lambda: True)
    assert made is None or (len(made) < len(whole) and UNPACK[encoding](made) == whole)


def test_answer_that_does_not_become_smaller_is_none_before_all_of_it_was_tried() -> None:
    noise = random.Random(7).randbytes(3_000_000)
    assert deflated(noise, "gzip", 1, lambda: True) is None
    assert deflated(b"", "gzip", 1, lambda: True) is None
    assert deflated(b"short", "gzip", 1, lambda: True) is None


def test_work_ends_once_nobody_wants_the_answer() -> None:
    wanted = [True, True, False]
    assert deflated(bytes(10_000_000), "gzip", 1, lambda: wanted.pop(0)) is None
    assert wanted == []


class TestDeflater:
    @pytest.mark.parametrize(
        ("accepts", "size"),
        [(None, 1000), ("identity", 1000), ("gzip", 9), ("gzip", 0), ("x" * 10_000, 1000)],
    )
    def test_others_are_sent_as_they_are(self, accepts: str | None, size: int) -> None:
        waiting = Waiting(10)
        assert not waiting.defer(bytes(size), AStream(accepts))
        assert waiting.work == []

    def test_answer_comes_back_compressed(self) -> None:
        waiting = Waiting()
        assert waiting.defer([memoryview(bytes(5)), memoryview(bytes(995))])
        ((made, encoding),) = waiting.run()
        assert encoding == "gzip"
        assert gzip.decompress(made) == bytes(1000)  # type: ignore[arg-type]

    def test_answer_that_does_not_become_smaller_comes_back_as_it_was(self) -> None:
        waiting = Waiting()
        noise = random.Random(7).randbytes(1000)
        assert waiting.defer(noise)
        assert waiting.run() == [(noise, "")]

    def test_answer_that_cannot_be_compressed_comes_back_as_it_was(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> bytes:
            raise MemoryError

        monkeypatch.setattr(deflating, "deflated", broken)
        waiting = Waiting()
        assert waiting.defer(bytes(1000))
        assert waiting.run() == [(bytes(1000), "")]

    def test_nothing_is_compressed_for_a_caller_who_has_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream, waiting = AStream(), Waiting()
        assert waiting.defer(bytes(1000), stream)
        stream.open = False
        assert waiting.run() == [(bytes(1000), "")]

    def test_what_waits_has_an_edge_and_what_is_beyond_is_sent_as_it_is(self) -> None:
        waiting = Waiting()
        half = bytes(MAX_WAITING_BYTES // 2)
        assert [waiting.defer(half) for _ in range(3)] == [True, True, False]
        waiting.run()
        assert waiting.defer(bytes(2 * MAX_WAITING_BYTES)), "alone it may be larger"
        assert not waiting.defer(half)
        waiting.run()
        assert waiting.defer(half)
