"""trace_config.py: what Triton's flag means here."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import OtlpSettings, TraceSettings, build, fields_of
from hotgraph_server.settings.trace_config import settings_of

TO_COLLECTOR = {"otlp_endpoint": "http://localhost:4318", "otlp_sampling": 0.001, "otlp_metrics": False}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], {}),
        (["file=/t.json"], {"trace_file": "/t.json"}),
        (
            ["triton,file=/t.json", "triton,log-frequency=50"],
            {"trace_file": "/t.json", "trace_log_frequency": 50},
        ),
        (["rate=100", "count=-1"], {"trace_rate": 100, "trace_count": -1}),
        (["level=TIMESTAMPS"], {"trace_level": "TIMESTAMPS"}),
        (["level=TENSORS", "level=TIMESTAMPS"], {"trace_level": "TIMESTAMPS,TENSORS"}),
        (["level=TIMESTAMPS,TENSORS"], {"trace_level": "TIMESTAMPS,TENSORS"}),
        (["mode=opentelemetry"], TO_COLLECTOR),
        (
            ["mode=opentelemetry", "opentelemetry,url=http://c:4318/v1/traces", "level=TIMESTAMPS"],
            {**TO_COLLECTOR, "otlp_endpoint": "http://c:4318"},
        ),
        (["mode=opentelemetry", "rate=4", "count=-1"], {**TO_COLLECTOR, "otlp_sampling": 0.25}),
        (["mode=opentelemetry,rate=0"], {**TO_COLLECTOR, "otlp_sampling": 0.0}),
        (["mode=opentelemetry,level=OFF"], {**TO_COLLECTOR, "otlp_sampling": 0.0}),
        (
            ["mode=opentelemetry,url=http://c:4318,resource=service.name=a,resource=b=c"],
            {**TO_COLLECTOR, "otlp_endpoint": "http://c:4318", "otlp_resource": ["service.name=a", "b=c"]},
        ),
        # What is said of the other mode holds for that alone.
        (["triton,file=/t.json", "mode=opentelemetry"], TO_COLLECTOR),
        (["opentelemetry,url=http://c", "rate=7"], {"trace_rate": 7}),
    ],
)
def test_words_are_settings(words: list[str], found: dict[str, Any]) -> None:
    assert settings_of(words) == found
    build(TraceSettings, found)
    build(OtlpSettings, found)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["mode=zipkin"], "mode=zipkin: there are triton, opentelemetry"),
        (["nonsense"], "no KEY=VALUE"),
        (["rate=often"], "rate=often: not a whole number"),
        (["speed=3"], "mode triton has file"),
        (["mode=opentelemetry", "count=5"], "count=5 means nothing"),
        (["mode=opentelemetry", "level=TENSORS"], "spans hold no tensors"),
        (["mode=opentelemetry,bsp_schedule_delay=5"], "set OTEL_BSP_SCHEDULE_DELAY"),
    ],
)
def test_what_means_nothing_is_one_line(words: list[str], why: str) -> None:
    with pytest.raises(SettingsError, match=f"^--trace-config .*{why}"):
        settings_of(words)


@given(st.lists(st.text(max_size=40)))
def test_no_words_are_too_odd(words: list[str]) -> None:
    with contextlib.suppress(SettingsError):
        assert set(settings_of(words)) <= {field.name for field in fields_of(TraceSettings, OtlpSettings)}
