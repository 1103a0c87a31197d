"""Requests about a model that is not here are another's only if they may be made, and are about one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from hotgraph_server.errors import AccessDenied, CallError
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.protocols.tfs import prediction, status
from hotgraph_server.protocols.v2.service import service as v2_service
from hotgraph_server.rest.tfs.api import TfsApi
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.rest.v2.api import V2Http
from hotgraph_server.rest.v2.paths import What
from hotgraph_server.transport.http import Endpoint, Request

from .fakes import request
from .serving import Statuses

MOST_BYTES = 1000
CALLS = (What.INFER, What.GENERATE, What.GENERATE_STREAM)

SENT_ON = [
    ("POST", "/v2/models/m/infer"),
    ("POST", "/v2/models/m/versions/3/infer"),
    ("POST", "/v2/models/m/generate"),
    ("GET", "/v2/models/m"),
    ("GET", "/v2/models/m/config"),
    ("GET", "/v2/models/m/ready"),
    ("GET", "/v2/models/m/stats"),
    ("POST", "/v1/models/m:predict"),
    ("POST", "/v1/models/m/labels/l:classify"),
    ("GET", "/v1/models/m"),
    ("GET", "/v1/models/m/metadata"),
]
ANSWERED_HERE = [
    ("POST", "/v2/models/m/generate_stream"),
    ("POST", "/v2/repository/models/m/unload"),
    ("POST", "/v2/models/m/trace/setting"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2"),
    ("GET", "/v1/models"),
]


def here(request: Request, model: str, version: str) -> Endpoint:
    return Endpoint(lambda body, reply: None, MOST_BYTES)


class Elsewhere:
    """Another server that has every model.

    Attributes:
        asked: for which.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.state = State.LIVE
        self.refusal: CallError | None = None
        self.there: Endpoint | None = Endpoint(lambda body, reply: None, 7)

    def endpoint(self, method: str, path: str) -> Endpoint:
        """What is done with a request by the API of its path."""
        registry = Registry()
        admit: Callable[..., CallError | None] = lambda method, header: self.refusal  # noqa: E731
        inference = v2_service(registry, lambda: True)
        methods = Methods(
            registry, prediction.service(registry), status.service(Statuses(registry), lambda _: None, None)
        )
        state = functools.partial(getattr, self, "state")
        apis: dict[str, Any] = {
            "/v1": TfsApi(methods, state, admit, MOST_BYTES, elsewhere=self),
            "/v2": V2Http(inference, dict.fromkeys(CALLS, here), state, MOST_BYTES, admit, elsewhere=self),
        }
        found: Endpoint = apis[path[:3]].endpoint(request(method, path))
        return found

    def __call__(self, request: Request, model: str) -> Endpoint | None:
        self.asked.append(model)
        return self.there


@pytest.mark.parametrize(("method", "path"), SENT_ON)
def test_what_is_about_one_model_is_asked_for_elsewhere(method: str, path: str) -> None:
    elsewhere = Elsewhere()
    assert elsewhere.endpoint(method, path) is elsewhere.there
    assert elsewhere.asked == ["m"]


@pytest.mark.parametrize(("method", "path"), ANSWERED_HERE)
def test_what_is_not_is_answered_here(method: str, path: str) -> None:
    elsewhere = Elsewhere()
    assert elsewhere.endpoint(method, path) is not elsewhere.there


def test_what_is_not_elsewhere_is_answered_here() -> None:
    elsewhere = Elsewhere()
    elsewhere.there = None
    assert elsewhere.endpoint("POST", "/v2/models/m/infer").most_bytes == MOST_BYTES
    assert elsewhere.endpoint("POST", "/v1/models/m:predict").most_bytes == MOST_BYTES


@pytest.mark.parametrize(("method", "path"), SENT_ON)
def test_who_may_not_ask_here_has_nothing_asked_for_elsewhere(method: str, path: str) -> None:
    elsewhere = Elsewhere()
    elsewhere.refusal = AccessDenied("infer", closed=False)
    with pytest.raises(AccessDenied):
        elsewhere.endpoint(method, path)
    assert not elsewhere.asked


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v1/models/m:predict"])
@pytest.mark.parametrize("state", [State.LOADING, State.DRAINING])
def test_a_server_that_takes_no_calls_hands_none_on(state: State, path: str) -> None:
    elsewhere = Elsewhere()
    elsewhere.state = state
    with pytest.raises(CallError):
        elsewhere.endpoint("POST", path)
    assert not elsewhere.asked
