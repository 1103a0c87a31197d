"""gRPC's arguments of a channel as settings. What becomes of sizes and compression: test_to_settings.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.commands.tensorflow_model_server.channel_arguments import settings, without_meaning
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import ListenSettings

TIMES = {
    "grpc.max_connection_age_ms": "max_connection_age_s",
    "grpc.max_connection_age_grace_ms": "max_connection_age_grace_s",
    "grpc.max_connection_idle_ms": "max_connection_idle_s",
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    ("given_ms", "expected_s"),
    [
        ("1", 0.001),
        ("600000", 600.0),
        # For ever: gRPC's largest number, and what is no time.
        ("2147483647", 0.0),
        ("0", 0.0),
        ("-1", 0.0),
    ],
)
def test_times_of_connections_are_grpcs_milliseconds(name: str, given_ms: str, expected_s: float) -> None:
    found = settings(f"{name}={given_ms}")
    assert found[TIMES[name]] == expected_s
    ListenSettings(**found)


def test_what_is_not_given_is_left_to_the_defaults() -> None:
    assert not set(TIMES.values()) & set(settings(""))


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "99999999999", "\u0661"])
def test_what_is_no_number_of_milliseconds_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"grpc\.max_connection_age_ms must be a number of milliseconds"):
        settings(f"grpc.max_connection_age_ms={text}")


def test_arguments_that_count_for_nothing_are_named_in_their_order() -> None:
    given = ",".join(f"{name}=1" for name in ("b", *TIMES, "grpc.keepalive_time_ms"))
    assert without_meaning(given) == ["b", "grpc.keepalive_time_ms"]


@given(st.text())
def test_any_text_is_settings_or_an_error(text: str) -> None:
    try:
        ListenSettings(**settings(text))
    except SettingsError:
        return
    without_meaning(text)
