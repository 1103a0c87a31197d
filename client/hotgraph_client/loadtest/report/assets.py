"""The files that pages are made of.

Apache ECharts (https://echarts.apache.org, Apache-2.0) as its makers publish it, packed; the licences lie
beside it and go into every page that has it. scripts/vendor-echarts brings another version.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
from pathlib import Path

ECHARTS = "6.1.0"
"""The version of ECharts that pages draw with."""

LIBRARY = "echarts.common.min.js"

LICENCES = (
    ("Apache ECharts", ("NOTICE-echarts.txt", "LICENSE-echarts.txt")),
    ("parts of d3 in it", ("LICENSE-d3.txt",)),
    ("zrender in it", ("LICENSE-zrender.txt",)),
    ("tslib in it", ("LICENSE-tslib.txt",)),
)
"""Whose work the library is, and the files that say under what terms it is handed on."""

_FOLDER = Path(__file__).parent / "assets"


@functools.cache
def library() -> str:
    """ECharts, as a script that makes the global `echarts`; it can stand between script tags as it is."""
    return gzip.decompress((_FOLDER / f"{LIBRARY}.gz").read_bytes()).decode()


@functools.cache
def text(name: str) -> str:
    """A file of assets/ that is not packed."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def hash_source(inline: str) -> str:
    """How a Content-Security-Policy names a script or a style that stands in the page itself."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
