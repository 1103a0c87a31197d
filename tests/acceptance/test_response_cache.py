"""Answers that are kept, through every protocol's own door, and what the statistics say of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferRequestedOutput

from ..saved_models import SavedModels
from .triton_tensors import tensor

FLOAT = np.float32


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`x` float32 [-1] -> `y`, which is `x` and some noise."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("noisy")
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name="x")
    serve = tf.function(lambda x: {"y": x + tf.random.uniform(tf.shape(x))}, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def server(request: pytest.FixtureRequest, saved_models: SavedModels, noisy: Path) -> Iterator[Any]:
    """A server that keeps the answers of all its models but one."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        CacheSettings,
        ListenSettings,
        ModelSettings,
        ResponseCacheSettings,
        RestSettings,
        ServerSettings,
    )

    folders = {
        **{name: saved_models[name] for name in ("pass_through", "counter", "strings")},
        **{"unkept": saved_models["pass_through"], "noisy": noisy},
    }
    models = tuple(
        ModelSettings(name, folder, kept=CacheSettings(name != "unkept")) for name, folder in folders.items()
    )
    listen = ListenSettings(port=0, fast_lane=request.param == "fast lane")
    server = Server(
        ServerSettings(
            models,
            listen,
            AdminSettings(admin_port=0),
            RestSettings(rest_port=0),
            cache=ResponseCacheSettings(cache_mb=8),
        )
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def asking(server: Any) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.address) as client:
        yield client


def figures(client: InferenceServerClient, model: str) -> Any:
    (found,) = client.get_inference_statistics(model).model_stats
    return found


def until_hit(client: InferenceServerClient, model: str, ask: Callable[[], Any]) -> Any:
    """Ask until an answer comes out of the cache: it is kept some time after it was given."""
    before = figures(client, model).inference_stats.cache_hit.count
    for _ in range(1000):
        answer = ask()
        if figures(client, model).inference_stats.cache_hit.count > before:
            return answer
    raise AssertionError("a thousand answers and none of them kept")


def test_the_second_answer_is_the_first_one_without_a_run(asking: InferenceServerClient) -> None:
    x = np.arange(4, dtype=FLOAT).reshape(2, 2)

    def ask() -> Any:
        return asking.infer("pass_through", [tensor("x", x)], request_id="mine")

    until_hit(asking, "pass_through", ask)
    before = figures(asking, "pass_through")
    for _ in range(5):
        answer = ask()
        assert answer.get_response().id == "mine"
        np.testing.assert_array_equal(answer.as_numpy("doubled"), x * 2)
        np.testing.assert_array_equal(answer.as_numpy("same"), x)
    after = figures(asking, "pass_through")
    assert after.inference_stats.cache_hit.count == before.inference_stats.cache_hit.count + 5
    assert after.inference_stats.cache_hit.ns > before.inference_stats.cache_hit.ns
    assert after.inference_stats.success.count == before.inference_stats.success.count + 5
    assert after.inference_stats.cache_miss.count == before.inference_stats.cache_miss.count
    assert after.execution_count == before.execution_count
    assert after.inference_count == before.inference_count
    assert after.inference_stats.queue.count == before.inference_stats.queue.count


def test_another_output_shape_or_value_is_another_question(asking: InferenceServerClient) -> None:
    x = np.arange(4, dtype=FLOAT)
    for outputs in (None, [InferRequestedOutput("same")], [InferRequestedOutput("doubled")]):
        for shaped in (x.reshape(2, 2), x.reshape(2, 2) + 1, x.reshape(2, 2)[:1]):

            def ask(shaped: Any = shaped, outputs: Any = outputs) -> Any:
                return asking.infer("pass_through", [tensor("x", shaped)], outputs=outputs)

            for answer in (ask(), until_hit(asking, "pass_through", ask)):
                for output in answer.get_response().outputs:
                    factor = 2 if output.name == "doubled" else 1
                    np.testing.assert_array_equal(answer.as_numpy(output.name), shaped * factor)


def test_strings_are_kept_too(asking: InferenceServerClient) -> None:
    (spec,) = asking.get_model_metadata("strings").inputs

    def ask(words: list[bytes]) -> Any:
        return asking.infer("strings", [tensor(spec.name, np.array(words, object), "BYTES")]).get_response()

    for words in ([b"ab", b"c"], [b"a", b"bc"]):
        first = ask(words)
        kept = until_hit(asking, "strings", functools.partial(ask, words))
        assert list(first.raw_output_contents) == list(kept.raw_output_contents)


def test_tensorflow_servings_calls_are_answered_from_the_same_cache(
    server: Any, asking: InferenceServerClient
) -> None:
    import grpc
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    x = np.full((3, 2), 41, FLOAT)
    until_hit(asking, "pass_through", lambda: asking.infer("pass_through", [tensor("x", x)]))
    before = figures(asking, "pass_through")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "pass_through"
    request.inputs["x"].CopyFrom(make_tensor_proto(x))
    with grpc.insecure_channel(server.address) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    np.testing.assert_array_equal(make_ndarray(answer.outputs["doubled"]), x * 2)
    after = figures(asking, "pass_through")
    assert after.execution_count == before.execution_count
    assert after.inference_stats.cache_hit.count == before.inference_stats.cache_hit.count + 1


@pytest.mark.parametrize("model", ["noisy", "unkept"])
def test_nothing_is_kept_of_what_changes_by_itself_or_was_not_asked_to_be(
    asking: InferenceServerClient, model: str
) -> None:
    given = [
        tensor(one.name, np.ones([max(1, size) for size in one.shape], FLOAT))
        for one in asking.get_model_metadata(model).inputs
    ]
    before = figures(asking, model).execution_count
    for _ in range(10):
        asking.infer(model, given)
    after = figures(asking, model)
    assert after.execution_count == before + 10
    assert after.inference_stats.cache_hit.count == after.inference_stats.cache_miss.count == 0


def test_what_reads_state_is_answered_with_what_it_is_now(asking: InferenceServerClient) -> None:
    def count() -> int:
        return int(asking.infer("counter", [], parameters={"signature_name": "read"}).as_numpy("count"))

    before = count()
    for more in range(1, 6):
        asking.infer("counter", [tensor("by", np.int64(1))], parameters={"signature_name": "increment"})
        assert count() == before + more
    assert figures(asking, "counter").inference_stats.cache_hit.count == 0
