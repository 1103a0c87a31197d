"""What a caller may be called by its certificate: a SPIFFE ID, all below one, or a name of DNS. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hotgraph_server.settings.fields import check

BELOW = "/*"
"""At the end of a SPIFFE ID: all that are below it."""

_SPIFFE_SCHEME = "spiffe://"
# SPIFFE-ID, sections 2.1 and 2.2: a trust domain in lower case, then segments, of which none is "." or "..".
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)*")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def is_spiffe_id(name: str) -> bool:
    """Is it one, as SPIFFE has it?"""
    return _SPIFFE.fullmatch(name) is not None


def peer_names(given: Iterable[str]) -> tuple[str, ...]:
    """The names that a setting gives, each once or several with commas between them.

    Raises:
        SettingsError: one is no name; the text has it.
    """
    names = tuple(name.strip() for one in given for name in one.split(","))
    for name in names:
        is_one = (
            is_spiffe_id(name.removesuffix(BELOW))
            if name.startswith(_SPIFFE_SCHEME)
            else _DNS.fullmatch(name)
        )
        check(
            bool(is_one),
            f"tls-allow takes SPIFFE IDs (spiffe://DOMAIN/PATH, or with {BELOW} at the end all below it) and"
            f" DNS names, got {name!r}",
        )
    return names
