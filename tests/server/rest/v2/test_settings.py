"""Settings of traces and of the log over HTTP: shown, changed, refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .serving import V2

LOG = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}

NO_BOOLEANS: tuple[object, ...] = (1, "true", None, [], {}, 1.5, -1, 2**32)
NO_INT32: tuple[object, ...] = (True, "1", 1.0, -1, 2**32, 2**70)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """What a test sets of the server's log is undone."""
    ours = logging.getLogger("hotgraph_server")
    before, handlers = ours.level, list(ours.handlers)
    ours.setLevel(logging.INFO)
    yield
    ours.setLevel(before)
    assert ours.handlers == handlers


class TestTrace:
    def test_everything_is_shown_in_strings(self, v2: V2, tmp_path: Path) -> None:
        shown = {
            "trace_level": ["OFF"],
            "trace_rate": "1000",
            "trace_count": "-1",
            "log_frequency": "0",
            "trace_file": str(tmp_path / "t"),
            "trace_mode": "triton",
        }
        for path in ("/v2/trace/setting", "/v2/models/m/trace/setting"):
            answer = v2.get(path)
            assert (answer.code, answer.json, list(answer.json)) == (200, shown, list(shown))

    def test_what_is_named_is_changed_and_null_forgets_it(self, v2: V2) -> None:
        change = {"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "7"}
        found = v2.post("/v2/trace/setting", change)
        assert found.code == 200
        assert {name: found.json[name] for name in change} == change
        of_model = v2.post("/v2/models/m/trace/setting", {"trace_rate": "9"}).json
        assert (of_model["trace_rate"], of_model["trace_level"]) == ("9", ["TIMESTAMPS", "TENSORS"])
        assert v2.get("/v2/trace/setting").json["trace_rate"] == "7"
        assert v2.post("/v2/models/m/trace/setting", {"trace_rate": None}).json["trace_rate"] == "7"
        assert v2.post("/v2/trace/setting", {"trace_rate": None}).json["trace_rate"] == "1000"

    @pytest.mark.parametrize(
        ("body", "code", "text"),
        [
            ({"trace_rate": "x"}, 400, "Unable to parse 'trace_rate', got: x"),
            (
                {"trace_rate": 5},
                400,
                "Unable to parse 'trace_rate': attempt to access JSON non-string as string",
            ),
            (
                {"trace_level": ["OFF", 1]},
                400,
                "Unable to parse 'trace_level': attempt to access JSON non-string",
            ),
            ({"trace_level": {}}, 400, "Unable to parse 'trace_level': attempt to access JSON non-string"),
            ({"trace_rate": ["1", "2"]}, 400, "expect only 1 value for 'trace_rate'"),
            ({"trace_colour": "x"}, 400, "unknown trace setting 'trace_colour'"),
            ({"trace_file": "/x"}, 501, "trace file location can not be updated through network protocol"),
            (b"", 400, "failed to parse the request JSON buffer: Input is a zero-length"),
            (b"5", 400, "failed to parse the request JSON buffer: attempt to get members for non-object"),
        ],
    )
    @pytest.mark.parametrize("path", ["/v2/trace/setting", "/v2/models/m/trace/setting"])
    def test_what_cannot_be_is_refused_and_changes_nothing(
        self, v2: V2, path: str, body: Any, code: int, text: str
    ) -> None:
        before = v2.get(path).json
        if isinstance(body, dict):
            body = {"trace_count": "5", **body}
        answer = v2.post(path, body)
        assert answer.code == code
        assert answer.error.startswith(text)
        assert v2.get(path).json == before

    @pytest.mark.parametrize("model", ["x", "coming"])
    def test_model_that_is_not_ready_has_none(self, v2: V2, model: str) -> None:
        path = f"/v2/models/{model}/trace/setting"
        for answer in (v2.get(path), v2.post(path, {"trace_rate": "1"})):
            assert (answer.code, answer.error) == (400, f"Request for unknown model : {model}")

    def test_version_has_none(self, v2: V2) -> None:
        assert v2.get("/v2/models/m/versions/3/trace/setting").code == 404


class TestLogging:
    def test_everything_is_shown_with_its_type(self, v2: V2) -> None:
        answer = v2.get("/v2/logging")
        assert (answer.code, answer.json, list(answer.json)) == (200, LOG, list(LOG))

    def test_what_is_named_is_changed_and_nothing_else(self, v2: V2) -> None:
        change = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
        assert v2.post("/v2/logging", change).json == {**LOG, **change}
        assert v2.get("/v2/logging").json == {**LOG, **change}
        back = {name: LOG[name] for name in change}
        assert v2.post("/v2/logging", back).json == LOG

    @pytest.mark.parametrize(
        ("body", "code", "text"),
        [
            *(({"log_info": wrong}, 400, "expect boolean for 'log_info'") for wrong in NO_BOOLEANS),
            *(
                ({"log_verbose_level": wrong}, 400, "expect int32 for 'log_verbose_level'")
                for wrong in NO_INT32
            ),
            ({"log_format": 1}, 400, "expect string for 'log_format'"),
            ({"log_format": "xml"}, 400, "invalid argument for log_format, got: xml"),
            ({"log_colour": 1}, 400, "unknown log setting 'log_colour'"),
            ({"log_file": "x"}, 501, "log file location can not be updated through network protocol"),
            (b"", 400, "failed to parse the request JSON buffer: Input is a zero-length"),
            (b'{"a": NaN, "\\ud800": 1}', 400, "Unable to parse '?': "),
            (b'{"log_format": "\\ud800", "a": NaN}', 400, "Unable to parse 'log_format': "),
            (b'{"log_info": tru}', 400, "failed to parse the request JSON buffer: "),
        ],
    )
    def test_what_cannot_be_is_refused_and_changes_nothing(
        self, v2: V2, body: Any, code: int, text: str
    ) -> None:
        if isinstance(body, dict):
            body = {"log_error": False, **body}
        answer = v2.post("/v2/logging", body)
        assert answer.code == code
        assert answer.error.startswith(text)
        assert v2.get("/v2/logging").json == LOG


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from(["trace_file", "log_file", "trace_level", "log_colour", "trace_mode", "log_format"])


@given(st.dictionaries(NAMES | st.text("ab"), VALUES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_values_are_more_than_a_wrong_request(v2: V2, body: dict[str, Any]) -> None:
    for path in ("/v2/trace/setting", "/v2/logging"):
        assert v2.post(path, body).code in ((200,) if not body else (200, 400, 501))
