"""Shared memory over HTTP: registering, status, and what is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ...protocols.fakes import Models
from .serving import V2

SYSTEM, CUDA = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
HANDLE = {"raw_handle": {"b64": base64.b64encode(bytes(64)).decode()}, "device_id": 0, "byte_size": 64}


@pytest.fixture
def region(v2: V2, tmp_path: Path) -> V2:
    """Region "ra", which is all of a shared memory object of 64 bytes."""
    (tmp_path / "key").write_bytes(bytes(64))
    assert v2.post(f"{SYSTEM}/region/ra/register", {"key": "/key", "byte_size": 64}).code == 200
    return v2


class TestSystem:
    def test_nothing_is_registered_at_first(self, v2: V2) -> None:
        assert v2.get(f"{SYSTEM}/status").body == b"[]"

    def test_registering_is_answered_with_nothing_and_shown(self, region: V2) -> None:
        answer = region.post(f"{SYSTEM}/region/a%2Fb/register", {"key": "/key", "offset": 8, "byte_size": 16})
        assert (answer.code, answer.body, answer.headers["content-type"]) == (200, b"", "text/plain")
        ra = {"name": "ra", "key": "/key", "offset": 0, "byte_size": 64}
        ab = {"name": "a/b", "key": "/key", "offset": 8, "byte_size": 16}
        assert region.get(f"{SYSTEM}/status").json == [ab, ra]
        assert region.get(f"{SYSTEM}/region/ra/status").json == [ra]

    def test_region_that_is_not_there_has_no_status(self, v2: V2) -> None:
        answer = v2.get(f"{SYSTEM}/region/a/status")
        assert (answer.code, answer.error) == (404, "Unable to find system shared memory region: 'a'")

    def test_unregistering_forgets_one_or_all(self, region: V2) -> None:
        region.post(f"{SYSTEM}/region/rb/register", {"key": "/key", "byte_size": 1})
        answer = region.post(f"{SYSTEM}/region/ra/unregister")
        assert (answer.code, answer.body) == (200, b"")
        assert [one["name"] for one in region.get(f"{SYSTEM}/status").json] == ["rb"]
        assert region.post(f"{SYSTEM}/unregister").code == 200
        assert region.get(f"{SYSTEM}/status").json == []

    @pytest.mark.parametrize(
        ("body", "code", "text"),
        [
            ({"byte_size": 1}, 400, "Shared memory register request has no 'key' field"),
            ({"key": "/key"}, 400, "Shared memory register request has no 'byte_size' field"),
            ({"key": 1, "byte_size": 1}, 400, "Unable to parse 'key': attempt to access JSON non-string as"),
            *(
                (
                    {"key": "/key", "byte_size": wrong},
                    400,
                    "Unable to parse 'byte_size': attempt to access JSON non-unsigned-integer as unsigned-",
                )
                for wrong in (-1, 1.0, "1", True, None, 2**64)
            ),
            ({"key": "/key", "byte_size": 1, "offset": -1}, 400, "Unable to parse 'offset': "),
            (b"", 400, "failed to parse the request JSON buffer: The document is empty."),
            (b"{", 400, "failed to parse the request JSON buffer: "),
            ({"key": "/nope", "byte_size": 1}, 500, "Unable to open shared memory region: '/nope'"),
            ({"key": "/key", "byte_size": 65}, 400, "failed to register shared memory region 'rb': offset 0"),
            ({"key": "/key", "byte_size": 2**64 - 1}, 400, "failed to register shared memory region 'rb'"),
            ({"key": "../key", "byte_size": 1}, 400, "shared memory key '../key' is not allowed"),
        ],
    )
    def test_registering_what_cannot_be_is_refused(self, region: V2, body: Any, code: int, text: str) -> None:
        answer = region.post(f"{SYSTEM}/region/rb/register", body)
        assert answer.code == code
        assert answer.error.startswith(text)
        assert [one["name"] for one in region.get(f"{SYSTEM}/status").json] == ["ra"]

    def test_name_is_taken_once(self, region: V2) -> None:
        answer = region.post(f"{SYSTEM}/region/ra/register", {"key": "/key", "byte_size": 1})
        assert (answer.code, answer.error) == (400, "shared memory region 'ra' already in manager")

    def test_registering_needs_a_name(self, region: V2) -> None:
        answer = region.post(f"{SYSTEM}/register", {"key": "/key", "byte_size": 1})
        assert (answer.code, answer.error) == (
            400,
            "'region name' is necessary to register system shared memory region",
        )

    def test_where_it_is_off_it_says_so(self, models: Models, tmp_path: Path) -> None:
        off = V2(models, tmp_path, shm=False)
        for answer in (
            off.get(f"{SYSTEM}/status"),
            off.post(f"{SYSTEM}/region/a/register", {"key": "k", "byte_size": 1}),
            off.post(f"{SYSTEM}/unregister"),
        ):
            assert (answer.code, "--allow-client-shm" in answer.error) == (501, True)


class TestCuda:
    def test_nothing_is_registered_and_unregistering_is_always_right(self, v2: V2) -> None:
        assert v2.get(f"{CUDA}/status").body == b"[]"
        for path in ("unregister", "region/x/unregister"):
            answer = v2.post(f"{CUDA}/{path}")
            assert (answer.code, answer.body) == (200, b"")

    def test_region_is_not_found(self, v2: V2) -> None:
        answer = v2.get(f"{CUDA}/region/a/status")
        assert (answer.code, answer.error) == (404, "Unable to find cuda shared memory region: 'a'")

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({}, "failed to register CUDA shared memory region: 'a', GPUs not supported"),
            ({"device_id": 2**64 - 1}, "failed to register CUDA shared memory region: 'a', GPUs not"),
            *(
                (
                    {"raw_handle": {"b64": wrong}},
                    "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t",
                )
                for wrong in ("", "YQ==", "?", "é", base64.b64encode(bytes(65)).decode())
            ),
            ({"raw_handle": {}}, "Shared memory register request has no 'b64' field"),
            ({"raw_handle": "YQ=="}, "Unable to parse 'raw_handle': attempt to access JSON non-object"),
            ({"raw_handle": {"b64": 1}}, "Unable to parse 'b64': attempt to access JSON non-string"),
            ({"device_id": -1}, "Unable to parse 'device_id': "),
            ({"byte_size": "1"}, "Unable to parse 'byte_size': "),
        ],
    )
    def test_nothing_can_be_registered(self, v2: V2, change: dict[str, Any], text: str) -> None:
        answer = v2.post(f"{CUDA}/region/a/register", {**HANDLE, **change})
        assert answer.code == 400
        assert answer.error.startswith(text)

    @pytest.mark.parametrize("field", HANDLE)
    def test_every_field_is_needed(self, v2: V2, field: str) -> None:
        body = {name: value for name, value in HANDLE.items() if name != field}
        answer = v2.post(f"{CUDA}/region/a/register", body)
        assert (answer.code, answer.error) == (400, f"Shared memory register request has no '{field}' field")

    def test_registering_needs_a_name(self, v2: V2) -> None:
        answer = v2.post(f"{CUDA}/register", HANDLE)
        assert answer.error == "'region name' is necessary to register cuda shared memory region"
