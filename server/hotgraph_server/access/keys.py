"""Keys, and what a rules file holds of them. Pure.

A key is long and random, so one round of SHA-256 keeps it as secret as any slow hash would, and salt would
hide nothing: there are no two alike, and no list of likely ones. A slow hash, which passwords need, would be
a weapon here: everybody may send keys that are wrong, and each would cost the server the time of a slow hash.
One of SHA-256 costs a microsecond, so nothing of keys is kept in memory either.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

MIN_LENGTH = 32
"""Characters of a key. One that `new_key` has made has 43 and 256 random bits."""

_SCHEME = "sha256:"
# RFC 6750, section 2.1.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_HASH = re.compile(_SCHEME + r"([0-9a-f]{64})", re.IGNORECASE)
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


def new_key() -> str:
    """A key that no caller has."""
    return secrets.token_urlsafe(32)


def hashed(key: str) -> str:
    """What stands for a key in a rules file."""
    return _SCHEME + digest_of(key).hex()


def key_fault(key: str) -> str | None:
    """Why this cannot be a key; None: it can. The text does not show it."""
    if not _KEY.fullmatch(key):
        return "a key has letters, digits and - . _ ~ + / only, and may end with ="
    if len(key) < MIN_LENGTH:
        return f"a key has at least {MIN_LENGTH} characters, for it must not be guessed; got {len(key)}"
    return None


def digest_in(text: str) -> bytes | None:
    """The digest in what `hashed` returns; None: it is no such text."""
    found = _HASH.fullmatch(text)
    return bytes.fromhex(found[1]) if found else None


def digest_of(key: str) -> bytes:
    """What is kept of a key, and compared."""
    # Whatever bytes a header had.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def bearer(header: str | None) -> str | None:
    """The key in an ``authorization`` header; None: there is none."""
    found = _BEARER.fullmatch(header) if header is not None else None
    return found[1] if found else None


def is_among(digest: bytes, digests: Iterable[bytes]) -> bool:
    """Is it one of these? Takes as long whichever it is."""
    found = False
    for one in digests:
        found |= hmac.compare_digest(digest, one)
    return found
