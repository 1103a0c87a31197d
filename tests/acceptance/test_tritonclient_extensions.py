"""Classification, batch limits and shared memory through tritonclient, of a model with a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, shared_memory

from ..saved_models import SavedModels
from .triton_tensors import tensor

CONFIG = """
max_batch_size: 4
input [
  { name: "a" data_type: TYPE_FP32 dims: [ 1, 3 ] reshape { shape: [ 3 ] } },
  { name: "b" data_type: TYPE_INT32 dims: [ 3 ] }
]
output [
  { name: "sum" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" },
  { name: "product" data_type: TYPE_INT32 dims: [ 3 ] }
]
"""


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def address(
    request: pytest.FixtureRequest, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """HOST:PORT of a server of `m` that takes shared memory."""
    from hotgraph_server.model_config import config_file, translation
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
        SharedMemorySettings,
    )

    folder = tmp_path_factory.mktemp("m")
    (folder / "1").symlink_to(saved_models["two_in_two_out"])
    (folder / "labels.txt").write_text("cat\ndog\nmouse\n")
    config = config_file.parse(CONFIG, "config.pbtxt")
    settings, _ = translation.settings_from(config, ModelSettings("m", folder))
    server = Server(
        ServerSettings(
            (settings,),
            ListenSettings(port=0, fast_lane=request.param == "fast lane"),
            AdminSettings(admin_port=0),
            RestSettings(rest_port=0),
            shared_memory=SharedMemorySettings(allow_client_shm=True),
        )
    )
    server.start()
    yield server.address
    server.stop()


@pytest.fixture
def client(address: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address) as client:
        yield client


def inputs(rows: int = 2) -> list[InferInput]:
    a = np.arange(3 * rows, dtype=np.float32).reshape(rows, 1, 3)
    return [tensor("a", a), tensor("b", np.ones((rows, 3), np.int32))]


def test_classes_come_with_their_labels(client: InferenceServerClient) -> None:
    for _ in range(2):
        answer = client.infer("m", inputs(), outputs=[InferRequestedOutput("sum", class_count=2)])
        assert answer.as_numpy("sum").tolist() == [
            [b"3.000000:2:mouse", b"2.000000:1:dog"],
            [b"6.000000:2:mouse", b"5.000000:1:dog"],
        ]


def test_call_of_more_rows_than_the_model_allows_is_refused(client: InferenceServerClient) -> None:
    assert client.infer("m", inputs(4)).as_numpy("sum").shape == (4, 3)
    with pytest.raises(InferenceServerException, match="inference request batch-size must be <= 4 for 'm'"):
        client.infer("m", inputs(5))


def test_shapes_are_those_of_the_configuration(client: InferenceServerClient) -> None:
    wrong = [tensor("a", np.zeros((1, 3), np.float32)), tensor("b", np.zeros((1, 3), np.int32))]
    with pytest.raises(InferenceServerException, match=r"Expected \[-1,1,3\], got \[1,3\]"):
        client.infer("m", wrong)


@pytest.mark.parametrize("streamed", [False, True])
def test_tensors_lie_in_shared_memory(client: InferenceServerClient, streamed: bool, tmp_path: Path) -> None:
    name = f"hotgraph-{tmp_path.parent.name}-{tmp_path.name}"
    a, b = np.full((2, 1, 3), 2, np.float32), np.full((2, 3), 5, np.int32)
    region = shared_memory.create_shared_memory_region("region", f"/{name}", 1024)
    try:
        shared_memory.set_shared_memory_region(region, [a], offset=0)
        client.register_system_shared_memory("region", f"/{name}", 1024)
        first = InferInput("a", a.shape, "FP32")
        first.set_shared_memory("region", a.nbytes)
        product = InferRequestedOutput("product")
        product.set_shared_memory("region", b.nbytes, offset=512)
        asked = [product, InferRequestedOutput("sum")]
        answer = _infer(client, [first, tensor("b", b)], asked, streamed=streamed)
        assert answer.as_numpy("sum").tolist() == [[7] * 3] * 2
        assert answer.get_output("product").parameters["shared_memory_byte_size"].int64_param == b.nbytes
        found = shared_memory.get_contents_as_numpy(region, np.int32, [2, 3], offset=512)
        assert found.tolist() == [[10] * 3] * 2
        first.set_shared_memory("nobody", a.nbytes)
        with pytest.raises(InferenceServerException, match="Unable to find shared memory region: 'nobody'"):
            _infer(client, [first, tensor("b", b)], asked, streamed=streamed)
    finally:
        client.unregister_system_shared_memory("region")
        shared_memory.destroy_shared_memory_region(region)


def _infer(
    client: InferenceServerClient,
    inputs: list[InferInput],
    outputs: list[InferRequestedOutput],
    *,
    streamed: bool,
) -> Any:
    """The answer, by whichever method."""
    if not streamed:
        return client.infer("m", inputs, outputs=outputs)
    answers: list[tuple[Any, InferenceServerException | None]] = []
    client.start_stream(lambda result, error: answers.append((result, error)))
    client.async_stream_infer("m", inputs, outputs=outputs)
    # Waits for what was asked.
    client.stop_stream()
    ((result, error),) = answers
    if error is not None:
        raise error
    return result
