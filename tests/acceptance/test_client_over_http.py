"""Our client over HTTP against a real server, beside itself over gRPC: nobody may see a difference."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hotgraph_client import (
    AsyncClient,
    Client,
    HotgraphError,
    ModelMetadata,
)
from hotgraph_protos.tensors import Array

from ..saved_models import DTYPES, SavedModels

MODELS = (
    *("counter", "default_input", "embedding", "every_dtype", "scalars", "strings"),
    *("two_in_two_out", "unbatched_output", "variable_length"),
)
ODD = "an odd/näme + 100%.1"


class Both:
    """The same server over gRPC and over HTTP."""

    def __init__(self, saved_models: SavedModels) -> None:
        from hotgraph_server.server import Server
        from hotgraph_server.settings import (
            AdminSettings,
            ListenSettings,
            ModelSettings,
            RestSettings,
            ServerSettings,
        )

        with socket.create_server(("127.0.0.1", 0)) as found:
            port = int(found.getsockname()[1])
        models = [
            *(ModelSettings(name, saved_models[name]) for name in MODELS),
            ModelSettings(ODD, saved_models["two_in_two_out"]),
        ]
        self.server = Server(
            ServerSettings(
                tuple(models), ListenSettings(port=0), AdminSettings(0), RestSettings(rest_port=port)
            )
        )
        self.server.start()
        self.url = f"http://127.0.0.1:{port}"
        self.grpc = Client(self.server.address)
        self.http = Client(self.url)
        self.http.wait_ready()

    def close(self) -> None:
        self.grpc.close()
        self.http.close()
        self.server.stop()


@pytest.fixture(scope="module")
def both(saved_models: SavedModels) -> Iterator[Both]:
    running = Both(saved_models)
    yield running
    running.close()


def same(one: dict[str, Array], other: dict[str, Array]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
        np.testing.assert_array_equal(array, other[name])
        assert other[name].flags.writeable


TWO: dict[str, Any] = {"a": np.ones((2, 3), np.float32), "b": np.full((2, 3), 5, np.int32)}


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("two_in_two_out", TWO),
        ("two_in_two_out", {"a": [[1, 2, 3]], "b": [[4, 5, 6]]}),
        (ODD, TWO),
        ("strings", {"text": np.array(["a", "é", "", "x" * 1000], object)}),
        ("strings", {"text": np.array([b"\xff\0", b"b"], object)}),
        ("scalars", {"x": np.array(3.0)}),
        ("unbatched_output", {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}),
        ("variable_length", {"x": np.zeros((3, 5), np.float32)}),
        ("default_input", {"x": np.ones((1, 2), np.float32)}),
        ("two_in_two_out", {"a": np.zeros((0, 3), np.float32), "b": np.zeros((0, 3), np.int32)}),
        ("variable_length", {"x": np.ones((2, 1_000_000), np.float32)}),
    ],
)
def test_answers_are_the_same(both: Both, model: str, inputs: dict[str, Any]) -> None:
    same(both.grpc.predict(model, inputs), both.http.predict(model, inputs))


@pytest.mark.parametrize("name", [name for name in DTYPES if "complex" not in name])
def test_every_datatype_comes_back_as_it_was_sent(both: Both, name: str) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name if name != "string" else object)
    sent: Array = np.array([[b"a", b""]], object) if name == "string" else np.array([[0, 1]]).astype(dtype)
    answer = both.http.predict("every_dtype", {"x": sent}, signature=f"echo_{name}")
    assert answer["y"].dtype == sent.dtype
    np.testing.assert_array_equal(answer["y"], sent)


def test_version_outputs_parameters_and_id_can_be_said(both: Both) -> None:
    for client in (both.grpc, both.http):
        answer = client.predict(
            "two_in_two_out", TWO, version=1, outputs="sum", parameters={"priority": 1}, request_id="an id"
        )
        assert answer.keys() == {"sum"}


def test_lists_for_another_signature_take_the_datatypes_that_its_properties_say(both: Both) -> None:
    answer = both.http.predict("every_dtype", [[1, 2]], signature="echo_int16")
    assert (answer.dtype, answer.tolist()) == (np.int16, [[1, 2]])


@pytest.mark.parametrize("model", [*MODELS, ODD])
def test_what_is_said_of_models_is_the_same(both: Both, model: str) -> None:
    said: list[ModelMetadata] = [client.metadata(model) for client in (both.grpc, both.http)]
    assert said[0] == said[1]
    assert said[1].signatures
    assert both.grpc.metadata(model, 1) == both.http.metadata(model, 1)
    assert both.http.is_model_ready(model)


def test_what_is_said_of_the_server_is_the_same(both: Both) -> None:
    assert both.grpc.server_metadata() == both.http.server_metadata()
    assert [both.http.is_live(), both.http.is_ready(), both.http.is_model_ready("nobody")] == [
        True,
        True,
        False,
    ]


def test_statistics_are_the_same(both: Both) -> None:
    both.http.predict("scalars", {"x": np.array(3.0)})
    (over_grpc,), (over_http,) = both.grpc.statistics("scalars"), both.http.statistics("scalars")
    assert over_grpc == over_http
    assert over_http.success.count > 0
    assert {one.name for one in both.http.statistics()} == {*MODELS, ODD}


@pytest.mark.parametrize(
    ("model", "inputs", "settings"),
    [
        ("nobody", TWO, {}),
        ("two_in_two_out", TWO, {"version": 99}),
        ("two_in_two_out", TWO, {"signature": "nobody"}),
        ("two_in_two_out", TWO, {"outputs": ["nobody"]}),
        ("two_in_two_out", {"a": TWO["a"]}, {}),
        ("two_in_two_out", {**TWO, "c": TWO["a"]}, {}),
        ("two_in_two_out", {**TWO, "a": np.ones((2, 4), np.float32)}, {}),
        ("two_in_two_out", {**TWO, "a": np.ones((2, 3), np.complex64)}, {}),
        ("two_in_two_out", {**TWO, "a": np.array(["a"])}, {"request_id": "r"}),
        ("two_in_two_out", TWO, {"parameters": {"triton_x": 1}}),
        ("two_in_two_out", [1, 2], {}),
        ("embedding", {"id": np.array([7], np.int32)}, {}),
    ],
)
def test_errors_are_the_same(both: Both, model: str, inputs: Any, settings: dict[str, Any]) -> None:
    ends: list[HotgraphError] = []
    for client in (both.grpc, both.http):
        with pytest.raises(HotgraphError) as caught:
            client.predict(model, inputs, **settings)
        ends.append(caught.value)
    over_grpc, over_http = ends
    assert type(over_grpc) is type(over_http)
    assert (over_grpc.details, over_grpc.code, over_grpc.model) == (
        over_http.details,
        over_http.code,
        over_http.model,
    )
    assert over_http.address in ("", both.url)


def test_state_is_kept_for_both(both: Both) -> None:
    counts = [
        client.predict("counter", {"by": np.int64(1)}, signature="increment")["count"].item()
        for client in (both.grpc, both.http, both.grpc, both.http)
    ]
    assert counts == [counts[0] + step for step in range(4)]


def test_many_tasks_share_a_client(both: Both) -> None:
    async def many() -> list[Any]:
        async with AsyncClient(both.url) as client:
            await client.wait_ready("two_in_two_out")
            return await asyncio.gather(
                *(
                    client.predict("two_in_two_out", {**TWO, "b": np.full((2, 3), step, np.int32)})
                    for step in range(50)
                )
            )

    for step, answer in enumerate(asyncio.run(many())):
        np.testing.assert_array_equal(answer["sum"], np.full((2, 3), step + 1, np.float32))


def test_command_calls_over_http(both: Both, tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", TWO["b"])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "hotgraph_server", "predict", both.url, "two_in_two_out"),
            *("--input", "a=[[1,1,1],[1,1,1]]", "--input", f"b={tmp_path / 'b.npy'}", "--output", "sum"),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"sum": [[6, 6, 6], [6, 6, 6]]}
