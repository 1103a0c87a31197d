"""Paths as people give them."""

from __future__ import annotations

import re
import shlex

_SCHEME = "file://"
_THIS_MACHINE = ("", "localhost")
_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,20})://[^/]")
_COPIES = {
    "gs": "gcloud storage cp -r {} DIR",
    "s3": "aws s3 cp --recursive {} DIR",
    "az": "azcopy copy {} DIR --recursive",
    "abfs": "azcopy copy {} DIR --recursive",
    "hdfs": "hdfs dfs -get {} DIR",
    "http": "curl -LO {}",
    "https": "curl -LO {}",
}


def local_path(text: str) -> str:
    """The path that a ``file://`` URI of this machine names, as TensorFlow reads it: nothing in it is
    encoded. Anything else is returned as it is."""
    host, slash, path = text.removeprefix(_SCHEME).partition("/")
    return slash + path if text.startswith(_SCHEME) and slash and host in _THIS_MACHINE else text


def remote_fault(text: str) -> str | None:
    """What to say of a place that is not on this machine's disks, with the command that fetches what is
    there; None: it is a path, or a ``file://`` URI."""
    found = _REMOTE.match(text)
    if found is None or local_path(text) != text:
        return None
    copy = _COPIES.get(found[1].lower())
    how = f": {copy.format(shlex.quote(text))}" if copy else ""
    return f"{text}: models are read from this machine's disks; copy it there first{how}"
