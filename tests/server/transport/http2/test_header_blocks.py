"""Header blocks, against the hpack library's word for them."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
import weakref
from typing import Any
from urllib.parse import unquote_to_bytes

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.transport.http2.header_blocks import (
    HARD_HEADER_LIST_BYTES,
    MAX_HEADER_LIST_BYTES,
    Head,
    HeaderReader,
    HeaderWriter,
    head_of,
    literal,
    percent_encoded,
)
from hotgraph_server.transport.http2.hpack_decoder import BadHeaders

from .peer import REQUEST, decoded, request_block

NAMES = st.sampled_from(
    [":path", "grpc-timeout", "grpc-encoding", "x-trace", "te", "content-type", "user-agent"]
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


class TestHeads:
    def test_request_says_its_path_and_no_deadline(self) -> None:
        assert head_of(REQUEST) == Head("/test.Toys/Echo", math.inf, "identity", 200)

    @pytest.mark.parametrize(
        ("timeout", "seconds"),
        [
            ("1H", 3600.0),
            ("2M", 120.0),
            ("3S", 3.0),
            ("4m", 0.004),
            ("5u", 5e-6),
            ("6n", 6e-9),
            ("0n", 0.0),
            ("99999999H", 99999999 * 3600.0),
        ],
    )
    def test_timeout_has_units(self, timeout: str, seconds: float) -> None:
        head = head_of([*REQUEST, ("grpc-timeout", timeout)])
        assert head.timeout_s == pytest.approx(seconds)
        assert head.http_status == 200

    @pytest.mark.parametrize(
        "timeout", ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", " 1S", "1S ", "\u0661S"]
    )
    def test_timeout_that_is_none_is_refused(self, timeout: str) -> None:
        assert head_of([*REQUEST, ("grpc-timeout", timeout)]).http_status == 400

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            ("application/grpc", 200),
            ("application/grpc+proto", 200),
            ("application/grpc;charset=utf-8", 200),
            ("Application/gRPC", 200),
            ("application/grpc-web+proto", 415),
            ("application/grpcx", 415),
            ("application/json", 415),
            ("", 415),
        ],
    )
    def test_only_grpc_is_grpc(self, kind: str, status: int) -> None:
        assert head_of([*REQUEST, ("content-type", kind)]).http_status == status

    @pytest.mark.parametrize("method", ["GET", "OPTIONS", "post"])
    def test_only_post_is_a_call(self, method: str) -> None:
        assert head_of([*REQUEST, (":method", method)]).http_status == 405


LITERALS = b"".join(literal(name, value) for name, value in REQUEST)
"""A request that changes no table."""


class TestReading:
    @settings(deadline=None)
    @given(st.lists(st.tuples(FIELDS, st.booleans(), st.sampled_from([None, 0, 64, 4096])), max_size=8))
    def test_blocks_in_a_row_are_read_as_they_were_written(
        self, blocks: list[tuple[list[tuple[str, str]], bool, int | None]]
    ) -> None:
        """With tables that change, and blocks that come again."""
        encoder, reader = hpack.Encoder(), HeaderReader()
        for fields, huffman, size in [*blocks, *blocks]:
            if size is not None:
                encoder.header_table_size = size
            head = reader.read(encoder.encode([*REQUEST, *fields], huffman))
            assert head.fault or head == head_of([*REQUEST, *fields])

    def test_block_that_comes_again_means_what_the_table_says_then(self) -> None:
        reader = HeaderReader()
        block = LITERALS + b"\xbe"
        reader.read(b"\x40" + literal("grpc-encoding", "gzip")[1:])
        assert reader.read(block).encoding == reader.read(block).encoding == "gzip"
        reader.read(b"\x40" + literal("grpc-encoding", "deflate")[1:])
        assert reader.read(block).encoding == "deflate"

    def test_more_different_blocks_than_are_remembered_are_read(self) -> None:
        reader = HeaderReader()
        heads: list[weakref.ref[Head]] = []
        for _ in range(2):
            for number in range(1000):
                block = LITERALS + literal("grpc-timeout", f"{number}S")
                heads.append(weakref.ref(reader.read(block)))
                head = heads[-1]()
                assert head is not None
                assert head.timeout_s == number
        del head
        assert 1 <= sum(head() is not None for head in heads) <= 128

    def test_fields_of_a_callers_own_may_hold_any_bytes(self) -> None:
        """A proxy sends many callers' calls through one connection, which must not end for one of them."""
        block = request_block() + literal("x-name", bytes(range(0x80, 0x100)))
        assert HeaderReader().read(block) == head_of(REQUEST)

    @pytest.mark.parametrize(
        "block",
        [
            pytest.param(b"\x80", id="index zero"),
            pytest.param(b"\xff\x80\x01", id="index beyond the table"),
            pytest.param(b"\xff", id="ends in a number"),
            pytest.param(b"\x00\x05ab", id="ends in a name"),
            pytest.param(b"\x00\x01a", id="ends before the value"),
            pytest.param(b"\x00\x81\xff\x01a", id="no Huffman code"),
            pytest.param(b"\x3f\xe2\x1f", id="a table larger than we allow"),
            pytest.param(b"\x88\x20", id="a new size behind a field"),
            pytest.param(b"\xff" + b"\x80" * 20 + b"\x01", id="a number without end"),
            pytest.param(b"\x00\x7f" + b"\x80" * 9 + b"\x00", id="a length that is longer than it says"),
        ],
    )
    def test_what_is_no_block_is_told(self, block: bytes) -> None:
        with pytest.raises(BadHeaders):
            HeaderReader().read(block)

    def test_list_of_headers_has_a_limit(self) -> None:
        reader = HeaderReader()
        room = HARD_HEADER_LIST_BYTES - 32 - 1
        reader.read(literal("a", "x" * room))
        with pytest.raises(BadHeaders, match="more than"):
            reader.read(literal("a", "x" * (room + 1)))

    def test_headers_that_are_too_large_for_a_call_are_told_and_the_table_goes_on(self) -> None:
        reader, limit = HeaderReader(), MAX_HEADER_LIST_BYTES
        size = sum(len(name) + len(value) + 32 for name, value in REQUEST)
        assert reader.read(LITERALS + literal("a", "x" * (limit - 33 - size))).too_large == 0
        # The last field is added to the table.
        large = reader.read(LITERALS + literal("a", "x" * limit) + b"\x40" + literal("b", "y")[1:])
        assert (large.too_large, large.fields) == (size + limit + 33 + 34, {})
        assert reader.read(LITERALS + b"\xbe").fields == {**dict(REQUEST), "b": "y"}

    def test_bomb_of_references_is_not_unfolded(self) -> None:
        """One byte for each 4 kB: 16 kB of them would be 64 MB."""
        reader = HeaderReader()
        reader.read(b"\x40" + literal("a", "x" * 4000)[1:])
        tracemalloc.start()
        try:
            with pytest.raises(BadHeaders, match="more than"):
                reader.read(b"\xbe" * HARD_HEADER_LIST_BYTES)
            assert tracemalloc.get_traced_memory()[1] < 100_000
        finally:
            tracemalloc.stop()

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=60), max_size=4))
    def test_any_bytes_are_read_or_told(self, blocks: list[bytes]) -> None:
        reader = HeaderReader()
        with contextlib.suppress(BadHeaders):
            for block in blocks:
                reader.read(block)


STEPS = st.one_of(
    st.just(("answer",)),
    st.just(("begin",)),
    st.tuples(st.just("error"), st.integers(0, 16), st.text(max_size=10)),
    st.tuples(st.just("trailers"), st.integers(0, 16), st.text(max_size=10)),
    st.tuples(st.just("http"), st.sampled_from([400, 405, 415])),
    st.tuples(st.just("table"), st.sampled_from([0, 1, 100, 4095, 4096, 65536])),
)


class TestWriting:
    @settings(deadline=None)
    @given(st.lists(STEPS, max_size=15))
    def test_blocks_in_any_order_are_read_as_meant(self, steps: list[Any]) -> None:
        """With a reader that insists on hearing of a table that it shrank."""
        writer, reader = HeaderWriter(), hpack.Decoder()

        def read(block: bytes) -> dict[str, str]:
            return decoded(list(reader.decode(writer.take_due() + block)))

        for step, *arguments in steps:
            if step == "table":
                reader.max_allowed_table_size = arguments[0]
                writer.peer_table(arguments[0])
            elif step in ("answer", "begin"):
                assert read(writer.begin) == {
                    ":status": "200",
                    "content-type": "application/grpc",
                    "grpc-accept-encoding": "identity,deflate,gzip",
                }
                writer.begun()
                if step == "answer":
                    assert read(writer.end) == {"grpc-status": "0"}
            elif step == "http":
                assert read(writer.http_error(arguments[0])) == {":status": str(arguments[0])}
            else:
                block = getattr(writer, step)(*arguments, trailers=(("grpc-retry-pushback-ms", "5"),))
                fields = read(block)
                if step == "error":
                    assert fields.pop(":status") == "200"
                    assert fields.pop("content-type") == "application/grpc"
                assert fields.pop("grpc-status") == str(arguments[0])
                assert fields.pop("grpc-retry-pushback-ms") == "5"
                text = fields.pop("grpc-message", "")
                assert unquote_to_bytes(text) == arguments[1].encode()
                assert not fields

    def test_answers_after_the_first_are_three_bytes(self) -> None:
        writer = HeaderWriter()
        writer.begun()
        assert len(writer.begin) == 3

    @settings(deadline=None)
    @given(st.text(st.characters(codec="utf-8")))
    def test_texts_are_printable_on_the_wire(self, text: str) -> None:
        sent = percent_encoded(text)
        assert all(0x20 <= byte <= 0x7E for byte in sent)
        assert unquote_to_bytes(sent) == text.encode()

    @settings(deadline=None)
    @given(st.binary(max_size=40_000))
    def test_literals_of_any_length_are_read(self, value: bytes) -> None:
        ((name, read),) = hpack.Decoder(2**20).decode(literal("x", value), raw=True)
        assert (name, read) == (b"x", value)

    @pytest.mark.parametrize("length", [0, 126, 127, 128, 254, 255, 16_510, 16_511])
    def test_lengths_around_the_edges_of_their_encoding_are_read(self, length: int) -> None:
        ((_, read),) = hpack.Decoder(2**20).decode(literal("x", "v" * length), raw=True)
        assert len(read) == length
