from __future__ import annotations

import gc
import gzip
import json
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hotgraph_server.errors import NotFound
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.rest.openapi import api, page
from hotgraph_server.rest.openapi.api import OpenApi
from hotgraph_server.rest.openapi.describing import describe
from hotgraph_server.rest.openapi.document import document
from hotgraph_server.transport.http import Content, HttpError, Request

from ...fakes import idle_version
from .known import ABOUT, one_to_one


class FakeReply:
    """Keeps what it is finished with."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.was_aside = False
        self.content: Content | None = None

    def finish(self, encode: Callable[[], Any]) -> None:
        assert self.content is None, "finished twice"
        self.content = encode()

    def aside(self, make: Callable[[], Any]) -> None:
        self.was_aside = True
        self.finish(make)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def openapi(registry: Registry) -> OpenApi:
    return OpenApi(registry.versions, ABOUT)


def replied(
    openapi: OpenApi, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> FakeReply:
    path, _, query = path.partition("?")
    request = Request(method, path, query, headers or {})
    reply = FakeReply(request)
    openapi.endpoint(request).begin(b"", reply)
    return reply


def get(openapi: OpenApi, path: str, **headers: str) -> Content:
    content = replied(
        openapi, path, headers={name.replace("_", "-"): text for name, text in headers.items()}
    ).content
    assert content is not None
    return content


def paths(openapi: OpenApi) -> set[str]:
    return set(json.loads(b"".join(get(openapi, "/openapi.json")))["paths"])


def test_the_document_has_the_models_that_are_live(registry: Registry, openapi: OpenApi) -> None:
    assert "/v2/models/m/infer" not in paths(openapi)
    registry.publish([idle_version("m", 1, one_to_one())])
    assert {"/v2/models/m/infer", "/v1/models/m/versions/1:predict"} <= paths(openapi)
    registry.replace("m", [])
    assert "/v2/models/m/infer" not in paths(openapi)


def test_versions_that_are_not_live_are_not_in_it(registry: Registry, openapi: OpenApi) -> None:
    leaving = idle_version("m", 2, one_to_one())
    leaving.state = State.DRAINING
    registry.publish([leaving, idle_version("m", 1, one_to_one())])
    found = paths(openapi)
    assert "/v2/models/m/versions/2/infer" not in found
    assert {"/v2/models/m/versions/1/infer", "/v2/models/m/infer"} <= found


def test_it_is_written_once_for_the_same_versions_and_each_version_once(
    registry: Registry, openapi: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> None:
        def count(*args: Any) -> Any:
            counts[name] += 1
            return function(*args)

        monkeypatch.setattr(api, name, count)

    counted("describe", describe)
    counted("document", document)
    registry.publish([idle_version("a", 1, one_to_one())])
    for _ in range(3):
        paths(openapi)
    assert counts == {"describe": 1, "document": 1}
    registry.publish([idle_version("b", 1, one_to_one())])
    for _ in range(3):
        paths(openapi)
    assert counts == {"describe": 2, "document": 2}


def test_a_version_of_the_same_number_that_takes_anothers_place_is_seen(
    registry: Registry, openapi: OpenApi
) -> None:
    for name in ("x", "y"):
        registry.publish([idle_version("m", 1, one_to_one(name))])
        assert f"Signature `{name}`" in b"".join(get(openapi, "/openapi.json")).decode()


def test_versions_that_have_gone_are_not_kept(registry: Registry, openapi: OpenApi) -> None:
    registry.publish([idle_version("m", 1, one_to_one())])
    paths(openapi)
    gone = weakref.ref(registry.versions()[0])
    registry.replace("m", [])
    gc.collect()
    assert gone() is None


def test_it_is_written_where_no_other_call_waits(registry: Registry, openapi: OpenApi) -> None:
    for versions in ([idle_version("m", 1, one_to_one())], []):
        registry.replace("m", versions)
        assert replied(openapi, "/openapi.json").was_aside
        assert not replied(openapi, "/openapi.json").was_aside


def test_it_is_packed_for_who_takes_that(registry: Registry, openapi: OpenApi) -> None:
    registry.publish([idle_version("m", 1, one_to_one())])
    packed = get(openapi, "/openapi.json", accept_encoding="gzip")
    plain = get(openapi, "/openapi.json")
    assert ("content-encoding", "gzip") in packed.headers
    assert gzip.decompress(b"".join(packed)) == b"".join(plain)
    assert ("vary", "accept-encoding") in packed.headers
    assert ("vary", "accept-encoding") in plain.headers


def test_two_hundred_models_are_no_matter(registry: Registry, openapi: OpenApi) -> None:
    registry.publish([idle_version(f"m{number}", 1, one_to_one()) for number in range(200)])
    assert len(paths(openapi)) > 800
    assert len(b"".join(get(openapi, "/openapi.json"))) < 3e6


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/start.js"])
def test_get_and_head_are_answered_and_nothing_else(openapi: OpenApi, path: str) -> None:
    assert get(openapi, path).status == 200
    head = replied(openapi, path, "HEAD").content
    assert head is not None
    assert head.headers == get(openapi, path).headers
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        with pytest.raises(HttpError) as refused:
            replied(openapi, path, method)
        assert refused.value.http_status == 405
        assert ("allow", "GET, HEAD") in refused.value.headers


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs/", "/docs/x.js", "/docs//start.js", "/docs/../docs/start.js", "/docs/%2e%2e/page.py"),
        *("/docs/swagger-ui-bundle.js.gz", "/openapi.json/", "/Docs", "/start.js", "/docs/start.js/"),
    ],
)
def test_all_else_is_not_found(openapi: OpenApi, path: str) -> None:
    with pytest.raises(NotFound):
        replied(openapi, path)


def test_a_body_is_not_taken(openapi: OpenApi) -> None:
    assert openapi.endpoint(Request("GET", "/docs", "", {})).most_bytes == 0


def test_the_page_has_a_policy(openapi: OpenApi) -> None:
    headers = dict(get(openapi, "/docs").headers)
    assert headers["content-security-policy"] == page.POLICY
    assert headers["cache-control"] == "no-cache"
    assert get(openapi, "/docs").kind.startswith("text/html")


def test_files_are_kept_by_browsers_only_under_their_revision(openapi: OpenApi) -> None:
    revision = page.revision(ABOUT.version)
    for query, kept in ((f"?v={revision}", True), ("", False), ("?v=1", False), (f"?w={revision}", False)):
        headers = dict(get(openapi, f"/docs/swagger-ui.css{query}").headers)
        assert ("immutable" in headers["cache-control"]) is kept


def test_the_page_names_its_files_by_the_revision_under_which_they_are_kept(openapi: OpenApi) -> None:
    text = b"".join(get(openapi, "/docs")).decode()
    assert f"docs/start.js?v={page.revision(ABOUT.version)}" in text


@pytest.mark.parametrize("name", page.ASSETS)
def test_files_are_sent_as_they_lie_to_who_takes_gzip_and_unpacked_to_others(
    openapi: OpenApi, name: str
) -> None:
    packed = get(openapi, f"/docs/{name}", accept_encoding="br, gzip")
    plain = get(openapi, f"/docs/{name}")
    assert "content-encoding" not in dict(plain.headers)
    if page.ASSETS[name].packed:
        assert dict(packed.headers)["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(packed)) == b"".join(plain)
        # A cache must not give one to who asks for the other.
        assert dict(packed.headers)["vary"] == dict(plain.headers)["vary"] == "accept-encoding"
    else:
        assert b"".join(packed) == b"".join(plain)


def test_browsers_take_nothing_for_what_it_is_not(openapi: OpenApi) -> None:
    for path in ("/docs", "/openapi.json", "/docs/start.js"):
        assert ("x-content-type-options", "nosniff") in get(openapi, path).headers
