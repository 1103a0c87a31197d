"""Where calls over HTTP go: URLs, checked, as servers. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from hotgraph_protos.version import __version__

from ..channel import ChannelOption, checked_retries
from ..tls import Tls

_URL = re.compile(r"https?://", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}

# RFC 9110, sections 5.1 and 5.5; what is no Latin-1 no header can have.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# What says how a body is to be read is said by whoever writes the body.
_OURS = frozenset(
    (
        *("connection", "content-encoding", "content-length", "content-type"),
        *("inference-header-content-length", "transfer-encoding"),
    )
)


@dataclass(frozen=True)
class HttpServer:
    """One server that is called over HTTP.

    Attributes:
        host: to connect to, an IPv6 address without brackets.
        port: to connect to.
        base: what stands before ``/v2`` in each path; empty: nothing.
        authority: host and port as the URL has them, for the header ``host``.
    """

    host: str
    port: int
    base: str
    authority: str


@dataclass(frozen=True)
class HttpRoute:
    """What calls over HTTP are carried by.

    Attributes:
        servers: that take turns.
        secure: whether they are spoken to through TLS.
        tls: how; None for the system's authorities.
        retries: how often a call is sent again after UNAVAILABLE.
        headers: that go with every call, names in lower case.
        address: the servers as the user wrote them, for error texts.
    """

    servers: tuple[HttpServer, ...]
    secure: bool
    tls: Tls | None
    retries: int
    headers: tuple[tuple[str, str], ...]
    address: str


def is_url(address: str | Sequence[str]) -> bool:
    """Whether `address`, or one of several, is a URL of HTTP."""
    addresses = (address,) if isinstance(address, str) else address
    return any(isinstance(one, str) and _URL.match(one) for one in addresses)


def plan_http_route(
    address: str | Sequence[str],
    *,
    retries: int,
    tls: Tls | None,
    headers: Sequence[tuple[str, str]],
    channel_options: Sequence[ChannelOption] = (),
) -> HttpRoute:
    """The route to one URL or to several that share the calls.

    Args:
        address: ``http[s]://HOST[:PORT][/BASE]``, or several.
        headers: names in lower case.
        channel_options: gRPC's; there must be none.

    Raises:
        ValueError: a URL, a number of retries, a header or a combination that cannot work.
    """
    addresses = (address,) if isinstance(address, str) else tuple(address)
    urls = [_split(one) for one in addresses]
    if len({url.scheme for url in urls}) > 1:
        raise ValueError(f"{', '.join(addresses)}: either all are http:// or all are https://")
    secure = urls[0].scheme == "https"
    if tls is not None and not secure:
        raise ValueError(f"'{addresses[0]}' is not encrypted: TLS settings go with https://")
    if channel_options:
        raise ValueError("channel_options are gRPC's, and a URL goes without gRPC")
    servers = tuple(dict.fromkeys(_server(url, tls) for url in urls))
    return HttpRoute(
        servers, secure, tls, checked_retries(retries), _checked_headers(headers), ", ".join(addresses)
    )


def _split(address: str) -> SplitResult:
    if not (isinstance(address, str) and _URL.match(address)):
        raise ValueError(f"'{address}' is no URL: either all addresses are URLs, or all are HOST:PORT")
    try:
        url = urlsplit(address)
        port = url.port
        # as the resolver will, which would fail at the first call
        (url.hostname or "").encode("idna")
    except ValueError as error:
        raise ValueError(f"'{address}' is no URL: {error}") from None
    if url.username is not None or url.password is not None:
        # the text would show the password
        raise ValueError("a URL with a user name: give headers={'authorization': ...} or key= instead")
    if not url.hostname or port == 0:
        raise ValueError(f"'{address}' is no URL; expected http://HOST:PORT")
    if url.query or url.fragment or re.search(r"[^\x21-\x7e]", address):
        raise ValueError(f"'{address}': expected http://HOST:PORT, with nothing but a path behind it")
    return url


def _server(url: SplitResult, tls: Tls | None) -> HttpServer:
    assert url.hostname is not None
    authority = url.netloc if tls is None or tls.server_name is None else tls.server_name
    return HttpServer(url.hostname, url.port or _PORTS[url.scheme], url.path.rstrip("/"), authority)


def _checked_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    for name, value in headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            # a value may be a secret
            raise ValueError(
                f"header {name!r} cannot be sent: a character of its name or value is not allowed"
            )
        if name in _OURS:
            raise ValueError(f"header '{name}' is the client's own")
    named = {name for name, _ in headers}
    agent = () if "user-agent" in named else (("user-agent", f"hotgraph-client/{__version__}"),)
    return (*headers, *agent)
