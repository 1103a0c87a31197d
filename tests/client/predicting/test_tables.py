"""tables.py: tables as inputs."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.predicting.tables import inputs_of_table, read_table

FEATURES = [TensorMetadata("x", "FP32", (-1, 2))]
PEOPLE = [
    TensorMetadata("age", "INT64", (-1,)),
    TensorMetadata("name", "BYTES", (-1, 1)),
    TensorMetadata("member", "BOOL", (-1,)),
]


def read(text: str, tensors: list[TensorMetadata]) -> dict[str, Any]:
    arrays, _ = inputs_of_table(read_table(text, "t.csv"), tensors, "t.csv")
    return {name: (array.dtype.name, array.tolist()) for name, array in arrays.items()}


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n",
        "\ufeffa,b\n1,2\n3,4\n".lstrip("\ufeff"),
        "a;b\r\n1;2\r\n3;4\r\n",
        "a\tb\n1\t2\n3\t4",
        '"a","b"\n"1", 2\n\n3,4\n',
        "1,2\n3,4\n",
    ],
)
def test_columns_are_those_of_the_only_input(text: str) -> None:
    assert read(text, FEATURES) == {"x": ("float32", [[1, 2], [3, 4]])}


def test_columns_are_inputs_by_their_names_and_take_their_types() -> None:
    found = read('member,name,age\ntrue,"Ann, B.",30\n0,\u00e9,41\n', PEOPLE)
    assert found == {
        "member": ("bool", [True, False]),
        "name": ("object", [[b"Ann, B."], ["\u00e9".encode()]]),
        "age": ("int64", [30, 41]),
    }


def test_note_says_what_became_what_and_that_there_was_no_header() -> None:
    assert inputs_of_table(read_table("1,2", "t.csv"), FEATURES, "t.csv")[1] == (
        "t.csv: 1 row of 2 columns as the input 'x' (no header: its first line is numbers)"
    )
    assert inputs_of_table(read_table("a,b\n1,2", "t.csv"), FEATURES, "t.csv")[1] == (
        "t.csv: 1 row of 2 columns as the input 'x' (header: a, b)"
    )
    assert inputs_of_table(read_table("age\n1\n2", "t.csv"), PEOPLE, "t.csv")[1] == (
        "t.csv: 2 rows, each column as the input of its name (age)"
    )


@pytest.mark.parametrize(
    ("text", "tensors", "why"),
    [
        ("", FEATURES, "t.csv is empty"),
        ("a,b\n", FEATURES, "has a header and no rows"),
        ("a,b\n1,2,3\n", FEATURES, "line 2: 3 cells, and there are 2 columns"),
        ("a,a\n1,2\n", FEATURES, "two columns have the same name"),
        ("a,b,c\n1,2,3\n", FEATURES, r"3 columns \(a, b, c\) do not fill the input x .*: it takes 2"),
        ("a,b\n1,abc\n", FEATURES, "line 2, column 'b': 'abc' is no FP32, which 'x' takes"),
        ("a,b\n1,\n", FEATURES, "an empty cell .a missing number is written nan. is no FP32"),
        ("age,nmae\n1,x\n", PEOPLE, "column 'nmae' is no input; .*did you mean 'name'"),
        ("a,b\n1,2\n", PEOPLE, "are none of the inputs"),
        ("age\n1.5\n", PEOPLE, "'1.5' is no INT64"),
        ("age\n99999999999999999999\n", PEOPLE, "out of range"),
        ("member\nperhaps\n", PEOPLE, "'perhaps' is no BOOL"),
    ],
)
def test_table_that_does_not_fit_is_told_with_line_and_column(
    text: str, tensors: list[TensorMetadata], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        read(text, tensors)


@given(st.text(max_size=60), st.sampled_from([FEATURES, PEOPLE]))
def test_whatever_a_table_holds_there_is_one_kind_of_error(text: str, tensors: list[TensorMetadata]) -> None:
    with contextlib.suppress(ValueError):
        read(text, tensors)


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=5)
)
def test_numbers_come_through_as_they_were_written(rows: list[list[float]]) -> None:
    text = "a,b\n" + "\n".join(",".join(map(repr, row)) for row in rows)
    assert read(text, FEATURES)["x"][1] == rows
