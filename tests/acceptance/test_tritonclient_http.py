"""NVIDIA's tritonclient over HTTP, unchanged: the calls of its published examples, one after the other, and
what its clients can say besides."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from PIL import Image, ImageDraw
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult, aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, serialize_byte_tensor
from tritonclient.utils import shared_memory as shm

from .http_server import ODD_NAME, HttpServer

A, B = np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.array([[6, 5, 4], [3, 2, 1]], np.int32)
SUM, PRODUCT = A + B, A.astype(np.int32) * B
CODINGS = [None, "gzip", "deflate"]
FINDS = "Unable to find shared memory region"


@pytest.fixture(scope="module")
def client(http_server: HttpServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(http_server.url, concurrency=4) as client:
        yield client


def given(name: str, array: Any, datatype: str | None = None, *, binary: bool = True) -> InferInput:
    array = np.asarray(array)
    one = InferInput(name, array.shape, datatype or np_to_triton_dtype(array.dtype))
    return one.set_data_from_numpy(array, binary_data=binary)


def pair(*, binary: tuple[bool, bool] = (True, True)) -> list[InferInput]:
    return [given("a", A, binary=binary[0]), given("b", B, binary=binary[1])]


def check(result: InferResult) -> None:
    np.testing.assert_array_equal(result.as_numpy("sum"), SUM)
    np.testing.assert_array_equal(result.as_numpy("product"), PRODUCT)


class TestSimpleCalls:
    @pytest.mark.parametrize("ways", [(True, True), (False, False), (True, False), (False, True)])
    @pytest.mark.parametrize("back", [None, (True, True), (False, False), (True, False)])
    def test_sums_and_products(self, client: InferenceServerClient, ways: Any, back: Any) -> None:
        outputs = back and [
            InferRequestedOutput(name, binary_data=binary)
            for name, binary in zip(("sum", "product"), back, strict=True)
        ]
        check(client.infer("simple", pair(binary=ways), outputs=outputs))

    @pytest.mark.parametrize("sent", CODINGS)
    @pytest.mark.parametrize("wanted", CODINGS)
    def test_both_ways_may_be_packed(self, client: InferenceServerClient, sent: Any, wanted: Any) -> None:
        for rows in (2, 1000):
            x = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
            result = client.infer(
                *("shared", [given("x", x)]),
                request_compression_algorithm=sent,
                response_compression_algorithm=wanted,
            )
            np.testing.assert_array_equal(result.as_numpy("doubled"), x * 2)

    def test_strings(self, client: InferenceServerClient) -> None:
        words = np.array([str(number).encode() for number in range(16)] + [b"\xff\0", b""], object)
        result = client.infer("text", [given("text", words)])
        assert result.as_numpy("upper").tolist() == words.tolist()
        assert result.as_numpy("length").tolist() == [len(word) for word in words]
        texts = np.array(["a\0b", "é", ""], object)
        outputs = [InferRequestedOutput("upper", binary_data=False)]
        result = client.infer("text", [given("text", texts, "BYTES", binary=False)], outputs=outputs)
        assert list(result.as_numpy("upper")) == ["A\0B", "é", ""] or list(result.as_numpy("upper")) == [
            text.upper().encode() if text != "é" else "é".encode() for text in texts
        ]

    @pytest.mark.parametrize(
        ("dtype", "datatype", "signature"),
        [(np.float16, "FP16", "half"), (ml_dtypes.bfloat16, "BF16", "bfloat16")],
    )
    def test_half_floats_of_both_kinds(
        self, client: InferenceServerClient, dtype: Any, datatype: str, signature: str
    ) -> None:
        x = np.array([[0.5, -2]]).astype(dtype)
        parameters = {"signature_name": f"echo_{signature}"}
        result = client.infer("echo", [given("x", x, datatype)], parameters=parameters)
        assert result.get_output("y")["datatype"] == datatype
        np.testing.assert_array_equal(result.as_numpy("y").astype(np.float32), x.astype(np.float32))

    def test_what_a_call_can_say_besides(self, client: InferenceServerClient) -> None:
        result = client.infer(
            *("multi", pair(), "1"),
            request_id="mine",
            priority=1,
            timeout=60_000_000,
            headers={"x-trace": "1"},
            query_params={"a": 1, "b": ["2", 3]},
            parameters={"mine": "é", "number": 1.5, "truth": True},
        )
        check(result)
        said = result.get_response()
        assert (said["id"], said["model_version"], said["model_name"]) == ("mine", "1", "multi")
        described = result.get_output("sum")
        assert described["parameters"] == {"binary_data_size": 24}
        assert result.get_output("nobody") is None

    def test_the_same_objects_serve_again(self, client: InferenceServerClient) -> None:
        inputs, outputs = pair(), [InferRequestedOutput("sum"), InferRequestedOutput("product")]
        for _ in range(3):
            check(client.infer("simple", inputs, outputs=outputs))
        inputs[0].set_data_from_numpy(A * 2)
        np.testing.assert_array_equal(
            client.infer("simple", inputs, outputs=outputs).as_numpy("sum"), A * 2 + B
        )
        inputs[1].set_data_from_numpy(B, binary_data=False)
        np.testing.assert_array_equal(
            client.infer("simple", inputs, outputs=outputs).as_numpy("sum"), A * 2 + B
        )
        for one, rows in zip(inputs, (A[:1], B[:1]), strict=True):
            one.set_shape(rows.shape)
            one.set_data_from_numpy(rows)
        np.testing.assert_array_equal(client.infer("simple", inputs).as_numpy("sum"), SUM[:1])

    def test_bodies_may_be_made_and_read_apart(
        self, client: InferenceServerClient, http_server: HttpServer
    ) -> None:
        body, length = InferenceServerClient.generate_request_body(pair())
        answer = http_server.post(
            "/v2/models/simple/infer", body, inference_header_content_length=str(length)
        )
        found = int(answer.headers["inference-header-content-length"])
        check(InferenceServerClient.parse_response_body(answer.body, header_length=found))

    def test_a_model_of_any_name_can_be_called(self, client: InferenceServerClient) -> None:
        check(client.infer(ODD_NAME, pair()))
        assert client.is_model_ready(ODD_NAME)
        assert client.get_model_metadata(ODD_NAME)["name"] == ODD_NAME
        assert client.get_inference_statistics(ODD_NAME)["model_stats"][0]["name"] == ODD_NAME


class TestManyAtOnce:
    def test_a_pool_of_its_own(self, client: InferenceServerClient) -> None:
        calls = [client.async_infer("simple", pair(), request_id=str(number)) for number in range(20)]
        for number, call in enumerate(calls):
            result = call.get_result()
            check(result)
            assert result.get_response()["id"] == str(number)

    def test_its_errors_come_with_the_result(self, client: InferenceServerClient) -> None:
        call = client.async_infer("nobody", pair())
        with pytest.raises(
            InferenceServerException, match="Request for unknown model: 'nobody' is not found"
        ):
            call.get_result()

    def test_threads_with_a_client_each(self, http_server: HttpServer) -> None:
        def ask(_: int) -> None:
            with InferenceServerClient(http_server.url) as client:
                for _ in range(5):
                    check(client.infer("simple", pair()))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))

    @pytest.mark.parametrize("coding", CODINGS)
    def test_tasks_share_a_client(self, http_server: HttpServer, coding: str | None) -> None:
        async def ask() -> None:
            async with aio.InferenceServerClient(http_server.url) as client:
                assert await client.is_server_live()
                assert await client.is_server_ready()
                assert await client.is_model_ready("simple")
                assert not await client.is_model_ready("nobody")
                assert (await client.get_model_metadata("simple"))["name"] == "simple"
                # It reads no compressed ones of these, and says that it does.
                assert (await client.get_model_config("simple"))["max_batch_size"] == 8
                assert len((await client.get_inference_statistics())["model_stats"]) > 3
                x = np.zeros((1000, 2), np.float32)
                large = await client.infer("shared", [given("x", x)], response_compression_algorithm=coding)
                np.testing.assert_array_equal(large.as_numpy("doubled"), x)
                calls = [
                    client.infer(
                        *("simple", pair(binary=(binary, not binary))),
                        request_compression_algorithm=coding,
                        response_compression_algorithm=coding,
                    )
                    for binary in (True, False) * 20
                ]
                for result in await asyncio.gather(*calls):
                    check(result)
                with pytest.raises(InferenceServerException) as caught:
                    await client.infer("simple", pair()[:1])
                assert caught.value.status() in ("400", None)
                assert "expected 2 inputs but got 1 inputs" in caught.value.message()

        asyncio.run(ask())


class TestAboutTheServer:
    def test_health_and_metadata(self, client: InferenceServerClient) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("simple")
        assert client.is_model_ready("multi", "3")
        assert not client.is_model_ready("multi", "2")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        assert client.get_model_metadata("multi")["versions"] == ["1", "3"]
        assert client.get_model_config("simple")["max_batch_size"] == 8
        with pytest.raises(InferenceServerException) as caught:
            client.get_model_metadata("wrong_model_name")
        assert caught.value.status() == "404"
        assert caught.value.message() == "Request for unknown model: 'wrong_model_name' is not found"

    def test_statistics(self, client: InferenceServerClient) -> None:
        check(client.infer("simple", pair()))
        (row,) = client.get_inference_statistics("simple")["model_stats"]
        assert row["inference_stats"]["success"]["count"] >= 1
        assert len(client.get_inference_statistics()["model_stats"]) > 3

    def test_models_are_loaded_and_unloaded(self, client: InferenceServerClient) -> None:
        def rows() -> list[Any]:
            return [row for row in client.get_model_repository_index() if row["name"] == "comes"]

        client.load_model("comes")
        assert client.is_model_ready("comes")
        client.unload_model("comes", unload_dependents=True)
        while client.is_model_ready("comes"):
            pass
        while rows()[0]["state"] != "UNAVAILABLE":
            pass
        with pytest.raises(
            InferenceServerException, match="failed to load 'wrong_model_name', failed to poll"
        ):
            client.load_model("wrong_model_name")
        client.load_model("comes", config='{"max_batch_size": 3}')
        assert client.get_model_config("comes")["max_batch_size"] == 3
        client.load_model("comes")
        assert client.get_model_config("comes")["max_batch_size"] == 8

    def test_a_model_is_brought(self, client: InferenceServerClient, saved_models: Any) -> None:
        folder = saved_models["two_in_two_out"]
        files = {
            f"file:5/model.savedmodel/{path.relative_to(folder)}": path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        client.load_model("carried", config='{"max_batch_size": 8}', files=files)
        check(client.infer("carried", pair(), "5"))
        client.unload_model("carried")

    def test_settings(self, client: InferenceServerClient) -> None:
        before = client.get_trace_settings()
        changed = client.update_trace_settings(settings={"trace_rate": "9", "trace_level": ["TIMESTAMPS"]})
        assert (changed["trace_rate"], changed["trace_level"]) == ("9", ["TIMESTAMPS"])
        of_model = client.update_trace_settings("simple", {"trace_count": "5"})
        assert (of_model["trace_count"], of_model["trace_rate"]) == ("5", "9")
        client.update_trace_settings("simple", {"trace_count": None})
        client.update_trace_settings(settings={"trace_rate": None, "trace_level": None})
        assert client.get_trace_settings() == client.get_trace_settings("simple") == before
        verbose = client.update_log_settings({"log_verbose_level": 1})
        assert verbose["log_verbose_level"] == 1
        assert client.update_log_settings({"log_verbose_level": 0}) == client.get_log_settings()


class TestSequences:
    def test_two_at_a_time(self, client: InferenceServerClient) -> None:
        values, totals = [11, 7, 5, 3, 2, 0, 1], {}
        for at, value in enumerate(values):
            for sequence_id, sign in ((1000, 1), (1001, -1)):
                result = client.infer(
                    *("sequence", [given("x", np.full((1, 1), sign * value, np.float32))]),
                    sequence_id=sequence_id,
                    sequence_start=at == 0,
                    sequence_end=at == len(values) - 1,
                )
                totals[sequence_id] = result.as_numpy("sum").item()
        assert totals == {1000: sum(values), 1001: -sum(values)}

    def test_one_that_was_not_begun(self, client: InferenceServerClient) -> None:
        with pytest.raises(InferenceServerException, match="must specify the START flag") as caught:
            client.infer("sequence", [given("x", np.zeros((1, 1), np.float32))], sequence_id=5)
        assert caught.value.status() == "400"


class TestSharedMemory:
    @pytest.fixture
    def regions(self, client: InferenceServerClient) -> Iterator[dict[str, Any]]:
        """Two of 256 bytes each, `in` and `out`."""
        made = {}
        for name in ("in", "out"):
            key = f"/hotgraph-test-{os.getpid()}-client-{name}"
            made[name] = shm.create_shared_memory_region(name, key, 256, create_only=True)
            client.register_system_shared_memory(name, key, 256)
        yield made
        client.unregister_system_shared_memory()
        assert client.get_system_shared_memory_status() == []
        for handle in made.values():
            shm.destroy_shared_memory_region(handle)

    def test_numbers(self, client: InferenceServerClient, regions: dict[str, Any]) -> None:
        shm.set_shared_memory_region(regions["in"], [A, B])
        inputs = [InferInput("a", A.shape, "FP32"), InferInput("b", B.shape, "INT32")]
        inputs[0].set_shared_memory("in", A.nbytes)
        inputs[1].set_shared_memory("in", B.nbytes, A.nbytes)
        outputs = [InferRequestedOutput(name, binary_data=True) for name in ("sum", "product")]
        outputs[0].set_shared_memory("out", SUM.nbytes)
        outputs[1].set_shared_memory("out", PRODUCT.nbytes, offset=SUM.nbytes)
        for _ in range(2):
            result = client.infer("simple", inputs, outputs=outputs)
            assert result.get_output("sum")["shape"] == [2, 3]
            found = shm.get_contents_as_numpy(regions["out"], np.float32, [2, 3])
            np.testing.assert_array_equal(found, SUM)
            found = shm.get_contents_as_numpy(regions["out"], np.int32, [2, 3], offset=SUM.nbytes)
            np.testing.assert_array_equal(found, PRODUCT)
        # And back to messages.
        outputs[0].unset_shared_memory()
        result = client.infer("simple", [inputs[0], pair()[1]], outputs=outputs)
        np.testing.assert_array_equal(result.as_numpy("sum"), SUM)
        assert {row["name"] for row in client.get_system_shared_memory_status()} == {"in", "out"}

    def test_strings(self, client: InferenceServerClient, regions: dict[str, Any]) -> None:
        words = np.array([b"one", b"\0\xff", b""], object)
        serialized = serialize_byte_tensor(words)
        shm.set_shared_memory_region(regions["in"], [serialized])
        text = InferInput("text", [3], "BYTES")
        text.set_shared_memory("in", serialized.item().__len__())
        output = InferRequestedOutput("upper")
        output.set_shared_memory("out", 256)
        client.infer("text", [text], outputs=[output])
        found = shm.get_contents_as_numpy(regions["out"], np.object_, [3])
        assert found.tolist() == [b"ONE", b"\0\xff", b""]

    def test_mistakes(self, client: InferenceServerClient, regions: dict[str, Any]) -> None:
        key = f"/hotgraph-test-{os.getpid()}-client-in"
        with pytest.raises(InferenceServerException, match="shared memory region 'in' already in manager"):
            client.register_system_shared_memory("in", key, 256)
        x = InferInput("x", [1, 2], "FP32")
        x.set_shared_memory("nobody", 8)
        with pytest.raises(InferenceServerException, match=f"{FINDS}: 'nobody'") as caught:
            client.infer("shared", [x])
        assert caught.value.status() == "404"
        client.unregister_system_shared_memory("in")
        with pytest.raises(
            InferenceServerException, match="Unable to find system shared memory region: 'in'"
        ):
            client.get_system_shared_memory_status("in")

    def test_there_is_none_of_a_gpu(self, client: InferenceServerClient) -> None:
        assert client.get_cuda_shared_memory_status() == []
        client.unregister_cuda_shared_memory()
        with pytest.raises(InferenceServerException) as caught:
            client.register_cuda_shared_memory("gpu", b"AAAA" * 16, 0, 64)
        assert caught.value.status() == "400"


def test_images_are_classified(client: InferenceServerClient) -> None:
    images = []
    for draws_circle in (False, True):
        picture = Image.new("L", (56, 56))
        draw = ImageDraw.Draw(picture)
        if draws_circle:
            draw.ellipse((14, 10, 40, 46), None, 255, 6)
        else:
            draw.line((28, 8, 28, 48), 255, 6)
        images.append(np.asarray(picture.resize((28, 28)), np.float32).reshape(784) / 255)
    metadata, config = client.get_model_metadata("digits"), client.get_model_config("digits")
    (image,) = metadata["inputs"]
    assert (image["datatype"], image["shape"], config["name"]) == ("FP32", [-1, 784], "digits")
    (output,) = [one["name"] for one in metadata["outputs"] if one["datatype"] == "FP32"]
    for batch in (1, 2):
        pixels = np.stack(images[-batch:])
        result = client.infer(
            *("digits", [given(image["name"], pixels)]),
            outputs=[InferRequestedOutput(output, class_count=3)],
        )
        found = result.as_numpy(output)
        assert found.shape == (batch, 3)
        for row in found:
            values = [float(one.decode().split(":")[0]) for one in row]
            assert values == sorted(values, reverse=True)
        assert found[-1][0].split(b":")[1] == b"0"


def test_calls_leave_nothing_for_the_garbage_collector(client: InferenceServerClient) -> None:
    def alive() -> int:
        return sum(type(one).__name__ == "Exchange" for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(50):
            check(client.infer("simple", pair()))
            for model in ("nobody", "ids"):
                with pytest.raises(InferenceServerException):
                    client.infer(model, [given("id", np.full(1, 99, np.int32))])
        assert alive() <= before + 1
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("model", "inputs", "status", "text"),
    [
        ("nobody", pair(), "404", "Request for unknown model: 'nobody' is not found"),
        ("simple", pair()[:1], "400", "expected 2 inputs but got 1 inputs for model 'simple'"),
        ("simple", [given("a", A), given("b", B.astype(np.int64))], "400", "data-type is 'INT64'"),
        ("simple", [given("a", A[:, :2]), given("b", B)], "400", "unexpected shape for input 'a'"),
        ("ids", [given("id", np.full(1, 99, np.int32))], "500", "assertion failed"),
        ("decoupled", pair(), "501", "decoupled transaction policy"),
    ],
)
def test_errors_are_read(
    client: InferenceServerClient, model: str, inputs: Any, status: str, text: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, inputs)
    assert (caught.value.status(), text in caught.value.message()) == (status, True), caught.value.message()
