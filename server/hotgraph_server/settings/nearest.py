"""What somebody may have meant who wrote a name that there is not. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# A guess: at difflib's own 0.6 it offers names of other things, above 0.8 a word left out is too much.
_LIKE = 0.7


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of the `known` names that is most like it, dashes and letters' case aside; None: none is."""
    plain = {_plain(one): one for one in known}
    found = difflib.get_close_matches(_plain(name), plain, 1, _LIKE)
    return plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'port'?``, or nothing where no known name is like it."""
    found = nearest(name, known)
    return "" if found is None else f"; did you mean {found!r}?"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip("_")
