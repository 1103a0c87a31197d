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
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import SavedModels
from .command import tensorflow_model_server
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

PATIENCE_S = 60.0


@contextmanager
def serving(directory: Path, **warmup: Any) -> Iterator[Any]:
    """A server with the model `m` in `directory`; raises what its start raises."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
        WarmupSettings,
    )

    model = ModelSettings("m", directory, warmup=WarmupSettings(**warmup))
    server = Server(
        ServerSettings(
            (model,), ListenSettings(port=0), AdminSettings(admin_port=0), RestSettings(rest_port=0)
        )
    )
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
        alone = server.registry.find("m").unbatched_reasons
        for shown in ("serving_default", "regress", "column", "scores"):
            assert alone[shown] is None
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


def one_row() -> Any:
    return prediction("", x=np.ones((1, 16), np.float32))


BAD: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "session_run": (
        lambda: [prediction_log_pb2.PredictionLog(session_run_log={}).SerializeToString()],
        "record 1: UNIMPLEMENTED: Unsupported log_type for warmup: 5",
    ),
    "predict_streamed": (
        lambda: [prediction_log_pb2.PredictionLog(predict_streamed_log={}).SerializeToString()],
        "record 1: UNIMPLEMENTED: Unsupported log_type for warmup: 7",
    ),
    "unparseable": (lambda: [b"\xff"], "INVALID_ARGUMENT: Failed to parse warmup record"),
    "too_many": (
        lambda: [log(predict=one_row()).SerializeToString()] * 1001,
        "INVALID_ARGUMENT: Number of warmup records exceeds the maximum (1000)",
    ),
    "fails": (
        lambda: [log(predict=prediction("", x=np.ones((1, 3), np.float32))).SerializeToString()],
        "INVALID_ARGUMENT: ",
    ),
    "signature": (
        lambda: [log(predict=prediction("none", x=np.ones((1, 16), np.float32))).SerializeToString()],
        'FAILED_PRECONDITION: Serving signature key "none" not found.',
    ),
}


def test_what_records_write_is_forgotten(with_records: Callable[..., Path]) -> None:
    """A model that counts is asked to count, and no caller has asked for it."""
    directory = with_records("tf1_counter", log(predict=prediction("add", by=np.int64(2))))
    with serving(directory, warmup_rounds=3) as server, grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="m", signature_name="read"))
        assert tf.make_ndarray(stub.Predict(request).outputs["count"]) == 0


def test_every_wrong_file_fails_its_model_and_no_other_and_the_flag_leaves_them_alone(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    """A model that is warmed up well is live beside them."""
    good = [log(predict=one_row()).SerializeToString()] * 1000
    files = {"good": good, **{name: records() for name, (records, _) in BAD.items()}}
    told = {name: words for name, (_, words) in BAD.items()}
    for name, records in files.items():
        shutil.copytree(saved_models["tf2_mlp"], tmp_path / name / "1")
        (tmp_path / name / "1" / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(warmup_file(tmp_path / name))) as writer:
            for record in records:
                writer.write(record)
    shutil.copytree(tmp_path / "good", tmp_path / "corrupt")
    warmup_file(tmp_path / "corrupt").write_bytes(b"no TFRecord at all")
    told["corrupt"] = "Please verify your warmup data is in TFRecord format."
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for name in ("good", *told):
        request.config.model_config_list.config.add(
            name=name, base_path=str(tmp_path / name), model_platform="tensorflow"
        )
    empty = tmp_path / "models.config"
    empty.write_text("model_config_list { }")
    flags = ["--port=0", f"--model_config_file={empty}", "--max_num_load_retries=0"]
    with tensorflow_model_server(*flags) as running, grpc.insecure_channel(running.address) as channel:
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            models.HandleReloadConfigRequest(request, timeout=PATIENCE_S)
        assert str(raised.value.details()).startswith(f"{len(told)} servable(s) did not become available: ")
        for name, words in told.items():
            one = status(models, name)
            assert one.state == one.END
            assert words in one.status.error_message
        assert status(models, "good").state == status(models, "good").AVAILABLE
    flags.append("--enable_model_warmup=false")
    with tensorflow_model_server(*flags) as running, grpc.insecure_channel(running.address) as channel:
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        models.HandleReloadConfigRequest(request, timeout=PATIENCE_S)
        assert {status(models, name).state for name in told} == {status(models, "good").AVAILABLE}


def warmup_file(base_path: Path) -> Path:
    """Of version 1."""
    return base_path / "1" / "assets.extra" / "tf_serving_warmup_requests"


def status(models: Any, name: str) -> Any:
    """Of the one version."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    (found,) = models.GetModelStatus(request, timeout=PATIENCE_S).model_version_status
    return found
