from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.tensors import Array

from ..fakes import Caller, call, rows, signature

TWO_INPUTS = signature(inputs={"a": (None, 2), "b": (None,)})


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ([np.zeros((3, 2)), np.zeros(3)], 3),
        ([np.zeros((0, 2)), np.zeros(0)], 0),
        ([np.zeros((3, 2)), np.zeros(4)], 1),
        ([np.zeros((3, 2)), np.zeros(())], 1),
    ],
    ids=["equal", "none", "unequal", "scalar"],
)
def test_rows_are_the_size_that_all_inputs_share(inputs: list[Array], wanted: int) -> None:
    assert call(inputs, TWO_INPUTS).rows == wanted


def test_call_without_inputs_counts_as_one_row_and_runs_alone() -> None:
    one = call([], signature(inputs={}))
    assert (one.rows, one.lane) == (1, None)


def test_calls_alike_but_for_their_rows_share_a_lane() -> None:
    assert call(rows(1)).lane == call(rows(1, 2, 3)).lane is not None


def test_lane_tells_signatures_outputs_and_inner_shapes_apart() -> None:
    free = signature(inputs={"x": (None, None)}, outputs={"y": (None,), "z": (None,)})
    other = signature("other", inputs={"x": (None, None)}, outputs={"y": (None,), "z": (None,)})
    two, three = np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)
    lanes = {
        call(two, free).lane,
        call(three, free).lane,
        call(two, other).lane,
        call(two, free, outputs=("y",)).lane,
        call(two, free, outputs=("z", "y")).lane,
    }
    assert len(lanes) == 5
    assert None not in lanes


@pytest.mark.parametrize(
    "array",
    [np.zeros((1, 3)), np.zeros((1, 2, 1)), np.zeros(2), np.zeros(()), np.zeros((0, 2))],
    ids=["inner size", "rank above", "rank below", "scalar", "no rows"],
)
def test_call_whose_shape_contradicts_the_signature_or_has_no_rows_gets_no_lane(array: Array) -> None:
    assert call(array).lane is None


def test_call_with_an_input_of_unknown_rank_gets_no_lane() -> None:
    assert call(np.zeros((2, 2)), signature(inputs={"x": None})).lane is None


def test_who_knows_lane_rows_and_bytes_is_believed() -> None:
    array = rows(1, 2)
    known = Call(
        signature(),
        [array],
        ("y",),
        Caller().completion,
        arrived=0.0,
        joinable=True,
        lane="l",
        rows=7,
        nbytes=9,
    )
    assert (known.lane, known.rows, known.nbytes) == ("l", 7, 9)
    found = Call(signature(), [array], ("y",), Caller().completion, arrived=0.0, lane="l", rows=7)
    assert (found.lane, found.rows, found.nbytes) == (None, 2, 16)


def test_scalar_inputs_have_no_rows_and_must_be_equal_to_join() -> None:
    scaled = signature(inputs={"x": (None, 2), "scale": ()})
    ones = [call([rows(1, 2), np.array(value, np.float32)], scaled) for value in (1.0, 1.0, 2.0)]
    assert [one.rows for one in ones] == [2, 2, 2]
    assert ones[0].lane == ones[1].lane != ones[2].lane
    nans = [call([rows(1), np.array(np.nan, np.float32)], scaled) for _ in range(2)]
    assert nans[0].lane == nans[1].lane is not None
    texts = [call([rows(1), np.array(text, object)], scaled) for text in (b"a", b"a", b"b")]
    assert texts[0].lane == texts[1].lane != texts[2].lane


def test_call_that_may_not_be_joined_gets_no_lane() -> None:
    assert call(rows(1), joinable=False).lane is None
