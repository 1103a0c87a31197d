"""From a request of /v2 to what answers it: path, access, state, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.access.groups import GRPC, Method
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import AccessDenied, ApiRestricted, CallError, Unauthenticated
from hotgraph_server.models.status import State
from hotgraph_server.rest.v2.management import TABLE
from hotgraph_server.rest.v2.paths import What

from ...protocols.fakes import Models
from ..fakes import request
from .serving import V2
from .test_paths import ENDPOINTS

EARLY = {
    What.SERVER_LIVE,
    What.SERVER_READY,
    What.MODEL_READY,
    What.SERVER_METADATA,
    What.INDEX,
    What.MODELS,
}
CALLS = {What.INFER, What.GENERATE, What.GENERATE_STREAM}
HOT = {*CALLS, What.INDEX, What.MODELS, What.LOAD, What.UNLOAD}


def test_every_endpoint_is_a_calls_or_in_the_table() -> None:
    assert set(What) == CALLS | TABLE.keys()
    assert not CALLS & TABLE.keys()


def test_every_method_of_the_table_is_the_services(v2: V2) -> None:
    methods = {row.method for row in TABLE.values()}
    assert methods <= v2.service.hot.keys() | v2.service.plain.keys()
    # These wait for their models where models are loaded on demand, and are hot then.
    may_wait = {"ModelMetadata", "ModelConfig"}
    assert {row.method for row in TABLE.values() if row.response is not None} == (
        methods & v2.service.hot.keys() | may_wait
    )
    # All that the service has can be asked for over HTTP, but for streams.
    assert v2.service.hot.keys() | v2.service.plain.keys() == methods | {"ModelInfer"}


@pytest.mark.parametrize(
    ("path", "model", "version"),
    [("m/infer", "m", ""), ("m/versions/3/infer", "m", "3"), ("a%2Fb/versions/03/generate", "a/b", "03")],
)
def test_calls_get_the_request_the_model_and_the_version(v2: V2, path: str, model: str, version: str) -> None:
    assert v2.post(f"/v2/models/{path}?x=1", b"{}", {"a": "b"}).code == 200
    ((asked, *named),) = v2.called
    assert named == [model, version]
    assert (asked.query, asked.headers) == ("x=1", {"a": "b"})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_is_answered_as_get(v2: V2, method: str) -> None:
    assert v2.ask(method, "/v2/health/ready").code == 200


def test_query_changes_nothing(v2: V2) -> None:
    assert v2.get("/v2/models/m/ready?version=99").code == 200


@pytest.mark.parametrize(
    ("method", "path", "code", "headers"),
    [
        ("GET", "/v2/nothing", 404, {}),
        ("POST", "/v2", 405, {"allow": "GET, HEAD"}),
        ("GET", "/v2/models/%FF", 400, {}),
    ],
)
def test_path_that_leads_nowhere_is_told_in_json(
    v2: V2, method: str, path: str, code: int, headers: dict[str, str]
) -> None:
    answer = v2.ask(method, path)
    assert answer.code == code
    assert answer.error
    assert headers.items() <= answer.headers.items()


class TestState:
    @pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
    def test_while_models_load_only_what_tells_how_it_is_answers(
        self, v2: V2, method: str, path: str, target: Any
    ) -> None:
        v2.state = State.LOADING
        answer = v2.ask(method, path)
        if target.what in EARLY:
            assert "the models are loading" not in answer.body.decode()
        else:
            assert (answer.code, answer.error) == (503, "the models are loading")

    @pytest.mark.parametrize("state", [State.DRAINING, State.CLOSED])
    @pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
    def test_server_that_stops_takes_no_calls_and_tells_how_it_is(
        self, v2: V2, method: str, path: str, target: Any, state: State
    ) -> None:
        v2.state = state
        answer = v2.ask(method, path)
        stopping = "Server is stopping: this server takes no more calls"
        if target.what in HOT:
            assert (answer.code, answer.error) == (503, stopping)
        else:
            assert stopping not in answer.body.decode()

    @pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
    def test_hot_calls_count_and_others_do_not(self, v2: V2, method: str, path: str, target: Any) -> None:
        if target.what not in CALLS:
            assert v2.api.endpoint(request(method, path)).limited == (target.what in HOT)


class TestAccess:
    @pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
    def test_each_is_of_the_group_and_protocol_of_its_method(
        self, models: Models, tmp_path: Path, method: str, path: str, target: Any
    ) -> None:
        asked: list[Method] = []

        def admit(of: Method, header: Header) -> CallError | None:
            asked.append(of)
            return None if header("key") == "k" else AccessDenied("g", closed=True)

        v2 = V2(models, tmp_path, admit=admit)
        assert v2.ask(method, path).code == 403
        v2.ask(method, path, headers={"key": "k"})
        name = "ModelInfer" if target.what in CALLS else TABLE[target.what].method
        assert asked == [GRPC[f"/inference.GRPCInferenceService/{name}"]] * 2

    def test_path_comes_first_and_then_access_and_then_state(self, models: Models, tmp_path: Path) -> None:
        v2 = V2(models, tmp_path, admit=lambda of, header: ApiRestricted("admin-key"))
        v2.state = State.LOADING
        assert v2.get("/v2/nothing").code == 404
        assert v2.get("/v2/logging").code == 403
        assert v2.get("/v2/logging").error == "This API is restricted, expecting header 'admin-key'"

    @pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
    def test_web_page_changes_nothing(self, v2: V2, method: str, path: str, target: Any) -> None:
        """Whatever site it is of: one whose name leads here is its own origin."""
        changes = method == "POST" and target.what not in {*CALLS, What.INDEX}
        for origin in ("http://evil.example", "http://127.0.0.1:8502", "null"):
            answer = v2.ask(method, path, headers={"origin": origin})
            assert (answer.code == 403) == changes
            assert not changes or "no web page may ask for this" in answer.error
        assert v2.control.asked == []

    def test_who_has_no_key_is_told_how_to_send_one(self, models: Models, tmp_path: Path) -> None:
        v2 = V2(models, tmp_path, admit=lambda of, header: Unauthenticated("infer", given=False))
        answer = v2.post("/v2/models/m/infer")
        assert (answer.code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert v2.called == []
