"""The errors are TensorFlow's own; see test_poison.py for those that a graph really gives."""

from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.hints import blamed

from ..fakes import call, rows, signature


def floats(*counts: int) -> list[Call]:
    return [call(rows(*range(count))) for count in counts]


@pytest.mark.parametrize(
    "error",
    [
        "indices[17,3] = 900 is not in [0, 465)\n\t [[{{node GatherV2}}]]",
        "indices[17,3] = [900] does not index into param shape [465,4], node name: GatherNd",
        "Name: <unknown>, Key: x, Index: 17.  Number of float values != expected.  Values size: 3 but ...",
        "Field 1 in record 17 is not a valid float: x",
        "Expect 2 fields but have 1 in record 17",
        "DecodeRaw requires input strings to all be the same size, but element 17 has size 4 != 5",
        "pos 2 out of range for string b'a' at index 17",
    ],
)
def test_call_that_has_the_row_is_blamed(error: str) -> None:
    calls = floats(*[1] * 32)
    assert blamed(calls, error) is calls[17]
    calls = floats(10, 7, 1, 14)
    assert blamed(calls, error) is calls[2]


def ids(*values: int) -> Call:
    of = signature(inputs={"x": (None, 2)}, dtype=np.dtype(np.int32))
    return call(np.array([values], np.int32), of)


def test_call_that_has_the_value_is_blamed_where_the_graph_has_counted_anew() -> None:
    """Ids that were made flat or unique before they are looked up."""
    calls = [ids(1, 2), ids(3, 4), ids(5, 900), ids(6, 7)]
    assert blamed(calls, "indices[5] = 900 is not in [0, 465)") is calls[2]
    # Ids that were changed before: the row is all that is left.
    assert blamed(calls, "indices[1,1] = 901 is not in [0, 465)") is calls[1]


@pytest.mark.parametrize(
    "error",
    [
        "",
        "Invalid character found in base64.",
        "indices[-1] = 3",
        "indices[99999999999999999999] = 7 is not in [0, 3)",
        "indices[32,0] = 7 is not in [0, 3)",
        "Incompatible shapes: [17,3] vs. [17,4]",
        " " * 500 + "indices[17] = 1",
        "] = " + "9" * 400 + " is not in [",
    ],
)
def test_error_that_points_at_none_of_the_calls_blames_none(error: str) -> None:
    assert blamed(floats(*[1] * 32), error) is None
