"""TARGET as a user writes it, and where calls then go. Pure.

HOST:PORT and [IPV6]:PORT are gRPC, in the clear unless TLS is asked for; http:// and https:// are HTTP/1.1;
unix:PATH is gRPC over a Unix socket. Several, with commas between them, share the calls process by process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..http.route import is_url, plan_http_route
from ..tls import Tls
from .load import Destination

_UNIX = "unix:"
_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\[\]:/\s@]+)):(?P<port>[0-9]{1,5})"
)


def destinations(
    target: str, *, tls: Tls | None = None, headers: Sequence[tuple[str, str]] = ()
) -> tuple[Destination, ...]:
    """Where the calls to `target` go, in the order in which it names them.

    Args:
        tls: asked for by flags; None: not, and https:// goes by the system's authorities.
        headers: that go with each call, names in lower case.

    Raises:
        ValueError: the text is no target, in one line that says what would be one.
    """
    texts = [text.strip() for text in target.split(",")]
    found = tuple(_destination(text, tls, tuple(headers)) for text in texts)
    if len({one.http for one in found}) > 1:
        raise ValueError(f"'{target}': either all are http:// or none is, for calls over both are not alike")
    return found


def _destination(text: str, tls: Tls | None, headers: tuple[tuple[str, str], ...]) -> Destination:
    if is_url(text):
        return _of_url(text, tls, headers)
    if text.startswith(_UNIX):
        # unix:///run/x and unix:/run/x are gRPC's two ways to write one path
        path = text.removeprefix(_UNIX)
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path or "\0" in path:
            raise ValueError(f"'{text}' names no socket; expected unix:PATH")
        return Destination(path, 0, "localhost", tls=tls, headers=headers)
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise ValueError(
            f"'{text}' is no server; expected HOST:PORT, [IPV6]:PORT, http://HOST:PORT or unix:PATH"
        )
    return Destination(match["ipv6"] or match["host"], int(match["port"]), text, tls=tls, headers=headers)


def _of_url(text: str, tls: Tls | None, headers: tuple[tuple[str, str], ...]) -> Destination:
    route = plan_http_route(text, retries=0, tls=tls, headers=headers)
    server = route.servers[0]
    if server.base:
        raise ValueError(
            f"'{text}' has a path behind the port, which load tests do not send; expected http://HOST:PORT"
        )
    return Destination(
        server.host,
        server.port,
        server.authority,
        http=True,
        tls=(tls or Tls()) if route.secure else None,
        headers=route.headers,
    )
