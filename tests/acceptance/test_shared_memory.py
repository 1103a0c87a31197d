"""NVIDIA's tritonclient with tensors in system shared memory, in place of messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, serialize_byte_tensor
from tritonclient.utils import shared_memory as shm

from ..saved_models import SavedModels
from .triton_tensors import tensor

FLOAT = np.float32
Make = Callable[[str, int], Any]


@contextmanager
def served(
    saved_models: SavedModels, *names: str, fast_lane: bool = True, shared: bool = True
) -> Iterator[InferenceServerClient]:
    """A client of a server with these models."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
        SharedMemorySettings,
    )

    settings = ServerSettings(
        tuple(ModelSettings(name, saved_models[name]) for name in names),
        ListenSettings(port=0, fast_lane=fast_lane),
        AdminSettings(admin_port=0),
        RestSettings(rest_port=0),
        shared_memory=SharedMemorySettings(allow_client_shm=shared),
    )
    server = Server(settings)
    server.start()
    try:
        with InferenceServerClient(server.address) as client:
            yield client
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def sharing(request: pytest.FixtureRequest, saved_models: SavedModels) -> Iterator[InferenceServerClient]:
    """A client of a server that takes shared memory."""
    fast_lane = request.param == "fast lane"
    with served(saved_models, "pass_through", "strings", fast_lane=fast_lane) as client:
        yield client


@pytest.fixture
def make(sharing: InferenceServerClient) -> Iterator[Make]:
    """Makes a shared memory object and registers it, all under one name."""
    made: list[Any] = []

    def make(name: str, nbytes: int) -> Any:
        key = f"/hotgraph-test-{os.getpid()}-{name}"
        handle = shm.create_shared_memory_region(name, key, nbytes, create_only=True)
        made.append(handle)
        sharing.register_system_shared_memory(name, key, nbytes)
        return handle

    yield make
    sharing.unregister_system_shared_memory()
    for handle in made:
        shm.destroy_shared_memory_region(handle)


def from_region(
    name: str, region: str, array: Any, nbytes: int, offset: int = 0, datatype: str = "FP32"
) -> InferInput:
    given = InferInput(name, array.shape, datatype)
    given.set_shared_memory(region, nbytes, offset)
    return given


def to_region(name: str, region: str, nbytes: int, offset: int = 0) -> InferRequestedOutput:
    wanted = InferRequestedOutput(name)
    wanted.set_shared_memory(region, nbytes, offset)
    return wanted


def doubled(client: InferenceServerClient, *, nbytes: int = 16, offset: int = 0, **other: Any) -> Any:
    x = np.zeros((2, 2), FLOAT)
    return client.infer(
        "pass_through",
        [from_region("x", "in", x, nbytes, offset)],
        outputs=[to_region("doubled", "out", 16, 8)],
        **other,
    )


def test_a_server_that_was_not_told_to_takes_no_shared_memory(saved_models: SavedModels) -> None:
    with served(saved_models, "pass_through", shared=False) as client:
        asks: list[Callable[[], Any]] = [
            lambda: client.register_system_shared_memory("in", "/in", 16),
            lambda: client.get_system_shared_memory_status(),
            lambda: client.unregister_system_shared_memory(),
            lambda: doubled(client),
        ]
        for ask in asks:
            with pytest.raises(InferenceServerException, match="--allow-client-shm") as raised:
                ask()
            assert raised.value.status() == "StatusCode.UNIMPLEMENTED"
        assert "system_shared_memory" not in client.get_server_metadata().extensions


def test_tensors_go_both_ways_without_being_sent(sharing: InferenceServerClient, make: Make) -> None:
    x = np.arange(4, dtype=FLOAT).reshape(2, 2)
    given, taken = make("in", 16), make("out", 64)
    for _ in range(3):  # the same message each time, with something else in memory
        x += 1
        shm.set_shared_memory_region(given, [x])
        answer = doubled(sharing)
        assert answer.get_response().raw_output_contents == [b""]
        described = answer.get_output("doubled")
        assert (described.datatype, list(described.shape)) == ("FP32", [2, 2])
        assert described.parameters["shared_memory_region"].string_param == "out"
        assert described.parameters["shared_memory_byte_size"].int64_param == 16
        assert described.parameters["shared_memory_offset"].int64_param == 8
        np.testing.assert_array_equal(shm.get_contents_as_numpy(taken, FLOAT, [2, 2], offset=8), x * 2)
    assert "system_shared_memory" in sharing.get_server_metadata().extensions


def test_one_tensor_may_be_sent_and_another_shared(sharing: InferenceServerClient, make: Make) -> None:
    x = np.ones((1, 2), FLOAT)
    taken = make("out", 8)
    answer = sharing.infer(
        "pass_through",
        [tensor("x", x)],
        outputs=[to_region("doubled", "out", 8), InferRequestedOutput("same")],
    )
    np.testing.assert_array_equal(answer.as_numpy("same"), x)
    np.testing.assert_array_equal(shm.get_contents_as_numpy(taken, FLOAT, [1, 2]), x * 2)


def test_strings_lie_there_with_their_lengths(sharing: InferenceServerClient, make: Make) -> None:
    (spec,) = sharing.get_model_metadata("strings").inputs
    words = np.array([b"one", b"\0\xff", b""], dtype=object)
    serialized = serialize_byte_tensor(words).item()
    shm.set_shared_memory_region(make("in", 100), [serialize_byte_tensor(words)])
    plain = sharing.infer("strings", [tensor(spec.name, words, "BYTES")])
    shared = sharing.infer("strings", [from_region(spec.name, "in", words, len(serialized), 0, "BYTES")])
    for output in plain.get_response().outputs:
        np.testing.assert_array_equal(plain.as_numpy(output.name), shared.as_numpy(output.name))


def test_the_status_shows_what_is_registered(sharing: InferenceServerClient, make: Make) -> None:
    make("in", 16)
    shown = sharing.get_system_shared_memory_status().regions
    assert {name: (one.key, one.offset, one.byte_size) for name, one in shown.items()} == {
        "in": (f"/hotgraph-test-{os.getpid()}-in", 0, 16)
    }


@pytest.mark.parametrize(
    ("ask", "code", "text"),
    [
        (
            lambda client: client.register_system_shared_memory("new", "/hotgraph-no-such-object", 8),
            *("INTERNAL", "Unable to open shared memory region"),
        ),
        (
            lambda client: client.get_system_shared_memory_status("unknown"),
            *("NOT_FOUND", "Unable to find system shared memory region: 'unknown'"),
        ),
        (
            lambda client: client.infer("pass_through", [from_region("x", "unknown", np.zeros((1, 2)), 8)]),
            *("NOT_FOUND", "Unable to find shared memory region: 'unknown'"),
        ),
        (
            lambda client: client.register_system_shared_memory("in", f"/hotgraph-test-{os.getpid()}-in", 16),
            *("ALREADY_EXISTS", "shared memory region 'in' already in manager"),
        ),
        (
            lambda client: client.register_system_shared_memory(
                "new", f"/hotgraph-test-{os.getpid()}-in", 1 << 40
            ),
            *("INVALID_ARGUMENT", "failed to register shared memory region 'new'"),
        ),
        (
            lambda client: client.register_system_shared_memory("new", "/../etc/passwd", 8),
            *("INVALID_ARGUMENT", "is not allowed"),
        ),
        (
            lambda client: doubled(client, offset=1 << 20),
            *("INVALID_ARGUMENT", "Invalid offset for shared memory region: 'in'"),
        ),
        (
            lambda client: doubled(client, offset=8),
            *("INVALID_ARGUMENT", "Invalid offset + byte size for shared memory region: 'in'"),
        ),
        (
            lambda client: client.infer(
                "pass_through",
                [tensor("x", np.zeros((2, 2), FLOAT))],
                outputs=[to_region("doubled", "out", 8)],
            ),
            *("INTERNAL", "should be at least 16 bytes to hold the results"),
        ),
    ],
)
def test_each_mistake_has_the_code_and_the_words_that_triton_has(
    sharing: InferenceServerClient, make: Make, ask: Any, code: str, text: str
) -> None:
    make("in", 16)
    make("out", 64)
    with pytest.raises(InferenceServerException) as raised:
        ask(sharing)
    assert (raised.value.status(), text in raised.value.message()) == (f"StatusCode.{code}", True), (
        raised.value.message()
    )
    assert doubled(sharing).get_response().raw_output_contents == [b""], "the next call is answered"


def test_a_region_that_shrinks_ends_calls_and_not_the_server(
    sharing: InferenceServerClient, make: Make
) -> None:
    make("in", 1 << 16)
    make("out", 1 << 16)
    path = f"/dev/shm/hotgraph-test-{os.getpid()}"
    doubled(sharing)
    os.truncate(f"{path}-in", 4)
    with pytest.raises(InferenceServerException, match="shorter than it was when it was registered"):
        doubled(sharing)
    os.truncate(f"{path}-in", 1 << 16)
    os.truncate(f"{path}-out", 0)
    with pytest.raises(InferenceServerException, match="shorter than it was when it was registered"):
        doubled(sharing)
    assert os.path.getsize(f"{path}-out") == 0
    assert sharing.is_server_live()
