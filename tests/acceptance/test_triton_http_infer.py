"""What a user of Triton's HTTP port may take for granted of a call: its JSON, the tensors behind it, outputs,
parameters, classification, raw requests and generate. Where Triton's way is a nuisance, this server's."""

from __future__ import annotations

import base64
import gzip
import json
import math
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from .http_server import LABELS, Answer, HttpServer, infer_path, tensor, two

NO_TIMES: tuple[Any, ...] = (-1, 1.5, "1", None, True)
NO_PARAMETERS: tuple[Any, ...] = ({}, [], None)
ECHO = "echo"
PARSE = "failed to parse the request JSON buffer"
INTEGERS = {f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
FLOATS = {"FP16": "half", "BF16": "bfloat16", "FP32": "float32", "FP64": "float64"}
SIGNATURES = {"BOOL": "bool", **INTEGERS, **FLOATS, "BYTES": "string"}
BYTES = {
    **{datatype: np.dtype(name) for datatype, name in INTEGERS.items()},
    **{"BOOL": np.dtype(bool), "FP16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16)},
    **{"FP32": np.dtype(np.float32), "FP64": np.dtype(np.float64)},
}


def echo(http_server: HttpServer, datatype: str, data: Any, shape: Any = (1, 2)) -> Answer:
    """What is sent comes back as `y`."""
    parameters = {"signature_name": f"echo_{SIGNATURES[datatype]}"}
    return http_server.infer(ECHO, [tensor("x", datatype, shape, data)], parameters=parameters)


def echo_text(http_server: HttpServer, datatype: str, data: str) -> Answer:
    """The same of JSON that no writer writes."""
    text = json.dumps(
        {
            "inputs": [tensor("x", datatype, [1, 2], "DATA")],
            "parameters": {"signature_name": f"echo_{SIGNATURES[datatype]}"},
        }
    )
    return http_server.post(infer_path(ECHO), text.replace('"DATA"', data).encode())


def packed(*strings: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in strings)


class TestJson:
    def test_the_answer_has_what_it_must_and_data_in_one_row(self, http_server: HttpServer) -> None:
        inputs = [
            tensor("a", "FP32", [2, 3], [[1, 2, 3], [4, 5, 6]]),
            tensor("b", "INT32", [2, 3], [1, 1, 1, 2, 2, 2]),
        ]
        answer = http_server.infer("multi", inputs, id="abc")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json == {
            "id": "abc",
            "model_name": "multi",
            "model_version": "3",
            "outputs": [
                {"name": "product", "datatype": "INT32", "shape": [2, 3], "data": [1, 2, 3, 8, 10, 12]},
                {"name": "sum", "datatype": "FP32", "shape": [2, 3], "data": [2, 3, 4, 6, 7, 8]},
            ],
        } or [one["name"] for one in answer.json["outputs"]] == ["sum", "product"]
        assert b" " not in answer.body
        for members in ({}, {"id": ""}):
            assert "id" not in http_server.infer("multi", inputs, **members).json

    def test_a_version_can_be_named(self, http_server: HttpServer) -> None:
        for version in ("1", "3"):
            assert http_server.infer("multi", two(), version).json["model_version"] == version

    @pytest.mark.parametrize(
        "data", [[1, 2, 3], [[1, 2, 3]], [[1], [2, 3]], [[[1]], 2, [[3]]], [[], [1, 2, 3]]]
    )
    def test_any_nesting_is_one_row_of_values(self, http_server: HttpServer, data: Any) -> None:
        inputs = [tensor("a", "FP32", [1, 3], data), tensor("b", "INT32", [1, 3], [0, 0, 0])]
        assert http_server.infer("simple", inputs).output("sum")["data"] == [1, 2, 3]

    @pytest.mark.parametrize("data", [[1, 2], [1, 2, 3, 4], []])
    def test_values_are_as_many_as_the_shape_has(self, http_server: HttpServer, data: Any) -> None:
        status, text = http_server.infer("simple", two(a=data)).refusal
        assert status == 400
        assert "Unable to parse 'data': Shape does not match true shape of 'data' field" in text
        assert "'a'" in text

    @pytest.mark.parametrize("member", ["name", "datatype", "shape"])
    def test_what_an_input_must_have_is_missed(self, http_server: HttpServer, member: str) -> None:
        inputs = two()
        del inputs[1][member]
        status, text = http_server.infer("simple", inputs).refusal
        assert status == 400
        expected = f"Unable to parse '{member}': attempt to access non-existing object member '{member}'"
        assert text.startswith(expected)
        assert "inputs[1]" in text

    @pytest.mark.parametrize("body", [{}, [], 1, "x", None])
    def test_inputs_are_missed(self, http_server: HttpServer, body: Any) -> None:
        status, text = http_server.post(infer_path("simple"), json.dumps(body).encode()).refusal
        assert status == 400
        assert "attempt to access non-existing object member 'inputs'" in text

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (
                lambda body: body.update(id=1),
                "Unable to parse 'id': attempt to access JSON non-string as string",
            ),
            (lambda body: body.update(inputs={}), "'inputs': attempt to access JSON non-array as array"),
            (lambda body: body.update(outputs="sum"), "'outputs': attempt to access JSON non-array as array"),
            (lambda body: body["inputs"][0].update(name=None), "'name': attempt to access JSON non-string"),
            (
                lambda body: body["inputs"][0].update(datatype=1),
                "'datatype': attempt to access JSON non-string",
            ),
            (lambda body: body["inputs"][0].update(shape=3), "'shape': attempt to access JSON non-array"),
            (
                lambda body: body["inputs"][0].update(shape=[1.0, 3]),
                "non-unsigned-integer as unsigned-integer",
            ),
            (
                lambda body: body["inputs"][0].update(shape=[-1, 3]),
                "non-unsigned-integer as unsigned-integer",
            ),
            (
                lambda body: body["inputs"][0].update(shape=["1", 3]),
                "non-unsigned-integer as unsigned-integer",
            ),
            (
                lambda body: body["inputs"][0].update(data=1),
                "'data': attempt to access JSON non-array as array",
            ),
            (
                lambda body: body.update(parameters=[]),
                "failed to get request params.: attempt to get members for non-object",
            ),
        ],
    )
    def test_wrong_types_are_a_mistake_of_the_caller(
        self, http_server: HttpServer, change: Any, text: str
    ) -> None:
        body = {"inputs": two()}
        change(body)
        status, said = http_server.post(infer_path("simple"), body).refusal
        assert (status, text in said) == (400, True), said

    def test_parameters_of_an_input_that_are_none_are_passed_over(self, http_server: HttpServer) -> None:
        inputs = two()
        inputs[0]["parameters"] = 1
        assert http_server.infer("simple", inputs).status == 200

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({"data": None}, "But no field is set"),
            ({"parameters": {"binary_data_size": 12}}, "But set 'data', 'binary_data_size'"),
            ({"parameters": {"shared_memory_region": "r"}}, "But set 'data', 'shared_memory_region'"),
        ],
    )
    def test_a_tensor_lies_in_one_place(self, http_server: HttpServer, change: Any, found: str) -> None:
        inputs = two()
        inputs[0].update(change)
        if inputs[0]["data"] is None:
            del inputs[0]["data"]
        status, text = http_server.infer("simple", inputs).refusal
        assert status == 400
        assert text.startswith(
            "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
            f"'shared_memory_region' in 'parameters'. {found}"
        )

    def test_members_that_nobody_knows_are_passed_over(self, http_server: HttpServer) -> None:
        inputs = two()
        inputs[0].update(more=[1], parameters={"mine": {"a": 1}})
        outputs = [{"name": "sum", "more": 1, "parameters": {"mine": [1]}}]
        answer = http_server.infer("simple", inputs, outputs=outputs, more={"a": None})
        assert answer.output("sum")["data"] == [5, 7, 9]

    def test_of_a_member_that_is_there_twice_the_last_one_counts(self, http_server: HttpServer) -> None:
        text = json.dumps({"id": "first", "inputs": two()})
        body = f'{text[:-1]}, "id": "last"}}'.encode()
        assert http_server.post(infer_path("simple"), body).json["id"] == "last"

    @pytest.mark.parametrize(
        "body", [b"{", b"{]", b"{1: 2}", b"", b"\xff", b'{"inputs": []} x', b"{'inputs': []}"]
    )
    def test_what_is_no_json_is_told_with_its_place(self, http_server: HttpServer, body: bytes) -> None:
        status, text = http_server.post(infer_path("simple"), body).refusal
        assert status == 400
        assert text.startswith(PARSE)
        assert " at " in text

    def test_a_byte_order_mark_is_passed_over(self, http_server: HttpServer) -> None:
        body = b"\xef\xbb\xbf" + json.dumps({"inputs": two()}).encode()
        assert http_server.post(infer_path("simple"), body).status == 200

    @pytest.mark.parametrize(
        ("inputs", "text"),
        [
            ([tensor("a", "fp32", [1, 3], [1, 2, 3])], "invalid datatype for input a"),
            (
                [tensor("a", "FP32", [1, 3], [1, 2, 3]), tensor("b", "FP32", [1, 3], [1, 2, 3])],
                "inference input 'b' data-type is 'FP32', but model 'simple' expects 'INT32'",
            ),
            ([*two(), two()[0]], "input 'a' already exists in request"),
            (
                two()[:1],
                "expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['a'], but missing "
                "required input(s) ['b']. Please provide all required input(s).",
            ),
            ([*two(), tensor("c", "FP32", [1, 3], [1, 2, 3])], "expected 2 inputs but got 3 inputs"),
            (
                [two()[0], tensor("c", "INT32", [1, 3], [1, 2, 3])],
                "unexpected inference input 'c' for model 'simple'",
            ),
            (
                [tensor("a", "FP32", [1, 2], [1, 2]), two()[1]],
                "unexpected shape for input 'a' for model 'simple'. Expected [-1,3], got [1,2]",
            ),
            (
                [tensor("a", "FP32", [2, 3], [0] * 6), two()[1]],
                "input 'b' batch size does not match other inputs",
            ),
            (
                [tensor("a", "FP32", [], [1]), two()[1]],
                "input 'a' has no shape but model requires batch dimension for model 'simple'",
            ),
        ],
    )
    def test_what_the_model_does_not_take(self, http_server: HttpServer, inputs: Any, text: str) -> None:
        status, said = http_server.infer("simple", inputs).refusal
        assert (status, text.strip() in said) == (400, True), said
        status, said = http_server.infer("simple", inputs, id="mine").refusal
        # What is known before the model is asked has no id.
        assert text.strip() in said

    def test_errors_of_a_request_with_an_id_begin_with_it(self, http_server: HttpServer) -> None:
        inputs = [tensor("a", "FP32", [1, 2], [1, 2]), two()[1]]
        assert http_server.infer("simple", inputs, id="mine").error.startswith("[request id: mine] ")
        assert http_server.infer("simple", inputs).error.startswith("unexpected shape")

    def test_a_tensor_without_values_is_taken_where_the_model_has_such(self, http_server: HttpServer) -> None:
        answer = http_server.infer("vectors", [tensor("x", "FP32", [2, 0], [])])
        assert answer.output("total")["data"] == [0, 0]
        nothing = answer.output("nothing")
        assert (nothing["shape"], nothing["data"]) == ([2, 0], [])
        assert http_server.infer("vectors", [tensor("x", "FP32", [2, 0], [1])]).status == 400


class TestDatatypes:
    @pytest.mark.parametrize("datatype", SIGNATURES)
    def test_each_comes_back_as_it_was_sent(self, http_server: HttpServer, datatype: str) -> None:
        data: Any = [0, 1]
        if datatype == "BOOL":
            data = [False, True]
        elif datatype == "BYTES":
            data = ["", "é\0"]
        elif datatype in FLOATS:
            data = [0.5, -2.0]
        y = echo(http_server, datatype, data).output("y")
        assert (y["datatype"], y["shape"], y["data"]) == (datatype, [1, 2], data)
        assert [type(one) for one in y["data"]] == [type(one) for one in data]

    @pytest.mark.parametrize("datatype", INTEGERS)
    def test_integers_have_all_their_digits_and_no_more(self, http_server: HttpServer, datatype: str) -> None:
        info = np.iinfo(BYTES[datatype])
        lowest, highest = int(info.min), int(info.max)
        assert echo(http_server, datatype, [lowest, highest]).output("y")["data"] == [lowest, highest]
        for value in (lowest - 1, highest + 1, 2**70):
            status, text = echo(http_server, datatype, [0, value]).refusal
            assert (status, f"out of the range of {datatype}" in text) == (400, True), text
        kind = "unsigned-integer" if datatype[0] == "U" else "signed-integer"
        for other in (1.5, "1", True, None):
            status, text = echo(http_server, datatype, [0, other]).refusal
            assert (status, f"non-{kind} as {kind}" in text) == (400, True), text

    @pytest.mark.parametrize("value", [1, 0, "true", None])
    def test_truth_values_are_nothing_else(self, http_server: HttpServer, value: Any) -> None:
        status, text = echo(http_server, "BOOL", [True, value]).refusal
        assert (status, "non-boolean as boolean" in text) == (400, True), text

    @pytest.mark.parametrize("datatype", FLOATS)
    def test_what_is_no_number_is_spelled(self, http_server: HttpServer, datatype: str) -> None:
        spelled = ["NaN", "-Infinity"]
        assert echo(http_server, datatype, spelled).output("y")["data"] == spelled
        assert echo_text(http_server, datatype, "[NaN, -Infinity]").output("y")["data"] == spelled
        answer = echo_text(http_server, datatype, "[Infinity, 1]")
        # No reader of JSON has to be lenient.
        json.loads(answer.body, parse_constant=pytest.fail)
        assert np.array(answer.output("y")["data"], float).tolist() == [math.inf, 1]

    @pytest.mark.parametrize("datatype", FLOATS)
    def test_other_things_are_no_numbers(self, http_server: HttpServer, datatype: str) -> None:
        for value in ("1.5", True, None):
            status, text = echo(http_server, datatype, [0, value]).refusal
            assert (status, "non-number as double" in text) == (400, True), text
        for number in ("1e39", "1e400") if datatype != "FP64" else ("1e400",):
            assert echo_text(http_server, datatype, f"[0, {number}]").status == 400

    @pytest.mark.parametrize(
        ("datatype", "value"),
        [("FP16", 0.1), ("BF16", 0.1), ("FP32", 0.1), ("FP64", 0.1), ("FP32", 1 / 3), ("FP64", 5e-324)],
    )
    def test_answers_have_the_digits_that_bring_the_value_back(
        self, http_server: HttpServer, datatype: str, value: float
    ) -> None:
        dtype = BYTES[datatype]
        found = echo(http_server, datatype, [value, 1]).output("y")["data"]
        assert np.array(found).astype(dtype).tolist() == np.array([value, 1]).astype(dtype).tolist()
        if datatype in ("FP32", "FP64"):
            assert found[0] == float(str(dtype.type(value)))

    def test_strings_are_text_or_any_bytes(self, http_server: HttpServer) -> None:
        b64 = {"b64": base64.b64encode(b"AB").decode()}
        assert echo(http_server, "BYTES", ["\0é", b64]).output("y")["data"] == ["\0é", "AB"]
        for value in (1, None, {"b64": "@"}, {"x": "y"}, {"b64": 1}):
            status, text = echo(http_server, "BYTES", ["a", value]).refusal
            assert (status, "Unable to parse JSON bytes array" in text) == (400, True), text
        status, text = echo(http_server, "BYTES", ["a"]).refusal
        assert (status, "1" in text, "2" in text) == (400, True, True), text

    def test_bytes_that_are_no_text_are_to_be_asked_for_as_bytes(self, http_server: HttpServer) -> None:
        b64 = {"b64": base64.b64encode(b"\xff\0").decode()}
        inputs = [tensor("text", "BYTES", [1], [b64])]
        status, text = http_server.infer("text", inputs, id="q").refusal
        assert (status, "binary_data" in text, "'upper'" in text) == (400, True, True), text
        outputs = [{"name": "upper", "parameters": {"binary_data": True}}]
        _, tails = http_server.infer("text", inputs, outputs=outputs).split
        assert tails == packed(b"\xff\0")
        # Invalid UTF-8 in a request's own JSON is no JSON.
        body = json.dumps({"inputs": [tensor("text", "BYTES", [1], ["DATA"])]}).encode()
        assert http_server.post(infer_path("text"), body.replace(b"DATA", b"\xff")).status == 400


class TestOutputs:
    def test_all_come_unless_some_are_asked_for(self, http_server: HttpServer) -> None:
        def names(**members: Any) -> list[str]:
            return [one["name"] for one in http_server.infer("simple", two(), **members).json["outputs"]]

        assert set(names()) == set(names(outputs=[])) == {"sum", "product"}
        assert names(outputs=[{"name": "product"}]) == ["product"]
        # In the order of the request.
        for order in (["sum", "product"], ["product", "sum"]):
            assert names(outputs=[{"name": name} for name in order]) == order

    @pytest.mark.parametrize(
        ("outputs", "text"),
        [
            ([{"name": "N"}], "unexpected inference output 'N' for model 'simple'"),
            ([{}], "attempt to access non-existing object member 'name'"),
            ([{"name": 1}], "attempt to access JSON non-string as string"),
            ([1], "'name'"),
            ([{"name": "sum"}, {"name": "sum"}], "'sum'"),
            ([{"name": "sum", "parameters": {"binary_data": 1}}], "non-boolean as boolean"),
        ],
    )
    def test_what_cannot_be_asked_for(self, http_server: HttpServer, outputs: Any, text: str) -> None:
        status, said = http_server.infer("simple", two(), outputs=outputs).refusal
        assert (status, text in said) == (400, True), said

    def test_a_run_that_fails_is_an_error_of_the_server_with_its_words(self, http_server: HttpServer) -> None:
        status, text = http_server.infer("ids", [tensor("id", "INT32", [1], [99])], id="r1").refusal
        assert status == 500
        assert text.startswith("[request id: r1] ")
        assert "assertion failed" in text

    def test_a_model_of_many_answers_has_none_here(self, http_server: HttpServer) -> None:
        text = "HTTP end point doesn't support models with decoupled transaction policy"
        assert http_server.infer("decoupled", two()).refusal == (501, text)


class TestParameters:
    @pytest.mark.parametrize(
        "parameters",
        [
            *({"priority": value} for value in (0, 9, 2**64 - 1)),
            *({"mine": value} for value in (1, -1, 2**63, 0.5, True, "")),
            {"timeout": 60_000_000},
            {"sequence_id": 5, "sequence_start": True, "sequence_end": True},
            {"sequence_id": "five"},
            {"binary_data_output": False},
        ],
    )
    def test_those_that_change_nothing_are_taken(self, http_server: HttpServer, parameters: Any) -> None:
        answer = http_server.infer("simple", two(), parameters=parameters)
        assert answer.output("sum")["data"] == [5, 7, 9]

    @pytest.mark.parametrize(
        ("name", "value", "status", "text"),
        [
            *((name, value, 400, f"Unable to parse '{name}'") for name in ("priority", "timeout")
              for value in NO_TIMES),
            ("sequence_id", 1.5, 400, "Unable to parse 'sequence_id'"),
            ("sequence_id", "x" * 129, 400, "a string must have at most 128 bytes, got 129"),
            *((name, 1, 400, f"Unable to parse '{name}': attempt to access JSON non-boolean as boolean")
              for name in ("sequence_start", "sequence_end", "binary_data_output")),
            ("triton_x", 1, 400, "parameter keys starting with 'triton_' are reserved"),
            *(("foo", value, 400, "parameter 'foo' has invalid type. It should be either 'int', 'bool', or")
              for value in NO_PARAMETERS),
        ],
    )  # fmt: skip
    def test_those_that_cannot_be(
        self, http_server: HttpServer, name: str, value: Any, status: int, text: str
    ) -> None:
        model = "sequence" if name == "sequence_id" else "simple"
        inputs = [tensor("x", "FP32", [1, 1], [1])] if model == "sequence" else two()
        found, said = http_server.infer(model, inputs, parameters={name: value}).refusal
        assert (found, text in said) == (status, True), said


class TestSequences:
    def ask(self, http_server: HttpServer, value: float, rows: int = 1, **parameters: Any) -> Answer:
        inputs = [tensor("x", "FP32", [rows, 1], [value] * rows)]
        return http_server.infer("sequence", inputs, parameters=parameters)

    @pytest.mark.parametrize("sequence_id", [7, 2**62])
    def test_state_goes_from_call_to_call(self, http_server: HttpServer, sequence_id: Any) -> None:
        for value, total, flags in (
            *((1, 1, {"sequence_start": True}), (2, 3, {}), (3, 6, {"sequence_end": True})),
        ):
            answer = self.ask(http_server, value, sequence_id=sequence_id, **flags)
            assert answer.output("sum")["data"] == [total]
        status, text = self.ask(http_server, 4, sequence_id=sequence_id).refusal
        assert status == 400
        assert (
            f"inference request for sequence {sequence_id} to model 'sequence' must specify the START" in text
        )

    def test_a_name_does_not_fit_where_the_model_wants_numbers(self, http_server: HttpServer) -> None:
        status, text = self.ask(http_server, 1, sequence_id="seven", sequence_start=True).refusal
        assert (status, "'CORRID'" in text) == (400, True), text

    @pytest.mark.parametrize("parameters", [{}, {"sequence_id": 0}, {"sequence_id": ""}])
    def test_calls_of_none_are_refused(self, http_server: HttpServer, parameters: Any) -> None:
        status, text = self.ask(http_server, 1, sequence_start=True, **parameters).refusal
        assert status == 400
        assert "must specify a non-zero or non-empty correlation ID" in text

    def test_their_calls_have_one_row(self, http_server: HttpServer) -> None:
        status, text = self.ask(http_server, 1, 2, sequence_id=8, sequence_start=True).refusal
        assert (status, "must specify batch-size 1 due to requirements of sequence batcher" in text) == (
            *(400, True),
        )


class TestBytes:
    A, B = np.array([[1, 2, 3]], np.float32), np.array([[4, 5, 6]], np.int32)

    def sizes(self, a: Any = 12, b: Any = 12) -> Any:
        return [
            tensor("a", "FP32", [1, 3], binary_data_size=a),
            tensor("b", "INT32", [1, 3], binary_data_size=b),
        ]

    @property
    def tails(self) -> bytes:
        return self.A.tobytes() + self.B.tobytes()

    def test_they_follow_the_json_in_the_order_of_the_inputs(self, http_server: HttpServer) -> None:
        answer = http_server.infer_binary("simple", self.sizes(), self.tails)
        assert answer.output("sum")["data"] == [5, 7, 9]
        inputs = self.sizes()[::-1]
        answer = http_server.infer_binary("simple", inputs, self.B.tobytes() + self.A.tobytes())
        assert answer.output("sum")["data"] == [5, 7, 9]

    def test_some_may_be_in_the_json(self, http_server: HttpServer) -> None:
        for inputs, tails in (
            ([two()[0], self.sizes()[1]], self.B.tobytes()),
            ([self.sizes()[0], two()[1]], self.A.tobytes()),
        ):
            answer = http_server.infer_binary("simple", inputs, tails)
            assert answer.output("sum")["data"] == [5, 7, 9]
        # A length of all of it is as good as none.
        text = json.dumps({"inputs": two()}).encode()
        answer = http_server.post(infer_path("simple"), text, inference_header_content_length=str(len(text)))
        assert answer.output("sum")["data"] == [5, 7, 9]

    @pytest.mark.parametrize("datatype", SIGNATURES)
    def test_each_datatype_both_ways(self, http_server: HttpServer, datatype: str) -> None:
        tails = packed(b"\xff\0", b"") if datatype == "BYTES" else np.array([[0, 1]]).astype(BYTES[datatype])
        sent = bytes(tails) if isinstance(tails, bytes) else tails.tobytes()
        for _ in range(2):  # the second is of a form that is known
            described, found = http_server.infer_binary(
                *(ECHO, [tensor("x", datatype, [1, 2], binary_data_size=len(sent))], sent),
                parameters={"signature_name": f"echo_{SIGNATURES[datatype]}", "binary_data_output": True},
            ).split
            assert found == sent
            assert described["outputs"] == [
                {
                    "name": "y",
                    "datatype": datatype,
                    "shape": [1, 2],
                    "parameters": {"binary_data_size": len(sent)},
                }
            ]

    def test_any_byte_but_zero_is_true(self, http_server: HttpServer) -> None:
        inputs = [tensor("x", "BOOL", [1, 2], binary_data_size=2)]
        answer = http_server.infer_binary(
            ECHO, inputs, b"\x02\x00", parameters={"signature_name": "echo_bool"}
        )
        assert answer.output("y")["data"] == [True, False]

    def test_outputs_come_as_bytes_where_that_is_asked_for(self, http_server: HttpServer) -> None:
        def ask(names: Any, **parameters: Any) -> Answer:
            outputs = [{"name": name, "parameters": said} for name, said in names]
            return http_server.infer("simple", two(), outputs=outputs, parameters=parameters)

        total, product = np.array([5, 7, 9], np.float32).tobytes(), np.array([4, 10, 18], np.int32).tobytes()
        _, tails = ask([("sum", {"binary_data": True}), ("product", {"binary_data": True})]).split
        assert tails == total + product
        described, tails = ask([("sum", {"binary_data": False}), ("product", {"binary_data": True})]).split
        assert tails == product
        assert described["outputs"][0]["data"] == [5, 7, 9]
        # For all that say nothing else.
        described, tails = ask(
            [("sum", {}), ("product", {"binary_data": False})], binary_data_output=True
        ).split
        assert tails == total
        assert described["outputs"][1]["data"] == [4, 10, 18]
        _, tails = ask([], binary_data_output=True).split
        assert len(tails) == 24

    def test_a_binary_output_without_values_has_a_length_too(self, http_server: HttpServer) -> None:
        outputs = [{"name": "nothing", "parameters": {"binary_data": True}}]
        described, tails = http_server.infer(
            "vectors", [tensor("x", "FP32", [1, 2], [1, 2])], outputs=outputs
        ).split
        assert tails == b""
        assert described["outputs"][0]["parameters"] == {"binary_data_size": 0}

    @pytest.mark.parametrize("length", ["abc", "210x", "", "1.0", "0x10", "9" * 30, "1, 2"])
    def test_a_length_that_is_no_number_names_the_header(self, http_server: HttpServer, length: str) -> None:
        status, text = http_server.infer_binary("simple", self.sizes(), self.tails, length).refusal
        assert (status, "Inference-Header-Content-Length" in text) == (400, True), text

    @pytest.mark.parametrize("length", ["-1", "1210"])
    def test_a_length_is_within_the_body(self, http_server: HttpServer, length: str) -> None:
        status, text = http_server.infer_binary("simple", self.sizes(), self.tails, length).refusal
        assert status == 400
        assert text.startswith("inference header size should be in range (0, ")
        assert text.endswith(f"), got: {length}")

    def test_who_forgets_the_header_is_told_so(self, http_server: HttpServer) -> None:
        text = json.dumps({"inputs": self.sizes()}).encode()
        for body in (text, text + self.tails):
            status, said = http_server.post(infer_path("simple"), body).refusal
            assert (status, "Inference-Header-Content-Length" in said) == (400, True), said

    @pytest.mark.parametrize(
        ("inputs", "change", "text"),
        [
            ({}, -4, "unexpected size for input 'b', expecting 4 additional bytes for model 'simple'"),
            ({}, 4, "unexpected additional input data for model 'simple'"),
            (
                {"b": 8},
                -4,
                "input byte size mismatch for input 'b' for model 'simple'. Expected 12, got 8",
            ),
            ({"b": -12}, 0, "non-unsigned-integer as unsigned-integer"),
            ({"b": "12"}, 0, "non-unsigned-integer as unsigned-integer"),
            ({"b": 2**70}, 0, "non-unsigned-integer as unsigned-integer"),
        ],
    )
    def test_sizes_that_do_not_fit(
        self, http_server: HttpServer, inputs: Any, change: int, text: str
    ) -> None:
        tails = self.tails[:change] if change < 0 else self.tails + bytes(change)
        status, said = http_server.infer_binary("simple", self.sizes(**inputs), tails).refusal
        assert (status, text in said) == (400, True), said

    @pytest.mark.parametrize(
        ("tails", "text"),
        [
            (
                packed(b"abc") + b"\1\0",
                "incomplete string length indicator of element 1 for input 'x' for model 'echo'",
            ),
            (
                packed(b"abc") + struct.pack("<I", 99) + b"x",
                "incomplete string data: element 1 has 99 bytes, 1 are left for input 'x' for model 'echo'",
            ),
            (packed(b"abc"), "expected 2 string elements, got 1 for input 'x' for model 'echo'"),
            (packed(*[b""] * 3), "unexpected number of string elements 3"),
        ],
    )
    def test_strings_that_do_not_fit(self, http_server: HttpServer, tails: bytes, text: str) -> None:
        inputs = [tensor("x", "BYTES", [1, 2], binary_data_size=len(tails))]
        status, said = http_server.infer_binary(
            ECHO, inputs, tails, parameters={"signature_name": "echo_string"}
        ).refusal
        assert (status, text in said) == (400, True), said


class TestRawRequests:
    """Bodies that are nothing but a tensor."""

    def ask(self, http_server: HttpServer, model: str, body: bytes) -> Answer:
        return http_server.post(infer_path(model), body, inference_header_content_length="0")

    def test_the_shape_is_what_the_bytes_make(self, http_server: HttpServer) -> None:
        for ids in ([3], [1, 2]):
            described, tails = self.ask(http_server, "ids", np.array(ids, np.int32).tobytes()).split
            assert described["outputs"][0]["shape"] == [len(ids), 3]
            assert np.frombuffer(tails, np.float32).tolist() == [one + 0.5 for one in ids for _ in range(3)]
        x = np.arange(3, dtype=np.float32)
        described, tails = self.ask(http_server, "vectors", x.tobytes()).split
        assert [one["shape"] for one in described["outputs"] if one["name"] == "total"] == [[1]]
        assert np.frombuffer(tails, np.float32).tolist() == [3]

    def test_strings_are_one_without_a_length(self, http_server: HttpServer) -> None:
        outputs, tails = self.ask(http_server, "text", b"abc\0\xff").split
        assert packed(b"ABC\0\xff") in tails
        assert outputs["outputs"][0]["shape"] == [1]

    def test_a_model_of_two_inputs_takes_none(self, http_server: HttpServer) -> None:
        status, text = self.ask(http_server, "simple", bytes(12)).refusal
        said = "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'simple'"
        assert (status, said in text) == (400, True), text

    def test_sizes_that_make_no_shape(self, http_server: HttpServer) -> None:
        assert self.ask(http_server, "ids", bytes(5)).status == 400
        assert self.ask(http_server, "shared", bytes(12)).status == 400
        # An empty body is a raw request only if its header says so.
        status, text = http_server.post(infer_path("ids"), b"").refusal
        assert (status, text.startswith(PARSE)) == (400, True)


class TestClassification:
    def ask(self, http_server: HttpServer, classes: Any, name: str = "sum", **parameters: Any) -> Answer:
        outputs = [{"name": name, "parameters": {"classification": classes, **parameters}}]
        inputs = [
            tensor("a", "FP32", [2, 3], [1.5, 0, 3, 0, 0, -1]),
            tensor("b", "INT32", [2, 3], [0] * 6),
        ]
        return http_server.infer("simple", inputs, outputs=outputs)

    def test_the_largest_come_first_with_their_labels(self, http_server: HttpServer) -> None:
        total = self.ask(http_server, 2).output("sum")
        assert (total["datatype"], total["shape"]) == ("BYTES", [2, 2])
        ash, birch, cedar = LABELS
        assert total["data"] == [
            *(f"3.000000:2:{cedar}", f"1.500000:0:{ash}"),
            # Of equals the lower index.
            *(f"0.000000:0:{ash}", f"0.000000:1:{birch}"),
        ]

    def test_there_are_no_more_than_there_are(self, http_server: HttpServer) -> None:
        assert self.ask(http_server, 99).output("sum")["shape"] == [2, 3]
        assert self.ask(http_server, 0).output("sum")["datatype"] == "FP32"
        product = self.ask(http_server, 1, "product").output("product")
        assert product["data"] == ["0:0", "0:0"]

    def test_they_can_be_bytes_too(self, http_server: HttpServer) -> None:
        _, tails = self.ask(http_server, 1, binary_data=True).split
        assert tails == packed(b"3.000000:2:cedar", b"0.000000:0:ash")

    @pytest.mark.parametrize("classes", [-1, 1.5, "2", True, None])
    def test_their_number_is_one(self, http_server: HttpServer, classes: Any) -> None:
        status, text = self.ask(http_server, classes).refusal
        assert (status, "Unable to set 'classification'" in text) == (400, True), text

    def test_dimensions_are_flattened_and_without_rows_all_is_one(self, http_server: HttpServer) -> None:
        outputs = [{"name": "transition", "parameters": {"classification": 2}}]
        answer = http_server.infer("classes", [tensor("x", "FP32", [1, 3], [1, 2, 3])], outputs=outputs)
        transition = answer.output("transition")
        assert transition["data"][:1] in (["8.000000:8"], ["2.000000:2"])

    @pytest.mark.parametrize(
        ("datatype", "data", "found"), [("BOOL", [False, True], ["1:1"]), ("FP16", [1, 2], ["2.000000:1"])]
    )
    def test_whatever_is_ordered_has_classes(
        self, http_server: HttpServer, datatype: str, data: Any, found: Any
    ) -> None:
        assert self.of_echo(http_server, datatype, data).output("y")["data"] == found

    def test_strings_have_none_and_the_server_lives(self, http_server: HttpServer) -> None:
        status, text = self.of_echo(http_server, "BYTES", ["a", "b"]).refusal
        assert status == 400
        assert "class result not available for output due to unsupported type: output 'y'" in text
        assert http_server.get("/v2/health/live").status == 200

    def of_echo(self, http_server: HttpServer, datatype: str, data: Any) -> Answer:
        return http_server.infer(
            *(ECHO, [tensor("x", datatype, [1, 2], data)]),
            outputs=[{"name": "y", "parameters": {"classification": 1}}],
            parameters={"signature_name": f"echo_{SIGNATURES[datatype]}"},
        )


class TestGenerate:
    @pytest.mark.parametrize("path", ["text", "text/versions/1"])
    def test_members_are_tensors_and_bare_where_they_are_one(
        self, http_server: HttpServer, path: str
    ) -> None:
        answer = http_server.post(
            f"/v2/models/{path}/generate",
            {"text": "é", "id": "q", "parameters": {"mine": 1}, "more": {}},
        )
        assert answer.json == {
            **{"id": "q", "model_name": "text", "model_version": "1"},
            **{"upper": "é", "length": 2},
        }
        many = http_server.post(f"/v2/models/{path}/generate", {"text": ["a", "bc"]}).json
        assert (many["upper"], many["length"]) == (["A", "BC"], [1, 2])

    def test_a_stream_is_events_of_whole_characters(self, http_server: HttpServer) -> None:
        answer = http_server.post("/v2/models/text/generate_stream", {"text": "日本"})
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        begin, end = b"data: ", b"\n\n"
        assert answer.body.startswith(begin)
        assert answer.body.endswith(end)
        event = json.loads(answer.body[len(begin) : -len(end)])
        assert event["upper"] == "日本"

    def test_requests_may_be_packed(self, http_server: HttpServer) -> None:
        body = gzip.compress(b'{"text": "a"}')
        answer = http_server.post("/v2/models/text/generate", body, content_encoding="gzip")
        assert answer.json["upper"] == "A"

    def test_a_run_that_fails_is_what_it_is_for_infer(self, http_server: HttpServer) -> None:
        for path in ("generate", "generate_stream"):
            answer = http_server.post(
                f"/v2/models/sequence/{path}",
                {"x": "NaN", "parameters": {"sequence_id": 9, "sequence_start": True}},
            )
            assert (answer.status, "Tensor had NaN" in answer.error) == (500, True)

    def test_models_of_any_number_of_answers_may_be_called(self, http_server: HttpServer) -> None:
        answer = http_server.post("/v2/models/decoupled/generate", {"a": [1, 2, 3], "b": [4, 5, 6]})
        assert answer.json["sum"] == [5, 7, 9]

    @pytest.mark.parametrize("path", ["generate", "generate_stream"])
    @pytest.mark.parametrize(
        ("model", "body", "status", "text"),
        [
            ("nobody", {"text": "a"}, 404, "unknown model"),
            ("ids", {"id": 99}, 400, "'id'"),
            ("text", {"text": 1}, 400, "non-string as string"),
            ("text", {}, 400, "expected 1 inputs but got 0 inputs"),
            ("text", b"{", 400, PARSE),
            ("simple", {"a": [1, 2], "b": [1, 2, 3]}, 400, "'a'"),
        ],
    )
    def test_errors_have_their_status(
        self, http_server: HttpServer, path: str, model: str, body: Any, status: int, text: str
    ) -> None:
        found, said = http_server.post(f"/v2/models/{model}/{path}", body).refusal
        assert (found, text in said) == (status, True), said


class TestWhatKillsTriton:
    """Single requests, after which the next one must be answered."""

    def test_data_nested_a_hundred_thousand_deep(self, http_server: HttpServer) -> None:
        depth = 100_000
        status, text = echo_text(http_server, "FP32", "[" * depth + "]" * depth).refusal
        assert (status, PARSE in text) == (400, True), text
        assert http_server.infer("simple", two()).status == 200

    def test_data_nested_as_deep_as_is_read(self, http_server: HttpServer) -> None:
        depth = 1000
        answer = echo_text(http_server, "FP32", "[" * depth + "1,2" + "]" * depth)
        assert answer.output("y")["data"] == [1, 2]

    def test_six_hundred_thousand_values(self, http_server: HttpServer) -> None:
        count = 300_000
        text = json.dumps({"inputs": [tensor("x", "FP32", [1, count], [1] * count)]}).encode()
        assert http_server.post(infer_path("vectors"), text).output("total")["data"] == [count]
