"""log.py and otlp.py: what these settings take."""

from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import LoggingSettings, OtlpSettings


def test_levels_are_by_logger_and_the_one_without_a_name_is_for_all() -> None:
    found = LoggingSettings(log_level="batching=DEBUG, warning,").levels
    assert found == {"batching": logging.DEBUG, "": logging.WARNING}
    assert LoggingSettings().levels == {}


@pytest.mark.parametrize("text", ["loud", "batching=", "=info", "batching:debug", "info=batching"])
def test_level_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="log-level must be"):
        LoggingSettings(log_level=text)


@given(st.text())
def test_no_level_is_too_odd(text: str) -> None:
    with contextlib.suppress(SettingsError):
        assert all(level in range(10, 51) for level in LoggingSettings(log_level=text).levels.values())


@pytest.mark.parametrize("lines", [-1, 10_001])
def test_lines_of_failed_calls_have_bounds(lines: int) -> None:
    with pytest.raises(SettingsError, match="log-failed-calls"):
        LoggingSettings(log_failed_calls=lines)


@pytest.mark.parametrize("url", ["collector:4318", "grpc://c:4317", "http://", "http://c:x", "http://[c"])
def test_endpoint_is_a_url_of_http(url: str) -> None:
    with pytest.raises(SettingsError, match="otlp-endpoint must be http"):
        OtlpSettings(otlp_endpoint=url)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_is_one(share: float) -> None:
    with pytest.raises(SettingsError, match="otlp-sampling must be 0 to 1"):
        OtlpSettings(otlp_sampling=share)


def test_attributes_are_pairs() -> None:
    assert OtlpSettings(otlp_resource=("a=b", "c=d=e")).resource == {"a": "b", "c": "d=e"}
    with pytest.raises(SettingsError, match="otlp-resource must be NAME=VALUE"):
        OtlpSettings(otlp_resource=("a",))
