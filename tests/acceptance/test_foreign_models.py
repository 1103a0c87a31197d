"""Models that others wrote: of TensorFlow Serving's own kinds, and out of packages of several years.

Each is served as it is, and called over both protocols and over REST.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from hotgraph_client import Client

from ..saved_models import serving
from .foreign_packages import FOREIGN, Foreign, NotToBeHad
from .serving_examples import classification, example, regression

COMPRESSED = Path(__file__).parents[1] / "saved_models" / "compressed_index"


class Served:
    """A server in this process with a REST port; `address` is that of its gRPC port."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        from hotgraph_server.server import Server
        from hotgraph_server.settings import (
            AdminSettings,
            AllVersions,
            ListenSettings,
            ModelSettings,
            RestSettings,
            ServerSettings,
        )

        with socket.create_server(("127.0.0.1", 0)) as found:
            self._rest_port = int(found.getsockname()[1])
        models = [ModelSettings(name, folder, versions=AllVersions()) for name, folder in folders.items()]
        rest = RestSettings(rest_port=self._rest_port, rest_processes=0)
        self.server = Server(ServerSettings(tuple(models), ListenSettings(port=0), AdminSettings(0), rest))
        self.server.start()
        self.address = self.server.address
        self._channel = grpc.insecure_channel(self.address)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self.client = Client(self.address, timeout_s=60)

    def close(self) -> None:
        self.client.close()
        self._channel.close()
        self.server.stop()

    def predict(self, model: str, inputs: Mapping[str, Any], signature: str = "", version: int = 0) -> Any:
        """Over TensorFlow Serving's gRPC; outputs by alias."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        if version:
            request.model_spec.version.value = version
        for alias, value in inputs.items():
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
        response = self.stub.Predict(request, timeout=60)
        return {alias: tf.make_ndarray(tensor) for alias, tensor in response.outputs.items()}

    def rest(self, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._rest_port, timeout=60)
        try:
            connection.request("POST", f"/v1/models/{path}", json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == 200, answer
        return answer


@contextmanager
def served(folders: Mapping[str, Path]) -> Iterator[Served]:
    running = Served(folders)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serving")
    serving.half_plus(folder / "half_plus_two" / "123", 2)
    serving.half_plus(folder / "half_plus_three" / "123", 3)
    shutil.copytree(folder / "half_plus_two" / "123", folder / "two_versions" / "123")
    shutil.copytree(folder / "half_plus_three" / "123", folder / "two_versions" / "124")
    serving.half_plus_tf2(folder / "half_plus_two_tf2" / "123", 2)
    serving.with_mlmd(folder / "with_mlmd" / "123")
    serving.counter(folder / "counter" / "123")
    serving.multi_head(folder / "multi_head" / "123")
    names = [one.name for one in folder.iterdir() if (one / "123").is_dir()]
    for given in folder.glob("*/*_assets/foo.txt"):
        # What the exporter was given is gone; the copy in the SavedModel is what is served.
        given.unlink()
    with served({name: folder / name for name in names}) as running:
        yield running


class TestOfTensorFlowServing:
    ADDENDS = (("half_plus_two", 2), ("half_plus_three", 3), ("half_plus_two_tf2", 2), ("with_mlmd", 2))

    @pytest.mark.parametrize(("model", "addend"), ADDENDS)
    def test_half_plus_over_each_protocol(self, models: Served, model: str, addend: int) -> None:
        x = np.array([[1], [2], [5]], np.float32)
        expected = (x / 2 + addend).tolist()
        assert models.predict(model, {"x": x})["y"].tolist() == expected
        assert models.client.predict(model, {"x": x})["y"].tolist() == expected
        assert models.rest(f"{model}:predict", {"instances": x.tolist()}) == {"predictions": expected}

    def test_first_request_of_tensorflow_servings_documentation_is_answered(self, models: Served) -> None:
        answer = models.rest("half_plus_two:predict", {"instances": [1.0, 2.0, 5.0]})
        assert answer == {"predictions": [2.5, 3.0, 4.5]}

    @pytest.mark.parametrize(("model", "addend"), ADDENDS)
    def test_half_plus_of_examples(self, models: Served, model: str, addend: int) -> None:
        examples, expected = [example(x=[1]), example(x=[2]), example()], [0.5 + addend, 1 + addend, addend]
        request = regression(*examples, model=model, signature="regress_x_to_y")
        assert [one.value for one in models.stub.Regress(request).result.regressions] == expected
        body = {"signature_name": "regress_x_to_y", "examples": [{"x": [1.0]}, {"x": 2.0}, {}]}
        assert models.rest(f"{model}:regress", body) == {"results": expected}
        request = classification(*examples, model=model, signature="classify_x_to_y")
        rows = models.stub.Classify(request).result.classifications
        assert [[one.score for one in row.classes] for row in rows] == [[score] for score in expected]
        body["signature_name"] = "classify_x_to_y"
        assert models.rest(f"{model}:classify", body) == {"results": [[["", score]] for score in expected]}

    def test_each_signature_of_half_plus_two_is_its_own(self, models: Served) -> None:
        for signature, expected in (("regress_x_to_y2", 4.0), ("regress_x2_to_y3", 4.5)):
            request = regression(example(x=[2], x2=[3]), model="half_plus_two", signature=signature)
            assert [one.value for one in models.stub.Regress(request).result.regressions] == [expected]

    def test_two_versions_are_served_side_by_side(self, models: Served) -> None:
        x = np.array([[2]], np.float32)
        answers = [models.predict("two_versions", {"x": x}, version=number)["y"] for number in (0, 123, 124)]
        assert [answer.item() for answer in answers] == [4, 3, 4]

    def test_counter_counts(self, models: Served) -> None:
        def call(signature: str, **inputs: Any) -> float:
            return float(models.predict("counter", inputs, signature)["output"])

        assert call("reset_counter") == 0
        assert call("incr_counter") == 1
        assert call("incr_counter_by", delta=np.float32(3)) == 4
        assert models.client.predict("counter", {}, signature="get_counter")["output"] == 4

    def test_heads_of_one_model_agree_with_each_other(self, models: Served) -> None:
        x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)
        both = models.predict("multi_head", {"x": x}, "predict")
        examples = [example(x=row) for row in x.tolist()]
        classes = models.stub.Classify(classification(*examples, model="multi_head")).result.classifications
        assert [[one.label for one in row.classes] for row in classes] == [["no", "yes"]] * 2
        np.testing.assert_allclose([[one.score for one in row.classes] for row in classes], both["scores"])
        values = models.stub.Regress(regression(*examples, model="multi_head", signature="value")).result
        np.testing.assert_allclose([one.value for one in values.regressions], both["value"][:, 0], rtol=1e-6)


def test_model_with_a_compressed_index_is_served() -> None:
    x = np.array([[1], [2], [5]], np.float32)
    with served({"m": COMPRESSED}) as models:
        assert models.predict("m", {"x": x})["y"].tolist() == [[2.5], [3], [4.5]]
        assert models.rest("m:predict", {"instances": [1, 2, 5]}) == {"predictions": [2.5, 3, 4.5]}
        request = regression(example(x=[4]), model="m", signature="regress_x_to_y")
        assert [one.value for one in models.stub.Regress(request).result.regressions] == [4]


def bare(folder: Path, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What TensorFlow alone says."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        found = meta_graph.signature_def[signature]
        answer: dict[str, Any] = session.run(
            {alias: info.name for alias, info in found.outputs.items()},
            {found.inputs[alias].name: value for alias, value in inputs.items()},
        )
    return answer


def check_same(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert answer.keys() == expected.keys()
    for alias, right in expected.items():
        found = np.asarray(answer[alias])
        if right.dtype.kind == "f":
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)
        else:
            assert found.tolist() == right.tolist(), alias


def from_json(answer: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """`outputs` of REST as arrays."""
    outputs = answer["outputs"] if len(expected) > 1 else {next(iter(expected)): answer["outputs"]}
    arrays = {}
    for alias, value in outputs.items():
        array = np.array(value, object)
        if expected[alias].dtype.kind == "O":
            array = np.vectorize(lambda text: text.encode(), otypes=[object])(array)
        arrays[alias] = array.astype(expected[alias].dtype)
    return arrays


def plain(value: Any) -> Any:
    if value.dtype.kind == "O":
        return np.vectorize(lambda text: text.decode(), otypes=[object])(value).tolist()
    return value.tolist()


ABSENT: list[str] = []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "foreign",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.slow else []) for one in FOREIGN],
)
def test_model_of_a_package_answers_as_tensorflow_alone_does(foreign: Foreign, tmp_path: Path) -> None:
    try:
        folder = foreign.unpacked(tmp_path)
    except NotToBeHad as error:
        ABSENT.append(foreign.name)
        pytest.skip(f"{foreign.package}: {error}")
    with served({foreign.name: folder}) as models:
        for signature, inputs in foreign.calls().items():
            expected = bare(folder, signature, inputs)
            check_same(models.predict(foreign.name, inputs, signature), expected)
            check_same(models.client.predict(foreign.name, inputs, signature=signature), expected)
            body = {
                "signature_name": signature,
                "inputs": {alias: plain(one) for alias, one in inputs.items()},
            }
            check_same(from_json(models.rest(f"{foreign.name}:predict", body), expected), expected)


def test_every_package_could_be_had(request: pytest.FixtureRequest) -> None:
    # Its skip says in one line how much of the above was not tested.
    if ABSENT:
        asked = len(FOREIGN) if request.config.getoption("--all") else sum(not one.slow for one in FOREIGN)
        pytest.skip(f"{len(ABSENT)} of {asked} SavedModels of packages were not to be had: {ABSENT}")
