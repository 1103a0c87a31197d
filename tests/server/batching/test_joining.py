from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.joining import (
    PLAIN,
    Joining,
    compiled_buckets,
    cut,
    join,
    joining_of,
    rows_to_run,
)
from hotgraph_server.batching.padding import padding_of
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
    calls = [call([rows(*values), np.zeros(len(values))], TWO) for values in ((1,), (2, 3))]
    with pytest.raises(ValueError, match="3 rows went in, output 'z' has shape"):
        cut(calls, [rows(1, 2, 3), np.zeros(shape)])


def test_rows_of_single_row_calls_are_arrays_that_lie_in_one_piece() -> None:
    """The codec sends their memory as it is."""
    calls = [call([rows(value), np.full(1, value)], TWO) for value in range(3)]
    for value, answer in enumerate(cut(calls, [rows(0, 2, 4), np.arange(3)])):
        assert [array.tolist() for array in answer] == [[[2 * value] * 2], [value]]
        assert all(array.flags.c_contiguous for array in answer)


def test_large_joined_arrays_begin_where_tensorflow_shares_them() -> None:
    wide = signature(inputs={"x": (None, None)})
    for count in (2, 7):
        calls = [call(np.full((1, 40_001), value, np.float32), wide) for value in range(count)]
        for joining in (PLAIN, Joining(buckets=(8,))):
            (joined,) = join(calls, joining)
            assert joined.__array_interface__["data"][0] % 64 == 0
            assert joined[:count, 0].tolist() == list(range(count))


# Inputs and outputs without rows.


SCALED = signature(inputs={"x": (None, 2), "factor": ()}, outputs={"y": (None, 2), "count": ()})


def test_scalar_input_goes_in_once_and_output_without_rows_goes_to_everyone() -> None:
    joining = joining_of(SCALED)
    factor = np.array(3, np.float32)
    calls = [call([rows(1), factor], SCALED), call([rows(2, 3), factor], SCALED)]
    assert [array.tolist() for array in join(calls, joining)] == [rows(1, 2, 3).tolist(), 3]
    answers = cut(calls, [rows(4, 5, 6), np.array(7)], joining)
    assert [[array.tolist() for array in answer] for answer in answers] == [
        [rows(4).tolist(), 7],
        [rows(5, 6).tolist(), 7],
    ]


def test_signature_with_rows_everywhere_is_joined_the_plain_way() -> None:
    assert joining_of(TWO) == PLAIN
    assert joining_of(TWO).plain
    assert not joining_of(SCALED).plain


# Row buckets.


@pytest.mark.parametrize(("count", "ran"), [(1, 2), (2, 2), (3, 8), (8, 8), (9, 9)])
def test_batch_is_filled_up_to_the_next_bucket_and_not_beyond_the_last(count: int, ran: int) -> None:
    assert rows_to_run(count, Joining(buckets=(2, 8))) == ran


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_rows_that_fill_a_bucket_repeat_the_last_and_are_nobodys(counts: list[int]) -> None:
    joining = Joining(buckets=(4, 16))
    values = iter(range(1, 100))
    inputs = [rows(*(next(values) for _ in range(count))) for count in counts]
    calls = [call(array) for array in inputs]
    (joined,) = join(calls, joining)
    total = sum(counts)
    assert len(joined) == (4 if total <= 4 else 16)
    assert {float(value) for value in joined[total:, 0]} <= {float(total)}
    for array, (answer,) in zip(inputs, cut(calls, [joined], joining), strict=True):
        np.testing.assert_array_equal(answer, array)


# Padding.


TEXT = signature(inputs={"ids": (None, None)}, outputs={"y": (None, None, 2), "mean": (None,)})


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=2, max_size=5), st.booleans())
def test_what_is_padded_and_cut_back_is_what_went_in(sizes: list[tuple[int, int]], buckets: bool) -> None:
    padding = padding_of(TEXT, {"ids.1": -1}, {"y.1": "ids.1"})
    joining = joining_of(TEXT, padding, (32,) if buckets else ())
    calls = [call(np.full(size, number, np.float32), TEXT) for number, size in enumerate(sizes)]
    (joined,) = join(calls, joining)
    assert joined.shape == (32 if buckets else sum(r for r, _ in sizes), max(length for _, length in sizes))
    outputs = [np.stack([joined, joined], axis=2), joined.sum(axis=1)]
    for number, (one, answer) in enumerate(zip(calls, cut(calls, outputs, joining), strict=True)):
        count, length = sizes[number]
        assert answer[0].shape == (count, length, 2)
        assert np.all(answer[0] == number)
        assert answer[1].shape == (count,)
        assert one.rows == count


@pytest.mark.parametrize(
    ("rows", "buckets"), [(1, (1,)), (2, (1, 2)), (11, (1, 2, 4, 8, 11)), (64, (1, 2, 4, 8, 16, 32, 64))]
)
def test_buckets_of_what_compiles_are_powers_of_two_up_to_the_limit(
    rows: int, buckets: tuple[int, ...]
) -> None:
    assert compiled_buckets(rows) == buckets
