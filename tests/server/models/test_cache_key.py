"""Keys of calls: that different ones cannot be taken for each other."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hotgraph_server.models.cache_key import key_of, text_of
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

from ..fakes import signature


def read_back(text: bytes) -> tuple[Any, ...]:
    """All that `text_of` wrote down. That it can be read proves that no other call has the same text."""
    file = io.BytesIO(text)

    def number() -> int:
        return int(struct.unpack("<Q", file.read(8))[0])

    def field() -> bytes:
        return file.read(number())

    outputs, inputs = number(), number()
    version, name = field(), field().decode()
    wanted = tuple(field().decode() for _ in range(outputs))
    tensors = []
    for _ in range(inputs):
        alias, dtype = field().decode(), field().decode()
        shape = tuple([number() for _ in range(number())])
        body: Any = field()
        if dtype == "object":
            count = int(np.prod(shape, dtype=np.int64))
            lengths = struct.unpack_from(f"<{count}Q", body)
            strings = io.BytesIO(body[8 * count :])
            body = [strings.read(length) for length in lengths]
            assert not strings.read()
        tensors.append((alias, dtype, shape, body))
    assert not file.read()
    return version, name, wanted, tensors


def said(version: bytes, one: Signature, outputs: Sequence[str], inputs: Sequence[Array]) -> tuple[Any, ...]:
    return (
        *(version, one.name, tuple(outputs)),
        [
            (
                *(spec.alias, array.dtype.name, array.shape),
                array.reshape(-1).tolist() if array.dtype == STRING else array.tobytes(),
            )
            for spec, array in zip(one.inputs, inputs, strict=True)
        ],
    )


def text(version: bytes, one: Signature, outputs: Sequence[str], inputs: Sequence[Array]) -> bytes:
    return b"".join(map(bytes, text_of(version, one, outputs, inputs)))


NAMES = st.text(max_size=4)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
NUMBERS = st.sampled_from([np.float32, np.int64, np.uint8, np.bool_, np.complex64, np.float16])


def strings(shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    return hnp.arrays(STRING, shape, elements=st.binary(max_size=4), fill=st.nothing())


ARRAYS = st.one_of(
    NUMBERS.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    SHAPES.flatmap(strings),
    hnp.arrays(np.uint16, SHAPES).map(lambda array: array.view(ml_dtypes.bfloat16)),
    hnp.arrays(np.int32, (2, 3)).map(np.transpose),
)


@st.composite
def questions(draw: Any) -> tuple[bytes, Signature, list[str], list[Array]]:
    inputs = draw(st.lists(ARRAYS, max_size=3))
    specs = tuple(TensorSpec(draw(NAMES), "t:0", array.dtype, None) for array in inputs)
    return draw(st.binary(max_size=4)), Signature(draw(NAMES), specs, ()), draw(st.lists(NAMES)), inputs


@given(questions())
def test_what_a_key_is_made_of_says_all_of_the_call_and_can_be_read_in_one_way_only(asked: Any) -> None:
    assert read_back(text(*asked)) == said(*asked)


@given(questions(), questions())
def test_different_calls_have_different_keys_and_equal_ones_the_same(first: Any, second: Any) -> None:
    same = said(*first) == said(*second)
    assert (text(*first) == text(*second)) is same
    assert (key_of(*first) == key_of(*second)) is same


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array([0.0], np.float32), np.array([-0.0], np.float32)),
        (np.array([1], np.int32), np.array([1], np.uint32)),
        (np.array([[1, 2]]), np.array([[1], [2]])),
        (np.zeros((0, 2), np.int32), np.zeros((2, 0), np.int32)),
        (np.array(1), np.array([1])),
        (np.array([b"ab", b"c"], STRING), np.array([b"a", b"bc"], STRING)),
        (np.array([b"", b"a"], STRING), np.array([b"a", b""], STRING)),
        (np.array([1], np.float16), np.array([1], np.float16).view(ml_dtypes.bfloat16)),
    ],
)
def test_what_looks_alike_is_told_apart(first: Array, second: Array) -> None:
    one = signature()
    assert key_of(b"v", one, ("y",), [first]) != key_of(b"v", one, ("y",), [second])


def test_a_transposed_array_has_the_key_of_its_values_in_order() -> None:
    one, array = signature(), np.arange(6, dtype=np.int32).reshape(2, 3)
    assert key_of(b"", one, (), [array.T]) == key_of(b"", one, (), [array.T.copy()])
    assert key_of(b"", one, (), [array.T]) != key_of(b"", one, (), [array])
