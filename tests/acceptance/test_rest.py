"""REST over real models, as TensorFlow Serving's callers use it, with a plain client: one test a scenario."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

from ..saved_models import DTYPES, SavedModels

MODELS = (
    *("default_input", "every_dtype", "example_tasks", "fixed_batch", "scalars", "strings"),
    *("tf1_composites", "two_in_two_out", "unbatched_output", "vocabulary"),
)


class Rest:
    """A server with a REST port and a request log for the model `two_in_two_out`."""

    def __init__(self, saved_models: SavedModels, versions: Path, logs: Path) -> None:
        from hotgraph_server.server import Server
        from hotgraph_server.settings import (
            AdminSettings,
            ListenSettings,
            LogSettings,
            ModelSettings,
            RestSettings,
            ServerSettings,
        )

        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.logs = logs
        models = [
            *(ModelSettings(name, saved_models[name]) for name in MODELS),
            ModelSettings("versioned", versions, labels={"stable": 7}),
            ModelSettings("logged", saved_models["two_in_two_out"], log=LogSettings(str(logs / "log"), 1.0)),
        ]
        self.server = Server(
            ServerSettings(
                tuple(models),
                ListenSettings(port=0),
                AdminSettings(0),
                RestSettings(rest_port=self.port, prometheus=True),
            )
        )
        self.server.start()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def call(self, model: str, what: str, body: Any) -> Any:
        """The answer to a call; an error fails the test."""
        status, answer = self.ask("POST", f"/v1/models/{model}:{what}", body)
        assert status == 200, answer
        return json.loads(answer)

    def predict(self, model: str, body: Any) -> Any:
        return self.call(model, "predict", body)

    def error(self, model: str, what: str, body: Any) -> tuple[int, str]:
        status, answer = self.ask("POST", f"/v1/models/{model}:{what}", body)
        return status, json.loads(answer)["error"]


@pytest.fixture(scope="module")
def rest(
    saved_models: SavedModels, versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rest]:
    from hotgraph_server.server import Stopped

    made = Rest(saved_models, versions, tmp_path_factory.mktemp("logs"))
    yield made
    assert made.server.stop() == Stopped(answered=True, ended=True)


@pytest.fixture(scope="module")
def stub(rest: Rest) -> Iterator[Any]:
    with grpc.insecure_channel(rest.server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.mark.parametrize("name", [name for name in DTYPES if not name.startswith("complex")])
def test_every_dtype_comes_back_as_it_went(rest: Rest, name: str) -> None:
    values: Any = [[0, 1], [1, 3]]
    if name == "bool":
        values = [[False, True], [True, True]]
    elif name == "string":
        values = [["", "a\0"], ["é", "b"]]
    elif "float" in name or name in ("half", "double"):
        values = [[0.0, 0.5], [-1.5, 3.0]]
    body = {"signature_name": f"echo_{name}", "instances": values}
    assert rest.predict("every_dtype", body) == {"predictions": values}
    columns = {"signature_name": f"echo_{name}", "inputs": {"x": values}}
    assert rest.predict("every_dtype", columns) == {"outputs": values}


def test_complex_numbers_are_not_implemented(rest: Rest) -> None:
    body = {"signature_name": "echo_complex64", "instances": [[1, 2]]}
    assert rest.error("every_dtype", "predict", body) == (
        501,
        "Conversion of JSON Value: 1 to type: complex64",
    )


def test_rest_and_grpc_give_the_same_floats(rest: Rest, stub: Any) -> None:
    x = np.random.default_rng(5).normal(size=(7, 2)).astype(np.float32)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "every_dtype"
    request.model_spec.signature_name = "echo_float32"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    over_grpc = tf.make_ndarray(stub.Predict(request).outputs["y"])
    body = {"signature_name": "echo_float32", "instances": x.tolist()}
    over_rest = np.array(rest.predict("every_dtype", body)["predictions"], np.float32)
    np.testing.assert_array_equal(over_rest, over_grpc)


def test_named_tensors_in_rows_and_in_columns(rest: Rest) -> None:
    row = {"a": [1.5, 2, 3], "b": [1, 2, 3]}
    answer = {"sum": [2.5, 4.0, 6.0], "product": [1, 4, 9]}
    assert rest.predict("two_in_two_out", {"instances": [row, row]}) == {"predictions": [answer, answer]}
    columns = {alias: [value] for alias, value in row.items()}
    assert rest.predict("two_in_two_out", {"inputs": columns}) == {
        "outputs": {alias: [value] for alias, value in answer.items()}
    }


def test_bytes_go_in_as_base64(rest: Rest) -> None:
    coded = {"b64": base64.b64encode(b"a\xff").decode()}
    answer = rest.predict("strings", {"instances": [coded, "b"]})
    # One is no text, and comes back as what can be read.
    assert [row["upper"] for row in answer["predictions"]] == [
        {"b64": base64.b64encode(b"A\xff").decode()},
        "B",
    ]


def test_scalars_and_outputs_without_rows_are_in_columns_only(rest: Rest) -> None:
    assert rest.predict("scalars", {"inputs": 3.0}) == {"outputs": {"y": 9.0, "word": "square"}}
    status, text = rest.error("unbatched_output", "predict", {"instances": [[1.0, 2.0, 3.0]]})
    assert status == 400
    assert "has no shape information" in text


def test_default_fills_an_input_that_is_left_out(rest: Rest) -> None:
    assert rest.predict("default_input", {"instances": [{"x": [1, 2]}]}) == {"predictions": [[3.0, 6.0]]}
    both = {"inputs": {"x": [[1, 2]], "factor": 2}}
    assert rest.predict("default_input", both) == {"outputs": [[2.0, 4.0]]}


def test_shape_that_the_signature_forbids_is_refused_whatever_the_graph_takes(rest: Rest) -> None:
    refused = rest.error("fixed_batch", "predict", {"instances": [[1, 1, 1, 1]] * 3})
    assert refused == (400, "input 'x' has shape [3,4], the signature says [1,4]")
    assert rest.predict("fixed_batch", {"instances": [[1, 1, 1, 1]]}) == {"predictions": [[3.0] * 4]}


def test_shape_that_the_graph_refuses_is_the_callers_fault(rest: Rest) -> None:
    status, text = rest.error("two_in_two_out", "predict", {"inputs": {"a": [[1, 2]], "b": [[1, 2, 3]]}})
    assert status == 400
    assert text


EXAMPLES = [{"x": [1.0, 2.0, 3.0, 4.0]}, {"x": [0.5, 0.5, 0.0, 1.0]}]


def test_classify(rest: Rest) -> None:
    answer = rest.call("example_tasks", "classify", {"examples": EXAMPLES})
    assert answer == {
        "results": [
            [["left", 3.0], ["middle", 3.0], ["right", 4.0]],
            [["left", 1.0], ["middle", 0.0], ["right", 1.0]],
        ]
    }
    scores = {"signature_name": "scores", "examples": EXAMPLES[:1]}
    assert rest.call("example_tasks", "classify", scores) == {"results": [[["", 3.0], ["", 3.0], ["", 4.0]]]}


@pytest.mark.parametrize("signature", ["regress", "column"])
def test_regress(rest: Rest, signature: str) -> None:
    body = {"signature_name": signature, "examples": EXAMPLES}
    assert rest.call("example_tasks", "regress", body) == {"results": [10.0, 2.0]}


def test_context_is_shared_by_all_examples(rest: Rest) -> None:
    body = {"signature_name": "regress", "context": EXAMPLES[0], "examples": [{}, {"other": 1}]}
    assert rest.call("example_tasks", "regress", body) == {"results": [10.0, 10.0]}


def test_signature_that_cannot_classify_says_why(rest: Rest) -> None:
    status, text = rest.error(
        "example_tasks", "classify", {"signature_name": "regress", "examples": EXAMPLES}
    )
    assert status == 400
    assert "classes" in text
    status, text = rest.error("example_tasks", "classify", {"signature_name": "none", "examples": EXAMPLES})
    assert (status, text) == (400, "No signature was found with the name: none")


def test_example_that_the_graph_cannot_parse_is_the_callers_fault(rest: Rest) -> None:
    status, _ = rest.error("example_tasks", "classify", {"examples": [{"x": [1.0]}]})
    assert status == 400


def test_status_names_the_versions(rest: Rest) -> None:
    status, answer = rest.ask("GET", "/v1/models/versioned")
    assert status == 200
    assert json.loads(answer)["model_version_status"] == [
        {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
    status, answer = rest.ask("GET", "/v1/models/versioned/versions/8")
    assert (status, json.loads(answer)["error"]) == (404, "Could not find version 8 of model versioned")


def test_metadata_has_all_signatures(rest: Rest) -> None:
    status, answer = rest.ask("GET", "/v1/models/versioned/metadata")
    assert status == 200
    found = json.loads(answer)
    assert found["model_spec"] == {"name": "versioned", "signature_name": "", "version": "7"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default"}
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_sparse_tensor_is_one_entry_of_the_metadata_and_three_of_a_request(rest: Rest) -> None:
    status, answer = rest.ask("GET", "/v1/models/tf1_composites/metadata")
    signatures = json.loads(answer)["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["sp"]["coo_sparse"]["values_tensor_name"] == "sp/values:0"
    sent = {"sp/indices": [[0, 1], [1, 4]], "sp/values": [1.0, 2.0], "sp/dense_shape": [2, 5]}
    status, answer = rest.ask("POST", "/v1/models/tf1_composites:predict", {"inputs": sent})
    assert (status, json.loads(answer)) == (
        200,
        {
            "outputs": {
                "total": [1.0, 2.0],
                "doubled/indices": [[0, 1], [1, 4]],
                "doubled/values": [2.0, 4.0],
                "doubled/dense_shape": [2, 5],
            }
        },
    )


def test_versions_and_labels_in_the_path(rest: Rest) -> None:
    body = {"instances": [[1.0] * 16]}
    answer = rest.predict("versioned", body)
    assert rest.predict("versioned/versions/7", body) == answer
    assert rest.predict("versioned/labels/stable", body) == answer
    assert rest.error("versioned/versions/2", "predict", body) == (
        404,
        "Servable not found for request: Specific(versioned, 2)",
    )
    assert rest.error("versioned/labels/canary", "predict", body) == (
        400,
        "Unrecognized servable version label: canary",
    )
    assert rest.error("none", "predict", body) == (404, "Servable not found for request: Latest(none)")


def test_calls_are_written_down_where_the_model_has_a_log(rest: Rest) -> None:
    row = {"a": [1, 2, 3], "b": [1, 2, 3]}
    answer = {"sum": [2.0, 4.0, 6.0], "product": [1, 4, 9]}
    assert rest.predict("logged", {"instances": [row]}) == {"predictions": [answer]}
    assert rest.predict("logged", {"inputs": {"a": [row["a"]], "b": [row["b"]]}}) == {
        "outputs": {alias: [value] for alias, value in answer.items()}
    }
    rest.server._request_logs.stop()
    records = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for path in sorted(rest.logs.iterdir())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    assert len(records) == 2
    for record in records:
        assert record.log_metadata.model_spec.name == "logged"
        sent = record.predict_log.request.inputs
        assert {alias: tf.make_ndarray(proto).tolist() for alias, proto in sent.items()} == {
            "a": [[1, 2, 3]],
            "b": [[1, 2, 3]],
        }


def test_figures_have_tensorflow_servings_names_and_ours(rest: Rest) -> None:
    rest.predict("vocabulary", {"instances": ["birch"]})
    status, page = rest.ask("GET", "/monitoring/prometheus/metrics")
    assert status == 200
    text = page.decode()
    labels = 'model_name="vocabulary",version="1",signature="serving_default",status="OK"'
    assert f":tensorflow:serving:request_count{{{labels}}} 1.0\n" in text
    assert "hotgraph_calls_total" in text
