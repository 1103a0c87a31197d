"""fitting.py: what was given as what the model takes, with notes of what was done."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.errors import InvalidCall
from hotgraph_client.predicting.fitting import (
    Fitting,
    check_names,
    fitted,
    named_arrays,
    needs_tensors,
    signature_in,
)
from hotgraph_client.predicting.reading import Given, Json, Raw, Zeros
from hotgraph_client.predicting.tables import Table

FLOATS = TensorMetadata("x", "FP32", (-1, 4))
TEXT = TensorMetadata("text", "BYTES", (-1,))
PIXELS = TensorMetadata("image", "UINT8", (-1, 2, 2, 3))


def fit(
    value: Any, *tensors: TensorMetadata, name: str | None = None, **how: Any
) -> tuple[dict[str, Any], list[str]]:
    return fitted([Given("it", name, value)], tensors, "m", Fitting(**how))


def picture() -> Raw:
    written = io.BytesIO()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(written, "PNG")
    return Raw(written.getvalue(), True)


def test_value_that_lacks_the_rows_becomes_one_row_and_it_is_said() -> None:
    assert fit(Json([1, 2, 3, 4]), FLOATS) == (
        {"x": [[1, 2, 3, 4]]},
        ["'x': taken as one row, of shape [1, 4]"],
    )
    assert fit(Json("a"), TEXT) == ({"text": ["a"]}, ["'text': taken as one row, of shape [1]"])
    inputs, _ = fit(np.ones(4), FLOATS)
    assert inputs["x"].shape == (1, 4)


@pytest.mark.parametrize("value", [[[1, 2, 3, 4]], [1, 2, 3], [[1, 2], [3]], [[[1]]], []])
def test_value_that_is_not_a_row_is_left_as_it_is(value: Any) -> None:
    assert fit(Json(value), FLOATS) == ({"x": value}, [])


def test_fixed_dimension_0_is_no_rows() -> None:
    assert fit(Json([1, 2]), TensorMetadata("x", "FP32", (1, 2))) == ({"x": [1, 2]}, [])


def test_zeros_have_the_least_shape_or_the_one_that_is_said() -> None:
    assert fit(Zeros(None), FLOATS)[0]["x"].tolist() == [[0] * 4]
    assert fit(Zeros((2, 4)), FLOATS)[0]["x"].shape == (2, 4)
    assert fit(Zeros(None), TEXT)[0]["text"].tolist() == [b""]


def test_picture_finds_the_only_input_that_is_one() -> None:
    inputs, notes = fit(picture(), FLOATS, PIXELS)
    assert inputs["image"].tolist() == [[[[1, 2, 3]] * 2] * 2]
    assert notes == [
        "it: taken as 'image', the only input that is an image",
        "it: decoded as RGB, resized from 4x4 to 2x2, pixels 0..255 as UINT8",
    ]


def test_file_of_text_goes_into_text_alone() -> None:
    assert fit(Raw(b"a film", False), TEXT)[0]["text"].tolist() == [b"a film"]
    with pytest.raises(ValueError, match=r"it: the input x .* takes numbers: give \.npy"):
        fit(Raw(b"a film", False), FLOATS)


def test_floats_are_rounded_only_where_it_was_asked_for() -> None:
    array = np.full((1, 4), 0.1)
    assert fit(array, FLOATS)[0]["x"].dtype == np.float64
    inputs, notes = fit(array, FLOATS, casts=True)
    assert inputs["x"].dtype == np.float32
    assert notes == ["it: float64 rounded to FP32"]
    with pytest.raises(ValueError, match="float64 is not rounded to INT64"):
        fit(np.ones(3), TensorMetadata("n", "INT64", (-1,)), casts=True)


@pytest.mark.parametrize("value", [Json([1]), Json("a"), Zeros(None), Raw(b"", False), np.ones(1)])
def test_value_without_a_name_needs_a_model_with_one_input(value: Any) -> None:
    with pytest.raises(InvalidCall, match=r"say which input.*the inputs of 'm': x \(FP32"):
        fit(value, FLOATS, TEXT)


def test_name_that_is_no_inputs_is_told() -> None:
    with pytest.raises(InvalidCall, match=r"no input 'tex'; .*did you mean 'text'"):
        fit(Json(["a"]), FLOATS, TEXT, name="tex")


def test_two_values_of_one_input_are_one_too_many_unless_they_are_files() -> None:
    twice = [Given("a", "text", Json(["a"])), Given("b", "text", Json(["b"]))]
    with pytest.raises(ValueError, match="given twice"):
        check_names(twice)
    with pytest.raises(ValueError, match="given twice"):
        fitted(twice, [TEXT], "m", Fitting())
    files = [Given("a", None, Raw(b"a", False)), Given("b", None, Raw(b"b", False))]
    check_names(files)
    inputs, notes = fitted(files, [TEXT], "m", Fitting())
    assert (inputs["text"].tolist(), notes) == ([b"a", b"b"], ["2 files as 2 rows of 'text'"])
    fixed = TensorMetadata("text", "BYTES", (1,))
    with pytest.raises(ValueError, match="holds one call's rows only"):
        fitted(files, [fixed], "m", Fitting())


def test_pictures_of_two_sizes_are_no_rows_of_one_call() -> None:
    written = io.BytesIO()
    Image.new("RGB", (3, 2)).save(written, "PNG")
    free = TensorMetadata("image", "UINT8", (-1, -1, -1, 3))
    files = [Given("a", None, picture()), Given("b", None, Raw(written.getvalue(), True))]
    with pytest.raises(ValueError, match=r"b: shape .* is not that of the files before it"):
        fitted(files, [free], "m", Fitting())


def test_table_with_other_columns_too_has_no_name() -> None:
    table = Table(("text", "stars"), ((2, ("a", "5")),), True)
    with pytest.raises(ValueError, match="it: give it without 'text='"):
        fit(table, TEXT, name="text")


def test_named_arrays_are_sent_without_asking() -> None:
    named = [Given("a.npy", "a", np.ones(1)), Given("b.npz", None, {"b": np.zeros(1)})]
    assert not needs_tensors(named, Fitting())
    assert sorted(named_arrays(named)) == ["a", "b"]
    assert needs_tensors(named, Fitting(casts=True))
    assert needs_tensors([Given("a.npy", None, np.ones(1))], Fitting())
    with pytest.raises(ValueError, match="given twice"):
        named_arrays([*named, Given("c.npz", "b", {"x": np.ones(1)})])


def test_signature_is_asked_for_by_a_request_alone() -> None:
    request = {"instances": [1], "signature_name": "s"}
    assert signature_in([Given("it", None, Json(request))]) == "s"
    assert signature_in([Given("it", "x", Json(request))]) is None


@pytest.mark.parametrize("shape", [(100_000, 100_000), (99_999_999_999,) * 3])
def test_zeros_that_no_call_holds_are_told_before_they_are_made(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"zeros:{shape[0]}x.* is more than the 2 GiB"):
        fit(Zeros(shape), FLOATS)
