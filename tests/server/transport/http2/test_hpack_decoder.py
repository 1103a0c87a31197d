"""Reading HPACK, against the hpack library's word for it."""

from __future__ import annotations

import contextlib

import hpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotgraph_server.transport.http2.header_blocks import literal
from hotgraph_server.transport.http2.hpack_decoder import BadHeaders, FieldDecoder

MAX_LIST_BYTES = 1 << 16

NAMES = st.sampled_from([":path", ":method", "grpc-timeout", "x-trace", "te", "content-type", "x" * 900])
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200)
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=6)


def library() -> hpack.Decoder:
    decoder = hpack.Decoder(max_header_list_size=MAX_LIST_BYTES)
    decoder.max_allowed_table_size = 4096
    return decoder


def plain(fields: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


class TestFields:
    @settings(deadline=None)
    @given(st.lists(st.tuples(FIELDS, st.booleans(), st.sampled_from([None, 0, 64, 4096])), max_size=8))
    def test_blocks_in_a_row_are_read_as_they_were_written(
        self, blocks: list[tuple[list[tuple[str, str, bool]], bool, int | None]]
    ) -> None:
        """With a table that overflows, and one that changes its size."""
        encoder, ours = hpack.Encoder(), FieldDecoder(MAX_LIST_BYTES)
        for fields, huffman, size in [*blocks, *blocks]:
            if size is not None:
                encoder.header_table_size = size
            assert ours.decode(encoder.encode(fields, huffman)) == [field[:2] for field in fields]

    @settings(deadline=None, max_examples=400)
    @given(st.lists(st.binary(max_size=60), max_size=5))
    @example([b"\x40\x01a\x01b", b"\xbe", b"\x20", b"\xbe"])
    @example([b"\x40\x01a\x01b\x20", b"\xbe"])
    @example([b"\x3f\x61\x7f\x00\x01b", b"\xbe"])
    def test_what_it_reads_means_what_it_means_to_others(self, blocks: list[bytes]) -> None:
        """Whatever the bytes: the library's fields, or an error. Two ideas of the table would be one caller's
        call under another's name."""
        ours, theirs = FieldDecoder(MAX_LIST_BYTES), library()
        with contextlib.suppress(BadHeaders):
            for block in blocks:
                fields = ours.decode(block)
                assert fields == plain(list(theirs.decode(block, raw=True)))
                entries = plain(list(theirs.header_table.dynamic_entries))
                assert list(ours.dynamic_entries) == entries


class TestChanges:
    @settings(deadline=None)
    @given(FIELDS, st.booleans())
    def test_block_that_adds_a_field_changes_the_table(
        self, fields: list[tuple[str, str, bool]], huffman: bool
    ) -> None:
        """As the library has it; a field that it must never index, it does not."""
        encoder, ours, theirs = hpack.Encoder(), FieldDecoder(MAX_LIST_BYTES), library()
        block = encoder.encode(fields, huffman)
        theirs.decode(block)
        ours.decode(block)
        assert ours.changed == bool(theirs.header_table.dynamic_entries)

    def test_new_size_is_a_change_until_the_next_block(self) -> None:
        decoder = FieldDecoder(MAX_LIST_BYTES)
        decoder.decode(b"\x20")
        assert decoder.changed
        decoder.decode(b"\x88")
        assert not decoder.changed


class TestLimits:
    def test_table_keeps_no_more_than_it_may(self) -> None:
        decoder = FieldDecoder(MAX_LIST_BYTES)
        for number in range(1000):
            decoder.decode(b"\x40" + literal("name", f"{number:0100d}")[1:])
        assert sum(len(name) + len(value) + 32 for name, value in decoder.dynamic_entries) <= 4096

    def test_field_larger_than_the_table_empties_it(self) -> None:
        decoder = FieldDecoder(MAX_LIST_BYTES)
        decoder.decode(b"\x40" + literal("a", "b")[1:])
        decoder.decode(b"\x40" + literal("c", "d" * 5000)[1:])
        with pytest.raises(BadHeaders, match="no field 62"):
            decoder.decode(b"\xbe")
