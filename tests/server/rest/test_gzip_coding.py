from __future__ import annotations

import contextlib
import gzip
import itertools
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest import gzip_coding
from hotgraph_server.rest.gzip_coding import takes_gzip, unzipped, zipped


@given(st.lists(st.binary(), max_size=3))
def test_what_was_zipped_comes_back_in_one_member_or_several(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert gzip.decompress(zipped(whole)) == whole
    assert unzipped(b"".join(map(gzip.compress, parts)), len(whole)) == whole


@given(st.binary(min_size=1))
def test_more_than_the_limit_is_none(data: bytes) -> None:
    assert unzipped(gzip.compress(data), len(data) - 1) is None
    assert unzipped(gzip.compress(data) + gzip.compress(b"x"), len(data)) is None


def test_bomb_is_not_unzipped_to_its_end() -> None:
    assert unzipped(gzip.compress(bytes(50_000_000)), 1000) is None


@given(st.binary(min_size=1), st.data())
def test_cut_off_is_refused(data: bytes, at: st.DataObject) -> None:
    packed = gzip.compress(data)
    cut = at.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(InvalidCall, match="no gzip"):
        unzipped(packed[:cut], len(data))


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000)), st.integers(0, 9))
def test_any_split_into_members_is_read(data: bytes, cuts: list[int], level: int) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[begin:end] for begin, end in itertools.pairwise(edges)]
    packed = b"".join(gzip.compress(part, level) for part in parts)
    assert unzipped(packed, len(data)) == data == gzip.decompress(packed)
    if data:
        assert unzipped(packed, len(data) - 1) is None


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
        monkeypatch.setattr(gzip_coding, "zlib", counting)
        assert unzipped(packed * count, 10**9) == member * count
        assert counting.members == count
        given.append(counting.nbytes)
    # The last member has none behind it.
    assert given[1] <= 2 * given[0] + 1000
    # What a member does not need of the last piece is handed over again.
    assert given[1] <= 4 * 2000 * len(packed)


@given(st.binary())
def test_garbage_raises_one_type_of_error(data: bytes) -> None:
    for garbage in (data, gzip.compress(b"a") + data):
        with contextlib.suppress(InvalidCall):
            unzipped(garbage, 1000)


@pytest.mark.parametrize("accept", ["gzip", "br, GZIP;q=0.5", "gzip;q=1.0, deflate", "x-gzip"])
def test_gzip_is_taken(accept: str) -> None:
    assert takes_gzip(accept)


@pytest.mark.parametrize("accept", ["", "identity", "gzip;q=0", "gzip; q=0.000", "*", "deflate"])
def test_gzip_is_not_taken(accept: str) -> None:
    assert not takes_gzip(accept)
