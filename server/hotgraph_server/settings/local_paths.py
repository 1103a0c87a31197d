"""Paths as people give them."""

from __future__ import annotations

_SCHEME = "file://"
_THIS_MACHINE = ("", "localhost")


def local_path(text: str) -> str:
    """The path that a ``file://`` URI of this machine names, as TensorFlow reads it: nothing in it is
    encoded. Anything else is returned as it is."""
    host, slash, path = text.removeprefix(_SCHEME).partition("/")
    return slash + path if text.startswith(_SCHEME) and slash and host in _THIS_MACHINE else text
