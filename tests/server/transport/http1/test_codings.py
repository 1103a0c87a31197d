from __future__ import annotations

import contextlib
import gzip
import itertools
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport.http1 import codings

PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
CODINGS = st.sampled_from(sorted(PACKED))


def unpacked(data: bytes | bytearray, coding: str, most: int) -> bytes | None:
    """With what was held checked: all that was kept, and of what is too much no more than a part beside."""
    held: list[int] = []
    result = codings.unpacked(data, coding, most, held.append)
    assert result is None or sum(held) == len(result)
    assert sum(held) <= most
    return result


@given(st.lists(st.binary(), max_size=3), CODINGS)
def test_what_was_packed_comes_back(parts: list[bytes], coding: str) -> None:
    whole = b"".join(parts)
    packed = codings.packed([memoryview(part) for part in parts], coding)
    assert {"gzip": gzip, "deflate": zlib}[coding].decompress(packed) == whole
    assert unpacked(packed, coding, len(whole)) == whole
    assert unpacked(bytearray(packed), coding, len(whole)) == whole


@given(st.lists(st.binary(), min_size=1, max_size=3))
def test_gzip_may_have_several_members(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert unpacked(b"".join(map(gzip.compress, parts)), "gzip", len(whole)) == whole


@given(st.binary(min_size=1), CODINGS)
def test_more_than_the_limit_is_none(data: bytes, coding: str) -> None:
    assert unpacked(PACKED[coding](data), coding, len(data) - 1) is None
    assert unpacked(gzip.compress(data) + gzip.compress(b"x"), "gzip", len(data)) is None


@pytest.mark.parametrize("coding", PACKED)
def test_bomb_is_not_unpacked_to_its_end(coding: str) -> None:
    bomb = PACKED[coding](bytes(50_000_000))
    assert unpacked(bomb, coding, 1000) is None
    # Where nobody says how much may be made of it either: nothing that says something is packed so well.
    held: list[int] = []
    assert codings.unpacked(bomb, coding, 10**9, held.append) is None
    assert sum(held) <= codings.FREE_BYTES
    assert max(held) <= codings.PART_BYTES


@pytest.mark.parametrize("coding", PACKED)
def test_large_bodies_come_back(coding: str) -> None:
    """Whatever of them lies at the edge of a part."""
    chance = random.Random(1)
    for nbytes in (codings.PART_BYTES - 1, codings.PART_BYTES, codings.PART_BYTES + 1, 3_000_000):
        for data in (bytes(nbytes), chance.randbytes(nbytes)):
            assert unpacked(PACKED[coding](data), coding, nbytes) == data


@given(st.binary(min_size=1), st.data(), CODINGS)
def test_cut_off_is_refused(data: bytes, at: st.DataObject, coding: str) -> None:
    packed = PACKED[coding](data)
    cut = at.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(InvalidCall, match=f"no {coding}"):
        unpacked(packed[:cut], coding, len(data))


@pytest.mark.parametrize("coding", PACKED)
def test_nothing_is_not_the_packed_form_of_nothing(coding: str) -> None:
    with pytest.raises(InvalidCall, match="nothing"):
        unpacked(b"", coding, 10)


@given(st.binary(), st.binary(min_size=1))
def test_nothing_may_follow_deflate(data: bytes, behind: bytes) -> None:
    with pytest.raises(InvalidCall, match="something follows it"):
        unpacked(zlib.compress(data) + behind, "deflate", len(data))


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000)), st.integers(0, 9))
def test_any_split_into_members_is_read(data: bytes, cuts: list[int], level: int) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[begin:end] for begin, end in itertools.pairwise(edges)]
    packed = b"".join(gzip.compress(part, level) for part in parts)
    assert unpacked(packed, "gzip", len(data)) == data == gzip.decompress(packed)
    if data:
        assert unpacked(packed, "gzip", len(data) - 1) is None


class Counting:
    """Stands for zlib, and counts members and the bytes that it is given."""

    MAX_WBITS = zlib.MAX_WBITS
    error = zlib.error

    def __init__(self) -> None:
        self.members = self.nbytes = 0

    def decompressobj(self, window: int) -> Any:
        self.members += 1
        unpacker, counting = zlib.decompressobj(window), self

        class Unpacker:
            eof = property(lambda self: unpacker.eof)
            unused_data = property(lambda self: unpacker.unused_data)
            unconsumed_tail = property(lambda self: unpacker.unconsumed_tail)

            def decompress(self, piece: memoryview, most: int) -> bytes:
                counting.nbytes += len(piece)
                return unpacker.decompress(piece, most)

        return Unpacker()


@pytest.mark.parametrize("member", [b"", b"a", bytes(1000), random.Random(1).randbytes(200)])
def test_twice_the_members_take_twice_the_bytes_and_no_more(
    member: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    packed = gzip.compress(member)
    for count in (1000, 2000):
        counting = Counting()
        monkeypatch.setattr(codings, "zlib", counting)
        assert unpacked(packed * count, "gzip", 10**9) == member * count
        assert counting.members == count
        given.append(counting.nbytes)
    # The last member has none behind it.
    assert given[1] <= 2 * given[0] + 1000
    # What a member does not need of the last piece is handed over again.
    assert given[1] <= 4 * 2000 * len(packed)


@given(st.binary(), CODINGS)
def test_garbage_raises_one_type_of_error(data: bytes, coding: str) -> None:
    for garbage in (data, PACKED[coding](b"a") + data):
        with contextlib.suppress(InvalidCall):
            unpacked(garbage, coding, 1000)


def test_who_refuses_to_hold_more_ends_it() -> None:
    class Full(Exception):
        pass

    def hold(nbytes: int) -> None:
        raise Full

    with pytest.raises(Full):
        codings.unpacked(gzip.compress(b"a"), "gzip", 10, hold)


class TestKnown:
    @pytest.mark.parametrize(
        ("name", "coding"),
        [
            *(("gzip", "gzip"), (" GZip ", "gzip"), ("x-gzip", "gzip"), ("Deflate", "deflate")),
            *(("identity", ""), ("", ""), (" ", "")),
        ],
    )
    def test_names_are_read_in_either_case(self, name: str, coding: str) -> None:
        assert codings.known(name) == coding

    @pytest.mark.parametrize("name", ["br", "zstd", "gzip, gzip", "gzip;q=1", "*", "x-deflate", "x" * 10_000])
    def test_others_are_not_known(self, name: str) -> None:
        with pytest.raises(ValueError, match="is not known; gzip and deflate are") as raised:
            codings.known(name)
        assert len(str(raised.value)) < 200


class TestWanted:
    @pytest.mark.parametrize(
        ("accept", "coding"),
        [
            *(
                ("gzip", "gzip"),
                ("br, GZIP;q=0.5", "gzip"),
                ("gzip;q=1.0, deflate", "gzip"),
                ("x-gzip", "gzip"),
            ),
            *(("deflate", "deflate"), ("deflate, gzip", "deflate"), ("deflate;q=0.5, gzip", "gzip")),
            *(("gzip;Q=0.2, deflate; q=0.3", "deflate"), ("gzip , identity;q=0.5", "gzip")),
            *(("gzip;q=0.5, identity;q=0.5", "gzip"), ("identity;q=0, gzip;q=0.001", "gzip")),
        ],
    )
    def test_highest_weight_wins_and_of_equals_the_first(self, accept: str, coding: str) -> None:
        assert codings.wanted(accept) == coding

    @pytest.mark.parametrize(
        "accept",
        [
            *("", "identity", "gzip;q=0", "gzip; q=0.000", "*", "br", "gzipped", "gzip;q=nan", "gzip;q=inf"),
            *("gzip;q=-1", "gzip;q=2", "gzip;q=x", "gzip;q=", "gzip;q=0.5, identity", ",;,;q=1", "gzip gzip"),
        ],
    )
    def test_none_is_wanted(self, accept: str) -> None:
        assert codings.wanted(accept) == ""

    @given(st.text("gzipdeflat*,;q=01. "))
    def test_anything_can_be_read(self, accept: str) -> None:
        assert codings.wanted(accept) in ("", "gzip", "deflate")
