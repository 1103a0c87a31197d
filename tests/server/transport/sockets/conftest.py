"""The fixtures of the HTTP/2 tests: what is spoken on these sockets is HTTP/2."""

from ..http2.conftest import caller, connect, serve, serving, toys  # noqa: F401
