"""The three methods of system shared memory, from message to message."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import AlreadyExists, CallError, NotFound, Unsupported
from hotgraph_server.protocols.v2 import shared_memory
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.settings import SharedMemorySettings
from hotgraph_server.transport.service import answer_plain


@pytest.fixture
def methods(tmp_path: Path) -> Any:
    (tmp_path / "object").write_bytes(bytes(100))
    return shared_memory.methods(Regions(SharedMemorySettings(allow_client_shm=True), str(tmp_path)))


def ask(methods: Any, method: str, **fields: Any) -> Any:
    """As a client does: by bytes."""
    name = f"SystemSharedMemory{method}"
    request = getattr(pb, f"{name}Request")(**fields)
    answer = answer_plain(methods[name], request.SerializeToString())
    return getattr(pb, f"{name}Response").FromString(answer)


def names(methods: Any) -> list[str]:
    return sorted(ask(methods, "Status").regions)


def test_what_was_registered_is_shown(methods: Any) -> None:
    assert names(methods) == []
    ask(methods, "Register", name="a", key="/object", offset=10, byte_size=20)
    ask(methods, "Register", name="b", key="object", byte_size=100)
    assert names(methods) == ["a", "b"]
    shown = ask(methods, "Status", name="a").regions
    assert list(shown) == ["a"]
    assert (shown["a"].name, shown["a"].key, shown["a"].offset, shown["a"].byte_size) == (
        *("a", "/object", 10, 20),
    )


def test_the_status_of_an_unknown_region_is_not_found(methods: Any) -> None:
    with pytest.raises(NotFound, match="Unable to find system shared memory region: 'a'"):
        ask(methods, "Status", name="a")


def test_registering_twice_is_refused(methods: Any) -> None:
    ask(methods, "Register", name="a", key="object", byte_size=1)
    with pytest.raises(AlreadyExists, match="shared memory region 'a' already in manager"):
        ask(methods, "Register", name="a", key="object", byte_size=1)


def test_unregistering_by_name_or_all_at_once(methods: Any) -> None:
    for name in "abc":
        ask(methods, "Register", name=name, key="object", byte_size=1)
    ask(methods, "Unregister", name="unknown")
    assert names(methods) == ["a", "b", "c"]
    ask(methods, "Unregister", name="b")
    assert names(methods) == ["a", "c"]
    ask(methods, "Unregister")
    assert names(methods) == []


@pytest.mark.parametrize("method", ["Status", "Register", "Unregister"])
def test_without_leave_there_is_no_shared_memory(method: str) -> None:
    with pytest.raises(Unsupported, match="--allow-client-shm") as raised:
        ask(shared_memory.methods(None), method, name="a")
    assert raised.value.status is grpc.StatusCode.UNIMPLEMENTED


@given(data=st.data())
def test_whatever_bytes_come_there_is_an_answer_or_one_of_our_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    (tmp_path_factory.getbasetemp() / "object").write_bytes(bytes(100))
    settings = SharedMemorySettings(allow_client_shm=True)
    methods = shared_memory.methods(Regions(settings, str(tmp_path_factory.getbasetemp())))
    good = pb.SystemSharedMemoryRegisterRequest(name="a", key="object", offset=3, byte_size=5)
    for _ in range(3):
        message = bytearray(good.SerializeToString())
        for place, value in data.draw(
            st.lists(st.tuples(st.integers(0, len(message) - 1), st.integers(0, 255)), max_size=3)
        ):
            message[place] = value
        cut = bytes(message[: data.draw(st.integers(0, len(message)))])
        for method in methods.values():
            with suppress(CallError):
                answer_plain(method, cut)
