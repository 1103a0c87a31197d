"""gRPC reflection, so that tools need no .proto files.

Under its two names: v1alpha, which grpcio's package has, and v1, which newer tools ask for first and
whose messages are the same on the wire. Our services live in two descriptor pools (the Open Inference
Protocol has one of its own), while reflection reads one: so all files are copied into a third.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from hotgraph_server.transport.service import OpenStream, Receiver, Service, StreamingMethod, parsed

_NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def reflection_services(services: Iterable[Service]) -> list[Service]:
    """Reflection over `services` and itself, under each of its names."""
    services = list(services)
    pool = DescriptorPool()
    copied: set[str] = set()
    for descriptor in (*(service.descriptor for service in services), reflection_pb2.DESCRIPTOR):
        _copy(descriptor, pool, copied)
    names = [service.name for service in services]
    servicer = reflection.ReflectionServicer((*names, *_NAMES), pool=pool)

    def reflect(stream: OpenStream) -> Receiver:
        def receive(message: bytes | None) -> None:
            if message is None:
                stream.end()
                return
            request = parsed(reflection_pb2.ServerReflectionRequest, message)
            # grpcio's takes an iterator; of one request the answers are one, and know no others.
            for response in servicer.ServerReflectionInfo(iter((request,)), None):
                stream.send(response.SerializeToString())

        return receive

    method = {"ServerReflectionInfo": StreamingMethod(reflect)}
    return [Service(name, reflection_pb2.DESCRIPTOR, streaming=method, early=method) for name in _NAMES]


def _copy(descriptor: Any, pool: DescriptorPool, copied: set[str]) -> None:
    """Add a file and, before it, all that it imports."""
    if descriptor.name in copied:
        return
    copied.add(descriptor.name)
    for dependency in descriptor.dependencies:
        _copy(dependency, pool, copied)
    proto = FileDescriptorProto()
    descriptor.CopyToProto(proto)
    pool.Add(proto)
