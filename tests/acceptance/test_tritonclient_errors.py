"""Bad requests get the codes and the words that Triton's clients know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.grpc import InferenceServerClient, service_pb2
from tritonclient.utils import InferenceServerException


def two_floats(model_name: str = "two_in_two_out", **fields: Any) -> Any:
    """A correct request, to be spoilt."""
    request = service_pb2.ModelInferRequest(model_name=model_name, **fields)
    request.inputs.add(name="a", datatype="FP32", shape=[1, 3])
    request.inputs.add(name="b", datatype="INT32", shape=[1, 3])
    request.raw_input_contents.extend([bytes(12), bytes(12)])
    return request


def spoilt(change: Callable[[Any], None], **fields: Any) -> Any:
    request = two_floats(**fields)
    change(request)
    return request


def text_request(raw: bytes, shape: int = 1) -> Any:
    request = service_pb2.ModelInferRequest(model_name="strings", raw_input_contents=[raw])
    request.inputs.add(name="text", datatype="BYTES", shape=[shape])
    return request


def _without_data(request: Any) -> None:
    del request.raw_input_contents[:]


def _contents_and_raw(request: Any) -> None:
    request.inputs[0].contents.fp32_contents.extend([1, 2, 3])


def _contents_of_another_type(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.int_contents.extend([1, 2, 3])
    request.inputs[1].contents.int_contents.extend([1, 2, 3])


def _too_few_contents(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.extend([1, 2])
    request.inputs[1].contents.int_contents.extend([1, 2, 3])


def _rows_apart(request: Any) -> None:
    request.inputs[1].shape[0] = 2
    request.raw_input_contents[1] = bytes(24)


def _without(request: Any) -> None:
    del request.inputs[1]
    del request.raw_input_contents[1]


def _negative_dimension(request: Any) -> None:
    request.inputs[0].shape[0] = -1


def _in_shared_memory(request: Any) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    request.inputs[0].parameters["shared_memory_byte_size"].int64_param = 12
    del request.raw_input_contents[0]


def with_parameter(name: str, **value: Any) -> Any:
    """A request with a parameter of one kind."""
    request = two_floats()
    request.parameters[name].CopyFrom(service_pb2.InferParameter(**value))
    return request


def with_output(request: Any, output: str, name: str, **value: Any) -> Any:
    """The request for one output, which has a parameter."""
    request.outputs.add(name=output).parameters[name].CopyFrom(service_pb2.InferParameter(**value))
    return request


BAD_REQUESTS = {
    "unknown model": (two_floats("x"), "NOT_FOUND", "Request for unknown model: 'x' is not found"),
    "empty model name": (two_floats(""), "NOT_FOUND", "Request for unknown model: '' is not found"),
    "unknown version": (
        two_floats(model_version="99"),
        "NOT_FOUND",
        "Request for unknown model: 'two_in_two_out' version 99 is not found",
    ),
    "version abc": (
        two_floats(model_version="abc"),
        "INVALID_ARGUMENT",
        "failed to get model version from specified version string 'abc'",
    ),
    "version -1": (
        two_floats(model_version="-1"),
        "INVALID_ARGUMENT",
        "invalid model version specified '-1'",
    ),
    "missing input": (
        spoilt(_without),
        "INVALID_ARGUMENT",
        "expected 2 inputs but got 1 inputs for model 'two_in_two_out'. Got input(s) ['a'], but missing "
        "required input(s) ['b']. Please provide all required input(s).",
    ),
    "extra input": (
        spoilt(lambda request: request.inputs.add(name="c", datatype="FP32", shape=[1])),
        "INVALID_ARGUMENT",
        "expected 2 inputs but got 3 inputs for model 'two_in_two_out'. Got input(s) ['a', 'b', 'c'], but "
        "missing required input(s) []. Please provide all required input(s).",
    ),
    "wrong input name": (
        spoilt(lambda request: setattr(request.inputs[1], "name", "X")),
        "INVALID_ARGUMENT",
        "unexpected inference input 'X' for model 'two_in_two_out'",
    ),
    "duplicate input": (
        spoilt(lambda request: setattr(request.inputs[1], "name", "a")),
        "INVALID_ARGUMENT",
        "input 'a' already exists in request",
    ),
    "wrong datatype": (
        spoilt(lambda request: setattr(request.inputs[1], "datatype", "FP32")),
        "INVALID_ARGUMENT",
        "inference input 'b' data-type is 'FP32', but model 'two_in_two_out' expects 'INT32'",
    ),
    "unknown datatype": (
        spoilt(lambda request: setattr(request.inputs[1], "datatype", "FP33")),
        "INVALID_ARGUMENT",
        "inference input 'b' data-type is '<invalid>', but model 'two_in_two_out' expects 'INT32'",
    ),
    "wrong inner dimension": (
        spoilt(lambda request: request.inputs[0].shape.__setitem__(1, 2)),
        "INVALID_ARGUMENT",
        "unexpected shape for input 'a' for model 'two_in_two_out'. Expected [-1,3], got [1,2]",
    ),
    "wrong rank": (
        spoilt(lambda request: request.inputs[0].shape.append(1)),
        "INVALID_ARGUMENT",
        "unexpected shape for input 'a' for model 'two_in_two_out'. Expected [-1,3], got [1,3,1]",
    ),
    "no shape": (
        spoilt(lambda request: request.inputs[0].ClearField("shape")),
        "INVALID_ARGUMENT",
        "input 'a' has no shape but model requires batch dimension",
    ),
    "negative dimension": (
        spoilt(_negative_dimension),
        "INVALID_ARGUMENT",
        "All input dimensions should be specified for input 'a'",
    ),
    "different rows": (
        spoilt(_rows_apart),
        "INVALID_ARGUMENT",
        "batch size does not match other inputs",
    ),
    "byte count": (
        spoilt(lambda request: request.raw_input_contents.__setitem__(0, bytes(8))),
        "INVALID_ARGUMENT",
        "input byte size mismatch for input 'a' for model 'two_in_two_out'. Expected 12, got 8",
    ),
    "too few contents": (
        spoilt(_too_few_contents),
        "INVALID_ARGUMENT",
        "input byte size mismatch for input 'a' for model 'two_in_two_out'. Expected 12, got 8",
    ),
    "no data": (
        spoilt(_without_data),
        "INVALID_ARGUMENT",
        "unable to find data for input tensor 'a' for model 'two_in_two_out' in request.",
    ),
    "contents and raw": (
        spoilt(_contents_and_raw),
        "INVALID_ARGUMENT",
        "contents field must not be specified when using raw_input_contents for 'a' for model",
    ),
    "contents of another type": (
        spoilt(_contents_of_another_type),
        "INVALID_ARGUMENT",
        "unexpected explicit tensor data for input tensor 'a'",
    ),
    "unknown output": (
        spoilt(lambda request: request.outputs.add(name="X")),
        "INVALID_ARGUMENT",
        "unexpected inference output 'X' for model 'two_in_two_out'",
    ),
    "duplicate output": (
        spoilt(lambda request: request.outputs.extend(2 * [request.InferRequestedOutputTensor(name="sum")])),
        "INVALID_ARGUMENT",
        "output 'sum' already exists in request",
    ),
    "reserved parameter": (
        spoilt(lambda request: setattr(request.parameters["triton_x"], "int64_param", 1)),
        "INVALID_ARGUMENT",
        "parameter keys starting with 'triton_' are reserved",
    ),
    "priority below zero": (
        with_parameter("priority", int64_param=-1),
        "INVALID_ARGUMENT",
        "invalid value for 'priority' parameter",
    ),
    "priority as a string": (
        with_parameter("priority", string_param="1"),
        "INVALID_ARGUMENT",
        "invalid value type for 'priority' parameter",
    ),
    "timeout as a string": (
        with_parameter("timeout", string_param="1"),
        "INVALID_ARGUMENT",
        "invalid value type for 'timeout' parameter",
    ),
    "sequence id as a truth value": (
        with_parameter("sequence_id", bool_param=True),
        "INVALID_ARGUMENT",
        "invalid value type for 'sequence_id' parameter",
    ),
    "sequence start as a number": (
        with_parameter("sequence_start", int64_param=1),
        "INVALID_ARGUMENT",
        "invalid value type for 'sequence_start' parameter",
    ),
    "custom parameter of 64 bits without a sign": (
        with_parameter("mine", uint64_param=1),
        "INVALID_ARGUMENT",
        "invalid value type for 'mine' parameter",
    ),
    "no class": (
        with_output(two_floats(), "sum", "classification", int64_param=0),
        "INVALID_ARGUMENT",
        "invalid value for 'classification' parameter",
    ),
    "classes as a string": (
        with_output(two_floats(), "sum", "classification", string_param="1"),
        "INVALID_ARGUMENT",
        "invalid value type for 'classification' parameter",
    ),
    "classes of strings": (
        with_output(text_request(b"\1\0\0\0a"), "upper", "classification", int64_param=1),
        "INVALID_ARGUMENT",
        "class result not available for output due to unsupported type",
    ),
    "input in shared memory that is off": (
        spoilt(_in_shared_memory),
        "UNIMPLEMENTED",
        "shared memory is off",
    ),
    "region without a size": (
        with_output(two_floats(), "sum", "shared_memory_region", string_param="r"),
        "INVALID_ARGUMENT",
        "'shared_memory_byte_size' must be specified",
    ),
    "too few strings": (
        text_request(b"\1\0\0\0a", 2),
        "INVALID_ARGUMENT",
        "expected 2 string elements",
    ),
    "too many strings": (
        text_request(2 * b"\1\0\0\0a"),
        "INVALID_ARGUMENT",
        "unexpected number of string elements 2",
    ),
    "cut string length": (text_request(b"\1\0"), "INVALID_ARGUMENT", "incomplete string length indicator"),
    "string past the end": (text_request(b"\5\0\0\0a"), "INVALID_ARGUMENT", "incomplete string data"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_request_gets_triton_s_code_and_words(stub: Any, case: str) -> None:
    request, code, words = BAD_REQUESTS[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request)
    assert caught.value.code().name == code
    assert words in str(caught.value.details())


def test_request_id_stands_before_the_words_of_an_error(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(two_floats("x", id="abc"))
    assert str(caught.value.details()).startswith("[request id: abc] Request for unknown model")


def test_parameter_that_perf_analyzer_always_sends_is_taken(stub: Any) -> None:
    request = two_floats()
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    assert len(stub.ModelInfer(request).outputs) == 2


def test_unknown_model_has_no_metadata(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'x' is not found"):
        client.get_model_metadata("x")
