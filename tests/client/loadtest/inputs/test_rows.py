"""rows.py: calls of as many rows as are wanted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.inputs.items import InputError, InputSet, Item
from hotgraph_client.loadtest.inputs.options import Rows
from hotgraph_client.loadtest.inputs.rows import with_rows

from ..described import description

MODEL = description(("x", "INT64", (-1,)), ("scalar", "INT64", ()))


def data(*parts: range, expected: bool = False) -> InputSet:
    return InputSet(
        tuple(
            Item(
                {"x": np.array(part), "scalar": np.array(7)},
                len(part),
                {"y": np.array(part) * 2, "total": np.array(1)} if expected else None,
            )
            for part in parts
        ),
        "data",
        notes=("a note",),
    )


@given(st.integers(1, 20), st.lists(st.integers(1, 30), min_size=1, max_size=3))
def test_all_rows_are_sent_before_the_first_comes_again(length: int, counts: list[int]) -> None:
    found = with_rows(data(range(length)), MODEL, Rows(tuple(counts)), 2**30)
    for place, count in enumerate(counts):
        sent = [row for item in found.items[place :: len(counts)] for row in item.inputs["x"].tolist()]
        assert sent == [at % length for at in range(len(sent))]
        assert {item.rows for item in found.items[place :: len(counts)]} == {count}
        if count == min(counts):
            assert len(sent) >= length
    assert all(item.inputs["scalar"] == 7 for item in found.items)


def test_rows_of_several_parts_are_one_circle_and_answers_go_with_them() -> None:
    found = with_rows(data(range(3), range(3, 5), expected=True), MODEL, Rows((2,)), 2**30)
    assert [item.inputs["x"].tolist() for item in found.items] == [[0, 1], [2, 3], [4, 0]]
    # of the output without rows nobody knows what it will be
    assert [{k: v.tolist() for k, v in (item.expected or {}).items()} for item in found.items] == [
        {"y": [0, 2]},
        {"y": [4, 6]},
        {"y": [8, 0]},
    ]
    assert found.notes == ("a note",)


def test_shares_are_of_calls_and_not_of_items() -> None:
    found = with_rows(data(range(4)), MODEL, Rows((1, 4), (0.7, 0.3)), 2**30)
    assert found.weights is not None
    by_rows = {1: 0.0, 4: 0.0}
    for item, weight in zip(found.items, found.weights, strict=True):
        by_rows[item.rows] += weight / sum(found.weights)
    assert by_rows == pytest.approx({1: 0.7, 4: 0.3})


def test_memory_is_bounded() -> None:
    # 8 bytes of x in a row
    assert len(with_rows(data(range(100)), MODEL, Rows((10,)), 400).items) == 5
    with pytest.raises(InputError, match="--input-mb"):
        with_rows(data(range(100)), MODEL, Rows((1000,)), 400)


def test_what_has_no_rows_is_refused() -> None:
    with pytest.raises(InputError, match="the inputs of 'm' have no free dimension 0"):
        with_rows(data(range(3)), description(("x", "INT64", (3,))), Rows((2,)), 2**30)
    two = description(("x", "INT64", (-1,)), ("z", "INT64", (-1,)))
    unequal = InputSet((Item({"x": np.arange(3), "z": np.arange(4)}, 3),), "data")
    with pytest.raises(InputError, match="same number of rows"):
        with_rows(unequal, two, Rows((2,)), 2**30)
    wide = description(("x", "INT64", (-1, -1)))
    shapes = InputSet((Item({"x": np.zeros((1, 2))}, 1), Item({"x": np.zeros((1, 3))}, 1)), "data")
    with pytest.raises(InputError, match="rows of one shape"):
        with_rows(shapes, wide, Rows((2,)), 2**30)
