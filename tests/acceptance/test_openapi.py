"""/openapi.json and /docs of a real server: what they promise is what is done."""

from __future__ import annotations

import copy
import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import CheckContext
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hotgraph_server.settings import (
    AdminSettings,
    ListenSettings,
    ModelSettings,
    RestSettings,
    ServerSettings,
)

from ..saved_models import BUILDERS, SavedModels
from ..server.rest.openapi.known import answer_schema, examples, validator
from . import browser
from .conftest import UNFIT

MODELS = (
    *("default_input", "every_dtype", "example_tasks", "fixed_batch", "scalars", "strings"),
    *("tf1_composites", "two_in_two_out", "unbatched_output", "vocabulary"),
)

Document = dict[str, Any]


class Rest:
    """A server with a REST port, for the built-in model, some of the tests' models, and these."""

    def __init__(self, saved_models: SavedModels, models: Sequence[str], *more: ModelSettings) -> None:
        from hotgraph_server.commands.builtin import digits_model
        from hotgraph_server.server import Server

        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        served = (
            ModelSettings("digits", digits_model()),
            *(ModelSettings(name, saved_models[name]) for name in models),
            *more,
        )
        self.server = Server(
            ServerSettings(
                served, ListenSettings(port=0), AdminSettings(0), RestSettings(rest_port=self.port)
            )
        )
        self.server.start()
        self.address = f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            headers = {name.lower(): text for name, text in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def document(self) -> Document:
        status, headers, body = self.ask("GET", "/openapi.json")
        assert status == 200
        assert headers["content-type"] == "application/json"
        found: Document = json.loads(body)
        return found

    def close(self) -> None:
        from hotgraph_server.server import Stopped

        assert self.server.stop() == Stopped(answered=True, ended=True)


@pytest.fixture(scope="module")
def rest(saved_models: SavedModels, versions: Path) -> Iterator[Rest]:
    made = Rest(
        saved_models,
        MODELS,
        ModelSettings("versioned", versions, labels={"stable": 7}),
        ModelSettings("odd name/é", saved_models["two_in_two_out"]),
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def document(rest: Rest) -> Document:
    return rest.document()


def test_the_document_is_valid(document: Document) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_model_has_an_example_in_both_protocols(document: Document) -> None:
    paths = {path for path, _, _, _ in examples(document)}
    for name in ("digits", *MODELS):
        assert {f"/v2/models/{name}/infer", f"/v1/models/{name}:predict"} <= paths, name


def run_examples(rest: Rest, document: Document) -> int:
    """Send every example, and hold its answer against the schema; returns how many there were."""
    failed: dict[tuple[str, str], Any] = {}
    ran = 0
    for path, name, body, _ in examples(document):
        status, _, answer = rest.ask("POST", path, body)
        if status != 200:
            failed[path, name] = answer
            continue
        ran += 1
        found = list(validator(document, answer_schema(document, path)).iter_errors(json.loads(answer)))
        if found:
            failed[path, name] = (answer, found)
    assert not failed
    return ran


def test_every_example_runs_and_its_answer_is_what_the_schema_says(rest: Rest, document: Document) -> None:
    assert run_examples(rest, document) > 150


@pytest.mark.slow
def test_every_example_of_every_model_runs(saved_models: SavedModels) -> None:
    # What is sent to `gated` are names of pipes that it would wait for.
    made = Rest(saved_models, sorted(set(BUILDERS) - {*UNFIT, "gated"}))
    try:
        assert run_examples(made, made.document()) > 300
    finally:
        made.close()


def test_what_cannot_be_called_is_not_said_to_be(rest: Rest, document: Document) -> None:
    """Where there is no 200 in the document there is none."""
    without = [
        path
        for path, item in document["paths"].items()
        if "post" in item and "200" not in item["post"]["responses"]
    ]
    for path in without:
        status, _, answer = rest.ask("POST", path, {"inputs": []})
        assert status in (400, 501), (path, answer)


def test_head_is_answered_like_get_without_the_body(rest: Rest) -> None:
    for path in ("/openapi.json", "/docs", "/docs/swagger-ui.css"):
        status, headers, body = rest.ask("HEAD", path)
        assert (status, body) == (200, b"")
        assert headers["content-type"] == rest.ask("GET", path)[1]["content-type"]


def test_files_come_packed_once(rest: Rest) -> None:
    url = f"{rest.address}/docs/swagger-ui-bundle.js"
    packed = requests.get(url, headers={"accept-encoding": "gzip"}, timeout=60)
    plain = requests.get(url, headers={"accept-encoding": "identity"}, timeout=60)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 3


def no_500(ctx: CheckContext, response: Response, case: schemathesis.Case[Any]) -> None:
    """501, 503 and 504 are answers that are told; this one is none that should come."""
    assert response.status_code != 500, response.text


CHECKS = (no_500, status_code_conformance, content_type_conformance, response_schema_conformance)

SETTINGS = hypothesis.settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)

# More of these would fill the log, or end the test's own server.
_NAMES = {"model_name": ["digits", "two_in_two_out", "nobody"], "version": ["1", "7"], "label": ["stable"]}


def for_schemathesis(document: Document) -> Document:
    """The same with the names of what is there, among others, so that more is reached than a 404."""
    found = copy.deepcopy(document)
    make_readable(found["components"]["responses"])
    for name, values in _NAMES.items():
        schema = found["components"]["parameters"][name]["schema"]
        found["components"]["parameters"][name]["schema"] = {"anyOf": [{"enum": values}, schema]}
    return found


def make_readable(schema: Any) -> None:
    """Leave away what schemathesis does not read in an answer's schema, and takes for wrong."""
    if isinstance(schema, dict):
        # It spells the keyword as drafts before 2020-12 have it, and then refuses that as no 2020-12.
        schema.pop("prefixItems", None)
        # NaN without quotes, which /v1 has from TensorFlow Serving, is no number to it.
        if schema.get("type") == "number":
            del schema["type"]
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        make_readable(part)


def told(error: BaseException) -> Iterator[str]:
    """What an error says, and those that it is a group of."""
    yield f"{type(error).__name__}: {error}"[:2000]
    for one in getattr(error, "exceptions", ()):
        yield from told(one)


def explore(rest: Rest, document: Document, mode: GenerationMode, count: int) -> Counter[int]:
    """Send so many calls of each operation, and check their answers; returns the statuses that came."""
    called = {
        path: validator(document, answer_schema(document, path)) for path, _, _, _ in examples(document)
    }
    statuses: Counter[int] = Counter()
    failed: dict[str, str] = {}
    with requests.Session() as session:

        def check(case: schemathesis.Case[Any]) -> None:
            response = case.call(base_url=rest.address, session=session, timeout=60)
            statuses[response.status_code] += 1
            case.validate_response(response, checks=list(CHECKS))
            path, kind = case.operation.path, response.headers.get("content-type", [""])[0]
            if path in called and response.status_code == 200 and kind == "application/json":
                called[path].validate(response.json())

        for found in schemathesis.openapi.from_dict(for_schemathesis(document)).get_all_operations():
            assert isinstance(found, Ok), found
            cases = found.ok().as_strategy(mode)
            try:
                hypothesis.settings(SETTINGS, max_examples=count)(hypothesis.given(cases)(check))()
            except hypothesis.errors.Unsatisfiable:
                # There is nothing wrong that could be sent: it takes no parameters and no body.
                assert mode is GenerationMode.NEGATIVE
            except Exception as error:
                failed[found.ok().label] = "\n".join(told(error))
    assert not failed, "\n\n".join(f"{label}:\n{text}" for label, text in failed.items())
    return statuses


def test_answers_are_what_the_document_says(rest: Rest, document: Document) -> None:
    statuses = explore(rest, document, GenerationMode.POSITIVE, 2)
    assert statuses[200] > 20, statuses
    assert statuses[404], statuses


def test_answers_to_what_is_wrong_are_what_the_document_says(rest: Rest, document: Document) -> None:
    statuses = explore(rest, document, GenerationMode.NEGATIVE, 1)
    assert statuses[400] > 20, statuses


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_answers_to_many_calls_are_what_the_document_says(
    rest: Rest, document: Document, mode: GenerationMode
) -> None:
    assert explore(rest, document, mode, 30).total() > 1000


WIDTHS = (400, 1000, 1600)


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed (Debian's package: chromium)")
@pytest.mark.parametrize("width", WIDTHS)
def test_a_call_can_be_tried_on_the_page(rest: Rest, tmp_path: Path, width: int) -> None:
    with browser.page(tmp_path) as page:
        page.open(f"{rest.address}/docs", width)
        page.until("document.querySelectorAll('.opblock-tag').length > 5")
        # What is too wide for the screen would have to be scrolled to.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not page.complaints
        tag = "document.querySelector('.opblock-tag[data-tag=\"model digits\"]')"
        if page.evaluate(f"{tag}.dataset.isOpen") != "true":
            page.evaluate(f"{tag}.click()")
        path = "/v2/models/digits/infer"
        call = f"[...document.querySelectorAll('.opblock')].find(one => one.innerText.includes('{path}'))"
        page.until(call)
        page.evaluate(f"{call}.querySelector('.opblock-summary-control').click()")
        # The example is there when all that the call refers to has been read, and only then is the button.
        button = f"{call}.querySelector('.execute')"
        page.until(f"{button} && getComputedStyle({button}).visibility === 'visible'")
        assert page.evaluate(f"{call}.querySelector('textarea').value.includes('images')")
        page.evaluate(f"{call}.querySelector('.execute').click()")
        answer = f"{call}.querySelector('.live-responses-table .response')"
        page.until(answer)
        assert page.evaluate(f"{answer}.innerText").split()[0] == "200"
        assert "probabilities" in page.evaluate(f"{answer}.innerText")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(tmp_path / f"docs-{width}.png")
        assert not page.complaints
        own = (f"{rest.address}/", "data:")
        assert page.requests
        assert not [address for address in page.requests if not address.startswith(own)]
