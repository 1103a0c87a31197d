"""target.py: texts and where their calls go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.target import destinations
from hotgraph_client.tls import Tls


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "http"),
    [
        ("127.0.0.1:8500", "127.0.0.1", 8500, "127.0.0.1:8500", False),
        ("models.example:443", "models.example", 443, "models.example:443", False),
        ("[::1]:8500", "::1", 8500, "[::1]:8500", False),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1%eth0]:1", False),
        ("http://127.0.0.1:8502", "127.0.0.1", 8502, "127.0.0.1:8502", True),
        ("http://[::1]:8502/", "::1", 8502, "[::1]:8502", True),
        ("http://models.example", "models.example", 80, "models.example", True),
        ("unix:/run/model.sock", "/run/model.sock", 0, "localhost", False),
        ("unix:///run/model.sock", "/run/model.sock", 0, "localhost", False),
        ("unix:model.sock", "model.sock", 0, "localhost", False),
    ],
)
def test_text_becomes_a_destination(text: str, host: str, port: int, authority: str, http: bool) -> None:
    (found,) = destinations(text)
    assert (found.host, found.port, found.authority, found.http) == (host, port, authority, http)
    assert found.tls is None


def test_https_is_encrypted_by_itself_and_grpc_when_told() -> None:
    assert destinations("https://models.example")[0] == destinations("https://models.example:443")[
        0
    ].__class__(
        "models.example",
        443,
        "models.example",
        True,
        Tls(),
        destinations("https://models.example")[0].headers,
    )
    tls = Tls(server_name="other")
    assert destinations("127.0.0.1:1", tls=tls)[0].tls is tls


def test_headers_go_with_every_call() -> None:
    key = ("authorization", "Bearer abc")
    assert destinations("127.0.0.1:1", headers=[key])[0].headers == (key,)
    assert key in destinations("http://127.0.0.1:1", headers=[key])[0].headers


def test_several_targets_keep_their_order() -> None:
    assert [one.port for one in destinations("a:1, b:2,a:3")] == [1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "host:", ":1", "host:0", "host:65536", "::1:8500", "[::1]", "ho st:1", "a:1,,b:2"),
        *("ftp://a:1", "grpc://a:1", "http://", "http://a:1/models", "http://u:p@a:1", "http://a:1?x=1"),
        *("unix:", "a:1,http://a:1", "a:1\n"),
    ],
)
def test_what_is_no_target_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        destinations(text.replace("\n", " x"))


def test_tls_settings_do_not_go_with_a_url_in_the_clear() -> None:
    with pytest.raises(ValueError, match="https://"):
        destinations("http://a:1", tls=Tls())


@given(st.text())
def test_any_text_is_a_target_or_a_value_error(text: str) -> None:
    try:
        found = destinations(text)
    except ValueError:
        return
    assert all(one.host and 0 <= one.port < 2**16 for one in found)
