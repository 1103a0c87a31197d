"""channel.py: addresses, options and TLS settings; TLS itself against a server in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from hotgraph_client import Tls, Unreachable
from hotgraph_client.channel import Route, plan_route

from .fake_inference_server import FakeServer

Connect = Callable[..., Any]

HOSTS = {
    "four": [(False, "10.0.0.4")],
    "both": [(True, "fd00::1"), (False, "10.0.0.1")],
    "many": [(False, "10.0.0.2"), (False, "10.0.0.3"), (False, "10.0.0.2")],
    "six": [(True, "fd00::6")],
}


def route(address: Any, *, retries: int = 3, tls: Tls | None = None, **settings: Any) -> Route:
    return plan_route(address, retries=retries, tls=tls, resolve=lambda host, port: HOSTS[host], **settings)


@pytest.mark.parametrize(
    "address", ["h:1", "127.0.0.1:8500", "[::1]:8500", "unix:/run/model.sock", "dns:///h:1", "ipv4:1.2.3.4:5"]
)
def test_single_address_goes_to_grpc_as_it_is(address: str) -> None:
    assert route(address).target == address
    assert route([address]).target == address


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        (["four:1", "both:2"], "ipv4:10.0.0.4:1,10.0.0.1:2"),
        (["six:1", "both:2"], "ipv6:[fd00::6]:1,[fd00::1]:2"),
        (["many:1", "four:1"], "ipv4:10.0.0.2:1,10.0.0.3:1,10.0.0.4:1"),
        (["both:1", "both:2"], "ipv4:10.0.0.1:1,10.0.0.1:2"),
    ],
)
def test_several_names_become_addresses_of_one_family(addresses: list[str], target: str) -> None:
    assert route(addresses).target == target


def test_several_addresses_call_themselves_by_the_first() -> None:
    """A proxy routes by this name, and a list with commas is none."""
    assert ("grpc.default_authority", "four:1") in route(["four:1", "both:2"]).options


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("localhost", "expected HOST:PORT"),
        (":8500", "expected HOST:PORT"),
        ("h:", "expected HOST:PORT"),
        ("h:0", "expected HOST:PORT"),
        ("h:70000", "expected HOST:PORT"),
        ("h:x", "expected HOST:PORT"),
        ("", "expected HOST:PORT"),
        ("http://h:1", "without http://"),
        ("::1:8500", "brackets"),
        ([], "no address"),
        (["four:1", "unix:/x"], "unix:/x"),
        (["four:1", "six:1"], "IPv4 and some only an IPv6"),
    ],
)
def test_address_that_cannot_work_is_refused_with_a_reason(address: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        route(address)


def test_unknown_host_among_several_is_named() -> None:
    # .invalid is kept free of hosts by RFC 2606
    with pytest.raises(Unreachable, match=r"host 'nobody\.invalid' is unknown"):
        plan_route(["127.0.0.1:1", "nobody.invalid:2"], retries=3, tls=None)


def test_retries_are_attempts_less_one_and_only_for_unavailable() -> None:
    config = json.loads(dict(route("h:1", retries=4).options)["grpc.service_config"])
    policy = config["methodConfig"][0]["retryPolicy"]
    assert policy["maxAttempts"] == 5
    assert policy["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert "methodConfig" not in json.loads(dict(route("h:1", retries=0).options)["grpc.service_config"])


@pytest.mark.parametrize("retries", [-1, 5, 1.5, True, None])
def test_number_of_retries_that_grpc_would_bend_is_refused(retries: Any) -> None:
    with pytest.raises(ValueError, match="retries must be 0 to 4"):
        route("h:1", retries=retries)


def test_options_of_the_caller_are_stronger() -> None:
    options = route("h:1", channel_options=[("grpc.max_send_message_length", 5), ("grpc.x", 1)]).options
    assert [value for key, value in options if key == "grpc.max_send_message_length"] == [5]
    assert ("grpc.x", 1) in options


PEM = b"-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"private_key": PEM}, "belong together"),
        ({"certificate_chain": PEM}, "belong together"),
        ({"root_certificates": "/etc/ca.pem"}, "from_files takes paths"),
        ({"root_certificates": b"/etc/ca.pem"}, "from_files takes paths"),
    ],
)
def test_tls_settings_that_cannot_work_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Tls(**settings)


def test_key_is_not_shown() -> None:
    assert "SECRET" not in repr(Tls(private_key=PEM + b"SECRET", certificate_chain=PEM))


def test_several_hosts_behind_tls_need_a_common_name() -> None:
    with pytest.raises(ValueError, match="server_name"):
        route(["four:1", "both:1"], tls=Tls())
    assert ("grpc.ssl_target_name_override", "n") in route(
        ["four:1", "both:1"], tls=Tls(server_name="n")
    ).options
    assert ("grpc.ssl_target_name_override", "four") in route(["four:1", "four:2"], tls=Tls()).options


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_credentials(
    authority: trustme.CA, name: str, clients: trustme.CA | None = None
) -> grpc.ServerCredentials:
    issued = authority.issue_cert(name)
    return grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems))],
        None if clients is None else clients.cert_pem.bytes(),
        clients is not None,
    )


def test_server_signed_by_a_trusted_authority_is_called(connect: Connect, authority: trustme.CA) -> None:
    with FakeServer(credentials=server_credentials(authority, "127.0.0.1")) as server:
        assert connect(server.address, tls=Tls(authority.cert_pem.bytes())).server_metadata().name == "fake"


def test_server_signed_by_another_authority_is_not(connect: Connect, authority: trustme.CA) -> None:
    with FakeServer(credentials=server_credentials(authority, "127.0.0.1")) as server:
        client = connect(server.address, tls=Tls(trustme.CA().cert_pem.bytes()), retries=0)
        with pytest.raises(Unreachable):
            client.server_metadata()
    assert server.requests == []


def test_plain_client_does_not_get_through_to_a_tls_server(connect: Connect, authority: trustme.CA) -> None:
    with FakeServer(credentials=server_credentials(authority, "127.0.0.1")) as server:
        client = connect(server.address, retries=0)
        with pytest.raises(Unreachable):
            client.server_metadata()
    assert server.requests == []


def test_certificate_of_another_name_needs_to_be_asked_for(connect: Connect, authority: trustme.CA) -> None:
    roots = authority.cert_pem.bytes()
    with FakeServer(credentials=server_credentials(authority, "model.example")) as server:
        with pytest.raises(Unreachable):
            connect(server.address, tls=Tls(roots), retries=0).server_metadata()
        client = connect(server.address, tls=Tls(roots, server_name="model.example"))
        assert client.server_metadata().name == "fake"


def test_tls_to_several_ports_of_one_host(connect: Connect, authority: trustme.CA) -> None:
    credentials = server_credentials(authority, "127.0.0.1")
    with FakeServer(credentials=credentials) as one, FakeServer(credentials=credentials) as other:
        client = connect([one.address, other.address], tls=Tls(authority.cert_pem.bytes()))
        while not (one.requests and other.requests):
            client.server_metadata()


def test_server_that_asks_for_a_certificate_gets_it_from_files(
    connect: Connect, authority: trustme.CA, tmp_path: Path
) -> None:
    ours = authority.issue_cert("client.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = Tls.from_files(tmp_path / "ca.pem", tmp_path / "key.pem", str(tmp_path / "cert.pem"))
    with FakeServer(credentials=server_credentials(authority, "127.0.0.1", clients=authority)) as server:
        assert connect(server.address, tls=tls).server_metadata().name == "fake"
        with pytest.raises(Unreachable):
            connect(server.address, tls=Tls(authority.cert_pem.bytes()), retries=0).server_metadata()
