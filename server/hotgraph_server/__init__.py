"""hotgraph: an inference server for TensorFlow models, one prebuilt graph per session, fed by batches.

    import hotgraph_server

    with hotgraph_server.serve("models/flowers") as server:
        print(server.address)

What is listed in `__all__` is for programs; all else is the server's own. Nothing is imported before one of
these names is used: TensorFlow takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotgraph_server.errors import SettingsError, StartError
    from hotgraph_server.program.serving import Server, serve

__all__ = ["Server", "SettingsError", "StartError", "serve"]

_HOMES = {
    "Server": "hotgraph_server.program.serving",
    "SettingsError": "hotgraph_server.errors",
    "StartError": "hotgraph_server.errors",
    "serve": "hotgraph_server.program.serving",
}


def __getattr__(name: str) -> object:
    # Here, so that this package has no names but its own.
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
