"""All faults of values at once, though making the settings tells of one alone."""

from __future__ import annotations

from typing import Any

import pytest

from hotgraph_server.settings import BatchSettings, ListenSettings, RestSettings
from hotgraph_server.settings.faults import faults_of, keys_in


def keys(owner: type, values: dict[str, Any]) -> list[str]:
    return [key for key, _ in faults_of(owner, values)]


def test_what_is_right_has_none() -> None:
    assert not keys(ListenSettings, {"port": 1, "drain_s": 2, "not_its_own": "x"})


def test_each_fault_is_told_with_its_key() -> None:
    values = {"port": 70_000, "drain_s": -1, "max_calls": 0, "lead": "auto", "max_metadata_kb": 65}
    assert sorted(keys(ListenSettings, values)) == ["drain_s", "max_calls", "max_metadata_kb", "port"]


def test_fault_of_two_that_do_not_go_together_is_one() -> None:
    found = dict(
        faults_of(BatchSettings, {"max_wait_us": 5000, "default_timeout_ms": 1, "max_batch_rows": 0})
    )
    assert set(found) == {"max_wait_us", "max_batch_rows"}
    assert "default-timeout-ms" in found["max_wait_us"]


def test_fault_that_no_value_given_is_to_blame_for_ends_the_search() -> None:
    ((key, text),) = faults_of(ListenSettings, {"socket_only": True})
    assert (key, text) == ("socket_only", "socket-only needs a socket-path")
    assert keys(RestSettings, {"rest_port": "x"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rest-port and port must differ", ["rest_port", "port"]),
        ("admin_port is one", ["admin_port"]),
        ("ports and support", []),
    ],
)
def test_keys_are_found_as_whole_words_in_their_order(text: str, found: list[str]) -> None:
    assert keys_in(text, ["port", "rest_port", "admin_port"]) == found
