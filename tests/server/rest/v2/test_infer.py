"""infer over HTTP, from a body to an answer; what it refuses, it refuses as gRPC does."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_server.batching.request import InSequence
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    InternalError,
    InvalidCall,
    NotFound,
    NotReady,
    QueueFull,
    RunFailed,
    Unsupported,
)
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.models.status import State
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2 import infer_answer, infer_request
from hotgraph_server.rest.v2.infer import HttpInfer
from hotgraph_server.signatures import Signature
from hotgraph_server.transport.http import Request

from ...protocols.fakes import (
    PATIENCE_S,
    FakeGraph,
    FakeReply,
    Models,
    add_and_subtract,
    float_signature,
    identity_signature,
    spec,
    strings,
)
from .http_calls import (
    MOST_BYTES,
    FakeHttpReply,
    Scene,
    ask,
    begin,
    binary_body,
    binary_input,
    infer_body,
    json_input,
    no_pool,
)

ONES = np.ones((1, 2), np.float32)
FLOATS = {"x": ONES, "y": 2 * ONES}

ARRAYS = [
    np.array([[True, False], [False, True]]),
    *(np.array([[0, 1], [np.iinfo(code).min, 2]], code) for code in ("i1", "i2", "i4", "i8")),
    *(np.array([[0, 1], [2, np.iinfo(code).max]], code) for code in ("u1", "u2", "u4", "u8")),
    *(np.array([[0.1, -1.5], [1e-7, 3]], code) for code in ("f2", "f4", "f8", ml_dtypes.bfloat16)),
    strings(b"a", "é\0".encode(), b"", b"d").reshape(2, 2),
]


def floats(**members: Any) -> dict[str, Any]:
    """A good call of `float_signature` in JSON, with these members too."""
    return {"inputs": [json_input(array, name) for name, array in FLOATS.items()], **members}


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(wire.datatype_of(array.dtype)))
@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
def test_every_datatype_goes_in_and_comes_back_either_way(
    array: Any, binary_in: bool, binary_out: bool
) -> None:
    scene = Scene(identity_signature(array.dtype, None, 2))
    described, contents = binary_input(array) if binary_in else (json_input(array), b"")
    body, length = infer_body([described], contents, parameters={"binary_data_output": binary_out})
    for _ in range(2):  # the second one may be of a known form
        answer = scene.ask(body, length)
        (found,) = scene.requests.pop().inputs
        assert found.dtype == array.dtype
        assert found.tolist() == array.tolist()
        (output,) = answer.outputs.values()
        assert (output["name"], output["shape"]) == ("x", [2, 2])
        assert output["datatype"] == wire.datatype_of(array.dtype)
        if binary_out:
            assert answer.tails == wire.encode_raw(array)
        elif array.dtype == object:
            assert output["data"] == [one.decode() for one in array.ravel()]
        else:
            assert np.array(output["data"], array.dtype).tolist() == array.ravel().tolist()


def test_values_in_json_and_behind_it_may_be_mixed() -> None:
    scene = Scene(float_signature())
    described, contents = binary_input(ONES, "y")
    body, length = infer_body([json_input(2 * ONES), described], contents)
    scene.ask(body, length, ONES, ONES)
    assert [array.tolist() for array in scene.requests[0].inputs] == [[[2, 2]], [[1, 1]]]


def test_inputs_come_in_any_order() -> None:
    scene = Scene(float_signature())
    body, length = binary_body({"y": ONES, "x": 2 * ONES})
    for _ in range(2):
        scene.ask(body, length, ONES, ONES)
        assert [array.tolist() for array in scene.requests.pop().inputs] == [[[2, 2]], [[1, 1]]]


def test_numbers_that_are_not_finite_go_in_and_come_out_and_the_answer_is_json() -> None:
    scene = Scene(identity_signature(np.float32, None))
    text = (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[5],"data":[NaN,-Infinity,"Infinity","NaN",0.1]}]}'
    )
    assert scene.ask(text).outputs["x"]["data"] == ["NaN", "-Infinity", "Infinity", "NaN", 0.1]


def test_bytes_behind_json_are_views_in_a_call() -> None:
    scene = Scene(identity_signature(np.float32, None))
    body, length = binary_body({"x": np.arange(10_000, dtype=np.float32)})
    for _ in range(2):
        scene.ask(body, length)
        assert np.shares_memory(scene.requests.pop().inputs[0], np.frombuffer(body, np.uint8))


def test_boolean_behind_json_is_true_if_it_is_not_zero() -> None:
    scene = Scene(identity_signature(np.bool_, None))
    size = {"binary_data_size": 3}
    body, length = infer_body(
        [{"name": "x", "datatype": "BOOL", "shape": [3], "parameters": size}], b"\0\1\2"
    )
    for _ in range(2):
        assert scene.ask(body, length).outputs["x"]["data"] == [False, True, True]


def test_600000_strings_of_one_byte_are_a_call() -> None:
    scene = Scene(identity_signature(object, None))
    data = ["a"] * 600_000
    body = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [600_000], "data": data}]}
    assert scene.ask(body).outputs["x"]["data"] == data


def test_b64_carries_any_bytes() -> None:
    scene = Scene(identity_signature(object, None))
    body = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [{"b64": "/9j/"}]}]}
    assert scene.ask({**body, "parameters": {"binary_data_output": True}}).tails == b"\3\0\0\0\xff\xd8\xff"
    text = r"^\[request id: i\] output 'x' holds bytes that are no UTF-8.*binary_data"
    with pytest.raises(CallError, match=text) as refused:
        scene.ask({**body, "id": "i"})
    assert refused.value.status is InvalidCall.status


class TestWhichModel:
    def endpoint(self, infer: HttpInfer, model: str, version: str = "", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return infer.endpoint(Request("POST", "/", "", named), model, version)

    def test_is_not_found_before_anything_of_the_body_is_read(self) -> None:
        scene = Scene(float_signature())
        with pytest.raises(NotFound, match=r"^Request for unknown model: 'n' is not found$"):
            self.endpoint(scene.infer, "n")
        with pytest.raises(NotFound, match=r"^Request for unknown model: 'm' version 99 is not found$"):
            self.endpoint(scene.infer, "m", "99")
        # Before the header that is wrong, too.
        with pytest.raises(NotFound):
            self.endpoint(scene.infer, "n", inference_header_content_length="abc")

    def test_that_drains_is_not_ready(self) -> None:
        scene = Scene(float_signature())
        endpoint = self.endpoint(scene.infer, "m")
        scene.version.state = State.DRAINING
        with pytest.raises(NotReady, match="is not at ready state"):
            self.endpoint(scene.infer, "m")
        with pytest.raises(NotReady, match="is not at ready state"):
            endpoint.begin(json.dumps(floats()).encode(), FakeHttpReply(Request("POST", "/", "", {})))

    def test_of_several_versions_is_the_highest_or_the_one_that_is_named(self, models: Models) -> None:
        for number in (1, 3):
            models.add("multi", number, FakeGraph((float_signature(), add_and_subtract)))
        infer = HttpInfer(models.registry, no_pool(), MOST_BYTES)
        assert ask(infer, floats(), model="multi").json["model_version"] == "3"
        assert ask(infer, floats(), model="multi", version="1").json["model_version"] == "1"

    def test_its_signature_can_be_named(self) -> None:
        scene = Scene(float_signature(), float_signature("other"))
        scene.ask(floats(parameters={"signature_name": "other"}), None, ONES, ONES)
        assert scene.requests[0].signature.name == "other"
        with pytest.raises(InvalidCall, match="has no signature 'none'"):
            scene.ask(floats(parameters={"signature_name": "none"}))

    def test_decoupled_is_told_where_it_was_asked(self) -> None:
        scene = Scene(float_signature(), contract=Contract(None, "serving_default", decoupled=True))
        text = "^HTTP end point doesn't support models with decoupled transaction policy$"
        with pytest.raises(Unsupported, match=text):
            scene.ask(floats())

    def test_endpoint_says_how_much_of_the_body_is_json(self) -> None:
        scene = Scene(float_signature())
        assert self.endpoint(scene.infer, "m").json_bytes is None
        assert self.endpoint(scene.infer, "m", inference_header_content_length="7").json_bytes == 7
        assert self.endpoint(scene.infer, "m", inference_header_content_length="-7").json_bytes == 0


class TestHeaderOfTheLength:
    @pytest.mark.parametrize("length", [-1, 10**6])
    def test_is_within_the_body(self, length: int) -> None:
        body = json.dumps(floats()).encode()
        text = rf"^inference header size should be in range \(0, {len(body)}\), got: {length}$"
        with pytest.raises(InvalidCall, match=text):
            Scene(float_signature()).ask(body, length)

    def test_that_is_no_number_is_named(self) -> None:
        with pytest.raises(InvalidCall, match="Inference-Header-Content-Length"):
            Scene(float_signature()).ask(floats(), "210x")

    def test_may_be_that_of_the_whole_body(self) -> None:
        scene = Scene(float_signature())
        body = json.dumps(floats()).encode()
        assert scene.ask(body, len(body), ONES, ONES).outputs["sum"]["data"] == [1, 1]


def wrong_requests() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Calls of `float_signature` that are refused: what their inputs say in place of what is right, and what
    else the requests say."""
    return {
        "datatype": ({"x": {"datatype": "INT32", "data": [1, 2]}}, {}),
        "shape": ({"x": {"shape": [1, 3], "data": [1, 2, 3]}}, {}),
        "rank": ({"x": {"shape": [2]}}, {}),
        "no rows": ({"x": {"shape": [], "data": [1]}}, {}),
        "rows": ({"x": {"shape": [2, 2], "data": [1, 2, 3, 4]}}, {}),
        "too large": ({"x": {"shape": [0, 2**40], "data": []}}, {}),
        "missing": ({"y": None}, {}),
        "surplus": ({"z": {"name": "z"}}, {}),
        "unknown": ({"x": {"name": "z"}}, {}),
        "twice": ({"y": {"name": "x"}}, {}),
        "output": ({}, {"outputs": [{"name": "none"}]}),
        "output twice": ({}, {"outputs": [{"name": "sum"}, {"name": "sum"}]}),
        "signature": ({}, {"parameters": {"signature_name": "none"}}),
        "reserved": ({}, {"parameters": {"triton_mine": 1}}),
        "kind": ({}, {"parameters": {"signature_name": 1}}),
        "region": ({"x": {"data": None, "parameters": {"shared_memory_region": "r"}}}, {}),
        "offset": ({}, {"outputs": [{"name": "sum", "parameters": {"shared_memory_offset": 1}}]}),
    }


@pytest.mark.parametrize("wrong", wrong_requests())
@pytest.mark.parametrize("request_id", ["", "an id"])
def test_what_is_wrong_with_a_call_is_told_in_the_words_of_grpc(wrong: str, request_id: str) -> None:
    changes, more = wrong_requests()[wrong]
    inputs = []
    message = pb.ModelInferRequest(model_name="m", id=request_id)
    for name in ("x", "y", "z"):
        change = changes.get(name, {})
        if change is None or (name == "z" and not change):
            continue
        one = {**json_input(ONES, name), **change}
        one = {member: value for member, value in one.items() if value is not None}
        inputs.append(one)
        tensor = message.inputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        for parameter, value in one.get("parameters", {}).items():
            tensor.parameters[parameter].string_param = value
        if "data" in one:
            integers = one["datatype"] == "INT32"
            message.raw_input_contents.append(
                np.array(one["data"], np.int32 if integers else np.float32).tobytes()
            )
    for output in more.get("outputs", ()):
        added = message.outputs.add(name=output["name"])
        for parameter, value in output.get("parameters", {}).items():
            added.parameters[parameter].int64_param = value
    for parameter, value in more.get("parameters", {}).items():
        kind = "string_param" if isinstance(value, str) else "int64_param"
        setattr(message.parameters[parameter], kind, value)
    scene = Scene(float_signature())
    with pytest.raises(CallError) as by_grpc:
        Infer(scene.registry)(message.SerializeToString(), FakeReply())
    with pytest.raises(CallError) as by_http:
        scene.ask({"id": request_id, "inputs": inputs, **more})
    assert (by_http.value.status, str(by_http.value)) == (by_grpc.value.status, str(by_grpc.value))
    assert str(by_http.value).startswith("[request id: an id] ") is bool(request_id)


@pytest.mark.parametrize(
    ("array", "contents", "text"),
    [
        (
            np.zeros(16, np.int32),
            bytes(60),
            "input byte size mismatch for input 'x' .* Expected 64, got 60",
        ),
        (strings(b""), b"\1\0", "incomplete string length indicator"),
        (strings(b""), b"\x63\0\0\0a", "incomplete string data"),
        (strings(b"", b""), b"\0\0\0\0", "expected 2 string elements, got 1 for input 'x' for model 'm'"),
        (strings(b""), b"\0\0\0\0\0\0\0\0", "unexpected number of string elements 2"),
    ],
)
def test_contents_that_do_not_fill_a_shape_are_refused(array: Any, contents: bytes, text: str) -> None:
    scene = Scene(identity_signature(array.dtype, None))
    described, _ = binary_input(array)
    described["parameters"]["binary_data_size"] = len(contents)
    body, length = infer_body([described], contents, id="i")
    with pytest.raises(CallError, match=rf"^\[request id: i\] {text}") as refused:
        scene.ask(body, length)
    assert refused.value.status is InvalidCall.status


def test_strings_of_another_number_than_their_shape_are_refused() -> None:
    scene = Scene(identity_signature(object, None))
    for data, text in (
        (["a"], "expected 2 string elements, got 1"),
        (["a"] * 3, "unexpected number of string el"),
    ):
        body = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [2], "data": data}]}
        with pytest.raises(InvalidCall, match=text):
            scene.ask(body)


def test_contract_is_what_callers_see_in_and_out() -> None:
    dims = {"x": TensorContract((2, 1), reshape=(2,)), "y": TensorContract((2,))}
    outputs = {"sum": TensorContract((1, 2), reshape=(2,)), "difference": TensorContract((2,))}
    contract = Contract(None, "serving_default", batched=True, max_batch_size=2, inputs=dims, outputs=outputs)
    scene = Scene(float_signature(), contract=contract)
    inputs = [json_input(ONES.reshape(1, 2, 1), "x"), json_input(ONES, "y")]
    answer = scene.ask({"inputs": inputs}, None, ONES, ONES)
    assert scene.requests[0].inputs[0].shape == (1, 2)
    assert answer.outputs["sum"]["shape"] == [1, 1, 2]


class TestParameters:
    def test_priority_timeout_and_sequence_are_the_calls(self) -> None:
        scene = Scene(float_signature())
        parameters = {
            "priority": 7,
            "timeout": 2_000_000,
            "sequence_id": 2**64 - 1,
            "sequence_start": True,
            "sequence_end": False,
            "mine": 0.5,
        }
        body, length = binary_body(FLOATS, parameters=parameters)
        for _ in range(2):
            reply = scene.begin(body, length)
            (request,) = scene.requests
            assert (request.priority, request.timeout_s) == (7, 2.0)
            assert request.sequence == InSequence(2**64 - 1, start=True, end=False)
            assert reply.expires is not None
            scene.requests.clear()
            scene.version.calls.clear()

    def test_sequence_can_have_a_name(self) -> None:
        scene = Scene(float_signature())
        scene.begin(floats(parameters={"sequence_id": "s"}))
        assert scene.requests[0].sequence == InSequence("s", start=False, end=False)

    def test_without_them_nothing_is_asked_for(self) -> None:
        scene = Scene(float_signature())
        scene.begin(floats())
        request = scene.requests[0]
        assert (request.priority, request.timeout_s, request.deadline) == (0, math.inf, math.inf)


class TestOutputs:
    def test_without_a_choice_are_all_in_the_models_order(self) -> None:
        scene = Scene(float_signature())
        for body in (floats(), floats(outputs=[])):
            assert list(scene.ask(body, None, ONES, ONES).outputs) == ["sum", "difference"]

    def test_come_in_the_order_in_which_they_are_asked_for(self) -> None:
        scene = Scene(float_signature())
        outputs = [{"name": "difference"}, {"name": "sum"}]
        assert list(scene.ask(floats(outputs=outputs), None, ONES, 2 * ONES).outputs) == ["difference", "sum"]
        assert scene.requests[0].outputs == ("difference", "sum")

    def test_that_are_bytes_follow_in_their_order_whatever_is_between(self) -> None:
        scene = Scene(float_signature())
        as_bytes = {"parameters": {"binary_data": True}}
        outputs: list[dict[str, Any]] = [{"name": "difference", **as_bytes}, {"name": "sum"}]
        answer = scene.ask(floats(outputs=outputs), None, ONES, 2 * ONES)
        assert answer.tails == ONES.tobytes()
        assert answer.outputs["sum"]["data"] == [2, 2]
        outputs[1].update(as_bytes)
        assert (
            scene.ask(floats(outputs=outputs), None, ONES, 2 * ONES).tails
            == ONES.tobytes() + (2 * ONES).tobytes()
        )

    def test_that_are_listed_are_bytes_too_if_the_request_says_so(self) -> None:
        scene = Scene(float_signature())
        outputs = [{"name": "difference"}, {"name": "sum", "parameters": {"binary_data": False}}]
        body = floats(outputs=outputs, parameters={"binary_data_output": True})
        answer = scene.ask(body, None, ONES, 2 * ONES)
        assert answer.outputs["difference"]["parameters"] == {"binary_data_size": 8}
        assert answer.outputs["sum"]["data"] == [2, 2]

    def test_may_have_parameters_that_nobody_knows(self) -> None:
        outputs = [{"name": "sum", "parameters": {"mine": 1}}]
        assert list(Scene(float_signature()).ask(floats(outputs=outputs), None, ONES).outputs) == ["sum"]

    def test_that_the_protocol_cannot_carry_are_refused(self) -> None:
        signature = Signature(
            "serving_default", (spec("x", np.float32, None),), (spec("y", np.complex64, None),)
        )
        body = {"inputs": [json_input(np.zeros(1, np.float32))], "id": "i"}
        for binary in (False, True):
            asking = {**body, "parameters": {"binary_data_output": binary}}
            with pytest.raises(CallError, match=r"^\[request id: i\] output 'y' is complex64") as refused:
                Scene(signature).ask(asking, None, np.zeros(1, np.complex64))
            assert refused.value.status is Unsupported.status


class TestClassification:
    @staticmethod
    def body(classes: int, **parameters: Any) -> dict[str, Any]:
        return floats(outputs=[{"name": "sum", "parameters": {"classification": classes, **parameters}}])

    def test_is_the_largest_values_with_their_places(self) -> None:
        scene = Scene(float_signature())
        output = scene.ask(self.body(1), None, np.array([[1, 3.5]], np.float32)).outputs["sum"]
        assert (output["datatype"], output["shape"]) == ("BYTES", [1, 1])
        assert output["data"] == ["3.500000:1"]

    def test_has_labels_where_the_model_has_them(self) -> None:
        rules = TensorContract((2,), labels=("a", "b"))
        contract = Contract(None, "serving_default", batched=True, outputs={"sum": rules})
        scene = Scene(float_signature(), contract=contract)
        body = self.body(5, binary_data=True)
        answer = scene.ask(body, None, np.array([[1, 3.5]], np.float32))
        assert answer.tails == wire.encode_raw(strings(b"3.500000:1:b", b"1.000000:0:a"))
        assert answer.outputs["sum"]["shape"] == [1, 2]

    def test_of_none_are_the_values(self) -> None:
        assert Scene(float_signature()).ask(self.body(0), None, ONES).outputs["sum"]["data"] == [1, 1]

    def test_of_strings_is_refused_and_harms_nobody(self) -> None:
        """It kills a Triton."""
        scene = Scene(identity_signature(object, None))
        body = {"inputs": [json_input(strings(b"a"))]}
        with pytest.raises(
            InvalidCall, match="class result not available for output due to unsupported type"
        ):
            scene.ask({**body, "outputs": [{"name": "x", "parameters": {"classification": 1}}]})
        assert scene.ask(body).outputs["x"]["data"] == ["a"]


class TestSharedMemory:
    @pytest.fixture
    def scene(self, tmp_path: Path) -> Scene:
        scene = Scene(float_signature(), folder=tmp_path)
        (tmp_path / "in").write_bytes(bytes(4) + ONES.tobytes())
        (tmp_path / "out").write_bytes(bytes(16))
        assert scene.regions is not None
        scene.regions.register("in", "in", 0, 12)
        scene.regions.register("out", "out", 0, 16)
        return scene

    @staticmethod
    def parameters(region: str, size: int = 8, offset: int = 4) -> dict[str, Any]:
        return {
            "shared_memory_region": region,
            "shared_memory_byte_size": size,
            "shared_memory_offset": offset,
        }

    def test_holds_inputs_and_outputs(self, scene: Scene, tmp_path: Path) -> None:
        there = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": self.parameters("in")}
        described, contents = binary_input(2 * ONES, "y")
        outputs = [{"name": "sum", "parameters": self.parameters("out", 12)}, {"name": "difference"}]
        body, length = infer_body([there, described], contents, outputs=outputs)
        for value in (3, 4):
            answer = scene.ask(body, length, value * ONES, ONES)
            assert [array.tolist() for array in scene.requests.pop().inputs] == [[[1, 1]], [[2, 2]]]
            assert (tmp_path / "out").read_bytes()[4:12] == (value * ONES).tobytes()
            assert answer.outputs["sum"].keys() == {"name", "datatype", "shape"}
            assert answer.outputs["difference"]["data"] == [1, 1]

    def test_that_is_not_there_is_not_found(self, scene: Scene) -> None:
        outputs = [{"name": "sum", "parameters": self.parameters("zz")}]
        with pytest.raises(NotFound, match="Unable to find shared memory region: 'zz'"):
            scene.ask(floats(outputs=outputs))

    def test_that_is_too_small_is_refused(self, scene: Scene) -> None:
        outputs = [{"name": "sum", "parameters": self.parameters("out", 20)}]
        with pytest.raises(InvalidCall, match="Invalid offset \\+ byte size for shared memory region: 'out'"):
            scene.ask(floats(outputs=outputs))

    def test_parameters_of_the_wrong_kind_are_refused(self, scene: Scene) -> None:
        for name, value in (
            ("shared_memory_offset", -1),
            ("shared_memory_byte_size", "8"),
            ("shared_memory_offset", None),
        ):
            parameters = {**self.parameters("out"), name: value}
            with pytest.raises(InvalidCall, match=f"invalid value.*'{name}' parameter for tensor 'sum'"):
                scene.ask(floats(outputs=[{"name": "sum", "parameters": parameters}]))

    def test_holds_no_classes(self, scene: Scene) -> None:
        parameters = {**self.parameters("out"), "classification": 1}
        with pytest.raises(InvalidCall, match="cannot go to shared memory as a classification"):
            scene.ask(floats(outputs=[{"name": "sum", "parameters": parameters}]))

    def test_is_off_unless_it_is_on(self) -> None:
        scene = Scene(float_signature())
        with pytest.raises(Unsupported, match="output 'sum' for model 'm' shall lie there"):
            scene.ask(floats(outputs=[{"name": "sum", "parameters": self.parameters("out")}]))


class TestRawRequests:
    def test_body_is_the_only_input_and_the_answer_is_bytes(self) -> None:
        scene = Scene(identity_signature(np.float32, None, 2))
        answer = scene.ask(ONES.tobytes() * 2, 0)
        assert scene.requests[0].inputs[0].tolist() == [[1, 1], [1, 1]]
        assert answer.tails == ONES.tobytes() * 2
        assert answer.outputs["x"]["shape"] == [2, 2]

    def test_string_needs_no_length(self) -> None:
        scene = Scene(identity_signature(object, None))
        scene.ask(b"\xff\xd8", 0)
        assert scene.requests[0].inputs[0].tolist() == [b"\xff\xd8"]

    def test_size_that_fits_no_shape_is_refused_with_both(self) -> None:
        scene = Scene(identity_signature(np.float32, None, 2))
        for size in (0, 4, 12):
            with pytest.raises(InvalidCall, match=rf"input byte size mismatch .* Expected 8, got {size}$"):
                scene.ask(bytes(size), 0)

    def test_of_two_inputs_is_refused(self) -> None:
        text = r"^Raw request must only have 1 input \(found 1\) to be deduced but got 2 inputs in 'm'"
        with pytest.raises(InvalidCall, match=text):
            Scene(float_signature()).ask(bytes(8), 0)

    def test_empty_body_without_the_header_is_no_request(self) -> None:
        with pytest.raises(InvalidCall, match="failed to parse the request JSON buffer"):
            Scene(identity_signature(np.float32, None)).ask(b"")


class TestEnds:
    def test_id_comes_back(self) -> None:
        scene = Scene(float_signature())
        assert scene.ask(floats(id="i é"), None, ONES, ONES).json["id"] == "i é"
        assert "id" not in scene.ask(floats(id=""), None, ONES, ONES).json

    def test_run_that_fails_is_internal_with_the_models_words(self) -> None:
        scene = Scene(float_signature())
        reply = scene.begin(floats(id="i"))
        scene.version.calls.pop().completion.finish(RunFailed(3, "no such row"))
        with pytest.raises(CallError, match=r"^\[request id: i\] no such row$") as failed:
            reply.content()
        assert failed.value.status is InternalError.status

    def test_refused_call_says_why_and_when_to_try_again(self) -> None:
        scene = Scene(float_signature())
        body, length = binary_body(FLOATS, id="i")
        for _ in range(2):
            scene.version.refusal = QueueFull("the queue", 1, 1)
            with pytest.raises(CallError, match=r"^\[request id: i\] the queue is full") as refused:
                scene.begin(body, length)
            assert refused.value.status is QueueFull.status
            assert refused.value.retry_after_ms == QueueFull.retry_after_ms
            scene.version.refusal = None
            scene.ask(body, length, ONES, ONES)

    def test_caller_that_leaves_ends_its_call(self) -> None:
        scene = Scene(float_signature())
        reply = scene.begin(floats())
        assert reply.cancel is not None
        reply.cancel()
        with pytest.raises(Cancelled):
            reply.content()


class TestLargeJson:
    def test_is_announced_before_it_is_written(self) -> None:
        scene = Scene(float_signature())
        reply = scene.begin(floats())
        scene.version.calls.pop().completion.finish([np.zeros((1000, 2), np.float32), ONES])
        assert reply.json_bytes_out > 8000
        reply = scene.begin(floats(parameters={"binary_data_output": True}))
        scene.version.calls.pop().completion.finish([np.zeros((1000, 2), np.float32), ONES])
        assert reply.json_bytes_out <= 0
        reply = scene.begin(floats())
        scene.version.calls.pop().completion.finish(Cancelled())
        assert reply.json_bytes_out <= 0

    def test_is_announced_of_classes_whatever_they_are_sent_as(self) -> None:
        scene = Scene(float_signature())
        reply = scene.begin(TestClassification.body(1000, binary_data=True))
        scene.version.calls.pop().completion.finish([np.zeros((1, 1000), np.float32)])
        assert reply.json_bytes_out > 4000

    def test_is_read_and_written_by_functions_that_can_be_sent_to_another_process(self) -> None:
        described = infer_request.read_json(json.dumps(floats()).encode(), with_length=False)
        assert pickle.loads(pickle.dumps(described)).request == described.request
        for function in (infer_request.read_json, infer_answer.write_text):
            assert pickle.loads(pickle.dumps(function)) is function

    def test_goes_through_another_process_and_means_the_same(self) -> None:
        pool = JsonProcessPool(1)
        try:
            scene = Scene(
                Signature(
                    "serving_default",
                    (spec("x", object, None), spec("b", ml_dtypes.bfloat16, None)),
                    (spec("x", object, None), spec("b", ml_dtypes.bfloat16, None)),
                )
            )
            infer = HttpInfer(scene.registry, pool, MOST_BYTES)
            values = np.array([1.5, 2.5], ml_dtypes.bfloat16)
            body, length = infer_body(
                [json_input(strings(b"a", b"b"), "x"), json_input(values, "b")],
                id="i",
                outputs=[{"name": "b"}],
            )
            reply = pool.submit(lambda: begin(infer, body, length), len(body), "caller").result(PATIENCE_S)
            call = scene.version.calls.pop()
            assert [array.tolist() for array in call.inputs] == [[b"a", b"b"], [1.5, 2.5]]
            call.completion.finish([values])
            content = pool.submit(reply.content, 100, "caller").result(PATIENCE_S)
            assert json.loads(b"".join(content))["outputs"][0]["data"] == [1.5, 2.5]
            wrong = pool.submit(lambda: begin(infer, b"{", None), 1, "caller")
            with pytest.raises(InvalidCall, match="failed to parse the request JSON buffer"):
                wrong.result(PATIENCE_S)
        finally:
            pool.stop()


def test_what_callers_are_told_before_there_is_a_call_is_kept() -> None:
    scene = Scene(float_signature())
    with pytest.raises(NotFound):
        scene.begin(floats(), model="nobody")
    with pytest.raises(CallError):
        scene.begin(b"{")
    with pytest.raises(CallError, match="request id: 7"):
        scene.begin({"id": "7", "inputs": []})
    told = [(one.model, one.status) for one in scene.registry.last_errors.latest()]
    assert told == [("m", "INVALID_ARGUMENT"), ("m", "INVALID_ARGUMENT"), ("nobody", "NOT_FOUND")]
    assert not any("request id" in one.text for one in scene.registry.last_errors.latest())
