"""Models with a config.pbtxt, in a server of its own, through Triton's client."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from ..saved_models import SavedModels
from .command import Serving, serve

CONFIGS = {
    # Owners write such files: the shape that their clients send, classes by name, one call before it is live.
    "mlp": """
        name: "mlp"
        platform: "tensorflow_savedmodel"
        max_batch_size: 8
        input [ { name: "x" data_type: TYPE_FP32 dims: [ 4, 4 ] reshape: { shape: [ 16 ] } } ]
        output [ { name: "scores" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]
        instance_group [ { count: 2 kind: KIND_CPU } ]
        dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
        model_warmup [ {
          name: "four"
          batch_size: 4
          inputs { key: "x" value: { data_type: TYPE_FP32 dims: [ 4, 4 ] input_data_file: "x.raw" } }
        } ]
    """,
    "counter": 'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "increment" } }',
    "strings": "",
    "wrong": 'max_batch_size: 4 input { name: "x" data_type: TYPE_INT32 dims: 16 }',
    "unwarmed": """
        max_batch_size: 4
        model_warmup {
          name: "w" batch_size: 1
          inputs { key: "x" value { data_type: TYPE_FP32 dims: 16 input_data_file: "missing" } }
        }
    """,
}
OF = {"wrong": "tf2_mlp", "unwarmed": "tf2_mlp", "mlp": "tf2_mlp"}


@pytest.fixture(scope="module")
def serving(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root: Path = tmp_path_factory.mktemp("configured")
    for name, config in CONFIGS.items():
        shutil.copytree(saved_models[OF.get(name, name)], root / name / "1" / "model.savedmodel")
        if config:
            (root / name / "config.pbtxt").write_text(config)
    (root / "mlp" / "labels.txt").write_text("ash\nbirch\ncedar\ndate\n")
    (root / "mlp" / "warmup").mkdir()
    (root / "mlp" / "warmup" / "x.raw").write_bytes(np.zeros(16, "<f4").tobytes())
    loaded = [word for name in ("mlp", "counter", "strings") for word in ("--load-model", name)]
    with serve("--repository", str(root), "--model-control", "explicit", *loaded, "--port", "0") as serving:
        yield serving


@pytest.fixture(scope="module")
def client(serving: Serving) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(serving.address) as client:
        yield client


def call(client: InferenceServerClient, shape: tuple[int, ...], classes: int = 0) -> Any:
    tensor = InferInput("x", shape, "FP32")
    tensor.set_data_from_numpy(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))
    return client.infer("mlp", [tensor], outputs=[InferRequestedOutput("scores", class_count=classes)])


def test_warm_up_was_run_and_what_has_no_meaning_was_named(serving: Serving) -> None:
    log = "".join(serving.lines)
    assert "(1 model_warmup)" in log
    assert "model 'mlp': instance_group[0].count above 1 has no meaning here" in log


def test_configuration_is_shown_whole(client: InferenceServerClient) -> None:
    config = client.get_model_config("mlp", as_json=True)["config"]
    assert (config["platform"], config["backend"]) == ("tensorflow_savedmodel", "tensorflow")
    assert config["max_batch_size"] == 8
    assert config["input"][0]["dims"] == ["4", "4"]
    assert config["output"][0]["label_filename"] == "labels.txt"
    assert config["instance_group"] == [{"name": "mlp_0", "kind": "KIND_CPU", "count": 2}]
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    # Its rows are the batch's, and there is nothing else to them.
    made_up = client.get_model_config("strings", as_json=True)["config"]
    assert (made_up["max_batch_size"], made_up["dynamic_batching"]["preferred_batch_size"]) == (64, [64])
    assert made_up["input"] == [{"name": "text", "data_type": "TYPE_STRING"}]


def test_metadata_has_the_shape_that_clients_send(client: InferenceServerClient) -> None:
    metadata = client.get_model_metadata("mlp", as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4", "4"]}]


def test_calls_have_the_shape_of_the_configuration(client: InferenceServerClient) -> None:
    assert call(client, (3, 4, 4)).as_numpy("scores").shape == (3, 4)
    with pytest.raises(InferenceServerException, match="unexpected shape for input 'x' for model 'mlp'"):
        call(client, (3, 16))


def test_calls_above_the_largest_batch_are_refused(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8 for 'mlp'"):
        call(client, (9, 4, 4))


def test_classes_have_the_names_of_the_file(client: InferenceServerClient) -> None:
    scores = call(client, (1, 4, 4)).as_numpy("scores")[0]
    classes = call(client, (1, 4, 4), classes=1).as_numpy("scores")[0]
    best = int(np.argmax(scores))
    assert classes[0].decode().split(":")[1:] == [str(best), ["ash", "birch", "cedar", "date"][best]]


def test_default_signature_is_the_one_chosen(client: InferenceServerClient) -> None:
    tensor = InferInput("by", [], "INT64")
    tensor.set_data_from_numpy(np.array(5, np.int64))
    assert client.infer("counter", [tensor]).as_numpy("count") == 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", "tensor 'x': the model expects data-type TYPE_FP32 but the model configuration specifies"),
        ("unwarmed", "model_warmup 'w': input 'x': there is no file 'warmup/missing'"),
    ],
)
def test_model_that_cannot_be_as_its_configuration_says_is_not_loaded(
    client: InferenceServerClient, name: str, said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said):
        client.load_model(name)
    assert not client.is_model_ready(name)


def test_configuration_of_a_request_is_checked_like_one_of_a_file(client: InferenceServerClient) -> None:
    for config, said in (
        (
            {"max_batch_size": 4, "dynamic_batching": {"preferred_batch_size": [8]}},
            "<= max batch size for wrong",
        ),
        ({"output": [{"name": "scores", "label_filename": "../mlp/labels.txt"}]}, "is no name of a file"),
    ):
        with pytest.raises(InferenceServerException, match=said):
            client.load_model("wrong", config=json.dumps(config))
    client.load_model("wrong", config=json.dumps({"max_batch_size": 2}))
    assert client.get_model_config("wrong").config.max_batch_size == 2
