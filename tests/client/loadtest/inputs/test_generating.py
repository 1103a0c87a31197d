"""generating.py: inputs from metadata."""

from __future__ import annotations

from typing import Any

import pytest

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.loadtest.dialects.datatypes import dtype_of
from hotgraph_client.loadtest.inputs.generating import Generator, shape_of
from hotgraph_client.loadtest.inputs.items import InputError

from ..dialects.samples import COMPLEX, SAMPLES


def generator(seed: int = 1, **options: Any) -> Generator:
    return Generator(seed, **{"shapes": {}, "ranges": {}, **options})


def tensor(datatype: str, *shape: int) -> TensorMetadata:
    return TensorMetadata("x", datatype, shape)


@pytest.mark.parametrize("datatype", [*SAMPLES, *COMPLEX])
def test_every_datatype_is_made_and_no_two_are_alike(datatype: str) -> None:
    made = generator()
    first, second = (made.array(tensor(datatype, -1, 40), 3) for _ in range(2))
    assert first.dtype == dtype_of(datatype)
    assert first.shape == (3, 40)
    assert first.tolist() != second.tolist()
    again = generator().array(tensor(datatype, -1, 40), 3)
    assert again.tolist() == first.tolist()


def test_numbers_are_small_unless_a_range_is_given() -> None:
    whole = generator().array(tensor("INT32", 1000), 1)
    assert set(whole.tolist()) == {0, 1}
    floats = generator().array(tensor("FP32", 1000), 1)
    assert 0 <= floats.min() < 0.1 < 0.9 < floats.max() < 1
    ids = generator(ranges={"x": (5.0, 7.0)}).array(tensor("INT64", 1000), 1)
    assert set(ids.tolist()) == {5, 6, 7}
    wide = generator(ranges={"x": (-10.0, 10.0)}).array(tensor("FP64", 1000), 1)
    assert -10 <= wide.min() < -9 < 9 < wide.max() < 10


@pytest.mark.parametrize(
    ("datatype", "ends"), [("UINT8", (0.0, 256.0)), ("INT8", (-200.0, 0.0)), ("INT32", (0.2, 0.8))]
)
def test_a_range_that_the_datatype_has_not_is_refused(datatype: str, ends: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=f"--range x=.* no such whole numbers in {datatype}"):
        generator(ranges={"x": ends}).array(tensor(datatype, 1), 1)


def test_texts_are_words_or_given_lines() -> None:
    words = generator().array(tensor("BYTES", -1, 1), 50)
    assert words.shape == (50, 1)
    assert all(type(text) is bytes and text.strip() for text in words.ravel())
    lines = generator(lines=[b"one", b"two"]).array(tensor("BYTES", -1), 50)
    assert set(lines.tolist()) == {b"one", b"two"}


@pytest.mark.parametrize(
    ("stated", "given", "shape"),
    [
        ((-1, 4), None, (3, 4)),
        ((-1, -1, 3), None, (3, 1, 3)),
        ((2, -1), None, (2, 1)),
        ((), None, ()),
        ((-1,), None, (3,)),
        ((-1, -1, -1, 3), (8, 9, 3), (3, 8, 9, 3)),
        ((-1, -1), (5, 6), (5, 6)),
        ((2, -1), (2, 6), (2, 6)),
        ((-1,), (5, 6), (3, 5, 6)),
    ],
)
def test_shapes_have_the_rows_first(
    stated: tuple[int, ...], given: tuple[int, ...] | None, shape: Any
) -> None:
    assert shape_of(tensor("FP32", *stated), 3, given) == shape


@pytest.mark.parametrize(
    ("stated", "given"), [((-1, 4), (5,)), ((2, 3), (2, 4)), ((-1, -1, 3), (1, 2, 3, 4))]
)
def test_a_shape_that_is_not_the_inputs_is_refused(stated: tuple[int, ...], given: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="--shape x="):
        shape_of(tensor("FP32", *stated), 3, given)


def test_size_is_known_before_memory_is_taken() -> None:
    assert generator().nbytes(tensor("FP32", -1, 10), 4) == 160
    assert generator().nbytes(tensor("FP32", -1, 2**40), 2**20) == 2**62
    assert generator().nbytes(tensor("BYTES", -1), 2) > 2


def test_what_nobody_can_send_is_told() -> None:
    with pytest.raises(InputError, match="DT_RESOURCE"):
        generator().array(tensor("DT_RESOURCE", 1), 1)
