"""HTTP's side: bodies, encodings, headers, limits, and clients that leave."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from hotgraph_server.access.groups import Method
from hotgraph_server.access.rules import Header
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.batching.suspects import APART_AT
from hotgraph_server.errors import AccessDenied, CallError, QueueFull, RunFailed, Unauthenticated
from hotgraph_server.models.admission import Admission, Left, Submitted
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.protocols.orca.trailers import ReportHeaders
from hotgraph_server.settings import BatchSettings, RestSettings
from hotgraph_server.settings.load_reports import ASKED
from hotgraph_server.statistics import Event
from hotgraph_server.tensors import Array
from hotgraph_server.transport.inflight import Inflight

from ..fakes import HANG_S, FakeGraph, doubled, signature
from .serving import Answer, Rest, ask

PREDICT = "/v1/models/m:predict"
BODY = {"instances": [[1, 2]]}
ANSWER = {"predictions": [[2.0, 4.0]]}


@contextlib.contextmanager
def held_call(rest: Rest, graph: FakeGraph) -> Iterator[list[Answer]]:
    """While inside, a call is in a run of the graph; afterwards its answer is in the list."""
    answers: list[Answer] = []
    graph.shut()
    caller = threading.Thread(target=lambda: answers.append(rest.post(PREDICT, BODY)))
    caller.start()
    graph.wait_until_held()
    try:
        yield answers
    finally:
        graph.let_all_go()
        caller.join(HANG_S)


def test_connection_serves_one_request_after_the_other(rest: Rest) -> None:
    rest.serve(FakeGraph())
    with contextlib.closing(rest.connect()) as connection:
        for _ in range(3):
            assert ask(connection, "POST", PREDICT, BODY).json == ANSWER
            assert ask(connection, "GET", "/v1/models/m").code == 200
            assert ask(connection, "POST", PREDICT, b"{").code == 400


def test_body_may_be_zipped(rest: Rest) -> None:
    rest.serve(FakeGraph())
    whole = json.dumps(BODY).encode()
    for body in (gzip.compress(whole), gzip.compress(whole[:5]) + gzip.compress(whole[5:])):
        assert rest.post(PREDICT, body, {"Content-Encoding": "gzip"}).json == ANSWER
    assert rest.post(PREDICT, whole, {"Content-Encoding": "identity"}).json == ANSWER


@pytest.mark.parametrize(
    "body", [b"{}", b"\x1f\x8b", gzip.compress(b"{}", mtime=0)[:-3], gzip.compress(b"{}", mtime=0) + b"x"]
)
def test_body_that_is_no_gzip_is_refused(rest: Rest, body: bytes) -> None:
    answer = rest.post(PREDICT, body, {"Content-Encoding": "gzip"})
    assert answer.code == 400
    assert "no gzip" in answer.error


def test_other_encodings_are_refused(rest: Rest) -> None:
    answer = rest.post(PREDICT, b"{}", {"Content-Encoding": "br"})
    assert (answer.code, answer.error) == (415, "Content-Encoding br is not known; gzip and deflate are")
    assert answer.headers["accept-encoding"] == "gzip, deflate"


def test_long_answer_is_zipped_for_who_takes_that(rest: Rest) -> None:
    rest.serve(FakeGraph(signature(inputs={"x": None}, outputs={"y": None})))
    body = {"instances": [list(range(5000))]}
    plain = rest.post(PREDICT, body)
    assert "content-encoding" not in plain.headers
    for accept in ("gzip", "br, GZIP;q=0.5", "gzip;q=1.0, deflate"):
        zipped = rest.post(PREDICT, body, {"Accept-Encoding": accept})
        assert (zipped.headers["content-encoding"], zipped.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(zipped.body) == plain.body
    for accept in ("identity", "gzip;q=0", "*", ""):
        assert rest.post(PREDICT, body, {"Accept-Encoding": accept}).body == plain.body
    short = rest.post(PREDICT, {"instances": [[1]]}, {"Accept-Encoding": "gzip"})
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize("processes", [0, 1])
def test_large_calls_are_answered_like_small_ones(rest_with: Callable[..., Rest], processes: int) -> None:
    rest = rest_with(RestSettings(rest_processes=processes))
    rest.serve(FakeGraph(signature(inputs={"x": None}, outputs={"y": None})))
    array = np.random.default_rng(1).random((2, 50_000), np.float32)
    answer = rest.post(PREDICT, {"instances": [[float(str(one)) for one in row] for row in array]})
    np.testing.assert_array_equal(np.array(answer.json["predictions"], np.float32), array * 2)
    broken = rest.post(PREDICT, {"instances": [[1] * 200_000, [None] * 200_000]})
    assert (broken.code, broken.error[:38]) == (400, "Failed to process element: 1 of 'insta")
    assert rest.post("/v1/models/none:predict", b" " * 300_000 + b'{"instances": [1]}').code == 404
    assert rest.post("/v1/models/none:predict", b" " * 300_000 + b"{").code == 400


def test_body_past_the_limit_is_refused(rest_with: Callable[..., Rest]) -> None:
    rest = rest_with(RestSettings(rest_max_body_mb=1))
    rest.serve(FakeGraph())
    too_large = b" " * (2**20 + 1)
    text = "the request is larger than 1 MiB"
    for body, headers in (
        (too_large, {}),
        (gzip.compress(too_large), {"Content-Encoding": "gzip"}),
        (gzip.compress(too_large[1:]) + gzip.compress(b"  "), {"Content-Encoding": "gzip"}),
    ):
        answer = rest.post(PREDICT, body, headers)
        assert (answer.code, answer.error) == (413, text)
        # What is not read to its end cannot be followed by another request.
        assert answer.headers.get("connection") == (None if headers else "close")
    with contextlib.closing(rest.connect()) as connection:
        connection.request("POST", PREDICT, iter([too_large]), encode_chunked=True)
        assert connection.getresponse().status == 413
    just_fits = json.dumps(BODY).encode().ljust(2**20)
    assert rest.post(PREDICT, just_fits).json == ANSWER


def test_body_that_does_not_come_is_waited_for_no_longer_than_the_settings_say(
    rest_with: Callable[..., Rest],
) -> None:
    rest = rest_with(RestSettings(rest_body_s=0.001))
    rest.serve(FakeGraph())
    with contextlib.closing(rest.connect()) as connection:
        connection.putrequest("POST", PREDICT)
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"{")
        response = connection.getresponse()
        assert response.status == 408
        assert response.headers["connection"] == "close"
        assert json.loads(response.read()) == {"error": "the request's body has not come within 0.001 s"}


@pytest.mark.parametrize("path", ["/v1/models/m", "/v2/health/live", "/v2/models/m", "/v2/nonesuch"])
@pytest.mark.parametrize("kind", ["json", "text"])
def test_answers_and_errors_say_the_load_to_who_asks_as_tritons_do(
    rest_with: Callable[..., Rest], path: str, kind: str
) -> None:
    headers = ReportHeaders(lambda: LoadReport(utilization=0.5), ASKED)
    rest = rest_with(RestSettings(rest_cors=True), load=headers.over_http)
    rest.serve(FakeGraph())
    asked = rest.ask("GET", path, headers={"Endpoint-Load-Metrics-Format": kind})
    assert asked.headers["endpoint-load-metrics"].startswith(kind.upper())
    assert "application_utilization" in asked.headers["endpoint-load-metrics"]
    # What pages may do is said beside it.
    assert asked.headers["access-control-allow-origin"] == "*"
    assert "endpoint-load-metrics" not in rest.get(path).headers


def test_pages_from_anywhere_may_call_only_if_that_was_wanted(rest_with: Callable[..., Rest]) -> None:
    closed, opened = rest_with(), rest_with(RestSettings(rest_cors=True))
    for rest in (closed, opened):
        rest.serve(FakeGraph())
        for answer in (rest.post(PREDICT, BODY), rest.post(PREDICT, b"{"), rest.get("/v1/models/m")):
            found = {name: value for name, value in answer.headers.items() if "access-control" in name}
            assert found == (
                {
                    "access-control-allow-origin": "*",
                    "access-control-allow-methods": "POST, GET",
                    "access-control-allow-headers": "Content-Type, Inference-Header-Content-Length",
                    "access-control-expose-headers": "Inference-Header-Content-Length",
                }
                if rest is opened
                else {}
            )
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert opened.ask("OPTIONS", PREDICT, headers=preflight).code == 200
    assert closed.ask("OPTIONS", PREDICT, headers=preflight).code == 400


def test_figures_are_shown_only_if_that_was_wanted(rest_with: Callable[..., Rest]) -> None:
    path = "/monitoring/prometheus/metrics"
    assert rest_with().get(path).code == 404
    shown = rest_with(RestSettings(prometheus=True)).get(path)
    assert (shown.code, shown.body) == (200, b"figures 1\n")
    assert shown.headers["content-type"].startswith("text/plain; version=0.0.4")
    elsewhere = rest_with(RestSettings(prometheus=True, prometheus_path="/figures"))
    assert elsewhere.get("/figures").body == b"figures 1\n"
    assert elsewhere.get(path).code == 404


def test_other_paths_are_not_found_and_other_methods_malformed(rest: Rest) -> None:
    assert rest.get("/").code == 404
    answer = rest.ask("DELETE", "/v1/models/m")
    assert (answer.code, answer.error) == (400, "Malformed request: DELETE /v1/models/m")
    # What is encoded in a path is no part of its form.
    answer = rest.get("/v1/models%2Fm")
    assert (answer.code, answer.error) == (400, "Malformed request: GET /v1/models%2Fm")
    assert rest.get("/v1/models/m?verbose=1").error == "Could not find any versions of model m"


def test_call_past_its_time_leaves_the_queue(rest_with: Callable[..., Rest]) -> None:
    rest = rest_with(RestSettings(rest_timeout_ms=50))
    graph = FakeGraph()
    version = rest.serve(graph, batch=BatchSettings(max_batch_rows=1))
    with held_call(rest, graph) as answers:
        answer = rest.post(PREDICT, BODY)
        assert (answer.code, answer.error) == (504, "deadline passed before the call was answered")
        assert version.waiting == 0
    # The one that was in its run is late as well.
    assert answers[0].code == 504
    assert version.statistics.by_signature()["serving_default"].events[Event.EXPIRED] == 2


def test_time_of_the_models_settings_counts_if_it_is_shorter(rest_with: Callable[..., Rest]) -> None:
    rest = rest_with(RestSettings(rest_timeout_ms=0))
    graph = FakeGraph()
    rest.serve(graph, batch=BatchSettings(max_batch_rows=1, default_timeout_ms=50))
    with held_call(rest, graph):
        assert rest.post(PREDICT, BODY).code == 504


def test_client_that_leaves_takes_its_call_out_of_the_queue(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = FakeGraph()
    version = rest.serve(graph, batch=BatchSettings(max_batch_rows=1))
    left, queued = threading.Event(), threading.Event()
    submit = version.submit

    class Watched:
        """What has taken the call, watched."""

        def __init__(self, taken_by: Admission) -> None:
            self._taken_by = taken_by

        def cancel(self, call: Call, *, expired: bool | None = None) -> Left:
            told = self._taken_by.cancel(call, expired=expired)
            left.set()
            return told

    def watched_submit(request: Request) -> Submitted:
        call = submit(request)
        call.taken_by = Watched(call.taken_by)
        queued.set()
        return call

    with held_call(rest, graph):
        monkeypatch.setattr(version, "submit", watched_submit)
        connection = rest.connect()
        connection.request("POST", PREDICT, json.dumps(BODY))
        assert queued.wait(HANG_S)
        connection.close()
        assert left.wait(HANG_S)
        assert version.waiting == 0
        assert version.statistics.by_signature()["serving_default"].events[Event.CANCELLED] == 1
    assert rest.post(PREDICT, BODY).json == ANSWER


def test_full_queue_is_too_many_requests(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    version = rest.serve(FakeGraph())

    def refuse(*args: object, **kwargs: object) -> None:
        raise QueueFull("model 'm'", 5, 5)

    monkeypatch.setattr(version, "submit", refuse)
    answer = rest.post(PREDICT, BODY)
    assert (answer.code, answer.error) == (429, str(QueueFull("model 'm'", 5, 5)))


def test_bug_is_logged_and_answered_without_details(
    rest_with: Callable[..., Rest], caplog: pytest.LogCaptureFixture
) -> None:
    def break_down() -> bytes:
        raise ValueError("secret")

    rest = rest_with(RestSettings(prometheus=True))
    rest.metrics = break_down
    answer = rest.get("/monitoring/prometheus/metrics")
    assert (answer.code, answer.error) == (500, "internal error; the server's log has the details")
    assert "secret" in caplog.text


def test_more_calls_than_may_be_inside_are_refused(rest_with: Callable[..., Rest]) -> None:
    rest = rest_with(max_calls=1)
    graph = FakeGraph()
    rest.serve(graph)
    with held_call(rest, graph) as answers:
        refused = rest.post(PREDICT, BODY)
        assert refused.code == 429
        assert "the server" in refused.error
        # Whoever asks how it goes is answered all the same.
        assert rest.get("/v1/models/m").code == 200
    assert answers[0].json == ANSWER


def test_body_that_finds_no_room_in_the_budget_of_all_calls_is_refused_and_what_was_held_given_back(
    rest_with: Callable[..., Rest],
) -> None:
    inflight = Inflight(2000)
    rest = rest_with(inflight=inflight)
    rest.serve(FakeGraph())
    refused = rest.post(PREDICT, {"instances": [[1, 2]] * 500})
    assert refused.code == 429
    assert "the messages of all calls may hold" in refused.error
    assert rest.post(PREDICT, BODY).json == ANSWER
    assert inflight.nbytes == 0


def test_connection_whose_calls_keep_failing_is_told_from_others(rest: Rest) -> None:
    def refusing(inputs: Sequence[Array]) -> Sequence[Array]:
        if np.any(inputs[0] == 666):
            raise RunFailed(3, "no such id")
        return doubled(inputs)

    version = rest.serve(FakeGraph(compute=refusing))
    with contextlib.closing(rest.connect()) as bad, contextlib.closing(rest.connect()) as good:
        for _ in range(APART_AT):
            assert version.suspects == {}
            assert ask(bad, "POST", PREDICT, {"instances": [[666, 1]]}).code == 400
            assert ask(good, "POST", PREDICT, BODY).json == ANSWER
    assert version.suspects == {"serving_default": 1}


def keys(method: Method, header: Header) -> CallError | None:
    """Each group has its name as key."""
    group, given = method.group, header("authorization")
    assert group is not None
    if given is None:
        return Unauthenticated(group.value, given=False)
    return None if given == group.value else AccessDenied(group.value, closed=False)


@pytest.mark.parametrize(
    ("method", "path", "group"),
    [
        ("POST", PREDICT, "infer"),
        ("POST", "/v1/models/m:classify", "infer"),
        ("POST", "/V1/MODELS/m:REGRESS", "infer"),
        ("GET", "/v1/models", "metadata"),
        ("GET", "/v1/models/m", "metadata"),
        ("GET", "/v1/models/m/metadata", "metadata"),
        ("GET", "/figures", "admin"),
    ],
)
def test_what_is_asked_for_needs_the_key_of_its_group(
    rest_with: Callable[..., Rest], method: str, path: str, group: str
) -> None:
    settings = RestSettings(rest_processes=0, prometheus=True, prometheus_path="/figures")
    rest = rest_with(settings, admit=keys)
    rest.serve(FakeGraph())
    # What is wrong with a body is not told to whoever may not send one.
    refused = rest.ask(method, path, b"{" if method == "POST" else None)
    assert refused.code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert f"'{group}'" in refused.error
    denied = rest.ask(method, path, b"{" if method == "POST" else None, {"Authorization": "other"})
    assert denied.code == 403
    assert "www-authenticate" not in denied.headers
    allowed = rest.ask(method, path, BODY if method == "POST" else None, {"Authorization": group})
    assert allowed.code not in (401, 403)


def test_refused_request_leaves_its_connection_in_order(rest_with: Callable[..., Rest]) -> None:
    rest = rest_with(admit=keys)
    rest.serve(FakeGraph())
    with contextlib.closing(rest.connect()) as connection:
        for _ in range(3):
            body = b"POST /v1/models/m:predict HTTP/1.1\r\n\r\n" * 1000
            assert ask(connection, "POST", PREDICT, body).code == 401
            assert ask(connection, "POST", PREDICT, BODY, {"Authorization": "infer"}).json == ANSWER


def test_pages_may_send_keys_where_they_may_call(rest_with: Callable[..., Rest]) -> None:
    rest = rest_with(RestSettings(rest_processes=0, rest_cors=True), admit=keys)
    asked = rest.ask("OPTIONS", PREDICT)
    assert asked.code == 200
    assert (
        asked.headers["access-control-allow-headers"]
        == "Content-Type, Inference-Header-Content-Length, Authorization"
    )
    assert rest.post(PREDICT, BODY).headers["access-control-allow-origin"] == "*"
