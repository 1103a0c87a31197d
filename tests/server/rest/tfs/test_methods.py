"""What each path does, through the port."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensorflow.core.example import example_pb2

from hotgraph_server.errors import RunFailed
from hotgraph_server.models.status import State

from ...fakes import FakeGraph, signature
from ..serving import CLASSIFY, REGRESS, Rest, one_class_each


def test_predict_in_rows_and_in_columns(rest: Rest) -> None:
    rest.serve(FakeGraph())
    answer = rest.post("/v1/models/m:predict", {"instances": [[1, 2], [3, 4]]})
    assert (answer.code, answer.json) == (200, {"predictions": [[2.0, 4.0], [6.0, 8.0]]})
    assert answer.headers["content-type"] == "application/json"
    answer = rest.post("/v1/models/m:predict", {"inputs": {"x": [[1, 2]]}})
    assert (answer.code, answer.json) == (200, {"outputs": [[2.0, 4.0]]})


def test_predict_of_a_named_signature(rest: Rest) -> None:
    rest.serve(FakeGraph(signature("other", {"z": (None, 1)})))
    body = {"signature_name": "other", "instances": [{"z": [1]}]}
    assert rest.post("/v1/models/m:predict", body).json == {"predictions": [[2.0]]}


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ({"instances": [[1]]}, "[1,1]"),
        ({"instances": [1]}, "[1]"),
        ({"instances": [[1, 2, 3]]}, "[1,3]"),
        ({"inputs": 5}, "[]"),
    ],
)
def test_input_that_a_graph_might_broadcast_is_refused_with_both_shapes(
    rest: Rest, body: Any, shape: str
) -> None:
    rest.serve(FakeGraph(signature("serving_default", {"x": (None, 4)})))
    answer = rest.post("/v1/models/m:predict", body)
    assert (answer.code, answer.error) == (
        400,
        f"input 'x' has shape {shape}, the signature says [-1,4]",
    )


@pytest.mark.parametrize("instances", [[[1]], [1], [[1, 2, 3]]])
def test_where_shapes_are_the_graphs_concern_it_gets_them_all(
    rest_with: Callable[..., Rest], instances: Any
) -> None:
    rest = rest_with(strict_shapes=False)
    rest.serve(FakeGraph(signature("serving_default", {"x": (None, 4)})))
    answer = rest.post("/v1/models/m:predict", {"instances": instances})
    assert answer.json == {"predictions": (2 * np.array(instances)).tolist()}


def test_rows_that_lack_a_last_dimension_of_one_are_let_through(rest: Rest) -> None:
    rest.serve(FakeGraph(signature("serving_default", {"x": (None, 1)})))
    assert rest.post("/v1/models/m:predict", {"instances": [1, 2, 5]}).json == {"predictions": [2, 4, 10]}


def test_numbers_that_are_not_finite_go_in_and_come_out(rest: Rest) -> None:
    rest.serve(FakeGraph())
    answer = rest.post("/v1/models/m:predict", b'{"instances": [[NaN, -Infinity]]}')
    assert answer.body == b'{"predictions":[[NaN,-Infinity]]}'
    (row,) = answer.json["predictions"]
    assert math.isnan(row[0])


def test_columns_of_no_rows_are_answered(rest: Rest) -> None:
    rest.serve(FakeGraph(signature("serving_default", {"x": (None,)}, {"y": (None,)})))
    assert rest.post("/v1/models/m:predict", {"inputs": []}).json == {"outputs": []}


def test_version_is_the_latest_or_the_one_that_the_path_names(rest: Rest) -> None:
    def times(factor: int) -> FakeGraph:
        return FakeGraph(compute=lambda inputs: [inputs[0] * factor])

    for number in (2, 10):
        rest.serve(times(number), number, labels={"stable": 2})
    for path, factor in (
        ("m", 10),
        ("m/versions/2", 2),
        ("m/versions/10", 10),
        ("m/labels/stable", 2),
        ("%6d/labels/st%61ble", 2),
    ):
        answer = rest.post(f"/v1/models/{path}:predict", {"instances": [[1, 2]]})
        assert answer.json == {"predictions": [[factor, 2 * factor]]}, path


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("m", b"", 400, "JSON Parse error: The document is empty."),
        ("none", b"", 400, "JSON Parse error: The document is empty."),
        ("none", {"instances": [1]}, 404, "Servable not found for request: Latest(none)"),
        ("m/versions/7", {"instances": [1]}, 404, "Servable not found for request: Specific(m, 7)"),
        ("m/versions/0", {"instances": [1]}, 404, "Servable not found for request: Specific(m, 0)"),
        ("m/labels/new", {"instances": [1]}, 400, "Unrecognized servable version label: new"),
        (
            "m",
            {"signature_name": "s", "instances": [1]},
            400,
            'Serving signature name: "s" not found in signature def',
        ),
        (
            "m",
            {"signature_name": 1},
            400,
            'JSON Value: {\n    "signature_name": 1\n} not formatted correctly.'
            " 'signature_name' key must be a string value.",
        ),
        ("m", {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            "m",
            {"instances": [[1, True]]},
            400,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: true"
            " Type: True is not of expected type: float",
        ),
    ],
)
def test_wrong_predicts_have_their_errors(rest: Rest, path: str, body: object, code: int, text: str) -> None:
    rest.serve(FakeGraph())
    answer = rest.post(f"/v1/models/{path}:predict", body)
    assert (answer.code, answer.error) == (code, text)
    assert rest.post("/v1/models/m:predict", {"instances": [[1, 2]]}).code == 200


def test_signature_that_cannot_be_called_says_why(rest: Rest) -> None:
    graph = FakeGraph()
    graph.unusable = {"init": "it has an output of no type"}
    rest.serve(graph)
    answer = rest.post("/v1/models/m:predict", {"signature_name": "init", "instances": [1]})
    assert answer.code == 400
    assert "It cannot be called: it has an output of no type." in answer.error


@pytest.mark.parametrize(
    ("code", "http"),
    [
        *((3, 400), (9, 400), (11, 400), (16, 401), (7, 403), (5, 404), (6, 409), (10, 409), (8, 429)),
        *((1, 499), (2, 500), (13, 500), (15, 500), (12, 501), (14, 503), (4, 504)),
    ],
)
def test_code_of_tensorflow_becomes_http_s(rest: Rest, code: int, http: int) -> None:
    graph = FakeGraph()
    rest.serve(graph)

    def fail(_: object) -> list[object]:
        raise RunFailed(code, "it failed")

    graph.compute = fail  # type: ignore[assignment]
    answer = rest.post("/v1/models/m:predict", {"instances": [[1, 2]]})
    assert (answer.code, answer.error) == (http, "it failed")


def test_output_that_json_has_no_form_for_is_an_error(rest: Rest) -> None:
    rest.serve(FakeGraph(compute=lambda inputs: [np.zeros(1, np.complex64)]))
    answer = rest.post("/v1/models/m:predict", {"inputs": [[1, 2]]})
    assert (answer.code, answer.error) == (400, "Failed to write JSON value for tensor type: complex64")


def test_classify_is_a_list_of_labels_and_scores(rest: Rest) -> None:
    graph = FakeGraph(CLASSIFY, compute=one_class_each)
    rest.serve(graph)
    body = {"signature_name": "classify", "context": {"c": 1.5}, "examples": [{"a": 1}, {"a": "b"}]}
    answer = rest.post("/v1/models/m:classify", body)
    assert (answer.code, answer.json) == (200, {"results": [[["é", 0.1]], [["é", 0.1]]]})
    first = example_pb2.Example.FromString(graph.runs[-1][0][0])
    assert first.features.feature["c"].float_list.value == [1.5]
    assert first.features.feature["a"].int64_list.value == [1]


def test_regress_is_a_list_of_numbers(rest: Rest) -> None:
    def compute(inputs: object) -> list[object]:
        return [np.array([0.1, np.nan], np.float32)]

    rest.serve(FakeGraph(REGRESS, compute=compute))  # type: ignore[arg-type]
    body = {"signature_name": "regress", "examples": [{"a": 1}, {"a": 2}]}
    answer = rest.post("/v1/models/m:regress", body)
    assert (answer.code, answer.body) == (200, b'{"results":[0.1,NaN]}')


@pytest.mark.parametrize("what", ["classify", "regress"])
@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("m", {"examples": [{}]}, 400, "No signature was found with the name: serving_default"),
        ("none", {"examples": [{}]}, 404, "Servable not found for request: Latest(none)"),
        ("m/versions/0", {"examples": [{}]}, 404, "Servable not found for request: Specific(m, 0)"),
        ("m/labels/new", {"examples": [{}]}, 400, "Unrecognized servable version label: new"),
        ("m", {"examples": [1]}, 400, "Example must be JSON object but got JSON Number"),
        ("none", b"{", 400, None),
    ],
)
def test_wrong_examples_have_their_errors(
    rest: Rest, what: str, path: str, body: object, code: int, text: str | None
) -> None:
    rest.serve(FakeGraph(CLASSIFY, compute=one_class_each))
    answer = rest.post(f"/v1/models/{path}:{what}", body)
    assert answer.code == code
    assert text in (None, answer.error)


def test_label_that_is_no_utf8_is_an_error(rest: Rest) -> None:
    def compute(inputs: object) -> list[object]:
        return [np.array([[b"\xff"]], object), np.ones((1, 1), np.float32)]

    rest.serve(FakeGraph(CLASSIFY, compute=compute))  # type: ignore[arg-type]
    answer = rest.post("/v1/models/m:classify", {"signature_name": "classify", "examples": [{}]})
    assert (answer.code, answer.error) == (400, "a label of the result is no UTF-8, which JSON needs")


def test_status_has_numbers_as_strings_and_says_that_all_is_well(rest: Rest) -> None:
    rest.serve(FakeGraph(), 2)
    rest.serve(FakeGraph(), 10)
    fine = {"error_code": "OK", "error_message": ""}
    two, ten = ({"version": number, "state": "AVAILABLE", "status": fine} for number in ("2", "10"))
    assert rest.get("/v1/models/m").json == {"model_version_status": [ten, two]}
    assert rest.get("/v1/models/m/versions/2").json == {"model_version_status": [two]}
    missing = rest.get("/v1/models/m/versions/3")
    assert (missing.code, missing.error) == (404, "Could not find version 3 of model m")
    missing = rest.get("/v1/models/none")
    assert (missing.code, missing.error) == (404, "Could not find any versions of model none")


def test_list_of_models_has_the_status_of_each_by_its_name(rest: Rest) -> None:
    assert rest.get("/v1/models").json == {"models": {}}
    for name, number in (("n", 3), ("m", 2), ("m", 10)):
        rest.serve(FakeGraph(), number, name)
    found = rest.get("/v1/models").json
    assert list(found["models"]) == ["m", "n"]
    assert found == {"models": {name: rest.get(f"/v1/models/{name}").json for name in ("m", "n")}}


def test_model_that_goes_while_they_are_listed_is_not_there(rest: Rest) -> None:
    rest.serve(FakeGraph())
    rest.listed = ["gone", "m"]
    assert list(rest.get("/v1/models").json["models"]) == ["m"]


def test_metadata_has_the_signatures(rest: Rest) -> None:
    from tensorflow.core.protobuf import meta_graph_pb2

    graph = FakeGraph()
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    definition.inputs["x"].name = "x:0"
    definition.inputs["x"].dtype = 1
    definition.inputs["x"].tensor_shape.dim.add(size=-1)
    graph.signature_defs = {"serving_default": definition}
    rest.serve(graph, 7)
    answer = rest.get("/v1/models/m/metadata")
    assert answer.code == 200
    assert answer.json["model_spec"] == {"name": "m", "signature_name": "", "version": "7"}
    found = answer.json["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert found["method_name"] == "tensorflow/serving/predict"
    assert found["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert found["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert rest.get("/v1/models/m/versions/7/metadata").json == answer.json
    for path, text in (
        ("none", "Latest(none)"),
        ("m/versions/8", "Specific(m, 8)"),
        ("m/versions/0", "Specific(m, 0)"),
    ):
        missing = rest.get(f"/v1/models/{path}/metadata")
        assert (missing.code, missing.error) == (404, f"Servable not found for request: {text}")


@pytest.mark.parametrize("state", [State.LOADING, State.DRAINING])
def test_server_that_is_not_live_refuses_calls(rest: Rest, state: State) -> None:
    rest.serve(FakeGraph())
    rest.state = state
    assert rest.post("/v1/models/m:predict", {"instances": [[1, 2]]}).code == 503
    # Who asks how it is hears it; what a model is like is not known before all are loaded.
    assert rest.get("/v1/models").code == 200
    assert rest.get("/v1/models/m").code == 200
    assert rest.get("/v1/models/m/metadata").code == (503 if state is State.LOADING else 200)
    rest.state = State.LIVE
    assert rest.post("/v1/models/m:predict", {"instances": [[1, 2]]}).code == 200


def test_what_callers_are_told_before_there_is_a_call_is_kept(rest: Rest) -> None:
    rest.serve(FakeGraph(signature("serving_default", {"x": (None, 4)})))
    rest.post("/v1/models/nobody:predict", {"instances": [1]})
    rest.post("/v1/models/m:predict", {"instances": [1]})
    rest.post("/v1/models/m:predict", {"instances": [1], "signature_name": "none"})
    rest.post("/v1/models/m:predict", {"instances": [[1, 2, 3, 4]]})
    told = [(one.model, one.status) for one in rest.registry.last_errors.latest()]
    assert told == [("m", "INVALID_ARGUMENT"), ("m", "INVALID_ARGUMENT"), ("nobody", "NOT_FOUND")]
