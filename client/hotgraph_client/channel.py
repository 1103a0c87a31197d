"""Where the calls go: addresses, TLS, retries and load balancing, as a gRPC target and its options.

Calls that end UNAVAILABLE are sent again by gRPC itself, `retries` times at most, after about 0.1, 0.2
and 0.4 s, all within the call's own deadline. A server that refuses for load (RESOURCE_EXHAUSTED) is not
asked again: that would make its load worse. Several addresses, and all addresses behind one DNS name,
take turns call by call; one that is down is left out until it is back.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hotgraph_protos.version import __version__

from .errors import Unreachable
from .tls import Tls as Tls

DEFAULT_ADDRESS = "127.0.0.1:8500"

# gRPC takes five attempts at most and cuts anything above down without a word
MAX_RETRIES = 4

_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")

ChannelOption = tuple[str, Any]


@dataclass(frozen=True)
class Route:
    """What a gRPC channel is made from.

    Attributes:
        target: gRPC's name of the servers.
        options: the channel's options.
        address: the servers as the user wrote them, for error texts.
    """

    target: str
    options: tuple[ChannelOption, ...]
    address: str


def plan_route(
    address: str | Sequence[str],
    *,
    retries: int,
    tls: Tls | None,
    channel_options: Sequence[ChannelOption] = (),
    resolve: Callable[[str, int], list[tuple[bool, str]]] | None = None,
) -> Route:
    """The route to one address or to several that share the calls.

    One address goes to gRPC as it is, which follows a DNS name as its records change. Several are looked
    up here and once, because gRPC takes lists of IP addresses only.

    Args:
        address: HOST:PORT, [IPV6]:PORT, or a gRPC target such as unix:/run/model.sock; or several HOST:PORT.
        retries: how often a call is sent again after UNAVAILABLE, 0 to 4.
        channel_options: gRPC's own, stronger than ours.
        resolve: (host, port) -> [(is it IPv6, IP address)]; the system's resolver unless a test says so.

    Raises:
        ValueError: an address, a number of retries or a combination that cannot work.
        Unreachable: one of several host names is unknown.
    """
    checked_retries(retries)
    addresses = (address,) if isinstance(address, str) else tuple(address)
    if not addresses:
        raise ValueError("no address given; expected HOST:PORT")
    options: dict[str, Any] = {
        "grpc.service_config": service_config(retries),
        "grpc.enable_retries": 1,
        # gRPC keeps sent messages for a retry only up to this size, 256 KiB unless told otherwise, and
        # quietly gives up retrying larger ones: a batch of images is larger
        "grpc.per_rpc_retry_buffer_size": 2**31 - 1,
        "grpc.max_send_message_length": -1,
        "grpc.max_receive_message_length": -1,
        # a restarted server is found again within about a second; by default the pause grows to two minutes
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1000,
        "grpc.primary_user_agent": f"hotgraph-client/{__version__}",
    }
    if len(addresses) == 1:
        target = _checked(addresses[0])
    else:
        hosts = [_host_and_port(one) for one in addresses]
        target = _target_of_several(hosts, resolve or _resolve)
        # the name by which servers and certificates know us to call; gRPC would take the whole list for one
        options["grpc.default_authority"] = addresses[0]
        if tls is not None and tls.server_name is None:
            if len({host for host, _ in hosts}) > 1:
                raise ValueError(
                    "TLS to several hosts needs a name that all their certificates have: Tls(server_name=...)"
                )
            options["grpc.ssl_target_name_override"] = hosts[0][0]
    if tls is not None and tls.server_name is not None:
        options["grpc.ssl_target_name_override"] = tls.server_name
        options["grpc.default_authority"] = tls.server_name
    options.update(channel_options)
    return Route(target, tuple(options.items()), ", ".join(addresses))


def checked_retries(retries: int) -> int:
    """`retries` itself.

    Raises:
        ValueError: it is no number from 0 to `MAX_RETRIES`.
    """
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MAX_RETRIES:
        raise ValueError(
            f"retries must be 0 to {MAX_RETRIES} (gRPC makes five attempts at most), got {retries}"
        )
    return retries


def service_config(retries: int) -> str:
    """gRPC's service config in JSON: round robin, and retries on UNAVAILABLE alone."""
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retries:
        retry_policy = {
            "maxAttempts": retries + 1,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": [{}], "retryPolicy": retry_policy}]
    return json.dumps(config)


def _checked(address: str) -> str:
    if not address.startswith(_SCHEMES):
        _host_and_port(address)
    return address


def _host_and_port(address: str) -> tuple[str, int]:
    """Host without brackets, and port."""
    if "://" in address:
        raise ValueError(f"'{address}' is a URL; expected HOST:PORT, without {address.split('://')[0]}://")
    host, colon, port = address.rpartition(":")
    # without a port gRPC would go to 443
    if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"'{address}' is no address; expected HOST:PORT, such as {DEFAULT_ADDRESS}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"'{address}': an IPv6 address stands in brackets, as in [::1]:8500")
    return host, int(port)


def _target_of_several(
    hosts: Sequence[tuple[str, int]], resolve: Callable[[str, int], list[tuple[bool, str]]]
) -> str:
    found = [(port, resolve(host, port)) for host, port in hosts]
    # a gRPC target holds one family only
    for is_ipv6, scheme, form in ((False, "ipv4:", "{}:{}"), (True, "ipv6:", "[{}]:{}")):
        if all(any(family is is_ipv6 for family, _ in ips) for _, ips in found):
            endpoints = [
                form.format(ip, port) for port, ips in found for family, ip in ips if family is is_ipv6
            ]
            return scheme + ",".join(dict.fromkeys(endpoints))
    raise ValueError(
        f"{', '.join(host for host, _ in hosts)}: some have only an IPv4 and some only an IPv6 address; "
        "gRPC cannot mix them in one client"
    )


def _resolve(host: str, port: int) -> list[tuple[bool, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"host '{host}' is unknown: {error.strerror}", address=f"{host}:{port}") from error
    return [
        (family == socket.AF_INET6, str(endpoint[0]))
        for family, _, _, _, endpoint in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
