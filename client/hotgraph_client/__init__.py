"""Client of a hotgraph server, or of any server of the Open Inference Protocol: numpy in, numpy out.

Names are loaded when they are first asked for: gRPC alone takes a fifth of a second, and `hotgraph loadtest`
starts processes that need none of it.
"""

import importlib
from typing import TYPE_CHECKING

from hotgraph_protos.version import __version__

if TYPE_CHECKING:
    from .aio import AsyncClient
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
    from .model_header import MODEL_HEADER
    from .model_interceptor import async_model_header_interceptors, model_header_interceptor
    from .tls import Tls

__all__ = [
    "MODEL_HEADER",
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
    "async_model_header_interceptors",
    "model_header_interceptor",
]

_HOMES = {
    "aio": ("AsyncClient",),
    "client": ("Client",),
    "descriptions": (
        *("BatchStatistics", "ModelMetadata", "ModelStatistics"),
        *("ServerMetadata", "TensorMetadata", "Timing"),
    ),
    "errors": (
        *("AccessDenied", "Busy", "Cancelled", "HotgraphError", "InvalidCall"),
        *("NotFound", "ServerFault", "TooLate", "Unreachable"),
    ),
    "model_header": ("MODEL_HEADER",),
    "model_interceptor": ("async_model_header_interceptors", "model_header_interceptor"),
    "tls": ("Tls",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
