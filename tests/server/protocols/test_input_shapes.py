from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.input_shapes import check_shape, with_inner_dimensions
from hotgraph_server.signatures import Shape, TensorSpec


def says(wanted: Shape | None) -> TensorSpec:
    return TensorSpec("x", "x:0", np.dtype(np.float32), wanted)


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        (None, ()),
        (None, (2, 0, 7)),
        ((), ()),
        ((None,), (0,)),
        ((None, 4), (3, 4)),
        ((None, None), (3, 9)),
        ((2, None, 4), (2, 5, 4)),
        # what half_plus_two is sent in TensorFlow Serving's documentation
        ((None, 1), (3,)),
        ((None, 2, 1, 1), (3, 2)),
        ((1,), ()),
    ],
)
def test_shape_that_the_signature_leaves_open_is_let_through(
    wanted: Shape | None, shape: tuple[int, ...]
) -> None:
    check_shape(says(wanted), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("wanted", "shape", "told"),
    [
        ((None, 4), (1, 1), "[1,1], the signature says [-1,4]"),
        ((None, 4), (1, 0), "[1,0], the signature says [-1,4]"),
        ((None, 4), (4,), "[4], the signature says [-1,4]"),
        ((None, 4), (), "[], the signature says [-1,4]"),
        ((None, 4), (1, 1, 4), "[1,1,4], the signature says [-1,4]"),
        ((None, 1), (), "[], the signature says [-1,1]"),
        ((None, 1), (1, 2), "[1,2], the signature says [-1,1]"),
        ((None, None), (3,), "[3], the signature says [-1,-1]"),
        ((None,), (3, 1), "[3,1], the signature says [-1]"),
        ((), (1,), "[1], the signature says []"),
        ((2, None, 4), (3, 5, 4), "[3,5,4], the signature says [2,-1,4]"),
    ],
)
def test_shape_that_contradicts_the_signature_is_refused_with_both(
    wanted: Shape, shape: tuple[int, ...], told: str
) -> None:
    with pytest.raises(InvalidCall) as refused:
        check_shape(says(wanted), np.zeros(shape, np.float32))
    assert str(refused.value) == f"input 'x' has shape {told}"


def test_what_json_says_of_an_empty_input_is_completed_by_what_the_signature_knows() -> None:
    empty = np.zeros(0, np.float32)
    shapes = {(None, 3): (0, 3), (None, None, 2): (0, 0, 2), (None,): (0,), (): (0,), None: (0,)}
    for known, shape in shapes.items():
        spec = TensorSpec("x", "x:0", np.dtype(np.float32), known)
        assert with_inner_dimensions(spec, empty).shape == shape
    spec = TensorSpec("x", "x:0", np.dtype(np.float32), (None, 3))
    assert with_inner_dimensions(spec, np.zeros((1, 3))).shape == (1, 3)
