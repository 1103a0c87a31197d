"""Bodies of infer requests to messages and contents; the words are Triton's."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.rest.v2.infer_request import (
    Described,
    check_length,
    header_length,
    raw_contents,
    read_json,
    tails,
)

from .test_values import arrays

X = {"name": "x", "datatype": "INT32", "shape": [2], "data": [1, 2]}


def described(body: Any, *, with_length: bool = True) -> tuple[Any, Described]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = read_json(text, with_length=with_length)
    return pb.ModelInferRequest.FromString(found.request), found


def refusal(body: Any, *, with_length: bool = True) -> str:
    with pytest.raises(InvalidCall) as refused:
        described(body, with_length=with_length)
    return str(refused.value)


def read(body: bytes, length: int | None) -> dict[str, tuple[str, list[int], bytes]]:
    """All of a request's inputs that do not lie in shared memory: datatype, shape and contents."""
    at = len(body) if length is None else length
    request, found = described(body[:at], with_length=length is not None)
    names = [tensor.name for tensor in request.inputs]
    places = tails(names, found.contents, body, at, "m", hint=length is None)
    raw = raw_contents(names, found.contents, body, places)
    sent = [tensor for tensor, one in zip(request.inputs, found.contents, strict=True) if one is not None]
    return {
        tensor.name: (tensor.datatype, list(tensor.shape), bytes(contents))
        for tensor, contents in zip(sent, raw, strict=True)
    }


def with_input(**members: Any) -> dict[str, Any]:
    """A request whose one input has these members too; None: it has not."""
    changed = {**X, **members}
    return {"inputs": [{name: value for name, value in changed.items() if value is not None}]}


@given(st.lists(arrays(), min_size=1, max_size=4), st.data())
def test_array_sent_either_way_is_the_same_array(cases: list[tuple[str, Any]], data: st.DataObject) -> None:
    inputs: list[dict[str, Any]] = []
    behind = b""
    for index, (datatype, array) in enumerate(cases):
        one: dict[str, Any] = {"name": f"x{index}", "datatype": datatype, "shape": list(array.shape)}
        if data.draw(st.booleans()):
            contents = wire.encode_raw(array)
            one["parameters"] = {"binary_data_size": len(contents)}
            behind += contents
        elif datatype == "BYTES":
            one["data"] = [value.decode() for value in array.tolist()]
        else:
            one["data"] = array.astype(np.float64).tolist() if datatype == "BF16" else array.tolist()
        inputs.append(one)
    text = json.dumps({"inputs": inputs}).encode()
    found = read(text + behind, len(text))
    for index, (datatype, array) in enumerate(cases):
        named, shape, contents = found[f"x{index}"]
        assert (named, shape) == (datatype, list(array.shape))
        again = wire.decode_raw(datatype, shape, contents)
        if array.dtype.kind in "fV":
            np.testing.assert_array_equal(again.astype(np.float64), array.astype(np.float64))
        else:
            assert again.tolist() == array.tolist()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            *("binary_data_size", "binary_data", "classification", "shared_memory_region"),
            *("shared_memory_offset", "shared_memory_byte_size", "priority", "timeout", "sequence_id"),
            *("sequence_start", "binary_data_output", "triton_x", "mine"),
        ]
    ),
    _JSON,
)
_TENSORS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("x") | _JSON,
            "datatype": st.sampled_from([*wire.CONTENTS_FIELDS, "BF16", "XX"]) | _JSON,
            "shape": st.lists(st.integers(0, 3), max_size=2) | _JSON,
            "data": st.lists(st.integers(-1, 300) | st.text(max_size=2), max_size=4) | _JSON,
            "parameters": _PARAMETERS | _JSON,
        },
    ),
    max_size=2,
)
_REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=3) | _JSON,
        "inputs": _TENSORS | _JSON,
        "outputs": _TENSORS | _JSON,
        "parameters": _PARAMETERS | _JSON,
    },
).map(lambda request: json.dumps(request).encode())


@given(_REQUESTS | st.binary(), st.binary(max_size=20), st.none() | st.integers(-5, 100) | st.just(10**6))
def test_any_bytes_are_arrays_or_a_call_error(text: bytes, behind: bytes, wrong_length: int | None) -> None:
    body = text + behind
    for length in (None, len(text), wrong_length):
        with contextlib.suppress(CallError):
            if length is not None:
                check_length(length, body)
            read(body, length)


class TestHeader:
    def test_says_how_long_the_json_is_or_is_missing(self) -> None:
        assert header_length({}) is None
        assert header_length({"inference-header-content-length": " 210 "}) == 210
        assert header_length({"inference-header-content-length": "-5"}) == -5

    @pytest.mark.parametrize(
        "said", ["abc", "210x", "", "-", "1.0", "0x10", "1, 1", "٣", "9" * 19, "9" * 10**6]
    )
    def test_that_is_no_number_is_refused_by_its_name(self, said: str) -> None:
        with pytest.raises(
            InvalidCall, match="the header Inference-Header-Content-Length must be"
        ) as refused:
            header_length({"inference-header-content-length": said})
        assert len(str(refused.value)) < 500

    def test_is_within_the_body(self) -> None:
        check_length(0, b"abc")
        check_length(3, b"abc")
        for wrong in (4, -1):
            with pytest.raises(
                InvalidCall, match=rf"^inference header size should be in range \(0, 3\), got: {wrong}$"
            ):
                check_length(wrong, b"abc")

    def test_that_was_forgotten_is_named(self) -> None:
        size = {"binary_data_size": 8}
        body = json.dumps(with_input(data=None, parameters=size)).encode()
        with pytest.raises(InvalidCall, match="no header Inference-Header-Content-Length"):
            read(body, None)
        with pytest.raises(InvalidCall, match="the header Inference-Header-Content-Length has to say"):
            read(body + bytes(8), None)


class TestMembers:
    def test_unknown_ones_are_passed_over_at_every_level(self) -> None:
        more = {"unknown": {"deep": [1]}}
        one = {**X, **more, "parameters": {"mine": [1]}}
        request, found = described({"inputs": [one], "outputs": [{"name": "y", **more}], **more})
        assert [tensor.name for tensor in request.inputs] == ["x"]
        assert [output.name for output in request.outputs] == ["y"]
        assert not request.inputs[0].parameters
        assert found.binary == [False]

    def test_last_of_two_of_one_name_counts(self) -> None:
        request, _ = described(b'{"id": "a", "id": "b", "inputs": []}')
        assert request.id == "b"

    @pytest.mark.parametrize("name", ["name", "datatype", "shape"])
    def test_of_an_input_have_to_be_there(self, name: str) -> None:
        assert refusal(with_input(**{name: None})) == (
            f"Unable to parse '{name}': attempt to access non-existing object member '{name}' (of inputs[0])"
        )

    def test_inputs_have_to_be_there(self) -> None:
        text = "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"
        assert refusal({}).startswith(text)
        assert refusal([]).startswith(text)

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ({"id": 5, "inputs": []}, "'id': attempt to access JSON non-string as string (id is 5)"),
            ({"inputs": {}}, "'inputs': attempt to access JSON non-array as array"),
            ({"inputs": [], "outputs": {}}, "'outputs': attempt to access JSON non-array as array"),
            ({"inputs": [5]}, "'name': attempt to access non-existing object member 'name' (inputs[0] is 5)"),
            (with_input(name=5), "'name': attempt to access JSON non-string as string (inputs[0].name is 5)"),
            (with_input(datatype=[]), "'datatype': attempt to access JSON non-string as string"),
            (with_input(shape=2), "'shape': attempt to access JSON non-array as array"),
            (with_input(shape=[2.0]), "'shape': attempt to access JSON non-unsigned-integer as unsigned-"),
            (with_input(shape=[-2]), "'shape': attempt to access JSON non-unsigned-integer as unsigned-"),
            (with_input(shape=[2**63]), "'shape': attempt to access JSON non-unsigned-integer as unsigned-"),
            (with_input(data={}), "'data': attempt to access JSON non-array as array (inputs[0].data is {})"),
            (
                with_input(data=[1, "2"]),
                "'data': attempt to access JSON non-signed-integer as signed-integer",
            ),
            (
                with_input(data=None, parameters={"binary_data_size": -1}),
                "'binary_data_size': attempt to access JSON non-unsigned-integer as unsigned-integer",
            ),
            (
                {"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]},
                "'binary_data': attempt to access JSON non-boolean as boolean (outputs[0].parameters.binary",
            ),
            ({"inputs": [], "outputs": [{}]}, "'name': attempt to access non-existing object member 'name'"),
        ],
    )
    def test_of_the_wrong_kind_are_refused_by_place_and_value(self, body: Any, text: str) -> None:
        assert refusal(body).startswith(f"Unable to parse {text}")

    def test_parameters_of_an_input_that_are_no_object_are_ignored(self) -> None:
        request, _ = described(with_input(parameters=[1]))
        assert len(request.inputs) == 1


class TestData:
    @pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1], 2], [3, [4]]], [1, [2, 3], 4]])
    def test_only_how_many_values_there_are_is_held_against_the_shape(self, data: Any) -> None:
        request, found = described(with_input(shape=[2, 2], data=data))
        (values,) = found.contents
        assert isinstance(values, np.ndarray)
        assert values.tolist() == [1, 2, 3, 4]
        assert list(request.inputs[0].shape) == [2, 2]

    @pytest.mark.parametrize("shape", [[3], [2, 2], [0], [2, 0], [2**40, 2**40], [2**62] * 100_000])
    def test_another_number_than_the_shape_has_is_refused(self, shape: list[int]) -> None:
        text = refusal(with_input(shape=shape))
        assert text.startswith(
            "Unable to parse 'data': Shape does not match true shape of 'data' field (input"
        )
        assert len(text) < 500

    def test_a_scalar_has_one_value(self) -> None:
        _, found = described(with_input(shape=[], data=[7]))
        assert isinstance(found.contents[0], np.ndarray)

    def test_an_empty_tensor_has_none_and_says_so(self) -> None:
        _, found = described(with_input(shape=[0, 3], data=[]))
        assert isinstance(found.contents[0], np.ndarray)
        assert found.contents[0].size == 0
        assert "But no field is set" in refusal(with_input(shape=[0, 3], data=None))

    @pytest.mark.parametrize("datatype", ["int32", "FP8", "", "STRING"])
    def test_of_no_datatype_is_refused(self, datatype: str) -> None:
        assert refusal(with_input(datatype=datatype)).startswith("invalid datatype for input x: got ")

    @pytest.mark.parametrize(
        ("parameters", "data", "found"),
        [
            ({}, None, "But no field is set"),
            ({"binary_data_size": 8}, [1, 2], "But set 'data', 'binary_data_size'"),
            ({"shared_memory_region": "r"}, [1, 2], "But set 'data', 'shared_memory_region'"),
            (
                {"shared_memory_region": "r", "binary_data_size": 8},
                None,
                "But set 'binary_data_size', 'shared_memory_region'",
            ),
        ],
    )
    def test_comes_from_exactly_one_place(self, parameters: Any, data: Any, found: str) -> None:
        assert refusal(with_input(parameters=parameters, data=data)) == (
            "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
            f"'shared_memory_region' in 'parameters'. {found} (input 'x')"
        )

    def test_nested_100000_deep_is_refused(self) -> None:
        deep = b"[" * 100_000 + b"1" + b"]" * 100_000
        body = b'{"inputs":[{"name":"x","datatype":"INT32","shape":[1],"data":' + deep + b"}]}"
        assert refusal(body).startswith("failed to parse the request JSON buffer: ")
        assert refusal(body[:-1] + b',"a":NaN}').startswith("failed to parse the request JSON buffer: ")

    def test_in_shared_memory_has_no_contents_here(self) -> None:
        parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 4}
        request, found = described(with_input(data=None, parameters=parameters))
        assert found.contents == [None]
        sent = request.inputs[0].parameters
        assert sent["shared_memory_region"].string_param == "r"
        assert (sent["shared_memory_byte_size"].int64_param, sent["shared_memory_offset"].int64_param) == (
            8,
            4,
        )


class TestTails:
    @staticmethod
    def body(sizes: Mapping[str, int], behind: bytes) -> tuple[bytes, int]:
        inputs = [
            {"name": name, "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}
            for name, size in sizes.items()
        ]
        text = json.dumps({"inputs": [inputs[0], {**X, "name": "j"}, *inputs[1:]]}).encode()
        return text + behind, len(text)

    def test_lie_in_the_order_of_their_inputs_whatever_is_between(self) -> None:
        found = read(*self.body({"a": 2, "b": 0, "c": 3}, b"\1\2\3\4\5"))
        assert [found[name][2] for name in "abc"] == [b"\1\2", b"", b"\3\4\5"]
        assert found["j"][2] == np.array([1, 2], np.int32).tobytes()

    def test_that_are_short_are_refused_by_what_is_missing(self) -> None:
        with pytest.raises(
            InvalidCall, match=r"^unexpected size for input 'b', expecting 4 additional bytes for model 'm'$"
        ):
            read(*self.body({"a": 2, "b": 5}, bytes(3)))

    def test_that_are_too_long_are_refused(self) -> None:
        with pytest.raises(
            InvalidCall, match=r"^unexpected additional input data for model 'm': 2 bytes are left"
        ):
            read(*self.body({"a": 2}, bytes(4)))

    def test_are_not_copied(self) -> None:
        body, length = self.body({"a": 2}, b"\1\2")
        request, found = described(body[:length])
        names = [tensor.name for tensor in request.inputs]
        raw = raw_contents(
            names, found.contents, body, tails(names, found.contents, body, length, "m", hint=False)
        )
        assert isinstance(raw[0], memoryview)
        assert raw[0].obj is body


class TestParameters:
    def test_become_those_of_the_message(self) -> None:
        wanted = {
            "signature_name": ("string_param", "other"),
            "priority": ("uint64_param", 2**64 - 1),
            "timeout": ("int64_param", 5),
            "sequence_id": ("uint64_param", 2**63),
            "sequence_start": ("bool_param", True),
            "mine": ("double_param", 0.5),
            "wide": ("double_param", float(2**63)),
            "whole": ("int64_param", -(2**63)),
            "text": ("string_param", "é"),
        }
        request, _ = described(
            {"inputs": [], "parameters": {name: value for name, (_, value) in wanted.items()}}
        )
        found = {
            name: (kind := parameter.WhichOneof("parameter_choice"), getattr(parameter, kind))
            for name, parameter in request.parameters.items()
        }
        assert found == wanted

    def test_sequence_may_have_a_name(self) -> None:
        request, _ = described({"inputs": [], "parameters": {"sequence_id": "s"}})
        assert request.parameters["sequence_id"].string_param == "s"

    @pytest.mark.parametrize("name", ["priority", "timeout", "sequence_id"])
    @pytest.mark.parametrize("value", [-1, 1.0, True, None, []])
    def test_that_are_unsigned_are_nothing_else(self, name: str, value: Any) -> None:
        text = f"Unable to parse '{name}': attempt to access JSON non-unsigned-integer as unsigned-integer"
        assert refusal({"inputs": [], "parameters": {name: value}}).startswith(text)

    @pytest.mark.parametrize("name", ["sequence_start", "sequence_end", "binary_data_output"])
    @pytest.mark.parametrize("value", [1, "true", None])
    def test_that_are_true_or_false_are_nothing_else(self, name: str, value: Any) -> None:
        text = (
            f"Unable to parse '{name}': attempt to access JSON non-boolean as boolean (parameters.{name} is "
        )
        assert refusal({"inputs": [], "parameters": {name: value}}).startswith(text)

    @pytest.mark.parametrize("value", [{}, [], None, float("nan")])
    def test_of_no_kind_that_messages_have_are_refused(self, value: Any) -> None:
        assert refusal({"inputs": [], "parameters": {"foo": value}}) == (
            "parameter 'foo' has invalid type. It should be either 'int', 'bool', or 'string'."
        )

    @pytest.mark.parametrize("parameters", [[], 1, None, "a"])
    def test_are_an_object(self, parameters: Any) -> None:
        text = "failed to get request params.: attempt to get members for non-object (parameters is "
        assert refusal({"inputs": [], "parameters": parameters}).startswith(text)

    def test_are_unicode(self) -> None:
        assert "no valid Unicode" in refusal(b'{"inputs":[],"parameters":{"a":"\\ud800","b":NaN}}')
        assert "no valid Unicode" in refusal(b'{"inputs":[],"parameters":{"\\ud800":1,"b":NaN}}')


class TestOutputs:
    @staticmethod
    def binary(default: bool | None, *own: bool | None) -> tuple[list[bool], bool]:
        outputs = [
            {"name": f"y{index}", **({} if one is None else {"parameters": {"binary_data": one}})}
            for index, one in enumerate(own)
        ]
        body: dict[str, Any] = {"inputs": [], "outputs": outputs}
        if default is not None:
            body["parameters"] = {"binary_data_output": default}
        _, found = described(body)
        return list(found.binary), found.all_binary

    def test_are_bytes_if_they_or_the_request_say_so(self) -> None:
        assert self.binary(None, None, True, False) == ([False, True, False], False)
        assert self.binary(True, None, True, False) == ([True, True, False], True)
        assert self.binary(False, None, True) == ([False, True], False)
        assert self.binary(True) == ([], True)

    def test_keep_the_order_of_the_request(self) -> None:
        request, _ = described({"inputs": [], "outputs": [{"name": "b"}, {"name": "a"}]})
        assert [output.name for output in request.outputs] == ["b", "a"]

    @staticmethod
    def output(**parameters: Any) -> dict[str, Any]:
        return {"inputs": [], "outputs": [{"name": "y", "parameters": parameters}]}

    def test_may_be_classes_or_lie_in_shared_memory(self) -> None:
        request, _ = described(
            self.output(classification=3, shared_memory_region="r", shared_memory_byte_size=8)
        )
        sent = request.outputs[0].parameters
        assert sent["classification"].int64_param == 3
        assert sent["shared_memory_region"].string_param == "r"
        assert sent["shared_memory_byte_size"].int64_param == 8

    def test_of_no_classes_are_values(self) -> None:
        request, _ = described(self.output(classification=0))
        assert not request.outputs[0].parameters

    @pytest.mark.parametrize("classes", [-1, 1.5, "2", True, None])
    def test_classes_are_a_number(self, classes: Any) -> None:
        text = (
            "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer"
            " (outputs[0].parameters.classification is "
        )
        assert refusal(self.output(classification=classes)).startswith(text)

    def test_cannot_lie_in_shared_memory_and_be_bytes(self) -> None:
        assert refusal(self.output(binary_data=True, shared_memory_region="r")) == (
            "Output can't set both 'shared_memory_region' and 'binary_data' (output 'y')"
        )


def test_syntax_is_told_with_its_place() -> None:
    assert re.fullmatch(r"failed to parse the request JSON buffer: .+ at 1", refusal(b"{1}"))


@pytest.mark.parametrize(
    "more",
    [
        {"outputs": [{"name": "y"}] * 10_001},
        {"parameters": {f"p{number}": 1 for number in range(10_001)}},
        {"inputs": [{"name": "x"}] * 10_001},
    ],
    ids=["outputs", "parameters", "inputs"],
)
def test_request_of_more_members_than_any_model_has_is_refused_before_they_are_read(
    more: dict[str, Any],
) -> None:
    (name,) = more
    with pytest.raises(InvalidCall, match=f"'{name}' has 10001 members; a request may have 10000"):
        read_json(json.dumps({"inputs": [], **more}).encode(), with_length=False)
