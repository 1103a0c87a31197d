from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.rest.v2.raw_request import raw_request
from hotgraph_server.signatures import Signature, TensorSpec

from ...protocols.fakes import spec


def signature(*inputs: TensorSpec, **more: Any) -> Signature:
    return Signature("serving_default", inputs, (spec("y", np.float32, None),), **more)


def deduced(
    nbytes: int, dtype: Any, *shape: int | None, contract: Contract | None = None
) -> tuple[str, list[int]]:
    request, contents = raw_request(bytes(nbytes), signature(spec("x", dtype, *shape)), contract, "m")
    (tensor,) = request.inputs
    assert tensor.name == "x"
    assert bytes(contents).endswith(bytes(nbytes))
    return tensor.datatype, list(tensor.shape)


def batched(*dims: int) -> Contract:
    return Contract(None, "serving_default", batched=True, inputs={"x": TensorContract(dims)})


def test_name_datatype_and_a_free_size_come_from_the_model() -> None:
    assert deduced(64, np.int32, None, 16) == ("INT32", [1, 16])
    assert deduced(128, np.int32, None, 16) == ("INT32", [2, 16])
    assert deduced(12, np.float32, None) == ("FP32", [3])
    assert deduced(8, np.float64) == ("FP64", [])
    assert deduced(6, np.float16, 3) == ("FP16", [3])


def test_batch_is_of_one_row_where_another_size_is_free() -> None:
    assert deduced(12, np.float32, None, None) == ("FP32", [1, 3])
    assert deduced(24, np.float32, None, 2, contract=batched(-1, 2)) == ("FP32", [1, 3, 2])


def test_shape_is_the_one_that_clients_see() -> None:
    assert deduced(16, np.float32, None, 4, contract=batched(2, 2)) == ("FP32", [1, 2, 2])


def test_size_that_fits_no_shape_leaves_a_shape_for_the_error() -> None:
    """Which the check of all requests then names, with both sizes."""
    assert deduced(60, np.int32, None, 16) == ("INT32", [1, 16])
    assert deduced(0, np.int32, None, 16) == ("INT32", [1, 16])
    assert deduced(8, np.int32, None, 0) == ("INT32", [1, 0])


def test_string_is_the_whole_body() -> None:
    request, contents = raw_request(b"abc", signature(spec("x", object, None)), None, "m")
    assert list(request.inputs[0].shape) == [1]
    assert bytes(contents) == b"\3\0\0\0abc"


def test_body_is_not_copied() -> None:
    body = bytes(64)
    _, contents = raw_request(body, signature(spec("x", np.int32, None, 16)), None, "m")
    assert isinstance(contents, memoryview)
    assert contents.obj is body


def test_input_with_a_default_may_be_left_out() -> None:
    two = (spec("x", np.int32, None), spec("y", np.int32, None))
    request, _ = raw_request(bytes(4), signature(*two, defaults={"y": np.zeros(1, np.int32)}), None, "m")
    assert [tensor.name for tensor in request.inputs] == ["x"]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (spec("x", np.int32), spec("y", np.int32)),
            r"Raw request must only have 1 input \(found 1\) to be deduced but got 2 inputs in 'm' model",
        ),
        ((), "but got 0 inputs in 'm' model"),
        ((spec("x", np.int32, 2, None, None),), r"Only one dimension .* 'x' of model 'm' is \[2,-1,-1\]"),
        ((spec("x", object, 2),), r"'x' of model 'm', the model must have input shape \[1\], got \[2\]"),
        ((TensorSpec("x", "x:0", np.dtype(np.int32), None),), "known rank; that of 'x' of model 'm' is not"),
    ],
)
def test_model_that_does_not_say_enough_is_refused(inputs: tuple[TensorSpec, ...], text: str) -> None:
    with pytest.raises(InvalidCall, match=text):
        raw_request(b"", signature(*inputs), None, "m")
