"""Every method and page, and the group that it belongs to.

    infer      runs a model
    metadata   tells about models and the server, and changes nothing
    control    changes which models are served and how, what is traced and logged, and which memory is shared
    state      touches what is kept of variables that models write
    admin      the figures: the live page, its JSON, and Prometheus' pages

Health belongs to none but for its list of names: an orchestrator that keeps the server alive needs no key. A
test fails when there is a method that is not in these tables.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Group(enum.Enum):
    """A group of methods."""

    INFER = "infer"
    METADATA = "metadata"
    CONTROL = "control"
    STATE = "state"
    ADMIN = "admin"


CHANGING = (Group.CONTROL, Group.STATE, Group.ADMIN)
"""Those that only the server's owner has a need of."""

PROTOCOLS = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
"""What Triton calls the groups that it restricts."""


class Method(NamedTuple):
    """What a method of gRPC, or a request of HTTP, belongs to.

    Attributes:
        group: None: it is open always, unless its protocol is restricted.
        protocol: Triton's name of its group; empty: of none.
    """

    group: Group | None
    protocol: str = ""


_HEALTH = Method(None, "health")
_METADATA = Method(Group.METADATA, "metadata")
_INFERENCE = Method(Group.INFER, "inference")
_REPOSITORY = Method(Group.CONTROL, "model-repository")
_SHARED_MEMORY = Method(Group.CONTROL, "shared-memory")
_SHARED_MEMORY_STATUS = Method(Group.METADATA, "shared-memory")
_REFLECTION = Method(Group.METADATA)

_SERVICES = {
    # Triton's protocols of these methods are Triton's own.
    "inference.GRPCInferenceService": {
        "ServerLive": _HEALTH,
        "ServerReady": _HEALTH,
        "ModelReady": _HEALTH,
        "ServerMetadata": _METADATA,
        "ModelMetadata": _METADATA,
        "ModelConfig": Method(Group.METADATA, "model-config"),
        "ModelStatistics": Method(Group.METADATA, "statistics"),
        "ModelInfer": _INFERENCE,
        "ModelStreamInfer": _INFERENCE,
        "RepositoryIndex": Method(Group.METADATA, "model-repository"),
        "RepositoryModelLoad": _REPOSITORY,
        "RepositoryModelUnload": _REPOSITORY,
        # Who registers memory has the server read and write it.
        "SystemSharedMemoryStatus": _SHARED_MEMORY_STATUS,
        "SystemSharedMemoryRegister": _SHARED_MEMORY,
        "SystemSharedMemoryUnregister": _SHARED_MEMORY,
        "CudaSharedMemoryStatus": _SHARED_MEMORY_STATUS,
        "CudaSharedMemoryRegister": _SHARED_MEMORY,
        "CudaSharedMemoryUnregister": _SHARED_MEMORY,
        "TraceSetting": Method(Group.CONTROL, "trace"),
        "LogSettings": Method(Group.CONTROL, "logging"),
    },
    # Triton has none of those below but health; what is restricted must not be had by another name.
    "tensorflow.serving.PredictionService": {
        "Predict": _INFERENCE,
        "Classify": _INFERENCE,
        "Regress": _INFERENCE,
        "MultiInference": _INFERENCE,
        "GetModelMetadata": _METADATA,
    },
    "tensorflow.serving.ModelService": {
        "GetModelStatus": _METADATA,
        "HandleReloadConfigRequest": _REPOSITORY,
    },
    # List tells which models there are.
    "grpc.health.v1.Health": {"Check": _HEALTH, "List": Method(Group.METADATA, "health"), "Watch": _HEALTH},
    "xds.service.orca.v3.OpenRcaService": {"StreamCoreMetrics": Method(Group.METADATA)},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": _REFLECTION},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _REFLECTION},
}

GRPC = {
    f"/{service}/{name}": method for service, methods in _SERVICES.items() for name, method in methods.items()
}
"""By path."""

REST = {
    "predict": _INFERENCE,
    "classify": _INFERENCE,
    "regress": _INFERENCE,
    "models": _METADATA,
    "status": _METADATA,
    "metadata": _METADATA,
}
"""By what is asked under ``/v1`` (rest.tfs.paths.What); what is asked under ``/v2`` stands for a method of
gRPC (rest.v2.api)."""

DOCUMENT = _METADATA
"""/openapi.json and /docs: they tell which models there are."""

PROMETHEUS = Method(Group.ADMIN)
"""The REST port's page for Prometheus."""

ADMIN: dict[str, Group | None] = {
    "/": Group.ADMIN,
    "/api/status": Group.ADMIN,
    "/metrics": Group.ADMIN,
    "/healthz": None,
    "/readyz": None,
}
"""The admin port's pages by path. All that begins with ``/api/state`` belongs to the group state."""
