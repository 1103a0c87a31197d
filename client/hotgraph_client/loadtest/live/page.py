"""The page as text: its parts from assets/, with the report's library of charts inlined."""

from __future__ import annotations

import functools
import html
from pathlib import Path
from string import Template

from ..report.assets import hash_source, library

_FOLDER = Path(__file__).parent / "assets"


@functools.cache
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def page(title: str) -> str:
    """The page of a load, as one file that asks nobody but its own server for anything."""
    return Template(_text("live.html")).substitute(
        title=html.escape(title), style=_text("live.css"), library=library(), script=_text("live.js")
    )


@functools.cache
def policy() -> str:
    """Its Content-Security-Policy: what stands in it, and its own server."""
    scripts = " ".join(hash_source(one) for one in (library(), _text("live.js")))
    # charts set styles of their elements by hand, which only 'unsafe-inline' allows
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
