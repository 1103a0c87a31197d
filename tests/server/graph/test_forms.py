"""The forms of a graph: what may be compiled."""

from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.graph.forms import rows_of, rows_to_compile
from hotgraph_server.signatures import Shape

from ..fakes import signature


@pytest.mark.parametrize(
    ("shapes", "buckets", "rows", "reason"),
    [
        ([(None, 2)], (8, 64), (8, 64), ""),
        ([(None, 2), (None,)], (8,), (8,), ""),
        ([(None, 2)], (), (), "no row_buckets are set"),
        ([(4, 2)], (), (1,), ""),
        ([(), (None, 2)], (8,), (8,), ""),
        ([()], (8,), (1,), ""),
        ([], (8,), (1,), ""),
        ([(None, None)], (8,), (), "input 'a' can have too many shapes"),
        ([None], (8,), (), "input 'a' can have too many shapes"),
        ([(None, 2), (3, None)], (8,), (), "input 'b' can have too many shapes"),
    ],
)
def test_xla_is_tried_only_with_shapes_that_are_known_beforehand(
    shapes: list[Shape | None], buckets: tuple[int, ...], rows: tuple[int, ...], reason: str
) -> None:
    found, why_none = rows_to_compile(signature(inputs=dict(zip("abc", shapes, strict=False))), buckets)
    assert found == rows
    assert reason in why_none
    assert bool(found) != bool(why_none)


def test_rows_of_a_run_are_those_of_its_first_input_that_has_some() -> None:
    one = signature(inputs={"factor": (), "fixed": (5,), "x": (None, 2)})
    assert rows_of(one, [np.ones(()), np.ones(5), np.ones((3, 2))]) == 3
    assert rows_of(signature(inputs={"fixed": (5,)}), [np.ones(5)]) == 1
    assert rows_of(signature(inputs={}), []) == 1
