"""Shared memory of a GPU: nothing of it can be registered here, and nothing is.

Clients that use shared memory ask for the status first and unregister everything, whichever kind they use
afterwards; so both answer as a server that has no GPU does.
"""

from __future__ import annotations

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall, NotFound
from hotgraph_server.protocols.v2.tables import Table
from hotgraph_server.transport.service import PlainMethod


def methods() -> Table:
    """The methods."""
    return {
        "CudaSharedMemoryStatus": PlainMethod(pb.CudaSharedMemoryStatusRequest, _status),
        "CudaSharedMemoryRegister": PlainMethod(pb.CudaSharedMemoryRegisterRequest, _register),
        "CudaSharedMemoryUnregister": PlainMethod(pb.CudaSharedMemoryUnregisterRequest, _unregister),
    }


def _status(request: pb.CudaSharedMemoryStatusRequest) -> pb.CudaSharedMemoryStatusResponse:
    if request.name:
        raise NotFound(f"Unable to find cuda shared memory region: '{request.name}'")
    return pb.CudaSharedMemoryStatusResponse()


def _register(request: pb.CudaSharedMemoryRegisterRequest) -> pb.CudaSharedMemoryRegisterResponse:
    raise InvalidCall(f"failed to register CUDA shared memory region: '{request.name}', GPUs not supported")


def _unregister(_: pb.CudaSharedMemoryUnregisterRequest) -> pb.CudaSharedMemoryUnregisterResponse:
    return pb.CudaSharedMemoryUnregisterResponse()
