"""The page that shows the document, and the files that it is made of.

Swagger UI (https://github.com/swagger-api/swagger-ui, Apache-2.0) as its makers publish it, packed; the
licences lie beside it and are served with it. scripts/vendor-swagger-ui brings another version. The page asks
no other server for anything, and a browser holds it to that: its policy allows what comes from here alone.
"""

from __future__ import annotations

import functools
import gzip
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SWAGGER_UI = "5.35.0"
"""The version of Swagger UI that is served."""

POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"),
        *("connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    ]
)
"""Content-Security-Policy of the page. Swagger UI's style sheet has small pictures in it (``data:``)."""

_FOLDER = Path(__file__).parent / "assets"
_MAX_EXPANDED = 8

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: calls</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png?v={revision}">
<link rel="stylesheet" href="docs/swagger-ui.css?v={revision}">
<link rel="stylesheet" href="docs/page.css?v={revision}">
<script src="docs/swagger-ui-bundle.js?v={revision}" defer></script>
<script src="docs/start.js?v={revision}" data-version="{version}" data-expansion="{expansion}"></script>
</head>
<body>
<noscript>This page needs JavaScript. <a href="openapi.json">openapi.json</a> says the same.</noscript>
<div id="docs"></div>
<footer>
<a href="openapi.json">openapi.json</a> &middot; shown by Swagger UI {version}
(<a href="docs/LICENSE">Apache-2.0</a>, <a href="docs/NOTICE">notice</a>,
<a href="docs/swagger-ui-bundle.js.LICENSE.txt">parts of others</a>)
</footer>
</body>
</html>
"""


class Asset(NamedTuple):
    """A file of the page.

    Attributes:
        kind: its media type.
        packed: it lies here as gzip.
    """

    kind: str
    packed: bool = False


_TEXT = "text/plain; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"

ASSETS: Mapping[str, Asset] = {
    "swagger-ui-bundle.js": Asset(_SCRIPT, packed=True),
    "swagger-ui.css": Asset(_STYLE, packed=True),
    "start.js": Asset(_SCRIPT),
    "page.css": Asset(_STYLE),
    "favicon-32x32.png": Asset("image/png"),
    "LICENSE": Asset(_TEXT),
    "NOTICE": Asset(_TEXT),
    "swagger-ui-bundle.js.LICENSE.txt": Asset(_TEXT),
}
"""Everything that is served beside the page, by name."""


def page(title: str, versions: int, release: str) -> bytes:
    """The page, as HTML.

    Args:
        title: what the server calls itself.
        versions: that are live; of a few all calls are shown at once.
        release: of the server; with another one browsers ask again for what they have kept.
    """
    return _PAGE.format(
        title=html.escape(title),
        version=SWAGGER_UI,
        revision=revision(release),
        expansion="list" if versions <= _MAX_EXPANDED else "none",
    ).encode()


def revision(release: str) -> str:
    """What stands behind the question mark of the page's files."""
    return re.sub(r"[^A-Za-z0-9.]", "-", f"{SWAGGER_UI}-{release}")


@functools.cache
def stored(name: str) -> bytes:
    """A file of `ASSETS` as it lies here."""
    return (_FOLDER / (f"{name}.gz" if ASSETS[name].packed else name)).read_bytes()


def unpacked(name: str) -> bytes:
    """A file of `ASSETS` as it is."""
    return gzip.decompress(stored(name)) if ASSETS[name].packed else stored(name)
