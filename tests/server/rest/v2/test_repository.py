"""The index, the list of what is served, loading and unloading over HTTP."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import ControlOff, Draining, LoadFailed
from hotgraph_server.models.status import IndexRow, State

from ..fakes import request
from .serving import MOST_BYTES, V2

ROWS = [
    IndexRow("a", 1, State.CLOSED, "unloaded"),
    IndexRow("a", 2, State.LIVE),
    IndexRow("b", 7, State.LOADING),
    IndexRow("c"),
    IndexRow("d", 1, State.DRAINING),
]


class TestIndex:
    def test_rows_hold_what_there_is_to_say(self, v2: V2) -> None:
        v2.control.rows = ROWS
        answer = v2.post("/v2/repository/index")
        assert answer.code == 200
        assert answer.json == [
            {"name": "a", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
            {"name": "a", "version": "2", "state": "READY"},
            {"name": "b", "version": "7", "state": "LOADING"},
            {"name": "c"},
            {"name": "d", "version": "1", "state": "UNLOADING"},
        ]

    @pytest.mark.parametrize(("body", "rows"), [({"ready": True}, 1), ({"ready": False}, 5), ({}, 5)])
    def test_ready_leaves_out_what_is_not(self, v2: V2, body: Any, rows: int) -> None:
        v2.control.rows = ROWS
        assert len(v2.post("/v2/repository/index", body).json) == rows

    def test_no_rows_are_an_empty_list(self, v2: V2) -> None:
        assert v2.post("/v2/repository/index").body == b"[]"

    def test_name_of_a_repository_says_nothing(self, v2: V2) -> None:
        v2.control.rows = ROWS
        assert v2.post("/v2/repository/r/index").json == v2.post("/v2/repository/index").json

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"{", "failed to parse the request JSON buffer: "),
            (b"[]", "failed to parse the request JSON buffer: attempt to get members for non-object"),
            (b'{"ready": 1}', "Unable to parse 'ready': attempt to access JSON non-boolean as boolean"),
            (b'{"ready": null}', "Unable to parse 'ready': attempt to access JSON non-boolean as boolean"),
        ],
    )
    def test_body_that_is_wrong_is_400(self, v2: V2, body: bytes, text: str) -> None:
        answer = v2.post("/v2/repository/index", body)
        assert answer.code == 400
        assert answer.error.startswith(text)

    def test_error_is_told(self, v2: V2) -> None:
        v2.control.rows = Draining("model control")
        assert v2.post("/v2/repository/index").code == 503


class TestModels:
    def test_what_is_served_comes_or_goes_is_listed_and_nothing_else(self, v2: V2) -> None:
        v2.control.rows = ROWS
        answer = v2.get("/v2/models")
        assert answer.code == 200
        assert answer.json == {
            "models": [
                {"name": "a", "version": "2", "state": "READY"},
                {"name": "b", "version": "7", "state": "LOADING"},
                {"name": "d", "version": "1", "state": "UNLOADING"},
            ]
        }

    def test_before_the_server_is_open_nothing_is_ready(self, v2: V2) -> None:
        v2.control.rows, v2.state = ROWS, State.LOADING
        assert {row["state"] for row in v2.get("/v2/models").json["models"]} == {"LOADING", "UNLOADING"}


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class TestLoad:
    @pytest.mark.parametrize("body", [b"", {}, {"parameters": {}}, {"unknown": 1}])
    def test_model_is_loaded_and_kserve_hears_it(self, v2: V2, body: Any) -> None:
        answer = v2.post("/v2/repository/models/m/load", body)
        assert (answer.code, answer.json) == (200, {"name": "m", "load": True})
        assert v2.control.asked == [("m", None, {})]

    def test_configuration_and_files_come_with_the_request(self, v2: V2) -> None:
        parameters = {"config": '{"name": "m"}', "file:1/a": in_base64(b"\0\xff"), "file:../b": ""}
        assert v2.post("/v2/repository/models/m/load", {"parameters": parameters}).code == 200
        assert v2.control.asked == [("m", '{"name": "m"}', {"file:1/a": b"\0\xff", "file:../b": b""})]

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            (1, "Unable to parse 'parameters': attempt to access JSON non-object as object"),
            ({"config": {}}, "Unable to parse 'config': attempt to access JSON non-string as string"),
            ({"file:1/a": 5}, "Unable to parse 'file:1/a': attempt to access JSON non-string as string"),
            ({"file:1/a": "a"}, "load parameter 'file:1/a' is no base64: "),
            ({"file:1/a": "YQ==\n"}, "load parameter 'file:1/a' is no base64: "),
            ({"file:1/a": "é"}, "load parameter 'file:1/a' is no base64: "),
            ({"other": "x"}, "unrecognized load parameter 'other'."),
            ({"x" * 10_000: 1}, f"Unable to parse '{'x' * 100}': "),
        ],
    )
    def test_parameters_that_are_wrong_are_400_and_load_nothing(
        self, v2: V2, parameters: Any, text: str
    ) -> None:
        answer = v2.post("/v2/repository/models/m/load", {"parameters": parameters})
        assert answer.code == 400
        assert answer.error.startswith(text)
        assert v2.control.asked == []

    def test_body_may_be_as_large_as_a_models_files(self, v2: V2) -> None:
        files = {"parameters": {"file:1/a": in_base64(bytes(2 * 2**20))}}
        assert v2.post("/v2/repository/models/m/load", files).code == 200

    @given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.binary()))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_every_file_arrives_as_it_is(self, v2: V2, files: dict[str, bytes]) -> None:
        v2.control.asked.clear()
        body = {"parameters": {f"file:{name}": in_base64(data) for name, data in files.items()}}
        assert v2.post("/v2/repository/models/m/load", body).code == 200
        assert v2.control.asked == [("m", None, {f"file:{name}": data for name, data in files.items()})]


class TestUnload:
    @pytest.mark.parametrize("body", [b"", {}, {"parameters": {"unload_dependents": True}}])
    def test_model_is_unloaded_and_kserve_hears_it(self, v2: V2, body: Any) -> None:
        answer = v2.post("/v2/repository/models/m/unload", body)
        assert (answer.code, answer.json) == (200, {"name": "m", "unload": True})
        assert v2.control.asked == [("m",)]

    def test_dependents_of_another_type_are_refused(self, v2: V2) -> None:
        answer = v2.post("/v2/repository/models/m/unload", {"parameters": {"unload_dependents": "yes"}})
        assert (answer.code, answer.error) == (
            400,
            "invalid value type for 'unload_dependents', expected bool_param.",
        )
        assert v2.post("/v2/repository/models/m/unload", {"parameters": {"a": None}}).code == 400
        assert v2.control.asked == []


@pytest.mark.parametrize("what", ["load", "unload"])
class TestBoth:
    def test_failure_is_500_with_tritons_words(self, v2: V2, what: str) -> None:
        v2.control.error = LoadFailed("nope", "failed to poll from model repository")
        answer = v2.post(f"/v2/repository/models/nope/{what}")
        assert (answer.code, answer.error) == (
            500,
            "failed to load 'nope', failed to poll from model repository",
        )

    def test_where_no_caller_may_it_is_503(self, v2: V2, what: str) -> None:
        v2.control.refusal = ControlOff()
        answer = v2.post(f"/v2/repository/models/m/{what}")
        assert (answer.code, answer.error) == (
            503,
            "explicit model load / unload is not allowed if polling is enabled",
        )

    def test_name_that_no_message_can_carry_is_refused(self, v2: V2, what: str) -> None:
        answer = v2.post(f"/v2/repository/models/m/{what}", b'{"a": NaN, "parameters": {"\\ud800": "x"}}')
        assert answer.code == 400
        assert "is no valid Unicode" in answer.error

    def test_repository_cannot_be_named(self, v2: V2, what: str) -> None:
        answer = v2.post(f"/v2/repository/r/models/m/{what}")
        assert (answer.code, answer.error) == (501, "'repository_name' specification is not supported")
        assert v2.control.asked == []

    def test_name_is_decoded_once(self, v2: V2, what: str) -> None:
        v2.post(f"/v2/repository/models/a%2Fb%2525/{what}")
        assert v2.control.asked[0][0] == "a/b%25"

    @given(body=st.binary())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_bytes_are_more_than_a_wrong_request(self, v2: V2, what: str, body: bytes) -> None:
        answer = v2.post(f"/v2/repository/models/m/{what}", body)
        # Bytes that Hypothesis finds are no object, but for a few; a byte order mark is passed over.
        sent = body.removeprefix(b"\xef\xbb\xbf")
        assert answer.code == 400 or sent.strip().startswith(b"{") or not sent


def test_only_loading_takes_large_bodies(v2: V2) -> None:
    def most(path: str) -> int:
        return v2.api.endpoint(request("POST", path)).most_bytes

    assert most("/v2/repository/models/m/load") == MOST_BYTES
    for path in ("repository/models/m/unload", "repository/index", "logging", "trace/setting"):
        assert most(f"/v2/{path}") == 2**20
