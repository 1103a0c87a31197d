"""configs.py: what clients may say of traces, and under which code they hear that they may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, InvalidCall, Unsupported
from hotgraph_server.observability.tracing.configs import TraceConfig, at_start, read_change, shown
from hotgraph_server.settings import TraceSettings


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        ("OFF", set()),
        ("TIMESTAMPS", {"TIMESTAMPS"}),
        ("TENSORS", {"TENSORS"}),
        ("TIMESTAMPS,TENSORS", {"TIMESTAMPS", "TENSORS"}),
    ],
)
def test_settings_are_what_holds_at_the_start(level: str, levels: set[str]) -> None:
    settings = TraceSettings(trace_level=level, trace_rate=5, trace_count=7, trace_log_frequency=9)
    assert at_start(settings) == TraceConfig(frozenset(levels), rate=5, count=7, log_frequency=9)


def test_every_setting_is_shown_in_the_words_that_a_request_takes() -> None:
    config = TraceConfig(frozenset({"TENSORS", "TIMESTAMPS"}), rate=2, count=-1, log_frequency=3)
    said = shown(config, "traces.json")
    assert said == {
        "trace_level": ["TIMESTAMPS", "TENSORS"],
        "trace_rate": ["2"],
        "trace_count": ["-1"],
        "log_frequency": ["3"],
        "trace_file": ["traces.json"],
        "trace_mode": ["triton"],
    }
    change = read_change({name: said[name] for name in said if name not in ("trace_file", "trace_mode")})
    assert TraceConfig(**change) == config


def test_off_is_shown_as_off_and_read_as_nothing() -> None:
    assert shown(TraceConfig(), "")["trace_level"] == ["OFF"]
    assert read_change({"trace_level": ["OFF"]}) == {"level": frozenset()}


def test_name_without_a_value_is_to_be_forgotten() -> None:
    assert read_change({"trace_level": [], "trace_count": []}) == {"level": None, "count": None}


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        (
            {"trace_file": ["x"]},
            Unsupported,
            "trace file location can not be updated through network protocol",
        ),
        ({"trace_mode": ["x"]}, Unsupported, "trace mode can not be updated through network protocol"),
        ({"trace_rate": ["x"]}, InvalidCall, "Unable to parse 'trace_rate', got: x"),
        ({"trace_rate": [" 1"]}, InvalidCall, "Unable to parse 'trace_rate', got:  1"),
        ({"trace_rate": ["1_0"]}, InvalidCall, "Unable to parse 'trace_rate', got: 1_0"),
        ({"trace_rate": ["1", "2"]}, InvalidCall, "expect only 1 value for 'trace_rate'"),
        ({"trace_rate": ["-1"]}, InvalidCall, "Unable to parse 'trace_rate'. Expecting value >= 0, got: -1"),
        (
            {"trace_count": ["-2"]},
            InvalidCall,
            "Unable to parse 'trace_count'. Expecting value >= -1, got: -2",
        ),
        (
            {"log_frequency": ["99999999999"]},
            InvalidCall,
            "Unable to parse 'log_frequency', value is out of range [ 0, 2147483647 ], got: 99999999999",
        ),
        ({"trace_level": ["LOUD"]}, InvalidCall, "Unable to parse 'trace_level', got: LOUD"),
        (
            {"trace_level": ["OFF", "TENSORS"]},
            InvalidCall,
            "Expect only one trace level 'OFF' is specified",
        ),
        ({"trace_speed": ["1"]}, InvalidCall, "unknown trace setting 'trace_speed'"),
    ],
)
def test_what_cannot_be_is_refused(settings: Any, error: type[CallError], text: str) -> None:
    with pytest.raises(error) as raised:
        read_change(settings)
    assert str(raised.value).startswith(text)


@given(st.dictionaries(st.sampled_from(["trace_level", "trace_rate", "trace_count"]), st.lists(st.text())))
def test_whatever_is_said_is_taken_or_refused(settings: dict[str, list[str]]) -> None:
    try:
        change = read_change(settings)
    except InvalidCall:
        return
    assert len(change) == len(settings)
