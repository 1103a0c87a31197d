"""SavedModels with a warm-up file, loaded by a real server."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import SavedModels
from .serving_examples import (
    CLASSIFY,
    ONE,
    REGRESS,
    TWO,
    classification,
    example,
    multi_inference,
    regression,
)


@contextmanager
def serving(directory: Path, **warmup: Any) -> Iterator[Any]:
    """A server with the model `m` in `directory`; raises what its start raises."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        ServerSettings,
        WarmupSettings,
    )

    model = ModelSettings("m", directory, warmup=WarmupSettings(**warmup))
    server = Server(ServerSettings((model,), ListenSettings(port=0), AdminSettings(admin_port=0)))
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


@pytest.fixture
def with_records(saved_models: SavedModels, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a SavedModel with these records in its warm-up file."""

    def copy(name: str, *logs: Any) -> Path:
        directory = tmp_path / name
        shutil.copytree(saved_models[name], directory)
        (directory / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(directory / "assets.extra" / "tf_serving_warmup_requests")) as writer:
            for one in logs:
                writer.write(one.SerializeToString())
        return directory

    return copy


def log(**request: Any) -> Any:
    """A PredictionLog of one kind: ``log(predict=REQUEST)``."""
    built = prediction_log_pb2.PredictionLog()
    for kind, message in request.items():
        getattr(built, f"{kind}_log").request.CopyFrom(message)
    return built


def prediction(signature: str, **inputs: Any) -> Any:
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="never looked at", signature_name=signature)
    )
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def test_every_kind_of_record_is_run_and_lets_calls_share_batches(
    with_records: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    directory = with_records(
        "example_tasks",
        log(classify=classification(ONE, TWO, signature="serving_default")),
        log(regress=regression(ONE, TWO)),
        log(multi_inference=multi_inference(("", CLASSIFY), ("column", REGRESS))),
        log(predict=prediction("scores", inputs=[ONE.SerializeToString(), TWO.SerializeToString()])),
        log(),
    )
    with caplog.at_level(logging.INFO), serving(directory) as server:
        assert "with 5 calls that the model brings (1 classify, 2 multi_inference, 1 predict, 1 regress)" in (
            caplog.text
        )
        alone = server.registry.find("m").alone
        for shown in ("serving_default", "regress", "column", "scores"):
            assert alone[shown] is None
        # The trial cannot make up a tf.Example that a graph takes.
        assert "refuses" in alone["elsewhere"]
        with grpc.insecure_channel(server.address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            calls = [stub.Regress.future(regression(one, model="m")) for one in (ONE, TWO) * 20]
            found = [call.result().result.regressions[0].value for call in calls]
        assert found == [10, 8.5] * 20


def test_record_that_fails_keeps_the_model_from_being_live(with_records: Callable[..., Path]) -> None:
    from hotgraph_server.errors import StartError

    directory = with_records("example_tasks", log(classify=classification(example(y=[1]))))
    with (
        pytest.raises(StartError, match=r"warm-up fails: record 1 of .*: INVALID_ARGUMENT"),
        serving(directory),
    ):
        pass


def test_record_of_a_kind_that_nobody_runs_keeps_the_model_from_being_live(
    with_records: Callable[..., Path],
) -> None:
    from hotgraph_server.errors import StartError

    directory = with_records("tf2_mlp", prediction_log_pb2.PredictionLog(session_run_log={}))
    with (
        pytest.raises(StartError, match=r"UNIMPLEMENTED: Unsupported log_type for warmup: 5"),
        serving(directory),
    ):
        pass


def test_records_are_left_alone_where_the_settings_say_so(with_records: Callable[..., Path]) -> None:
    directory = with_records("tf2_mlp", prediction_log_pb2.PredictionLog(session_run_log={}))
    with serving(directory, warmup_records=False) as server:
        assert server.registry.find("m") is not None


def test_what_records_write_is_forgotten(with_records: Callable[..., Path]) -> None:
    """A model that counts is asked to count, and no caller has asked for it."""
    directory = with_records("tf1_counter", log(predict=prediction("add", by=np.int64(2))))
    with serving(directory, warmup_rounds=3) as server, grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="m", signature_name="read"))
        assert tf.make_ndarray(stub.Predict(request).outputs["count"]) == 0
