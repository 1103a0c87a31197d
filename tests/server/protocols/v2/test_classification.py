"""The classification extension: strings for the largest values of each row."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hotgraph_server.protocols.v2.classification import can_be_classified, classify


def texts(array: Any) -> Any:
    return np.vectorize(bytes.decode, otypes=[object])(array).tolist()


def test_largest_values_come_first_with_their_index_and_six_decimals() -> None:
    array = np.array([[0.1, 15.34623, -2], [7, 8, 9]], np.float32)
    assert texts(classify(array, 2, batched=True)) == [
        ["15.346230:1", "0.100000:0"],
        ["9.000000:2", "8.000000:1"],
    ]


def test_labels_stand_behind_the_index_as_far_as_they_go() -> None:
    array = np.array([[1, 3, 2]], np.int64)
    assert texts(classify(array, 3, ("cat", "COFFEE MUG"), batched=True)) == [
        ["3:1:COFFEE MUG", "2:2", "1:0:cat"]
    ]


def test_more_classes_than_there_are_means_all() -> None:
    assert classify(np.zeros((2, 3)), 100, batched=True).shape == (2, 3)


def test_without_rows_the_whole_array_is_one_row() -> None:
    assert texts(classify(np.array([[1, 4], [3, 2]], np.uint8), 2, batched=False)) == ["4:1", "3:2"]
    assert texts(classify(np.full((), 2, np.float32), 1, batched=True)) == ["2.000000:0"]


def test_inner_dimensions_count_as_one() -> None:
    array = np.arange(8, dtype=np.int32).reshape(2, 2, 2)
    assert texts(classify(array, 1, batched=True)) == [["3:3"], ["7:3"]]


def test_equal_values_come_in_order_and_what_is_no_number_last() -> None:
    array = np.array([[np.nan, 1, 2, 2, -np.inf]], np.float64)
    assert texts(classify(array, 5, batched=True)) == [
        ["2.000000:2", "2.000000:3", "1.000000:1", "-inf:4", "nan:0"]
    ]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_choose_from(shape: tuple[int, int]) -> None:
    assert classify(np.zeros(shape, np.float32), 2, batched=True).shape == (shape[0], 0)
    assert classify(np.zeros(shape, np.float32), 2, batched=False).shape == (0,)


NUMBERS = [*(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)), *map(np.dtype, "efd?")]


@given(st.data(), st.sampled_from([*NUMBERS, np.dtype(ml_dtypes.bfloat16)]))
def test_any_numbers_are_ordered_as_they_are_large(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    assert can_be_classified(dtype)
    bits = dtype if dtype == np.bool_ else np.dtype(f"u{dtype.itemsize}")
    array = data.draw(hnp.arrays(bits, st.tuples(st.integers(1, 3), st.integers(1, 6)))).view(dtype)
    classes = data.draw(st.integers(1, 8))
    found = classify(array, classes, batched=True)
    assert found.shape == (len(array), min(classes, array.shape[1]))
    for row, values in zip(found, array, strict=True):
        chosen = [int(text.split(b":")[1]) for text in row]
        assert len(set(chosen)) == len(chosen)
        exact = [value.item() if dtype.kind in "biu" else float(value) for value in values]
        order = sorted(range(len(exact)), key=lambda i: (exact[i] != exact[i], -exact[i], i))
        if all(value == value for value in exact):
            assert chosen == order[:classes]


@pytest.mark.parametrize("dtype", [object, np.complex64])
def test_what_has_no_order_cannot_be_classified(dtype: Any) -> None:
    assert not can_be_classified(np.dtype(dtype))
