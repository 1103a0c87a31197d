"""Where the document and its page are found.

    GET /openapi.json
    GET /docs
    GET /docs/FILE

The document is written when it is asked for, and kept until versions come or go; of each version only once.
What is large is kept as gzip too, so that it is not packed for each who asks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

from hotgraph_server.errors import NotFound
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.rest.openapi import page
from hotgraph_server.rest.openapi.describing import describe
from hotgraph_server.rest.openapi.document import About, Part, document, part
from hotgraph_server.transport.http import Content, Endpoint, HttpError, HttpReply, Request
from hotgraph_server.transport.http1 import codings
from hotgraph_server.transport.message_fields import Message

DOCUMENT = "/openapi.json"
PAGE = "/docs"

# A month; the names of what is kept change with its content.
_KEPT = ("cache-control", "public, max-age=2592000, immutable")
_ASK_AGAIN = ("cache-control", "no-cache")
_GZIP = ("content-encoding", "gzip")
_VARY = ("vary", "accept-encoding")
_PLAIN = (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"))


class _Kept(NamedTuple):
    """A document, as it is and as gzip, and the parts that it was made of."""

    parts: Sequence[Part]
    text: bytes
    packed: bytes

    def is_of(self, parts: Sequence[Part | None]) -> bool:
        """Was it made of these?"""
        # By what they are, and not by what is in them: that is compared more quickly.
        return bool(self.text) and list(map(id, parts)) == list(map(id, self.parts))


class OpenApi:
    """Answers for the paths above.

    Args:
        versions: all versions that there are, by name, highest number first.
        about: the server.
    """

    def __init__(self, versions: Callable[[], Iterable[Version]], about: About) -> None:
        self._versions = versions
        self._about = about
        # Both are replaced and never changed: who encodes an answer may take no lock, and two who write the
        # same document at the same time do no harm.
        self._parts: WeakKeyDictionary[Version, Part] = WeakKeyDictionary()
        self._kept = _Kept((), b"", b"")

    @staticmethod
    def has(path: str) -> bool:
        """Is a path one of these, or one that there might be?"""
        return path in (DOCUMENT, PAGE) or path.startswith(f"{PAGE}/")

    def endpoint(self, request: Request) -> Endpoint:
        """What a request for one of the paths leads to.

        Raises:
            NotFound: it is for none of them.
            HttpError: nothing but GET and HEAD is answered there.
        """
        begin = self._begin(request.path)
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "Method Not Allowed", [("allow", "GET, HEAD")])
        return Endpoint(begin, most_bytes=0)

    def _begin(self, path: str) -> Callable[[Message, HttpReply], None]:
        if path == DOCUMENT:
            return self._document
        if path == PAGE:
            return self._page
        folder, _, name = path.rpartition("/")
        if folder == PAGE and name in page.ASSETS:
            return functools.partial(_asset, name, page.revision(self._about.version))
        raise NotFound("Not Found")

    def _document(self, _: Message, reply: HttpReply) -> None:
        kept, parts = self._kept, self._parts
        packed = _takes_gzip(reply.request)
        if kept.is_of([parts.get(version) for version in self._live()]):
            reply.finish(lambda: _document(kept, packed=packed))
        else:
            # Some milliseconds for a hundred models.
            reply.aside(lambda: _document(self._current(), packed=packed))

    def _page(self, _: Message, reply: HttpReply) -> None:
        text = page.page(self._about.title, len(self._live()), self._about.version)
        headers = [_ASK_AGAIN, *_PLAIN, ("content-security-policy", page.POLICY)]
        reply.finish(lambda: Content([text], "text/html; charset=utf-8", headers=headers))

    def _current(self) -> _Kept:
        """The document for the versions that are live now."""
        before = self._parts
        parts = {version: before.get(version) or part(describe(version)) for version in self._live()}
        self._parts = WeakKeyDictionary(parts)
        kept, now = self._kept, tuple(parts.values())
        if not kept.is_of(now):
            text = document(self._about, now)
            kept = self._kept = _Kept(now, text, codings.packed([text], "gzip"))
        return kept

    def _live(self) -> list[Version]:
        return [version for version in self._versions() if version.state is State.LIVE]


def _document(kept: _Kept, *, packed: bool) -> Content:
    headers = [_ASK_AGAIN, *_PLAIN, _VARY]
    if packed:
        return Content([kept.packed], headers=[*headers, _GZIP])
    return Content([kept.text], headers=headers)


def _asset(name: str, revision: str, _: Message, reply: HttpReply) -> None:
    named = parse_qs(reply.request.query).get("v") == [revision]
    headers = [_KEPT if named else _ASK_AGAIN, *_PLAIN]
    asset = page.ASSETS[name]
    if not asset.packed:
        reply.finish(lambda: Content([page.stored(name)], asset.kind, headers=headers))
        return
    headers.append(_VARY)
    if _takes_gzip(reply.request):
        reply.finish(lambda: Content([page.stored(name)], asset.kind, headers=[*headers, _GZIP]))
    else:
        reply.aside(lambda: Content([page.unpacked(name)], asset.kind, headers=headers))


def _takes_gzip(request: Request) -> bool:
    return codings.wanted(request.headers.get("accept-encoding", "")) == "gzip"
