"""ModelService of `hotgraph tensorflow-model-server`, and its limits, by tensorflow-serving-api's stubs:
every code and text that TensorFlow Serving has for a new list of models, and for the states of versions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from ..saved_models import SavedModels
from .command import tensorflow_model_server

PATIENCE_S = 60.0
ModelVersionStatus = get_model_status_pb2.ModelVersionStatus
BOTH_LIVE = [(2, ModelVersionStatus.AVAILABLE, 0), (1, ModelVersionStatus.AVAILABLE, 0)]


@dataclass(frozen=True)
class Served:
    """A server of a model `a` with versions 1 and 2, which takes 4 rows a call, and the folder of models."""

    prediction: Any
    model: Any
    folder: Path

    def reload(self, config: Any, metrics: tuple[str, ...] = ()) -> Any:
        request = model_management_pb2.ReloadConfigRequest(config=config, metric_names=metrics)
        return self.model.HandleReloadConfigRequest(request, timeout=PATIENCE_S)

    def refused(self, config: Any) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as raised:
            self.reload(config)
        return raised.value.code().name, str(raised.value.details())

    def versions(self, name: str) -> list[tuple[int, int, int]]:
        """Number, state and code of each version, in the order of the answer."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        found = self.model.GetModelStatus(request, timeout=PATIENCE_S).model_version_status
        return [(one.version, one.state, one.status.error_code) for one in found]

    def predict(self, name: str, rows: int = 1, **spec: Any) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        if "version" in spec:
            request.model_spec.version.value = spec["version"]
        if "label" in spec:
            request.model_spec.version_label = spec["label"]
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((rows, 16), np.float32)))
        return self.prediction.Predict(request, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def served(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("a/1", "a/2", "b/00000123"):
        shutil.copytree(saved_models["tf2_mlp"], folder / name)
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "saved_model.pb").write_bytes(b"no graph")
    (folder / "empty").mkdir()
    batching = folder / "batching"
    batching.write_text("max_batch_size { value: 4 }")
    config = folder / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "a" base_path: "{folder}/a" model_platform: "tensorflow"'
        " model_version_policy { all {} } } }"
    )
    flags = ["--port=0", f"--model_config_file={config}", "--enable_batching", "--max_num_load_retries=0"]
    flags.append(f"--batching_parameters_file={batching}")
    with tensorflow_model_server(*flags) as serving, grpc.insecure_channel(serving.address) as channel:
        yield Served(
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
            folder,
        )


def models(folder: Path, *names: str) -> Any:
    """A list of these models, all of whose versions are wanted."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for name in names:
        one = config.model_config_list.config.add(
            name=name, base_path=str(folder / name), model_platform="tensorflow"
        )
        one.model_version_policy.all.SetInParent()
    return config


@pytest.fixture(autouse=True)
def as_at_the_start(served: Served) -> Iterator[None]:
    yield
    if served.versions("a") != BOTH_LIVE:
        # A model that is new in a list is waited for.
        served.reload(models(served.folder))
        served.reload(models(served.folder, "a"))
    served.reload(models(served.folder, "a"))


def _nameless_type(config: Any) -> None:
    config.Clear()


def _twice(config: Any) -> None:
    config.model_config_list.config.add().CopyFrom(config.model_config_list.config[0])


def _relative(config: Any) -> None:
    config.model_config_list.config[0].base_path = "models/a"


def _no_platform(config: Any) -> None:
    config.model_config_list.config[0].model_platform = ""


def _other_platform(config: Any) -> None:
    config.model_config_list.config[0].model_platform = "pytorch"


def _platform_of_a_new_model(config: Any) -> None:
    config.model_config_list.config[1].model_platform = "pytorch"


def _label(config: Any) -> None:
    config.model_config_list.config[0].version_labels["next"] = 9


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (
            _nameless_type,
            "INVALID_ARGUMENT",
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is"
            " currently supported",
        ),
        (_twice, "INVALID_ARGUMENT", "Illegal to list model a multiple times in config list"),
        (
            _relative,
            "INVALID_ARGUMENT",
            "Expected model a to have an absolute path or URI; got base_path()=models/a",
        ),
        (
            _no_platform,
            "INVALID_ARGUMENT",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor"
            " ModelServerConfig::model_platform, model name is a",
        ),
        (
            _other_platform,
            "INVALID_ARGUMENT",
            "Illegal to change a model's platform. For model a platform was tensorflow and new platform"
            " requested is pytorch",
        ),
        (_platform_of_a_new_model, "INVALID_ARGUMENT", "Model b requests unsupported platform pytorch"),
        (
            _label,
            "FAILED_PRECONDITION",
            "Request to assign label to version 9 of model a, which is not currently available for inference",
        ),
    ],
)
def test_wrong_list_is_refused_in_tensorflow_serving_s_words_and_changes_nothing(
    served: Served, spoil: Callable[[Any], None], code: str, words: str
) -> None:
    # What else is in the list would be a change.
    config = models(served.folder, "a", "b")
    spoil(config)
    found = served.refused(config)
    assert found[0] == code
    assert found[1].startswith(words)
    assert served.versions("a") == BOTH_LIVE
    with pytest.raises(grpc.RpcError):
        served.versions("b")


def test_new_model_can_be_called_once_the_answer_is_there_and_one_that_was_taken_off_cannot(
    served: Served,
) -> None:
    response = served.reload(
        models(served.folder, "b"), metrics=("/tensorflow/serving/request_count", "/none")
    )
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert [(one.name, one.int64_value_increase) for one in response.metric] == [
        ("/tensorflow/serving/request_count", 0)
    ]
    assert served.predict("b").model_spec.version.value == 123
    assert served.versions("b") == [(123, ModelVersionStatus.AVAILABLE, 0)]
    with pytest.raises(grpc.RpcError) as raised:
        served.predict("a")
    assert (raised.value.code().name, raised.value.details()) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(a)",
    )
    # What has ended is remembered.
    assert {number for number, _, _ in served.versions("a")} == {1, 2}


def test_model_that_cannot_be_served_is_named_and_holds_up_no_other(served: Served) -> None:
    code, text = served.refused(models(served.folder, "a", "b", "broken", "empty"))
    assert code == "UNKNOWN"
    assert text.startswith("2 servable(s) did not become available: {{{name: ")
    assert "{{name: broken version: 1} due to error: " in text
    assert "{{name: empty} due to error: " in text
    ((number, state, error),) = served.versions("broken")
    assert (number, state) == (1, ModelVersionStatus.END)
    assert error
    for name in ("a", "b"):
        served.predict(name)


def test_policy_says_which_versions_are_served(served: Served) -> None:
    config = models(served.folder, "a")
    config.model_config_list.config[0].model_version_policy.specific.versions.append(1)
    served.reload(config)
    assert served.predict("a").model_spec.version.value == 1
    with pytest.raises(grpc.RpcError) as raised:
        served.predict("a", version=3)
    assert raised.value.details() == "Servable not found for request: Specific(a, 3)"


def test_label_chooses_a_version_and_moves(served: Served) -> None:
    config = models(served.folder, "a")
    for number in (1, 2):
        config.model_config_list.config[0].version_labels["stable"] = number
        served.reload(config)
        assert served.predict("a", label="stable").model_spec.version.value == number
    config.model_config_list.config[0].version_labels.clear()
    served.reload(config)
    with pytest.raises(grpc.RpcError) as raised:
        served.predict("a", label="stable")
    assert (raised.value.code().name, raised.value.details()) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    )


def test_status_without_a_name_is_of_no_model(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        served.versions("")
    assert (raised.value.code().name, raised.value.details()) == (
        "NOT_FOUND",
        "Could not find any versions of model ",
    )


def test_status_of_one_version_and_of_a_label(served: Served) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "a"
    request.model_spec.version.value = 1
    assert [one.version for one in served.model.GetModelStatus(request).model_version_status] == [1]
    request.model_spec.version_label = "whatever"
    assert [one.version for one in served.model.GetModelStatus(request).model_version_status] == [2, 1]


def test_metadata_of_a_version_that_is_not_there(served: Served) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "a"
    request.model_spec.version.value = 9
    with pytest.raises(grpc.RpcError) as raised:
        served.prediction.GetModelMetadata(request)
    assert raised.value.details() == "Servable not found for request: Specific(a, 9)"
    request.model_spec.version.value = 1
    found = served.prediction.GetModelMetadata(request).model_spec
    assert (found.name, found.version.value, found.signature_name) == ("a", 1, "")


def test_call_larger_than_a_batch_is_refused_in_tensorflow_serving_s_words(served: Served) -> None:
    assert served.predict("a", rows=4)
    with pytest.raises(grpc.RpcError) as raised:
        served.predict("a", rows=5)
    assert (raised.value.code().name, raised.value.details()) == (
        "INVALID_ARGUMENT",
        "Task size 5 is larger than maximum input batch size 4",
    )
