"""v2.py: payloads and answers of the Open Inference Protocol."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.descriptions import ModelMetadata, TensorMetadata
from hotgraph_client.loadtest.dialects.description import V2_GRPC, V2_HTTP, TargetError
from hotgraph_client.loadtest.dialects.v2 import V2, describe
from hotgraph_client.loadtest.load import Answer
from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import encode_raw

from ..described import description
from .samples import SAMPLES, assert_same

PROPERTIES = {"signatures": "serving_default,other", "default_signature": "serving_default"}
X = TensorMetadata("x", "FP32", (-1, 2))
OTHER = TensorMetadata("z", "INT32", (-1,))


def metadata(**properties: str) -> ModelMetadata:
    return ModelMetadata(
        "m", ("1", "3"), "", (X,), (X,), properties, {"serving_default": (X,), "other": (OTHER,)}
    )


def dialect(protocol: str, datatype: str = "FP32", *, version: str = "", signature: str = "") -> V2:
    tensor = ("x", datatype, (-1, 2))
    described = description(tensor, outputs=[tensor], protocol=protocol)
    return V2(described, version=version, signature=signature)


@pytest.mark.parametrize("datatype", SAMPLES)
def test_payload_over_grpc_is_a_request_with_raw_contents(datatype: str) -> None:
    array = SAMPLES[datatype]
    payload = dialect(V2_GRPC, datatype, version="2", signature="other").payload({"x": array})
    assert (payload.path, payload.headers) == ("/inference.GRPCInferenceService/ModelInfer", ())
    assert payload.rows == 2
    request = oip.ModelInferRequest.FromString(payload.body)
    assert (request.model_name, request.model_version, request.id) == ("m", "2", "")
    assert request.parameters["signature_name"].string_param == "other"
    assert [(one.name, one.datatype, list(one.shape)) for one in request.inputs] == [("x", datatype, [2, 2])]
    assert list(request.raw_input_contents) == [encode_raw(array)]


@pytest.mark.parametrize("datatype", SAMPLES)
def test_payload_over_http_has_json_and_then_raw_contents(datatype: str) -> None:
    array = SAMPLES[datatype]
    payload = dialect(V2_HTTP, datatype, version="2").payload({"x": array})
    assert payload.path == "/v2/models/m/versions/2/infer"
    length = int(dict(payload.headers)["inference-header-content-length"])
    (tensor,) = json.loads(payload.body[:length])["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", datatype, [2, 2])
    assert payload.body[length:] == encode_raw(array)


@pytest.mark.parametrize("datatype", SAMPLES)
@pytest.mark.parametrize("protocol", [V2_GRPC, V2_HTTP])
def test_answers_of_every_datatype_are_read(protocol: str, datatype: str) -> None:
    array = SAMPLES[datatype]
    raw = encode_raw(array)
    if protocol == V2_GRPC:
        response = oip.ModelInferResponse(model_name="m", id="17", raw_output_contents=[raw])
        response.outputs.add(name="y", datatype=datatype, shape=array.shape)
        answer = Answer(0, (), response.SerializeToString(), 1)
    else:
        output = {
            "name": "y",
            "datatype": datatype,
            "shape": [2, 2],
            "parameters": {"binary_data_size": len(raw)},
        }
        head = json.dumps({"id": "17", "model_name": "m", "outputs": [output]}).encode()
        answer = Answer(0, (("Inference-Header-Content-Length", str(len(head))),), head + raw, 1)
    outputs = dialect(protocol).read(answer)
    assert list(outputs) == ["y"]
    assert_same(outputs["y"], array)


@pytest.mark.parametrize("protocol", [V2_GRPC, V2_HTTP])
@given(body=st.binary(max_size=60), length=st.text("0123456789", max_size=3))
def test_whatever_is_answered_there_is_one_kind_of_error(protocol: str, body: bytes, length: str) -> None:
    headers = (("inference-header-content-length", length),) if length else ()
    with contextlib.suppress(ValueError):
        dialect(protocol).read(Answer(0, headers, body, 1))


def test_an_array_that_cannot_be_sent_is_the_targets_error() -> None:
    with pytest.raises(TargetError, match="complex64"):
        dialect(V2_GRPC).payload({"x": np.zeros(2, np.complex64)})


def test_description_is_of_the_default_signature_unless_another_is_asked_for() -> None:
    def described(signature: str, **properties: str) -> tuple[str, str, tuple[TensorMetadata, ...]]:
        found = describe(metadata(**properties), model="m", over_http=False, version="", signature=signature)
        assert found.version == "3"
        assert found.outputs == ((X,) if found.inputs == (X,) else ())
        return found.protocol, found.signature, found.inputs

    assert described("", **PROPERTIES) == (V2_GRPC, "serving_default", (X,))
    assert described("other", **PROPERTIES) == (V2_GRPC, "other", (OTHER,))
    with pytest.raises(
        TargetError, match=r"no signature 'nix'; there are other, serving_default: .*--signature"
    ):
        described("nix", **PROPERTIES)


def test_a_server_that_knows_no_signatures_is_called_without() -> None:
    plain = replace(metadata(), signatures={})
    found = describe(plain, model="m", over_http=True, version="1", signature="", max_batch_rows=8)
    assert (found.protocol, found.signature, found.version, found.inputs) == (V2_HTTP, "", "1", (X,))
    assert found.max_batch_rows == 8
    with pytest.raises(TargetError, match="leave --signature away"):
        describe(plain, model="m", over_http=True, version="", signature="other")
