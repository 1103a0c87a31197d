"""The methods by which clients make their shared memory known: what can be asked of shared_memory.Regions."""

from __future__ import annotations

from collections.abc import Mapping

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import Unsupported
from hotgraph_server.protocols.v2.regions import OFF, Region, Regions
from hotgraph_server.transport.service import PlainMethod


def methods(regions: Regions | None) -> Mapping[str, PlainMethod]:
    """Status, Register and Unregister of system shared memory; without `regions` all three are refused."""
    answers = _Answers(regions)
    return {
        "SystemSharedMemoryStatus": PlainMethod(pb.SystemSharedMemoryStatusRequest, answers.status),
        "SystemSharedMemoryRegister": PlainMethod(pb.SystemSharedMemoryRegisterRequest, answers.register),
        "SystemSharedMemoryUnregister": PlainMethod(
            pb.SystemSharedMemoryUnregisterRequest, answers.unregister
        ),
    }


class _Answers:
    def __init__(self, regions: Regions | None) -> None:
        self._regions = regions

    def status(self, request: pb.SystemSharedMemoryStatusRequest) -> pb.SystemSharedMemoryStatusResponse:
        found = self._allowed().status(request.name)
        return pb.SystemSharedMemoryStatusResponse(regions={region.name: _status(region) for region in found})

    def register(
        self, request: pb.SystemSharedMemoryRegisterRequest
    ) -> pb.SystemSharedMemoryRegisterResponse:
        self._allowed().register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    def unregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        regions = self._allowed()
        if request.name:
            regions.unregister(request.name)
        else:
            regions.unregister_all()
        return pb.SystemSharedMemoryUnregisterResponse()

    def _allowed(self) -> Regions:
        """
        Raises:
            Unsupported: clients may share no memory with this server.
        """
        if self._regions is None:
            raise Unsupported(OFF)
        return self._regions


def _status(region: Region) -> pb.SystemSharedMemoryStatusResponse.RegionStatus:
    return pb.SystemSharedMemoryStatusResponse.RegionStatus(
        name=region.name, key=region.key, offset=region.offset, byte_size=region.byte_size
    )
