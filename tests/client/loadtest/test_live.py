"""live/: what a page is shown, what it may change, and who may ask."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.histograms import Histogram
from hotgraph_client.loadtest.live.control import Control
from hotgraph_client.loadtest.live.feed import MAX_SECONDS, Feed
from hotgraph_client.loadtest.live.page import page, policy
from hotgraph_client.loadtest.live.server import MAX_REQUESTS, LivePage
from hotgraph_client.loadtest.load import Interval
from hotgraph_client.loadtest.plan import Open
from hotgraph_client.loadtest.report.assets import library


class FakeSenders:
    def __init__(self) -> None:
        self.rates: list[float] = []
        self.mixes: list[tuple[float, ...]] = []

    def change(self, rate: float | None = None, weights: Sequence[float] | None = None) -> None:
        if rate is not None:
            self.rates.append(rate)
        if weights is not None:
            self.mixes.append(tuple(weights))


class Live:
    """A page that listens, and what it has asked for."""

    def __init__(self) -> None:
        self.senders = FakeSenders()
        self.stops = 0
        self.feed = Feed()
        self.control = Control(self.senders, self.stop, 50.0, [1, 1, 4], {1: 0.5, 4: 0.5})
        self.page = LivePage(self.feed, self.control, "m on <here>")
        self.host = self.page.url.split("/")[2]
        self.path = "/" + self.page.url.split("/", 3)[3]

    def stop(self) -> None:
        self.stops += 1

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        found = answer.status, answer.read(), answer.headers
        connection.close()
        return found

    def change(self, wanted: Any, **headers: str) -> tuple[int, Any]:
        headers = {"content_type": "application/json", **headers}
        status, body, _ = self.ask("POST", f"{self.path}load", json.dumps(wanted).encode(), **headers)
        return status, json.loads(body)


@pytest.fixture
def live() -> Iterator[Live]:
    found = Live()
    found.page.start()
    yield found
    found.page.stop()


def interval(second: int, due: int = 10) -> Interval:
    return Interval(second, due, due, due, latency=Histogram.of([5000] * due).encode())


def test_page_listens_on_this_machine_alone_with_a_token_of_its_own(live: Live) -> None:
    assert live.page.url.startswith("http://127.0.0.1:")
    assert len(live.path) > 30
    other = Live()
    other.page.stop()
    assert other.path != live.path
    status, body, headers = live.ask("GET", live.path)
    assert status == 200
    assert b"m on &lt;here&gt;" in body
    assert "'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_page_asks_no_other_server_for_anything() -> None:
    text = page("m").replace(library(), "")
    assert 'src="' not in text
    assert "@import" not in text
    assert text.count("<script>") == 2
    assert policy().count("sha256-") == 2


def test_seconds_are_told_once_and_again_when_more_is_known(live: Live) -> None:
    live.feed.began(Open(50.0, live=True), 1, 1, 10.0)
    live.feed.second(interval(0), {"rows_per_run": 2.0})
    live.feed.second(interval(1), {})

    def state(since: int) -> Any:
        return json.loads(live.ask("GET", f"{live.path}state?since={since}")[1])

    first = state(0)
    assert [second["at_s"] for second in first["seconds"]] == [0, 1]
    assert first["seconds"][0]["rows_per_run"] == 2.0
    assert first["seconds"][0]["p99_ms"] == pytest.approx(5.0, rel=0.01)
    assert first["load"]["rate"] == 50.0
    assert state(first["change"])["seconds"] == []
    live.feed.second(interval(0, due=12), {})
    assert [second["due"] for second in state(first["change"])["seconds"]] == [12]


def test_feed_forgets_what_is_long_ago() -> None:
    feed = Feed()
    for second in range(MAX_SECONDS + 5):
        feed.second(Interval(second), {})
    assert len(feed.since(0)["seconds"]) == MAX_SECONDS
    assert feed.since(0)["seconds"][0]["at_s"] == 5


def test_rate_and_mix_are_changed_while_it_runs(live: Live) -> None:
    status, told = live.change({"rate": 120, "mix": {"1": 1, "4": 3}})
    assert status == 200
    assert told["load"] == {"rate": 120, "mix": {"1": 0.25, "4": 0.75}, "paused": False, "stopped": False}
    assert live.senders.rates == [120.0]
    # two payloads have one row
    assert live.senders.mixes == [(0.125, 0.125, 0.75)]


def test_pause_sends_nothing_and_going_on_the_rate_of_then(live: Live) -> None:
    live.change({"paused": True})
    live.change({"rate": 80})
    live.change({"paused": False})
    assert live.senders.rates == [0.0, 0.0, 80.0]


def test_stop_ends_the_load_once(live: Live) -> None:
    live.change({"stopped": True})
    assert live.change({"stopped": True})[1]["load"]["stopped"] is True
    live.change({"stopped": False})
    assert live.stops == 1


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            [],
            {"rate": 0},
            {"rate": -1},
            {"rate": "5"},
            {"rate": True},
            {"rate": 1e9},
            {"rate": None},
            {"speed": 1},
        ),
        *({"mix": {"1": 1}}, {"mix": {"1": 0, "4": 0}}, {"mix": {"1": -1, "4": 2}}, {"mix": [1, 2]}),
        *({"paused": 1}, {"stopped": "yes"}, {"rate": 5, "mix": {}}, {"mix": {"1": "1", "4": 1}}),
    ],
)
def test_change_that_makes_no_sense_changes_nothing(live: Live, wanted: Any) -> None:
    status, told = live.change(wanted)
    assert status == 400
    assert told["error"]
    assert live.control.state() == {
        "rate": 50.0,
        "mix": {"1": 0.5, "4": 0.5},
        "paused": False,
        "stopped": False,
    }
    assert not live.senders.rates
    assert not live.senders.mixes


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["rate", "mix", "paused", "1", "4"]), inner)
        ),
    )
)
def test_any_json_is_a_change_or_refused(wanted: Any) -> None:
    if not isinstance(wanted, dict):
        return
    control = Control(FakeSenders(), lambda: None, 50.0, [1, 4], {1: 0.5, 4: 0.5})
    try:
        control.change(wanted)
    except ValueError:
        assert control.state()["rate"] == 50.0
    assert 0 < control.state()["rate"] <= 1e6


def test_who_does_not_know_the_token_is_told_nothing(live: Live) -> None:
    live.feed.second(interval(0), {})
    for path in ("/", "/state", "/x/state", f"{live.path[:-2]}/", live.path.rstrip("/")):
        status, body, _ = live.ask("GET", path)
        assert status == 404, path
        assert b"seconds" not in body
    status, _, _ = live.ask("POST", "/load", b'{"stopped": true}', content_type="application/json")
    assert status == 404
    assert live.stops == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1"},
        {"origin": "https://{host}"},
    ],
)
def test_other_sites_are_refused_even_with_the_token(live: Live, headers: dict[str, str]) -> None:
    sent: dict[str, Any] = {name: value.format(host=live.host) for name, value in headers.items()}
    assert live.change({"rate": 7}, **sent)[0] == 403
    assert live.ask("GET", f"{live.path}state", **sent)[0] == 403
    assert not live.senders.rates


def test_this_page_itself_may_change_the_load(live: Live) -> None:
    assert live.change({"rate": 7}, origin=f"http://{live.host}")[0] == 200
    port = live.host.partition(":")[2]
    assert live.change({"rate": 8}, host=f"localhost:{port}", origin=f"http://localhost:{port}")[0] == 200


def test_change_is_json_of_a_bounded_length(live: Live) -> None:
    path = f"{live.path}load"
    assert live.ask("POST", path, b"rate=7", content_type="application/x-www-form-urlencoded")[0] == 415
    assert live.ask("POST", path, b'{"rate": 7}', content_type="text/plain")[0] == 415
    assert live.ask("POST", path, b" " * 5000, content_type="application/json")[0] == 413
    assert live.ask("POST", path, b"{", content_type="application/json")[0] == 400
    assert live.ask("POST", path, b"[" * 4000, content_type="application/json")[0] == 400
    assert live.ask("POST", f"{live.path}other", b"{}", content_type="application/json")[0] == 404
    assert live.ask("GET", f"{live.path}other")[0] == 404
    assert not live.senders.rates


def test_connections_are_bounded_and_those_that_say_nothing_take_no_place_for_ever(live: Live) -> None:
    host, _, port = live.host.partition(":")
    silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(MAX_REQUESTS)]
    try:
        with socket.create_connection((host, int(port)), timeout=10) as one_too_many:
            assert one_too_many.recv(1) == b""
    finally:
        for sock in silent:
            sock.close()
    # the places are free again when their threads have seen the end
    for _ in range(100):
        try:
            assert live.ask("GET", f"{live.path}state")[0] == 200
            return
        except (http.client.HTTPException, OSError):
            continue
    pytest.fail("no place became free")
