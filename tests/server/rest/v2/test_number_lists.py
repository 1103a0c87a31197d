from __future__ import annotations

import threading
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos.tensors import dtype_of
from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2.number_lists import NumberLists
from hotgraph_server.rest.v2.values import flat, read_values
from hotgraph_server.tensors import Array

DATATYPES = (
    *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    *("FP16", "BF16", "FP32", "FP64", "BOOL", "BYTES"),
)
LISTS = NumberLists()

EDGES = [
    *(
        sign * 2**bits + more
        for bits in (7, 8, 15, 16, 31, 32, 53, 63, 64)
        for sign in (1, -1)
        for more in (-1, 0, 1)
    ),
    *(3.4028235e38, -3.4028235e38, 3.5e38, 1e308, 5e-324, 1e-46, 65504.0, 65520.0, 0.1, -0.0),
]
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(EDGES), st.integers(-300, 300), st.floats(allow_nan=False, allow_infinity=False)
    )
    | st.sampled_from([True, None, "1", "NaN", {"b64": "eA=="}]),
    lambda inner: st.lists(inner, max_size=4),
)


def read(text: bytes, datatype: str) -> Array | None:
    return LISTS.read(memoryview(text), datatype)


@given(st.lists(VALUES, max_size=6), st.sampled_from(DATATYPES))
def test_what_is_read_is_what_the_other_way_reads(data: list[Any], datatype: str) -> None:
    try:
        text = orjson.dumps(data)
    except TypeError:  # more than 64 bits
        text = repr(data).replace("'", '"').replace("True", "true").replace("None", "null").encode()
    found = read(text, datatype)
    if found is None:
        return
    expected = read_values(flat(orjson.loads(text), ""), datatype, "")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "datatype", [one for one in DATATYPES if one not in ("FP16", "BF16", "BOOL", "BYTES")]
)
def test_plain_numbers_are_read_at_any_nesting(datatype: str) -> None:
    for text in (b"[1, 2, 3]", b"[[1], [2, 3]]", b"[[[1]], [2], 3]", b" [1,2,3] "):
        found = read(text, datatype)
        assert found is not None
        assert found.dtype == dtype_of(datatype)
        assert found.tolist() == [1, 2, 3]
    empty = read(b"[]", datatype)
    assert empty is not None
    assert (empty.dtype, len(empty)) == (dtype_of(datatype), 0)


@pytest.mark.parametrize(
    ("text", "datatype"),
    [
        *(
            (text, "FP32")
            for text in (b"5", b"{}", b"", b"[1", b"[1] 2", b"[NaN]", b"[true]", b'["1"]', b"[null]")
        ),
        (b"[" * 100_000, "FP32"),
        (b"[3.5e38]", "FP32"),
        (b"[1.0]", "INT32"),
        (b"[128]", "INT8"),
        (b"[-1]", "UINT8"),
        (b"[18446744073709551616]", "UINT64"),
        (b"[\xff]", "FP32"),
    ],
)
def test_everything_else_is_for_the_other_way(text: bytes, datatype: str) -> None:
    assert read(text, datatype) is None
    assert read(b"[1]", "FP32") is not None


def test_threads_do_not_share_what_is_read_into() -> None:
    texts = [orjson.dumps([number] * 2000) for number in range(4)]
    wrong: list[int] = []

    def again_and_again(number: int) -> None:
        for _ in range(50):
            found = read(texts[number], "INT32")
            if found is None or set(found.tolist()) != {number}:
                wrong.append(number)

    threads = [threading.Thread(target=again_and_again, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_was_read_stays_when_the_next_is_read() -> None:
    first = read(b"[1.5, 2.5]", "FP64")
    read(b"[9.5, 9.5]", "FP64")
    assert first is not None
    assert first.tolist() == [1.5, 2.5]


def test_the_other_way_says_what_is_wrong() -> None:
    with pytest.raises(InvalidCall, match=r"3\.5e\+38"):
        read_values(flat([3.5e38], "inputs[0]"), "FP32", "inputs[0]")
