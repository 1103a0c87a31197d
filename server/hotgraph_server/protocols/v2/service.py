"""``inference.GRPCInferenceService``, put together from the tables of its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hotgraph_protos import open_inference as pb
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.v2 import (
    cuda_shared_memory,
    health,
    metadata,
    shared_memory,
    statistics,
    streaming,
    tables,
)
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.transport.service import HotMethod, Service

NAME = "inference.GRPCInferenceService"

_EARLY = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "RepositoryIndex")


def service(
    registry: Registry,
    is_ready: Callable[[], bool],
    *,
    is_starting: Callable[[], bool] = lambda: False,
    server_name: str = "hotgraph",
    regions: Regions | None = None,
    traced: Callable[[HotMethod, str], HotMethod] = lambda method, _: method,
    more: Iterable[tables.Table] = (),
) -> Service:
    """The service over a registry.

    Args:
        registry: which versions there are.
        is_ready: does the server as a whole take calls?
        is_starting: does it take none yet, whatever is loaded?
        server_name: what ServerMetadata calls it.
        regions: shared memory that clients may register; None: they may not.
        traced: makes of ModelInfer one whose calls may be followed, under that name; for calls in streams as
            well.
        more: tables of methods that need more than the registry: model_control.py, trace_settings.py and
            their like, made by the server, which has what they need.
    """
    infer = Infer(registry, regions)
    return tables.merged(
        NAME,
        pb.DESCRIPTOR,
        [
            {"ModelInfer": traced(infer, "ModelInfer")},
            streaming.methods(registry, regions, traced),
            health.methods(registry, is_ready, is_starting),
            metadata.methods(registry, server_name, _extensions(regions)),
            statistics.methods(registry),
            cuda_shared_memory.methods(),
            shared_memory.methods(regions),
            *more,
        ],
        early=_EARLY,
    )


def _extensions(regions: Regions | None) -> tuple[str, ...]:
    return metadata.EXTENSIONS if regions is None else (*metadata.EXTENSIONS, "system_shared_memory")
