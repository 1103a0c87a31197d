"""opening.py and asking.py: what does a server speak, and what does its model take?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from hotgraph_client.loadtest.dialects.description import TargetError
from hotgraph_client.loadtest.dialects.opening import SERVING_NAME, V2_NAME, open_dialect
from hotgraph_client.loadtest.load import Destination
from hotgraph_protos import open_inference as oip
from hotgraph_protos import tensorflow_serving_calls as tfs

from .canned_servers import over_grpc, over_http

OIP = "/inference.GRPCInferenceService/"
GET_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"


def v2_answers() -> dict[str, Any]:
    metadata = oip.ModelMetadataResponse(name="m", versions=["1", "2"])
    metadata.inputs.add(name="x", datatype="FP32", shape=[-1, 4])
    metadata.outputs.add(name="y", datatype="INT64", shape=[-1])
    config = oip.ModelConfigResponse()
    config.config.max_batch_size = 32
    return {
        f"{OIP}ModelMetadata": metadata,
        f"{OIP}ServerMetadata": oip.ServerMetadataResponse(name="triton", version="2.60"),
        f"{OIP}ModelConfig": config,
    }


def serving_answers() -> dict[str, Any]:
    signatures = tfs.SignatureDefMap()
    for tensors in (
        signatures.signature_def["serving_default"].inputs,
        signatures.signature_def["serving_default"].outputs,
    ):
        tensors["x"].dtype = tfs.DT_FLOAT
        tensors["x"].tensor_shape.dim.add(size=-1)
    response = tfs.GetModelMetadataResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = 5
    response.metadata["signature_def"].Pack(signatures)
    return {GET_METADATA: response}


V2_JSON: dict[str, Any] = {
    "/v2": (200, {"name": "triton", "version": "2.60", "extensions": []}),
    "/v2/models/m": (
        200,
        {
            "name": "m",
            "versions": ["1"],
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "y", "datatype": "INT64", "shape": ["-1"]}],
        },
    ),
    "/v2/models/m/config": (200, {"max_batch_size": 32}),
}
SERVING_JSON: dict[str, Any] = {
    "/v1/models/m/metadata": (
        200,
        {
            "model_spec": {"name": "m", "version": "5"},
            "metadata": {
                "signature_def": {
                    "signature_def": {
                        "serving_default": {
                            "inputs": {
                                "x": {
                                    "dtype": "DT_FLOAT",
                                    "tensor_shape": {"dim": [{"size": "-1"}], "unknown_rank": False},
                                    "name": "x:0",
                                }
                            },
                            "outputs": {
                                "x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}}
                            },
                        }
                    }
                }
            },
        },
    ),
    "/v2": (404, {"error": "Malformed request: GET /v2"}),
}


def test_v2_is_asked_first_and_told_of_the_server() -> None:
    heard: list[Any] = []
    with over_grpc({**v2_answers(), **serving_answers()}, heard) as destination:
        found = open_dialect(destination, "m").description
    assert (found.protocol, found.version, found.max_batch_rows) == ("v2 over gRPC", "2", 32)
    assert (found.server, found.server_version) == ("triton", "2.60")
    assert [str(tensor) for tensor in found.inputs] == ["x (FP32 [-1, 4])"]
    assert [str(tensor) for tensor in found.outputs] == ["y (INT64 [-1])"]
    assert all(headers["authorization"] == "Bearer k" for _, headers in heard)


def test_v2_without_what_only_triton_has_is_enough() -> None:
    answers = {f"{OIP}ModelMetadata": v2_answers()[f"{OIP}ModelMetadata"]}
    with over_grpc(answers) as destination:
        found = open_dialect(destination, "m").description
    assert (found.server, found.max_batch_rows) == ("", None)


def test_tensorflow_serving_is_asked_where_nobody_knows_v2() -> None:
    with over_grpc(serving_answers()) as destination:
        found = open_dialect(destination, "m").description
    assert (found.protocol, found.version) == ("TensorFlow Serving over gRPC", "5")
    assert [str(tensor) for tensor in found.inputs] == ["x (FP32 [-1])"]


def test_a_protocol_that_is_asked_for_is_the_only_one_asked() -> None:
    heard: list[Any] = []
    with over_grpc({**v2_answers(), **serving_answers()}, heard) as destination:
        found = open_dialect(destination, "m", protocol=SERVING_NAME).description
    assert found.protocol == "TensorFlow Serving over gRPC"
    assert [method for method, _ in heard] == [GET_METADATA]
    with over_grpc(serving_answers()) as destination, pytest.raises(TargetError, match="no Open Inference"):
        open_dialect(destination, "m", protocol=V2_NAME)
    with over_grpc(v2_answers()) as destination, pytest.raises(TargetError, match="no TensorFlow Serving"):
        open_dialect(destination, "m", protocol=SERVING_NAME)


def test_who_speaks_neither_is_told_so() -> None:
    for server in (over_grpc({}), over_http({})):
        with server as destination, pytest.raises(TargetError, match=r"speaks neither .*: check the address"):
            open_dialect(destination, "m")


def test_an_unknown_model_is_told_with_those_that_are_served() -> None:
    missing = (grpc.StatusCode.NOT_FOUND, "unknown model 'nix'")
    index = oip.RepositoryIndexResponse()
    for name in ("b", "a", "b"):
        index.models.add(name=name)
    with (
        over_grpc({f"{OIP}ModelMetadata": missing, f"{OIP}RepositoryIndex": index}) as destination,
        pytest.raises(TargetError, match=r"unknown model 'nix' .*; it serves a, b$"),
    ):
        open_dialect(destination, "nix")
    with (
        over_grpc({GET_METADATA: missing}) as destination,
        pytest.raises(TargetError, match=r"unknown model 'nix' .*; check MODEL, --version and --signature$"),
    ):
        open_dialect(destination, "nix")
    served = {**V2_JSON, "/v2/models/nix": (404, {"error": "unknown model 'nix'"})}
    served["/v2/models"] = (200, {"models": [{"name": "m"}]})
    with (
        over_http(served) as destination,
        pytest.raises(TargetError, match=r"unknown model 'nix' .*; it serves m$"),
    ):
        open_dialect(destination, "nix")
    refused = {"/v1/models/nix/metadata": (404, {"error": "unknown model 'nix'"})}
    with (
        over_http(refused) as destination,
        pytest.raises(TargetError, match=r"unknown model 'nix'.*check MODEL"),
    ):
        open_dialect(destination, "nix")


def test_other_errors_are_the_servers_own() -> None:
    for code, advice in (
        (grpc.StatusCode.UNAUTHENTICATED, "check --key-file, and the certificates"),
        (grpc.StatusCode.UNAVAILABLE, "is the server up"),
        (grpc.StatusCode.INVALID_ARGUMENT, ""),
    ):
        with (
            over_grpc({f"{OIP}ModelMetadata": (code, "no such luck")}) as destination,
            pytest.raises(TargetError, match=f"no such luck .*{advice}"),
        ):
            open_dialect(destination, "m")
    with (
        over_http({"/v2": (401, {"error": "who are you"})}) as destination,
        pytest.raises(TargetError, match=r"who are you .*; check --key-file"),
    ):
        open_dialect(destination, "m")


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_who_is_not_there_is_told_in_one_line(nobody: int) -> None:
    for http, advice in ((False, "http://HOST:PORT for HTTP"), (True, "without http:// for gRPC")):
        destination = Destination("127.0.0.1", nobody, f"127.0.0.1:{nobody}", http=http)
        with pytest.raises(TargetError, match=f"at 127.0.0.1:{nobody}.*{advice}") as raised:
            open_dialect(destination, "m")
        assert "\n" not in str(raised.value)


def test_who_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for http in (False, True):
            destination = Destination("127.0.0.1", port, f"127.0.0.1:{port}", http=http)
            with pytest.raises(TargetError, match="is the server up, and is this its port"):
                open_dialect(destination, "m", timeout_s=0.2)


def test_v2_over_http() -> None:
    heard: list[Any] = []
    with over_http({**SERVING_JSON, **V2_JSON}, heard) as destination:
        found = open_dialect(destination, "m").description
    assert (found.protocol, found.max_batch_rows, found.server) == ("v2 over HTTP", 32, "triton")
    assert [str(tensor) for tensor in found.outputs] == ["y (INT64 [-1])"]
    assert all(headers["authorization"] == "Bearer k" for _, headers in heard)
    assert all(headers["host"] == destination.authority for _, headers in heard)


def test_tensorflow_serving_over_http() -> None:
    with over_http(SERVING_JSON) as destination:
        found = open_dialect(destination, "m").description
    assert (found.protocol, found.version) == ("TensorFlow Serving over HTTP", "5")
    assert [str(tensor) for tensor in found.inputs] == ["x (FP32 [-1])"]


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b"{", b"[" * 100_000])
def test_nonsense_is_told_and_not_raised(body: bytes) -> None:
    with (
        over_grpc({f"{OIP}ModelMetadata": b"\xff\xff"}) as destination,
        pytest.raises(TargetError, match="makes no sense"),
    ):
        open_dialect(destination, "m")
    for path in ("/v2", "/v2/models/m", "/v1/models/m/metadata"):
        answers = {**({} if path.startswith("/v1") else V2_JSON), path: (200, body)}
        with over_http(answers) as destination, pytest.raises(TargetError) as raised:
            open_dialect(destination, "m")
        assert "\n" not in str(raised.value)


def test_protocols_have_three_names() -> None:
    with pytest.raises(ValueError, match="auto, v2, tensorflow-serving"):
        open_dialect(Destination("", 1, ""), "m", protocol="http")
