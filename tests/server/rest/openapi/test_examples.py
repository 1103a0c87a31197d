from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_server.rest.openapi.examples import MAX_BYTES, as_json, example_inputs
from hotgraph_server.signatures import Content, Shape, Signature
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.synthetic_inputs import Kind

from .known import BFLOAT16, JPEG, NUMBERS, one_to_one


def made(signature: Signature, kind: Kind | None = None) -> Array:
    """The example of a signature with one input."""
    inputs = example_inputs(signature, kind)
    assert not isinstance(inputs, str), inputs
    (found,) = inputs
    return found


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((None, 2), (1, 2)), ((), ()), (None, (1,)), ((4, 1), (4, 1)), ((None, None), (1, 32)), ((0,), (0,))],
)
def test_it_is_one_row_of_the_kind_that_the_graph_takes(
    shape: Shape | None, expected: tuple[int, ...]
) -> None:
    found = made(one_to_one(shape=shape), Kind(32, 10))
    assert found.shape == expected


@pytest.mark.parametrize("dtype", [*NUMBERS, STRING], ids=str)
def test_it_has_the_dtype_of_the_input(dtype: np.dtype[Any]) -> None:
    found = made(one_to_one(dtype=dtype))
    assert found.dtype == dtype


def test_integers_are_of_the_range_that_the_graph_takes() -> None:
    found = made(one_to_one(dtype=np.dtype(np.int64), shape=(None, 100)), Kind(8, 3))
    assert set(found.ravel()) <= {0, 1, 2}


def test_of_what_the_strings_hold_the_smallest_is_taken() -> None:
    signature = one_to_one(dtype=STRING, shape=(None,), contents={"x": Content("JPEG", (JPEG * 9, JPEG))})
    found = made(signature)
    assert found.tolist() == [JPEG]


@pytest.mark.parametrize("shape", [(None, 2**40), (None, 2**20, 2**20), (None, 64, 65)])
def test_what_is_too_large_is_not_even_made(shape: Shape) -> None:
    found = example_inputs(one_to_one(shape=shape), None)
    assert isinstance(found, str)
    assert "values" in found


def test_strings_that_are_too_long_are_left_out() -> None:
    content = Content("sounds", (b"x" * (MAX_BYTES + 1),))
    found = example_inputs(one_to_one(dtype=STRING, shape=(None,), contents={"x": content}), None)
    assert (
        found
        == f"one row has {MAX_BYTES + 1} bytes of strings, which are better sent as binary data, or over gRPC"
    )


def test_floats_have_one_decimal_whatever_their_bits() -> None:
    for dtype in (np.float16, np.float32, np.float64, BFLOAT16):
        assert as_json(np.array([0.123, -2.0, 1.57], dtype)) == [0.1, -2.0, 1.6]


def test_strings_are_texts_or_base64() -> None:
    texts = np.empty(2, object)
    texts[:] = ["é".encode(), b"\xff"]
    assert as_json(texts) == ["é", {"b64": "/w=="}]
    assert as_json(texts.reshape(2, 1)) == [["é"], [{"b64": "/w=="}]]


def test_scalars_are_bare() -> None:
    assert as_json(np.array(3, np.int8)) == 3
    assert as_json(np.array(True)) is True
    assert as_json(np.array(b"a", object)) == "a"
