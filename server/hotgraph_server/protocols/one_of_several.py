"""The services of a server that is one of several processes: what would change that one alone is refused.

A call reaches one process, and no caller chooses which. So what is served, traced and logged is changed by
the configuration, which all of them read.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hotgraph_server.errors import Unsupported
from hotgraph_server.transport.service import HotMethod, PlainMethod, Reply, Service

_MODELS = frozenset({"RepositoryModelLoad", "RepositoryModelUnload", "HandleReloadConfigRequest"})
_SETTINGS = frozenset({"TraceSetting", "LogSettings"})
_WHY = "it would hold for one of several processes; a server started with --processes 1 takes it"


def without_changes(service: Service) -> Service:
    """The same service, in which requests that change something are refused, and those that ask how it is are
    answered."""
    hot: dict[str, HotMethod] = dict.fromkeys(service.hot.keys() & _MODELS, _refuse)
    plain = {name: _asking_only(service.plain[name]) for name in service.plain.keys() & _SETTINGS}
    return dataclasses.replace(service, hot={**service.hot, **hot}, plain={**service.plain, **plain})


def _refuse(message: object, reply: Reply) -> None:
    raise Unsupported(f"which models are served is not changed by calls here: {_WHY}")


def _asking_only(method: PlainMethod) -> PlainMethod:
    def answer(request: Any) -> Any:
        if request.settings:
            raise Unsupported(f"settings are not changed by calls here: {_WHY}")
        return method.answer(request)

    return PlainMethod(method.request, answer)
