"""Messages out of a stream's bytes."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, Unsupported
from hotgraph_server.transport.http2.messages import (
    BrokenMessage,
    MessageReader,
    MessageTooLarge,
    prefix,
    unpacked,
)

from .peer import every, pieces, prefixed

LIMIT = 1000

MESSAGES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=5)


def read(parts: list[bytes], limit: int = LIMIT) -> list[tuple[int, bytes]]:
    """All messages; the memory of each part is another's once it was fed."""
    reader, found = MessageReader(limit), []
    for part in parts:
        buffer = bytearray(part)
        found += reader.feed(memoryview(buffer))
        buffer[:] = b"\xee" * len(buffer)
    assert reader.between_messages
    return [(flag, bytes(message)) for flag, message in found]


@settings(deadline=None)
@given(MESSAGES, st.lists(st.integers(0, 400)))
def test_messages_are_the_same_however_they_were_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    wire = b"".join(prefixed(message, flag) for flag, message in sent)
    assert read([wire]) == read(every(1, wire)) == read(pieces(wire, cuts)) == sent


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_are_messages_or_too_large(wire: bytes, cuts: list[int]) -> None:
    reader = MessageReader(LIMIT)
    with contextlib.suppress(MessageTooLarge):
        for part in pieces(wire, cuts):
            reader.feed(memoryview(part))


def test_message_may_end_only_where_it_is_complete() -> None:
    reader = MessageReader(LIMIT)
    for byte in prefixed(b"ab"):
        assert reader.feed(memoryview(bytes((byte,)))) == ([(0, b"ab")] if byte == ord("b") else [])
        assert reader.between_messages == (byte == ord("b"))


def test_message_of_the_limit_is_taken_and_of_one_more_refused() -> None:
    assert read([prefixed(bytes(LIMIT))]) == [(0, bytes(LIMIT))]
    with pytest.raises(
        MessageTooLarge, match=r"Received message larger than max \(1001 vs. 1000\)"
    ) as raised:
        read([prefixed(bytes(LIMIT + 1))[:5]])
    assert raised.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_messages_are_the_callers_own() -> None:
    """Nobody else keeps or changes them, so arrays may be made on them."""
    reader = MessageReader(LIMIT)
    first, second = (message for _, message in reader.feed(memoryview(prefixed(b"one") + prefixed(b"two"))))
    assert isinstance(first, bytearray)
    first[:] = b"***"
    assert [bytes(first), bytes(second)] == [b"***", b"two"]
    assert reader.feed(memoryview(prefixed(b"three"))) == [(0, b"three")]


def test_length_that_lies_takes_no_memory() -> None:
    reader = MessageReader(2**31)
    tracemalloc.start()
    try:
        reader.feed(memoryview((b"\0" + (2**30).to_bytes(4, "big")) + b"all there is"))
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_prefix_says_the_length() -> None:
    assert prefix(258) == b"\0\0\0\1\2"


PACK: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress}


class TestCompression:
    @pytest.mark.parametrize("encoding", PACK)
    @settings(deadline=None)
    @given(message=st.binary(max_size=LIMIT))
    def test_packed_message_is_unpacked(self, encoding: str, message: bytes) -> None:
        assert unpacked(1, PACK[encoding](message), encoding, LIMIT) == message

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", "snappy"])
    def test_message_that_says_that_it_is_plain_is_plain(self, encoding: str) -> None:
        assert unpacked(0, b"plain", encoding, LIMIT) == b"plain"

    @pytest.mark.parametrize("encoding", PACK)
    def test_bomb_is_not_inflated_beyond_the_limit(self, encoding: str) -> None:
        bomb = PACK[encoding](bytes(200 * 2**20))
        assert len(bomb) < 2**18
        tracemalloc.start()
        try:
            with pytest.raises(MessageTooLarge) as raised:
                unpacked(1, bomb, encoding, 2**20)
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()
        assert raised.value.limit == 2**20 < raised.value.size

    def test_message_so_regular_that_little_makes_much_is_refused(self) -> None:
        """One that is a hundred times as long is fine; what is small may be as regular as it likes."""
        limit = 2**30
        assert unpacked(1, zlib.compress(bytes(16 * 2**20)), "deflate", limit) == bytes(16 * 2**20)
        bomb = zlib.compress(bytes(64 * 2**20), 9)
        with pytest.raises(BrokenMessage, match=r"inflates to more than \d+: send it uncompressed"):
            unpacked(1, bomb, "deflate", limit)

    def test_each_part_is_told_before_it_is_inflated(self) -> None:
        room = [3 * 2**20]

        def take(nbytes: int) -> None:
            room[0] -= nbytes
            if room[0] < 0:
                raise MemoryError

        packed = zlib.compress(bytes(10 * 2**20))
        tracemalloc.start()
        try:
            with pytest.raises(MemoryError):
                unpacked(1, packed, "deflate", 2**30, take)
            assert tracemalloc.get_traced_memory()[1] < 9 * 2**20
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        ("flag", "message", "encoding", "kind", "says"),
        [
            (1, b"x", "identity", BrokenMessage, "says that it is compressed, and the call that none is"),
            (2, b"x", "gzip", BrokenMessage, "flag is 2, which must be 0 or 1"),
            (255, b"", "identity", BrokenMessage, "flag is 255"),
            (1, b"x", "snappy", Unsupported, "cannot decompress 'snappy'"),
            (1, b"no gzip", "gzip", BrokenMessage, "does not decompress"),
            (1, b"", "gzip", BrokenMessage, "ends in the middle of its compressed bytes"),
            (1, gzip.compress(b"cut off", mtime=0)[:-1], "gzip", BrokenMessage, "ends in the middle"),
            (1, gzip.compress(b"x", mtime=0), "deflate", BrokenMessage, "does not decompress"),
            (1, gzip.compress(b"x", mtime=0) + b"y", "gzip", BrokenMessage, "something follows"),
        ],
    )
    def test_what_cannot_be_unpacked_is_refused(
        self, flag: int, message: bytes, encoding: str, kind: type[CallError], says: str
    ) -> None:
        with pytest.raises(kind, match=says):
            unpacked(flag, message, encoding, LIMIT)

    @settings(deadline=None)
    @given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate"]))
    def test_any_bytes_are_unpacked_or_refused(self, message: bytes, encoding: str) -> None:
        with contextlib.suppress(BrokenMessage, MessageTooLarge):
            unpacked(1, message, encoding, LIMIT)
