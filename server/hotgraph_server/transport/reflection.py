"""gRPC reflection, so that tools need no .proto files.

Under its two names: v1alpha, which grpcio's package has, and v1, which newer tools ask for first and
whose messages are the same on the wire. Our services live in two descriptor pools (the Open Inference
Protocol has one of its own), while reflection reads one: so all files are copied into a third.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from hotgraph_server.transport.service import Service

_NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def add_reflection(server: grpc.Server, services: Iterable[Service], threads: ThreadPoolExecutor) -> None:
    """Register reflection over our services, health and itself.

    A caller's stream holds one of `threads` for as long as it likes, so these do nothing else.
    """
    services = list(services)
    descriptors = [service.descriptor for service in services]
    pool = DescriptorPool()
    copied: set[str] = set()
    for descriptor in (*descriptors, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        _copy(descriptor, pool, copied)
    names = [service.name for service in services]
    servicer = reflection.ReflectionServicer((*names, health.SERVICE_NAME, *_NAMES), pool=pool)

    def reflect(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        return servicer.ServerReflectionInfo(requests, context)  # type: ignore[no-any-return]

    reflect.experimental_thread_pool = threads  # type: ignore[attr-defined]
    method = grpc.stream_stream_rpc_method_handler(
        reflect,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in _NAMES:
        handler = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers((handler,))


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
