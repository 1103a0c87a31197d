"""Shared memory, of the system and of CUDA: what is registered, and registering it. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2.json_body import members, read_object, string, unsigned
from hotgraph_server.rest.v2.message_values import values_of
from hotgraph_server.rest.v2.paths import Target, What
from hotgraph_server.rest.v2.row import Row, empty_content, json_content
from hotgraph_server.transport.http import Content
from hotgraph_server.transport.message_fields import Message

# Bytes of a cudaIpcMemHandle_t.
_HANDLE_BYTES = 64


def _status(_: Target, response: Any) -> Content:
    return json_content([values_of(response.regions[name]) for name in sorted(response.regions)])


def _register_system(target: Target, body: Message) -> pb.SystemSharedMemoryRegisterRequest:
    said = _said(target, body, "system")
    return pb.SystemSharedMemoryRegisterRequest(
        name=target.region,
        key=string("key", _needed(said, "key")),
        offset=unsigned("offset", said.get("offset", 0)),
        byte_size=unsigned("byte_size", _needed(said, "byte_size")),
    )


def _register_cuda(target: Target, body: Message) -> pb.CudaSharedMemoryRegisterRequest:
    said = _said(target, body, "cuda")
    handle = string("b64", _needed(members("raw_handle", _needed(said, "raw_handle")), "b64"))
    device = unsigned("device_id", _needed(said, "device_id"))
    return pb.CudaSharedMemoryRegisterRequest(
        name=target.region,
        raw_handle=_handle(handle),
        device_id=min(device, 2**63 - 1),
        byte_size=unsigned("byte_size", _needed(said, "byte_size")),
    )


def _said(target: Target, body: Message, kind: str) -> dict[str, Any]:
    """Raises InvalidCall."""
    if not target.region:
        raise InvalidCall(f"'region name' is necessary to register {kind} shared memory region")
    return read_object(body, needed=True)


def _needed(said: dict[str, Any], field: str) -> Any:
    """Raises InvalidCall."""
    if field not in said:
        raise InvalidCall(f"Shared memory register request has no '{field}' field")
    return said[field]


def _handle(text: str) -> bytes:
    """Raises InvalidCall."""
    try:
        handle = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        handle = b""
    if len(handle) != _HANDLE_BYTES:
        raise InvalidCall("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")
    return handle


TABLE = {
    What.SYSTEM_STATUS: Row(
        "SystemSharedMemoryStatus",
        lambda target, body: pb.SystemSharedMemoryStatusRequest(name=target.region),
        _status,
    ),
    What.SYSTEM_REGISTER: Row("SystemSharedMemoryRegister", _register_system, empty_content),
    What.SYSTEM_UNREGISTER: Row(
        "SystemSharedMemoryUnregister",
        lambda target, body: pb.SystemSharedMemoryUnregisterRequest(name=target.region),
        empty_content,
    ),
    What.CUDA_STATUS: Row(
        "CudaSharedMemoryStatus",
        lambda target, body: pb.CudaSharedMemoryStatusRequest(name=target.region),
        _status,
    ),
    What.CUDA_REGISTER: Row("CudaSharedMemoryRegister", _register_cuda, empty_content),
    What.CUDA_UNREGISTER: Row(
        "CudaSharedMemoryUnregister",
        lambda target, body: pb.CudaSharedMemoryUnregisterRequest(name=target.region),
        empty_content,
    ),
}
"""Endpoints of this module."""
