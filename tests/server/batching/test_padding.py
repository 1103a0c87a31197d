from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.padding import Padding, cut_back, longest, names_nobody_has, padding_of, place
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING

FLOAT32, INT32, UINT8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.uint8)

TEXT = Signature(
    "text",
    (
        TensorSpec("ids", "i:0", INT32, (None, None)),
        TensorSpec("mask", "m:0", FLOAT32, (None, None)),
    ),
    (TensorSpec("mean", "y:0", FLOAT32, (None,)), TensorSpec("each", "z:0", FLOAT32, (None, None))),
)
PAD: dict[str, Any] = {"ids.1": -1, "mask.1": 0.0}
CUT = {"each.1": "ids.1"}


def padding(pad: dict[str, Any] | None = None, cut: dict[str, str] | None = None) -> Padding:
    found = padding_of(TEXT, PAD if pad is None else pad, CUT if cut is None else cut)
    assert found is not None
    return found


def test_settings_are_understood_for_the_signature_that_has_the_names() -> None:
    found = padding()
    assert found.values == (((1, -1),), ((1, 0.0),))
    assert found.cuts == {"each": ((1, 0, 1),)}
    assert found.dimensions == {("ids", 1), ("mask", 1)}


def test_signature_that_has_no_such_input_is_not_padded() -> None:
    assert padding_of(TEXT, {"other.1": 0}, {}) is None
    assert padding_of(TEXT, {}, {"each.1": "ids.1"}) is None


def test_alias_may_contain_dots() -> None:
    one = Signature("s", (TensorSpec("a.b", "x:0", FLOAT32, (None, None)),), ())
    found = padding_of(one, {"a.b.1": 0.5}, {})
    assert found is not None
    assert found.values == (((1, 0.5),),)


@pytest.mark.parametrize(
    ("pad", "cut", "text"),
    [
        ({"ids.2": 0}, {}, r"ids.2: dimension 2 of 'ids' is not free, its shape is \[-1, -1\]"),
        ({"ids.1": 0.5}, {}, "ids.1: 0.5 is no int32"),
        ({"ids.1": 2**40}, {}, "is no int32"),
        ({"ids.1": "a"}, {}, "'a' is no int32"),
        (
            {"ids.1": 0},
            {"mean.1": "ids.1"},
            r"mean.1: dimension 1 of 'mean' is not free, its shape is \[-1\]",
        ),
        ({"ids.1": 0}, {"each.1": "ids.3"}, "ids.3: dimension 3"),
    ],
)
def test_what_cannot_be_padded_is_refused_with_the_key(
    pad: dict[str, Any], cut: dict[str, str], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        padding_of(TEXT, pad, cut)


def test_value_must_be_one_of_the_inputs_dtype() -> None:
    def value(dtype: np.dtype[Any], given: Any) -> Any:
        found = padding_of(
            Signature("s", (TensorSpec("x", "x", dtype, (None, None)),), ()), {"x.1": given}, {}
        )
        assert found is not None
        return found.values[0][0][1]

    assert value(STRING, "[PAD]") == b"[PAD]"
    # Not exactly a float32, and meant all the same.
    assert value(FLOAT32, 0.1) == np.float32(0.1)
    assert np.isnan(value(FLOAT32, float("nan")))
    for dtype, given in ((STRING, 0), (UINT8, -1), (FLOAT32, "0"), (np.dtype(np.bool_), 2)):
        with pytest.raises(ValueError, match=r"x\.1"):
            value(dtype, given)


def test_names_that_no_signature_has_are_found() -> None:
    signatures = {"text": TEXT}
    assert names_nobody_has(signatures, PAD, CUT) == []
    assert names_nobody_has(signatures, {"idz.1": 0}, {"eech.1": "ids.1"}) == ["idz.1", "eech.1"]


def test_array_is_placed_first_and_what_is_left_is_filled_dimension_by_dimension() -> None:
    values = ((1, 7), (2, 9))
    arrays = [np.zeros((1, 2, 1), np.int32), np.zeros((1, 1, 3), np.int32)]
    assert longest(arrays, values) == (2, 3)
    into = np.empty((1, 2, 3), np.int32)
    place(arrays[0], into, values)
    assert into.tolist() == [[[0, 9, 9], [0, 9, 9]]]
    place(arrays[1], into, values)
    assert into.tolist() == [[[0, 0, 0], [7, 7, 7]]]


def test_answer_is_cut_to_the_length_that_its_own_call_has() -> None:
    inputs = [np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)]
    answer = [np.zeros(2), np.zeros((2, 9))]
    cut = cut_back(("mean", "each"), inputs, answer, padding())
    assert [array.shape for array in cut] == [(2,), (2, 3)]
