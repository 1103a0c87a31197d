"""Client of a hotgraph server, or of any server of the Open Inference Protocol: numpy in, numpy out."""

from hotgraph_protos.version import __version__

from .aio import AsyncClient
from .channel import Tls
from .client import Client
from .descriptions import (
    BatchStatistics,
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
    TensorMetadata,
    Timing,
)
from .errors import (
    AccessDenied,
    Busy,
    Cancelled,
    HotgraphError,
    InvalidCall,
    NotFound,
    ServerFault,
    TooLate,
    Unreachable,
)

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "BatchStatistics",
    "Busy",
    "Cancelled",
    "Client",
    "HotgraphError",
    "InvalidCall",
    "ModelMetadata",
    "ModelStatistics",
    "NotFound",
    "ServerFault",
    "ServerMetadata",
    "TensorMetadata",
    "Timing",
    "Tls",
    "TooLate",
    "Unreachable",
    "__version__",
]
