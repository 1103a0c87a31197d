"""http/route.py: URLs and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from hotgraph_client import Tls
from hotgraph_client.http.route import HttpRoute, HttpServer, is_url, plan_http_route


def route(address: Any, **settings: Any) -> HttpRoute:
    return plan_http_route(address, **{"retries": 3, "tls": None, "headers": (), **settings})


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://h:8000", HttpServer("h", 8000, "", "h:8000")),
        ("http://h", HttpServer("h", 80, "", "h")),
        ("https://h", HttpServer("h", 443, "", "h")),
        ("HTTP://h:1/", HttpServer("h", 1, "", "h:1")),
        ("http://h:1/a/b%20c/", HttpServer("h", 1, "/a/b%20c", "h:1")),
        ("http://[::1]:8502", HttpServer("::1", 8502, "", "[::1]:8502")),
    ],
)
def test_url_says_host_port_and_what_stands_before_the_paths(url: str, server: HttpServer) -> None:
    assert route(url).servers == (server,)
    assert is_url(url)
    assert route(url).secure is url.startswith("https")


def test_several_urls_are_several_servers_and_one_that_comes_twice_is_one() -> None:
    planned = route(["http://a:1", "http://b:2", "http://a:1/"])
    assert [server.host for server in planned.servers] == ["a", "b"]
    assert planned.address == "http://a:1, http://b:2, http://a:1/"


@pytest.mark.parametrize("address", ["h:1", "unix:/http://x", "grpc://h:1", "", [], ["h:1", "httpx://h:2"]])
def test_what_is_no_url_of_http_is_left_to_grpc(address: Any) -> None:
    assert not is_url(address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://", "expected http://HOST:PORT"),
        ("http://:80", "expected http://HOST:PORT"),
        ("http://h:0", "expected http://HOST:PORT"),
        ("http://h:70000", "no URL"),
        ("http://h:x", "no URL"),
        ("http://[::1", "no URL"),
        ("http://a..b", "no URL"),
        ("http://h/?q=1", "nothing but a path"),
        ("http://h/#there", "nothing but a path"),
        ("http://h/a b", "nothing but a path"),
        ("http://h/\r\nx: y", "nothing but a path"),
        (["http://a", "https://b"], "either all are"),
        (["http://a", "b:1"], "either all addresses are URLs, or all are HOST:PORT"),
    ],
)
def test_url_that_cannot_work_is_refused_with_a_reason(address: Any, why: str) -> None:
    assert is_url(address)
    with pytest.raises(ValueError, match=why):
        route(address)


def test_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="user name") as refused:
        route("http://me:secret@h:1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"tls": Tls()}, "TLS settings go with https"),
        ({"retries": 5}, "retries must be 0 to 4"),
        ({"channel_options": [("grpc.x", 1)]}, "channel_options are gRPC's"),
        ({"headers": [("x y", "v")]}, "header 'x y' cannot be sent"),
        ({"headers": [("x", "v\r\ny: z")]}, "header 'x' cannot be sent"),
        ({"headers": [("x", "\u20ac")]}, "header 'x' cannot be sent"),
        ({"headers": [("content-length", "3")]}, "the client's own"),
    ],
)
def test_setting_that_does_not_go_with_a_url_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        route("http://h:1", **settings)


def test_another_name_of_a_certificate_is_the_servers_name() -> None:
    (server,) = route("https://10.0.0.1:443", tls=Tls(server_name="model.example")).servers
    assert (server.host, server.authority) == ("10.0.0.1", "model.example")


def test_client_says_who_it_is_unless_the_caller_does() -> None:
    assert dict(route("http://h:1").headers)["user-agent"].startswith("hotgraph-client/")
    assert route("http://h:1", headers=[("user-agent", "me")]).headers == (("user-agent", "me"),)
