"""Sockets that listen, for what the settings call a host and a port, or a Unix socket's path.

``0.0.0.0`` is every network of the machine and ``localhost`` the machine itself, of either version of IP, as
grpc's own server has it: whichever address a name is resolved to, the server is there. Where a machine has no
version six, version four is all there is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import Any

from hotgraph_server.errors import StartError

# Connections that wait to be accepted; the system may allow fewer.
_BACKLOG = 1024

# For a port that is free on every address of a name.
_TRIES = 8

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)

_EVERYWHERE, _EVERYWHERE_V6, _THIS_MACHINE = "0.0.0.0", "::", "localhost"

# As getaddrinfo has it: family, and host, port and, in version six, flow and scope.
Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def listen(host: str, port: int, flag: str = "") -> tuple[list[socket.socket], int]:
    """Listen on every address that `host` stands for, all on one port. Returns the sockets and the port.

    An address of a name that the machine does not have after all is passed over if there are others: most
    machines without version six still call ``::1`` localhost.

    Args:
        flag: that errors shall name, of a port beside the one for calls.

    Raises:
        StartError: no address can be had, or one is in use.
    """
    try:
        addresses = _addresses(host)
        for _ in range(_TRIES):
            try:
                return _listen_on_all(addresses, port)
            except OSError as error:
                # Port 0: what the first address got may be in use on the second.
                if port or len(addresses) == 1 or error.errno != errno.EADDRINUSE:
                    raise
        return _listen_on_all(addresses, port)
    except OSError as error:
        which = f"{flag} {port}: " if flag else ""
        raise StartError(f"{which}cannot listen on {written(host)}:{port}: {_reason(error)}") from error


def is_here(host: str) -> bool:
    """Is it an address of this machine? A name is looked up."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as one:
            # Only what is the machine's own can be bound.
            one.bind((address[0], 0))
    # UnicodeError: of what no name can be
    except (OSError, UnicodeError):
        return False
    return True


class SocketFile:
    """A Unix socket's file, from the moment that it is bound; who may open it is as the umask says.

    Attributes:
        sock: listens.
        path: of the file.

    Raises:
        StartError: the path is taken by something else, or cannot be had.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        clear(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.bind(path)
            self.sock.listen(_BACKLOG)
            self._identity = _identity(path)
        except OSError as error:
            self.sock.close()
            raise StartError(f"cannot listen on unix:{path}: {error.strerror or error}") from error

    def remove(self) -> None:
        """Take the file away, unless another server has put its own there. May be called again."""
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._identity:
                os.unlink(self.path)


def clear(path: str) -> None:
    """Make way for a socket at `path`: what a server left that is gone is taken away.

    Raises:
        StartError: a server answers there, or the file is no socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        # Not there, or not to be seen; then it cannot be bound either, and that says why.
        return
    if not stat.S_ISSOCK(mode):
        raise StartError(f"cannot listen on unix:{path}: there is a file, and it is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A server whose backlog is full is there as well.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError as error:
            raise StartError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    raise StartError(f"cannot listen on unix:{path}: another server answers there")


def _identity(path: str) -> tuple[int, int]:
    """What tells a file from another one at the same path. Raises OSError."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _listen_on_all(addresses: list[Address], port: int) -> tuple[list[socket.socket], int]:
    """Raises OSError, and keeps no socket then."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    # "::" alone is every network of either version, as grpc takes it.
    both = all(address[0] == _EVERYWHERE_V6 for _, address in addresses)
    try:
        for address in addresses:
            try:
                sockets.append(_listen_on(address, port, both=both))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
                continue
            port = sockets[-1].getsockname()[1]
        if not sockets:
            raise missing or OSError("the name stands for no address")
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets, port


def _listen_on(address: Address, port: int, *, both: bool) -> socket.socket:
    """`both`: a socket of version six takes connections of version four as well. Raises OSError."""
    family, (host, _, *scope) = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port whose last connections are still being forgotten by the system is free. A second server
        # on a port that is in use would still be refused: that takes SO_REUSEPORT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
        sock.bind((host, port, *scope))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def written(host: str) -> str:
    """A host as addresses have it: that of version six in brackets."""
    return f"[{host}]" if ":" in host else host


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use"
    if error.errno in _NOT_HERE or isinstance(error, socket.gaierror):
        return "the address is not this machine's"
    return error.strerror or str(error)


def _addresses(host: str) -> list[Address]:
    """Raises OSError (socket.gaierror) for a name that no resolver knows."""
    found: dict[Address, None] = {}
    for name in _hosts(host):
        for family, _, _, _, address in socket.getaddrinfo(
            name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            if family in (socket.AF_INET, socket.AF_INET6):
                found[family, address] = None
    return list(found)


def _hosts(host: str) -> tuple[str, ...]:
    """What a host stands for. Not every machine's list of names has both addresses of localhost."""
    if host == _EVERYWHERE:
        return _EVERYWHERE, _EVERYWHERE_V6
    return ("127.0.0.1", "::1") if host.lower() == _THIS_MACHINE else (host,)
