"""client.py and aio.py: the same tests over both, against a server in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from hotgraph_client import (
    AccessDenied,
    AsyncClient,
    Busy,
    Cancelled,
    Client,
    HotgraphError,
    InvalidCall,
    NotFound,
    ServerFault,
    TooLate,
    Unreachable,
)
from hotgraph_protos import open_inference as oip

from .fake_inference_server import FakeServer

Connect = Callable[..., Any]


def test_dict_of_arrays_is_answered_by_a_dict_of_arrays(connect: Connect, server: FakeServer) -> None:
    answer = connect(server.address).predict(
        "sum_and_difference", {"a": np.array([5, 7]), "b": np.array([1, 2])}
    )
    assert answer.keys() == {"sum", "difference"}
    np.testing.assert_array_equal(answer["sum"], [6, 9])
    np.testing.assert_array_equal(answer["difference"], [4, 5])


def test_arrays_in_a_dict_need_no_question_about_metadata(connect: Connect, server: FakeServer) -> None:
    connect(server.address).predict("double", {"x": np.ones((1, 2), np.float32)})
    assert [method for method, _ in server.requests] == ["ModelInfer"]


def test_single_array_finds_its_name_and_its_answer_has_none(connect: Connect, server: FakeServer) -> None:
    answer = connect(server.address).predict("double", np.array([[1, 2]], np.float32))
    assert answer.dtype == np.float32
    np.testing.assert_array_equal(answer, [[2, 4]])


def test_metadata_is_asked_for_once_per_model_and_version(connect: Connect, server: FakeServer) -> None:
    client = connect(server.address)
    for version in (None, None, 1, "1"):
        client.predict("double", [[1, 2]], version=version)
    assert [request.version for request in server.calls("ModelMetadata")] == ["", "1"]
    assert [request.model_version for request in server.calls("ModelInfer")] == ["", "", "1", "1"]


def test_call_that_another_version_refuses_is_sent_as_that_one_takes_it(
    connect: Connect, server: FakeServer
) -> None:
    client = connect(server.address)
    client.predict("double", [[1, 2]])
    server.models["double"].inputs = [("renamed", "FP32", [-1, 2])]
    server.models["double"].run = lambda arrays: {"y": arrays["renamed"] * 3}
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT)
    np.testing.assert_array_equal(client.predict("double", [[1, 2]]), [[3, 6]])


def test_refused_call_that_would_be_the_same_again_is_not_sent_again(
    connect: Connect, server: FakeServer
) -> None:
    client = connect(server.address)
    for inputs in ([[1, 2]], {"x": np.ones((1, 2), np.float32)}):
        client.predict("double", inputs)
        server.requests.clear()
        server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT, details="the first refusal")
        with pytest.raises(InvalidCall, match="the first refusal"):
            client.predict("double", inputs)
        assert [method for method, _ in server.requests] == ["ModelInfer", "ModelMetadata"]
    server.fail("ModelInfer", grpc.StatusCode.NOT_FOUND)
    server.requests.clear()
    with pytest.raises(NotFound):
        client.predict("double", [[1, 2]])
    assert [method for method, _ in server.requests] == ["ModelInfer"]


def test_refusal_stands_where_the_server_says_nothing_more(connect: Connect, server: FakeServer) -> None:
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT, details="FP64 is wrong")
    server.fail("ModelMetadata", grpc.StatusCode.UNIMPLEMENTED)
    with pytest.raises(InvalidCall, match="FP64 is wrong"):
        connect(server.address).predict("double", {"x": np.ones((1, 2))})


def test_array_of_another_dtype_is_sent_again_as_the_models_if_it_loses_nothing(
    connect: Connect, server: FakeServer
) -> None:
    client = connect(server.address)
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT)
    answer = client.predict("double", {"x": np.array([[0.5, np.nan]])})
    np.testing.assert_array_equal(answer["y"], np.array([[1, np.nan]], np.float32))
    # from then on the datatype is known, and one message will do
    client.predict("double", {"x": np.array([[1, 2]])})
    sent = [request.inputs[0].datatype for request in server.calls("ModelInfer")]
    assert sent == ["FP64", "FP32", "FP32"]


def test_array_that_would_lose_something_is_refused_and_told_how_to_cast(
    connect: Connect, server: FakeServer
) -> None:
    client = connect(server.address)
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT)
    for _ in range(2):
        with pytest.raises(InvalidCall) as refused:
            client.predict("double", {"x": np.array([[0.1, 2]])})
        assert str(refused.value) == (
            "input 'x' is FP64, 'double' takes FP32, and as such its values would not be the same: "
            "send x.astype(np.float32) if that is meant (for model 'double')"
        )
    assert len(server.calls("ModelInfer")) == 1


def test_single_array_with_several_outputs_gets_them_by_name(connect: Connect, server: FakeServer) -> None:
    assert connect(server.address).predict("extremes", [3, 1, 2]) == {"low": 1, "high": 3}


def test_lists_take_the_datatype_of_the_model(connect: Connect, server: FakeServer) -> None:
    connect(server.address).predict("sum_and_difference", {"a": [1], "b": np.array([2], np.int32)})
    (request,) = server.calls("ModelInfer")
    # and so does the array beside them, since it is known already
    assert [tensor.datatype for tensor in request.inputs] == ["INT64", "INT64"]


@pytest.mark.parametrize(
    "text",
    [
        np.array(["héé", "a"], object),
        np.array([b"h\xc3\xa9\xc3\xa9", b"a"], object),
        np.array(["héé", "a"]),
        np.array(["héé".encode(), b"a"]),
        ["héé", b"a"],
    ],
    ids=["object of str", "object of bytes", "U", "S", "list"],
)
def test_strings_of_any_kind_go_as_bytes_and_come_back_as_bytes(
    connect: Connect, server: FakeServer, text: Any
) -> None:
    answer = connect(server.address).predict("shout", text)
    assert answer.dtype == object
    assert answer.tolist() == ["héé".encode().upper(), b"A"]


def test_answers_are_the_callers_own_and_writable(connect: Connect, server: FakeServer) -> None:
    answer = connect(server.address).predict("double", [[1, 2]])
    answer += 1
    np.testing.assert_array_equal(answer, [[3, 5]])


def test_model_without_inputs_is_called_with_an_empty_dict(connect: Connect, server: FakeServer) -> None:
    assert connect(server.address).predict("echo", {}) == {}


def test_version_signature_outputs_parameters_and_id_are_sent(connect: Connect, server: FakeServer) -> None:
    answer = connect(server.address).predict(
        "sum_and_difference",
        {"a": np.array([5]), "b": np.array([1])},
        version=3,
        signature="other",
        outputs=["sum"],
        parameters={"flag": True, "count": 7, "huge": 2**63, "share": 0.5, "text": "t"},
        request_id="r1",
    )
    (request,) = server.calls("ModelInfer")
    assert answer.keys() == {"sum"}
    assert (request.model_version, request.id) == ("3", "r1")
    assert {
        key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in request.parameters.items()
    } == {
        "signature_name": "other",
        "flag": True,
        "count": 7,
        "huge": 2**63,
        "share": 0.5,
        "text": "t",
    }
    assert request.parameters["huge"].WhichOneof("parameter_choice") == "uint64_param"


def test_lists_for_another_signature_take_its_datatypes(connect: Connect, server: FakeServer) -> None:
    server.models["echo"].properties = {
        "signatures": "default,other",
        "default_signature": "default",
        "inputs.default": '[{"name": "x", "datatype": "FP32", "shape": [-1]}]',
        "inputs.other": '[{"name": "z", "datatype": "UINT8", "shape": [-1]}]',
    }
    client = connect(server.address)
    for inputs in ([1], {"z": [1]}):
        client.predict("echo", inputs, signature="other")
        (tensor,) = server.calls("ModelInfer")[-1].inputs
        assert (tensor.name, tensor.datatype) == ("z", "UINT8")


def test_list_for_a_signature_that_the_server_does_not_describe_is_not_guessed(
    connect: Connect, server: FakeServer
) -> None:
    client = connect(server.address)
    for inputs in ([1.0], {"x": [1.0]}, np.ones(1)):
        with pytest.raises(InvalidCall, match="give a dict of input name to numpy array"):
            client.predict("double", inputs, signature="other")
    assert server.calls("ModelInfer") == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidCall),
        (grpc.StatusCode.UNIMPLEMENTED, InvalidCall),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.PERMISSION_DENIED, AccessDenied),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TooLate),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Busy),
        (grpc.StatusCode.CANCELLED, Cancelled),
        (grpc.StatusCode.INTERNAL, ServerFault),
        (grpc.StatusCode.UNKNOWN, ServerFault),
    ],
)
def test_status_becomes_an_error_with_its_facts_and_is_not_retried(
    connect: Connect, server: FakeServer, code: grpc.StatusCode, kind: type[HotgraphError]
) -> None:
    server.fail("ModelInfer", code, details="because")
    with pytest.raises(kind) as caught:
        connect(server.address).predict("double", {"x": np.ones((1, 2), np.float32)})
    error = caught.value
    assert (error.code, error.details, error.model, error.address) == (
        code,
        "because",
        "double",
        server.address,
    )
    assert len(server.calls("ModelInfer")) == 1


def test_busy_tells_how_long_to_stay_away(connect: Connect, server: FakeServer) -> None:
    server.fail(
        "ModelInfer", grpc.StatusCode.RESOURCE_EXHAUSTED, trailers=(("grpc-retry-pushback-ms", "250"),)
    )
    with pytest.raises(Busy) as caught:
        connect(server.address).predict("double", {"x": np.ones((1, 2), np.float32)})
    assert caught.value.pushback_ms == 250


def test_unavailable_is_retried_until_it_is_answered(connect: Connect, server: FakeServer) -> None:
    server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE, times=2)
    connect(server.address).predict("double", {"x": np.ones((1, 2), np.float32)})
    assert len(server.calls("ModelInfer")) == 3


def test_large_request_is_retried_too(connect: Connect, server: FakeServer) -> None:
    """gRPC keeps no more than 256 KiB for a retry unless told otherwise."""
    server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE)
    large = np.arange(2_000_000, dtype=np.float32)
    answer = connect(server.address).predict("echo", {"x": large})
    np.testing.assert_array_equal(answer["x"], large)


def test_retries_end_at_their_number(connect: Connect, server: FakeServer) -> None:
    server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE, times=9, details="draining")
    with pytest.raises(Unreachable, match="draining"):
        connect(server.address, retries=1).predict("double", {"x": np.ones((1, 2), np.float32)})
    assert len(server.calls("ModelInfer")) == 2


def test_no_retries_means_one_attempt(connect: Connect, server: FakeServer) -> None:
    server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(Unreachable):
        connect(server.address, retries=0).predict("double", {"x": np.ones((1, 2), np.float32)})
    assert len(server.calls("ModelInfer")) == 1


def test_nobody_there_is_unreachable_and_names_the_address(connect: Connect, nobody: str) -> None:
    with pytest.raises(Unreachable, match=nobody):
        connect(nobody, retries=0).server_metadata()


def test_timeout_ends_a_call_that_gets_no_answer(connect: Connect, server: FakeServer) -> None:
    with server.held(), pytest.raises(TooLate):
        connect(server.address).predict("double", {"x": np.ones((1, 2), np.float32)}, timeout_s=0.05)


@pytest.mark.parametrize("kind_of_server", [FakeServer])
def test_timeout_of_the_client_holds_where_the_call_names_none(connect: Connect, server: FakeServer) -> None:
    # HTTP does not tell the server, and whether it ends the call is tried above
    client = connect(server.address, timeout_s=1000)
    client.predict("double", [[1, 2]])
    client.predict("double", [[1, 2]], timeout_s=500)
    *of_the_client, of_the_call = server.time_left_s
    assert all(left_s is not None and 510 < left_s <= 1010 for left_s in of_the_client)
    # gRPC rounds what it sends up a little
    assert of_the_call is not None
    assert 0 < of_the_call <= 510


def test_several_addresses_share_the_calls(connect: Connect, server: FakeServer) -> None:
    with type(server)(models=server.models) as other:
        client = connect([server.address, other.address])
        # the first calls may come before the second connection stands
        client.predict("double", {"x": np.ones((1, 2), np.float32)})
        while not (server.requests and other.requests):
            client.predict("double", {"x": np.ones((1, 2), np.float32)})
        before = len(server.requests), len(other.requests)
        for _ in range(10):
            client.predict("double", {"x": np.ones((1, 2), np.float32)})
        assert (len(server.requests) - before[0], len(other.requests) - before[1]) == (5, 5)


def test_dead_address_among_several_does_not_cost_a_call(
    connect: Connect, server: FakeServer, nobody: str
) -> None:
    client = connect([nobody, server.address])
    for _ in range(10):
        client.predict("double", {"x": np.ones((1, 2), np.float32)})
    assert len(server.calls("ModelInfer")) == 10


def test_key_goes_with_every_call(connect: Connect, server: FakeServer) -> None:
    client = connect(server.address, key="k")
    client.predict("double", [1])
    client.is_ready()
    assert {headers["authorization"] for headers in server.headers} == {"Bearer k"}


def test_headers_go_with_every_call(connect: Connect, server: FakeServer) -> None:
    client = connect(server.address, headers={"Authorization": "Bearer t"})
    client.is_live()
    client.predict("double", [[1, 2]])
    assert [headers["authorization"] for headers in server.headers] == ["Bearer t"] * 3


def test_metadata_of_model_and_server(connect: Connect, server: FakeServer) -> None:
    client = connect(server.address)
    model = client.metadata("double")
    assert (model.name, model.versions, model.platform) == ("double", ("1",), "fake")
    assert model.properties == {"colour": "blue"}
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in model.inputs] == [
        ("x", "FP32", (-1, 2))
    ]
    assert [tensor.name for tensor in model.outputs] == ["y"]
    about = client.server_metadata()
    assert (about.name, about.version, about.extensions) == ("fake", "1", ("statistics",))


def test_models_are_grouped_by_name_with_the_states_of_their_versions(
    connect: Connect, server: FakeServer
) -> None:
    server.index = [
        ("a", "2", "READY", ""),
        ("b", "", "UNAVAILABLE", "no such op"),
        ("a", "1", "UNLOADING", ""),
    ]
    first, second = connect(server.address).models()
    assert (first.name, first.is_ready) == ("a", True)
    assert [(one.version, one.state) for one in first.versions] == [("2", "READY"), ("1", "UNLOADING")]
    assert (second.name, second.is_ready) == ("b", False)
    assert second.versions[0].reason == "no such op"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND])
def test_server_that_keeps_no_list_is_told_with_the_way_out(
    connect: Connect, server: FakeServer, code: grpc.StatusCode
) -> None:
    server.fail("RepositoryIndex", code)
    with pytest.raises(InvalidCall, match=r"does not list its models.*ask for a model by its name"):
        connect(server.address).models()


def test_list_that_is_refused_for_another_reason_is_told_as_that(
    connect: Connect, server: FakeServer
) -> None:
    server.fail("RepositoryIndex", grpc.StatusCode.INVALID_ARGUMENT, details="no such repository")
    with pytest.raises(InvalidCall, match="no such repository"):
        connect(server.address).models()


def test_outputs_may_have_parameters_of_the_protocol(connect: Connect, server: FakeServer) -> None:
    inputs = {"a": np.array([1]), "b": np.array([2])}
    answer = connect(server.address).predict(
        "sum_and_difference", inputs, outputs={"sum": {"classification": 3}}
    )
    assert list(answer) == ["sum"]
    (output,) = server.calls("ModelInfer")[0].outputs
    assert (output.name, output.parameters["classification"].int64_param) == ("sum", 3)


@pytest.mark.parametrize(
    ("inputs", "way_out"),
    [
        ({"z": np.ones((1, 2), np.float32)}, r"refused; the inputs of 'double': x \(FP32 \[-1, 2\]\)"),
        ({}, r"refused; the inputs of 'double': x"),
        ({"x": np.ones(2, np.float32)}, r"'x' lacks the dimension of rows: for one row send \[x\]"),
        ([1, 2], r"'x' lacks the dimension of rows"),
        ([[1, 2]], r"^refused \(INVALID_ARGUMENT"),
    ],
)
def test_refused_inputs_are_told_with_what_they_have_to_be(
    connect: Connect, server: FakeServer, inputs: Any, way_out: str
) -> None:
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT, details="refused")
    with pytest.raises(InvalidCall, match=way_out) as caught:
        connect(server.address).predict("double", inputs)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.address == server.address


def test_parameters_of_an_output_are_a_dict(connect: Connect, server: FakeServer) -> None:
    wrong: Any = {"y": 5}
    with pytest.raises(InvalidCall, match="its parameters are a dict"):
        connect(server.address).predict("double", [[1, 2]], outputs=wrong)
    assert server.calls("ModelInfer") == []


def test_statistics_come_in_seconds(connect: Connect, server: FakeServer) -> None:
    server.statistics = [
        oip.ModelStatistics(
            name="double",
            version="1",
            last_inference=1_500,
            inference_count=12,
            execution_count=4,
            inference_stats=oip.InferStatistics(
                success=oip.StatisticDuration(count=6, ns=3_000_000_000),
                fail=oip.StatisticDuration(count=1, ns=500_000_000),
            ),
            batch_stats=[
                oip.InferBatchStatistics(
                    batch_size=3, compute_infer=oip.StatisticDuration(count=4, ns=2_000_000_000)
                )
            ],
        )
    ]
    (model,) = connect(server.address).statistics("double", 1)
    (request,) = server.calls("ModelStatistics")
    assert (request.name, request.version) == ("double", "1")
    assert (model.rows, model.runs, model.rows_per_run, model.last_call_s) == (12, 4, 3.0, 1.5)
    assert (model.success.count, model.success.mean_s, model.failure.count) == (6, 0.5, 1)
    assert (model.batches[0].rows, model.batches[0].run.total_s) == (3, 2.0)
    assert model.queue.mean_s == 0.0


def test_live_and_ready_as_the_server_says(connect: Connect, server: FakeServer) -> None:
    client = connect(server.address)
    server.ready = [False, False]
    assert client.is_live()
    assert [client.is_ready(), client.is_model_ready("double")] == [False, False]
    assert [client.is_ready(), client.is_model_ready("double", 2)] == [True, True]
    assert server.calls("ModelReady")[-1].version == "2"


def test_server_that_is_not_there_is_neither_live_nor_ready(connect: Connect, nobody: str) -> None:
    client = connect(nobody, retries=0)
    assert not client.is_live()
    assert not client.is_ready()
    assert not client.is_model_ready("double")


def test_unknown_model_is_not_ready(connect: Connect, server: FakeServer) -> None:
    server.fail("ModelReady", grpc.StatusCode.NOT_FOUND)
    assert not connect(server.address).is_model_ready("nobody")


def test_wait_ready_asks_until_the_model_is_ready(connect: Connect, server: FakeServer) -> None:
    server.fail("ModelReady", grpc.StatusCode.NOT_FOUND)
    server.ready = [False]
    connect(server.address).wait_ready("double")
    assert [request.name for request in server.calls("ModelReady")] == ["double"] * 3


def test_wait_ready_survives_refused_connections(
    connect: Connect, kind_of_server: type[FakeServer], nobody: str
) -> None:
    client = connect(nobody, retries=0)
    # the connection has been refused at least once before the server starts
    assert not client.is_live()
    with kind_of_server(port=int(nobody.rpartition(":")[2])):
        client.wait_ready()


def test_wait_ready_ends_with_an_error_that_names_address_and_model(connect: Connect, nobody: str) -> None:
    with pytest.raises(TooLate, match=rf"model 'm' at {nobody} was not ready within 0\.2 s; last answer: "):
        connect(nobody, retries=0).wait_ready("m", timeout_s=0.2)


def test_wait_ready_does_not_wait_for_what_will_not_change(connect: Connect, server: FakeServer) -> None:
    server.fail("ServerReady", grpc.StatusCode.UNAUTHENTICATED)
    with pytest.raises(AccessDenied):
        connect(server.address).wait_ready()


def test_closed_client_refuses_calls_and_closes_twice(connect: Connect, server: FakeServer) -> None:
    client = connect(server.address)
    client.predict("double", [[1, 2]])
    client.close()
    client.close()
    with pytest.raises(InvalidCall, match="closed"):
        client.predict("double", [[1, 2]])


def test_contradictory_answer_is_the_servers_fault(connect: Connect, server: FakeServer) -> None:
    server.raw_answer = oip.ModelInferResponse(
        model_name="double",
        outputs=[oip.ModelInferResponse.InferOutputTensor(name="y", datatype="FP32", shape=[3])],
        raw_output_contents=[b"\0\0\0\0"],
    )
    with pytest.raises(ServerFault, match="output 'y': expected 12 bytes, got 4"):
        connect(server.address).predict("double", [[1, 2]])


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), "1", True])
def test_timeout_that_is_no_time_is_refused(connect: Connect, server: FakeServer, timeout_s: Any) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        connect(server.address, timeout_s=timeout_s)
    with pytest.raises(InvalidCall, match="timeout_s"):
        connect(server.address).predict("double", [[1, 2]], timeout_s=timeout_s)


def test_one_client_serves_many_threads(server: FakeServer) -> None:
    answers: list[Any] = [None] * 8
    with Client(server.address) as client:

        def call(index: int) -> None:
            answers[index] = client.predict("double", [[index, index]]).tolist()

        threads = [threading.Thread(target=call, args=(index,)) for index in range(len(answers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [[[2.0 * index, 2.0 * index]] for index in range(len(answers))]


def test_closing_from_another_thread_ends_a_call_as_cancelled(server: FakeServer) -> None:
    client = Client(server.address)
    ends: list[HotgraphError] = []

    def call() -> None:
        try:
            client.predict("double", {"x": np.ones((1, 2), np.float32)})
        except HotgraphError as error:
            ends.append(error)

    with server.held():
        caller = threading.Thread(target=call)
        caller.start()
        server.arrived.wait()
        client.close()
        caller.join()
    assert [type(error) for error in ends] == [Cancelled]


def test_closing_from_another_task_ends_a_call_as_cancelled(server: FakeServer) -> None:
    async def close_during_call() -> None:
        client = AsyncClient(server.address)
        call = asyncio.ensure_future(client.predict("double", {"x": np.ones((1, 2), np.float32)}))
        await asyncio.to_thread(server.arrived.wait)
        await client.close()
        with pytest.raises(Cancelled):
            await call

    with server.held():
        asyncio.run(close_during_call())


def test_cancelled_task_stays_cancelled_and_its_neighbour_is_answered(server: FakeServer) -> None:
    async def cancel_one_of_two() -> Any:
        async with AsyncClient(server.address) as client:
            calls = [
                asyncio.ensure_future(client.predict("double", {"x": np.full((1, 2), n, np.float32)}))
                for n in (1, 2)
            ]
            await asyncio.to_thread(server.arrived.wait)
            calls[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[0]
            server.gate.set()
            return await calls[1]

    with server.held():
        np.testing.assert_array_equal(asyncio.run(cancel_one_of_two())["y"], [[4, 4]])


def test_clients_are_context_managers(server: FakeServer) -> None:
    async def within() -> bool:
        async with AsyncClient(server.address) as client:
            return await client.is_live()

    with Client(server.address) as client:
        assert client.is_live()
    assert asyncio.run(within())
    with pytest.raises(InvalidCall, match="closed"):
        client.is_live()
