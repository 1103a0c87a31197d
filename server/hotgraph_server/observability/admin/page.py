"""The live page, and the files that it is made of.

Plain files, in ``live/``: a page, a style sheet and modules of JavaScript as a browser takes them, with no
step between; and uPlot, which draws the charts (https://github.com/leeoniya/uPlot, MIT), as its maker
publishes it; scripts/vendor-uplot brings another version. Nothing comes from elsewhere and nothing is sent
elsewhere, and the browser holds the page to that: its policy knows this port alone, and no script that stands
in the page itself, so a name or a text of a caller's cannot become one.

Paths are relative, so that it works behind a proxy that puts something before them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from hotgraph_server.observability.admin.http import HTML, TEXT, Response

FOLDER = "/live/"
"""The files' paths begin so."""

UPLOT = "1.6.32"
"""The version of uPlot that is served."""

POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src data:"),
        *("connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    ]
)
"""Content-Security-Policy of the page."""

_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"

ASSETS: Mapping[str, str] = {
    "live.css": _STYLE,
    **dict.fromkeys(
        (
            *("main.js", "asking.js", "address.js", "history.js", "figures.js", "words.js", "elements.js"),
            *("overview.js", "details.js", "charts.js", "errors.js"),
        ),
        _SCRIPT,
    ),
    "uPlot.iife.min.js": _SCRIPT,
    "uPlot.min.css": _STYLE,
    "uPlot.LICENSE": TEXT,
}
"""Every file that is served beside the page, and its media type."""

_FILES = Path(__file__).with_name("live")


def page() -> Response:
    """The page."""
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return Response(HTTPStatus.OK, stored("live.html"), HTML, headers)


def asset(name: str) -> Response | None:
    """A file of `ASSETS`; None: there is none of that name."""
    kind = ASSETS.get(name)
    return None if kind is None else Response(HTTPStatus.OK, stored(name), kind)


@functools.cache
def stored(name: str) -> bytes:
    """A file as it lies here; of `ASSETS`, or the page itself."""
    return (_FILES / name).read_bytes()
