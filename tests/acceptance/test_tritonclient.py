"""NVIDIA's tritonclient, unchanged, against the server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferRequestedOutput, service_pb2
from tritonclient.utils import InferenceServerException

from hotgraph_server.commands.builtin import heldout_digits

from .triton_tensors import strings, tensor

FLOAT = np.float32


class TestTheServer:
    def test_is_live_and_ready(self, client: InferenceServerClient) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()

    def test_names_itself_and_its_extensions(self, client: InferenceServerClient) -> None:
        metadata = client.get_server_metadata()
        assert metadata.name == "hotgraph"
        assert metadata.version
        assert "binary_tensor_data" in metadata.extensions


class TestModels:
    def test_known_model_is_ready(self, client: InferenceServerClient) -> None:
        assert client.is_model_ready("digits")
        assert client.is_model_ready("digits", "1")

    @pytest.mark.parametrize(("name", "version"), [("nobody", ""), ("", ""), ("digits", "9")])
    def test_unknown_model_is_not_ready_and_no_error(
        self, client: InferenceServerClient, name: str, version: str
    ) -> None:
        assert not client.is_model_ready(name, version)

    def test_metadata_shows_names_datatypes_and_free_dimensions(self, client: InferenceServerClient) -> None:
        metadata = client.get_model_metadata("two_in_two_out")
        assert (metadata.name, list(metadata.versions)) == ("two_in_two_out", ["1"])
        assert metadata.platform == "tensorflow_savedmodel"
        described = {
            each.name: (each.datatype, list(each.shape)) for each in [*metadata.inputs, *metadata.outputs]
        }
        assert described == {
            "a": ("FP32", [-1, 3]),
            "b": ("INT32", [-1, 3]),
            "sum": ("FP32", [-1, 3]),
            "product": ("INT32", [-1, 3]),
        }

    def test_metadata_of_a_scalar_has_an_empty_shape(self, client: InferenceServerClient) -> None:
        metadata = client.get_model_metadata("scalars")
        assert [list(each.shape) for each in metadata.inputs] == [[]]

    def test_highest_version_of_a_folder_is_served(self, client: InferenceServerClient) -> None:
        metadata = client.get_model_metadata("versioned")
        assert list(metadata.versions) == ["7"]
        x = np.ones((1, 16), FLOAT)
        answer = client.infer("versioned", [tensor("x", x)]).get_response()
        assert (answer.model_name, answer.model_version) == ("versioned", "7")


class TestInfer:
    def test_recognises_held_out_digits_from_many_callers(self, client: InferenceServerClient) -> None:
        images, labels = heldout_digits()

        def recognise(index: int) -> int:
            image = images[index : index + 1]
            return int(client.infer("digits", [tensor("images", image)]).as_numpy("classes")[0])

        with ThreadPoolExecutor(16) as callers:
            found = list(callers.map(recognise, range(len(images))))
        assert np.mean(np.array(found) == labels) > 0.85

    def test_echoes_request_id_and_names_the_version(self, client: InferenceServerClient) -> None:
        x = np.ones((1, 16), FLOAT)
        answer = client.infer("tf2_mlp", [tensor("x", x)], model_version="1", request_id="abc").get_response()
        assert (answer.id, answer.model_name, answer.model_version) == ("abc", "tf2_mlp", "1")

    def test_two_inputs_in_any_order_and_two_outputs(self, client: InferenceServerClient) -> None:
        a, b = np.array([[1, 2, 3]], FLOAT), np.array([[4, 5, 6]], np.int32)
        answer = client.infer("two_in_two_out", [tensor("b", b), tensor("a", a)])
        assert answer.as_numpy("sum").tolist() == [[5, 7, 9]]
        assert answer.as_numpy("product").tolist() == [[4, 10, 18]]

    def test_only_requested_outputs_come_in_the_order_asked_for(self, client: InferenceServerClient) -> None:
        inputs = [tensor("a", np.ones((1, 3), FLOAT)), tensor("b", np.ones((1, 3), np.int32))]
        answer = client.infer("two_in_two_out", inputs, outputs=[InferRequestedOutput("product")])
        assert [output.name for output in answer.get_response().outputs] == ["product"]
        wanted = [InferRequestedOutput("sum"), InferRequestedOutput("product")]
        answer = client.infer("two_in_two_out", inputs, outputs=wanted)
        assert [output.name for output in answer.get_response().outputs] == ["sum", "product"]

    def test_strings_of_any_bytes_in_and_out(self, client: InferenceServerClient) -> None:
        answer = client.infer("strings", [strings("text", [b"a\0b\0", b"", b"\xff", "ä".encode()])])
        assert answer.as_numpy("upper").tolist() == [b"A\0B\0", b"", b"\xff", "ä".encode()]
        assert answer.as_numpy("length").tolist() == [4, 0, 1, 2]

    @pytest.mark.parametrize(
        ("signature", "values"),
        [
            ("echo_bool", np.array([[True, False]])),
            ("echo_int8", np.array([[-128, 127]], np.int8)),
            ("echo_int16", np.array([[-(2**15), 2**15 - 1]], np.int16)),
            ("echo_int32", np.array([[-(2**31), 2**31 - 1]], np.int32)),
            ("echo_int64", np.array([[-(2**63), 2**63 - 1]], np.int64)),
            ("echo_uint8", np.array([[0, 255]], np.uint8)),
            ("echo_uint16", np.array([[0, 2**16 - 1]], np.uint16)),
            ("echo_uint32", np.array([[0, 2**32 - 1]], np.uint32)),
            ("echo_uint64", np.array([[0, 2**64 - 1]], np.uint64)),
            ("echo_half", np.array([[-1.5, 65504]], np.float16)),
            ("echo_float32", np.array([[-1.5, np.inf]], np.float32)),
            ("echo_float64", np.array([[-1e-300, 1e300]], np.float64)),
        ],
    )
    def test_every_datatype_comes_back_as_it_went(
        self, client: InferenceServerClient, signature: str, values: Any
    ) -> None:
        answer = client.infer("every_dtype", [tensor("x", values)], parameters={"signature_name": signature})
        echoed = answer.as_numpy("y")
        assert echoed.dtype == values.dtype
        assert echoed.tolist() == values.tolist()

    def test_bfloat16_comes_back_as_it_went(self, stub: Any) -> None:
        # by hand, because tritonclient has changed what its own method takes for it
        raw = np.array([[0x3FC0, 0xC040]], "<u2").tobytes()
        request = service_pb2.ModelInferRequest(model_name="every_dtype", raw_input_contents=[raw])
        request.inputs.add(name="x", datatype="BF16", shape=[1, 2])
        request.parameters["signature_name"].string_param = "echo_bfloat16"
        answer = stub.ModelInfer(request)
        assert (answer.outputs[0].datatype, answer.raw_output_contents[0]) == ("BF16", raw)

    def test_string_echo_keeps_empty_and_nul(self, client: InferenceServerClient) -> None:
        parameters = {"signature_name": "echo_string"}
        answer = client.infer("every_dtype", [strings("x", [[b"", b"\0"]])], parameters=parameters)
        assert answer.as_numpy("y").tolist() == [[b"", b"\0"]]

    def test_typed_contents_are_read_and_answered_raw(self, stub: Any) -> None:
        request = service_pb2.ModelInferRequest(model_name="two_in_two_out")
        request.inputs.add(name="a", datatype="FP32", shape=[1, 3]).contents.fp32_contents.extend([1, 2, 3])
        request.inputs.add(name="b", datatype="INT32", shape=[1, 3]).contents.int_contents.extend([4, -5, 6])
        answer = stub.ModelInfer(request)
        raw = dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))
        assert np.frombuffer(raw["product"], np.int32).tolist() == [4, -10, 18]
        assert not any(output.HasField("contents") for output in answer.outputs)


def test_statistics_count_calls_and_runs(client: InferenceServerClient) -> None:
    x = np.ones((3, 8), FLOAT)
    before = client.get_inference_statistics("keras_dense").model_stats[0]
    client.infer("keras_dense", [tensor("x", x)])
    after = client.get_inference_statistics("keras_dense").model_stats[0]
    assert after.inference_count - before.inference_count == 3
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1


class TestHeldRun:
    """A run is held shut while others call."""

    def test_expired_call_is_not_run(
        self, address: str, client: InferenceServerClient, held_run: Callable[[str], Any]
    ) -> None:
        x = tensor("x", np.ones((1, 2), FLOAT))
        before = client.get_inference_statistics("gated").model_stats[0].inference_count
        with held_run(address), pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
            client.infer("gated", [x], client_timeout=0.2)
        assert client.infer("gated", [x]).as_numpy("doubled").tolist() == [[2, 2]]
        after = client.get_inference_statistics("gated").model_stats[0].inference_count
        # the held run and the last call
        assert after - before == 2
