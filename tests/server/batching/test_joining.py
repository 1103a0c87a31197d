from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.joining import cut, join
from hotgraph_server.tensors import STRING, Array

from ..fakes import call, rows, signature

TWO = signature(inputs={"a": (None, 2), "b": (None,)}, outputs={"y": (None, 2), "z": (None,)})


def test_only_call_is_run_as_it_is_without_a_copy() -> None:
    arrays: list[Array] = [rows(1, 2), np.zeros(())]
    one = call(arrays, TWO)
    joined = join([one])
    assert [array is own for array, own in zip(joined, arrays, strict=True)] == [True, True]
    outputs = [np.zeros(()), np.zeros((7, 7))]
    assert cut([one], outputs) == [outputs]


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6))
def test_what_is_joined_and_cut_is_what_went_in_and_each_call_gets_its_own_rows(counts: list[int]) -> None:
    calls = [
        call([rows(*range(count)) + 10 * number, np.full(count, number, np.int32)], TWO)
        for number, count in enumerate(counts)
    ]
    joined = join(calls)
    assert [array.shape for array in joined] == [(sum(counts), 2), (sum(counts),)]
    for one, answer in zip(calls, cut(calls, joined), strict=True):
        for array, own in zip(answer, one.inputs, strict=True):
            np.testing.assert_array_equal(array, own)
            assert array.dtype == own.dtype


def test_strings_are_joined_and_cut_by_rows() -> None:
    words = signature(inputs={"x": (None,)}, outputs={"y": (None,)}, dtype=STRING)
    calls = [call(np.array(text, STRING), words) for text in ([b"a", b"b\0"], [b""])]
    (joined,) = join(calls)
    assert joined.tolist() == [b"a", b"b\0", b""]
    assert [answer[0].tolist() for answer in cut(calls, [joined])] == [[b"a", b"b\0"], [b""]]


def test_rows_of_an_answer_are_views_and_no_copies() -> None:
    output = rows(1, 2, 3)
    answers = cut([call(rows(1)), call(rows(2, 3))], [output])
    assert all(answer[0].base is output for answer in answers)


@pytest.mark.parametrize("shape", [(), (2, 2), (4, 2), (0,)])
def test_output_without_the_rows_that_went_in_is_nobodys(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="3 rows went in"):
        cut([call(rows(1)), call(rows(2, 3))], [rows(1, 2, 3), np.zeros(shape)])
