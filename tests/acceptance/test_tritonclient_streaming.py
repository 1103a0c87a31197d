"""ModelStreamInfer through tritonclient, with threads and with asyncio, and through its bare stub."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio
from tritonclient.grpc import InferenceServerClient, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from .test_tritonclient_errors import BAD_REQUESTS, two_floats
from .triton_tensors import tensor

PATIENCE_S = 60.0

Answers = queue.SimpleQueue[tuple[Any, InferenceServerException | None]]


@pytest.fixture
def answers() -> Answers:
    """What the callback of a stream was called with."""
    return queue.SimpleQueue()


@pytest.fixture
def streaming(address: str, answers: Answers) -> Iterator[InferenceServerClient]:
    """A client of its own with an open stream."""
    with InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        yield client


def ask(client: InferenceServerClient, number: int, **more: Any) -> None:
    a = np.full((1, 3), number, np.float32)
    b = np.full((1, 3), number, np.int32)
    inputs = [tensor("a", a), tensor("b", b)]
    client.async_stream_infer("two_in_two_out", inputs, request_id=str(number), **more)


def test_answers_come_in_the_order_of_requests_with_their_ids(
    streaming: InferenceServerClient, answers: Answers
) -> None:
    for number in range(50):
        ask(streaming, number)
    for number in range(50):
        result, error = answers.get(timeout=PATIENCE_S)
        assert error is None
        response = result.get_response()
        assert response.id == str(number)
        assert response.parameters["triton_final_response"].bool_param is True
        assert result.as_numpy("product").tolist() == [[number * number] * 3]


def test_final_response_may_be_asked_for_and_comes_once(
    streaming: InferenceServerClient, answers: Answers
) -> None:
    ask(streaming, 1, enable_empty_final_response=True)
    ask(streaming, 2)
    assert [answers.get(timeout=PATIENCE_S)[0].get_response().id for _ in range(2)] == ["1", "2"]


def test_caller_may_send_far_more_than_is_under_way_at_a_time(
    streaming: InferenceServerClient, answers: Answers
) -> None:
    count = 3000
    for number in range(count):
        ask(streaming, number)
    found = [answers.get(timeout=PATIENCE_S) for _ in range(count)]
    assert [error for _, error in found if error is not None] == []
    assert [result.get_response().id for result, _ in found] == [str(number) for number in range(count)]


def test_error_of_one_request_is_its_answer_and_the_stream_goes_on(
    streaming: InferenceServerClient, answers: Answers
) -> None:
    ask(streaming, 1)
    streaming.async_stream_infer("nobody", [tensor("x", np.zeros((1, 1), np.float32))], request_id="2")
    ask(streaming, 3)
    assert answers.get(timeout=PATIENCE_S)[1] is None
    result, error = answers.get(timeout=PATIENCE_S)
    assert result is None
    assert "Request for unknown model: 'nobody' is not found" in str(error)
    assert answers.get(timeout=PATIENCE_S)[0].get_response().id == "3"


def test_every_bad_request_is_told_on_one_stream_what_it_is_told_alone(stub: Any) -> None:
    requests = [request for request, _, _ in BAD_REQUESTS.values()]
    found = list(stub.ModelStreamInfer(iter(requests), timeout=PATIENCE_S))
    assert len(found) == len(requests)
    for (_, _, words), answer in zip(BAD_REQUESTS.values(), found, strict=True):
        assert words in answer.error_message


def test_header_asks_for_a_real_status(stub: Any) -> None:
    requests = [two_floats(id="good"), two_floats("nobody", id="bad"), two_floats(id="later")]
    metadata = (("triton_grpc_error", "true"),)
    stream = stub.ModelStreamInfer(iter(requests), timeout=PATIENCE_S, metadata=metadata)
    assert next(stream).infer_response.id == "good"
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "[request id: bad] Request for unknown model" in str(caught.value.details())


def test_caller_who_leaves_its_stream_harms_nobody(
    address: str, held_run: Callable[[str], AbstractContextManager[None]]
) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # Behind a run that is held, these wait.
        with held_run(address), _Endless(_gated_request()) as waiting:
            left = stub.ModelStreamInfer(iter(waiting))
            neighbour = stub.ModelStreamInfer(iter([two_floats(id="neighbour")]), timeout=PATIENCE_S)
            assert next(neighbour).infer_response.id == "neighbour"
            left.cancel()
            with pytest.raises(grpc.RpcError) as caught:
                next(left)
            assert caught.value.code() is grpc.StatusCode.CANCELLED


def test_deadline_of_the_stream_ends_it(
    address: str, held_run: Callable[[str], AbstractContextManager[None]]
) -> None:
    with (
        grpc.insecure_channel(address) as channel,
        held_run(address),
        _Endless(_gated_request()) as waiting,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stream = stub.ModelStreamInfer(iter(waiting), timeout=0.2)
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_timeout_of_one_request_is_its_answer_alone(
    address: str, held_run: Callable[[str], AbstractContextManager[None]]
) -> None:
    with grpc.insecure_channel(address) as channel, held_run(address):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        hurried = _gated_request()
        hurried.id = "hurried"
        hurried.parameters["timeout"].int64_param = 50_000
        stream = stub.ModelStreamInfer(iter([hurried, two_floats(id="patient")]), timeout=PATIENCE_S)
        first, second = stream
        assert "[request id: hurried]" in first.error_message
        assert second.infer_response.id == "patient"


def test_asyncio_client_streams(address: str) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(20):
            a = tritonclient.grpc.aio.InferInput("a", [1, 3], "FP32")
            a.set_data_from_numpy(np.full((1, 3), number, np.float32))
            b = tritonclient.grpc.aio.InferInput("b", [1, 3], "INT32")
            b.set_data_from_numpy(np.full((1, 3), number, np.int32))
            model = "nobody" if number == 7 else "two_in_two_out"
            yield {"model_name": model, "inputs": [a, b], "request_id": str(number)}

    async def main() -> list[tuple[Any, Any]]:
        async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
            return [answer async for answer in client.stream_infer(requests())]

    found = asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert len(found) == 20
    for number, (result, error) in enumerate(found):
        if number == 7:
            assert "unknown model" in str(error)
        else:
            assert error is None
            assert result.as_numpy("sum").tolist() == [[2.0 * number] * 3]


def _gated_request() -> Any:
    """A call of the model that a held run keeps busy."""
    request = service_pb2.ModelInferRequest(model_name="gated")
    request.parameters["signature_name"].string_param = "serving_default"
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(bytes(8))
    return request


class _Endless:
    """Requests, and then nothing until the test says so."""

    def __init__(self, *requests: Any) -> None:
        self._requests = iter(requests)
        self._over = threading.Event()

    def __enter__(self) -> _Endless:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def __iter__(self) -> Iterator[Any]:
        yield from self._requests
        self._over.wait(PATIENCE_S)
