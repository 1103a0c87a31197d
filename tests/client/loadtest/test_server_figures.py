"""prometheus_text.py, counters.py and server_figures.py: what a server says of a step."""

from __future__ import annotations

import dataclasses
import itertools
import socket
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.descriptions import BatchStatistics, ModelStatistics, Timing
from hotgraph_client.loadtest import counters
from hotgraph_client.loadtest.counters import Counters
from hotgraph_client.loadtest.document import ServerFigures
from hotgraph_client.loadtest.prometheus_text import Sample, samples
from hotgraph_client.loadtest.server_figures import PrometheusPage, Sampler

HOTGRAPH = """\
# HELP hotgraph_calls_total calls by how they ended
# TYPE hotgraph_calls_total counter
hotgraph_calls_total{model="m",version="1",signature="serving_default",outcome="answered"} 100.0
hotgraph_calls_total{model="m",version="1",signature="serving_default",outcome="refused"} 7
hotgraph_calls_total{model="m",version="1",signature="other",outcome="answered"} 11
hotgraph_calls_total{model="n",version="1",signature="serving_default",outcome="answered"} 1000
hotgraph_batch_rows_bucket{model="m",version="1",signature="serving_default",le="1.0"} 5
hotgraph_batch_rows_sum{model="m",version="1",signature="serving_default"} 400
hotgraph_batch_rows_count{model="m",version="1",signature="serving_default"} 50
hotgraph_queue_wait_seconds_sum{model="m",version="1",signature="serving_default"} 0.2
hotgraph_queue_wait_seconds_count{model="m",version="1",signature="serving_default"} 100
hotgraph_run_duration_seconds_sum{model="m",version="1",signature="serving_default"} 1.5e-1
hotgraph_run_duration_seconds_count{model="m",version="1",signature="serving_default"} 50
hotgraph_executor_busy_seconds_total{model="m",version="1"} 0.25
"""
TRITON = """\
nv_inference_request_success{model="m",version="1"} 100
nv_inference_count{model="m",version="1"} 400
nv_inference_exec_count{model="m",version="1"} 50
nv_inference_queue_duration_us{model="m",version="1"} 200000
nv_inference_compute_infer_duration_us{model="m",version="1"} 300000
"""


def test_lines_are_read_with_escapes_and_timestamps() -> None:
    text = 'a 1\nb{x="q\\"}\\n\\\\",y="2"} +Inf 1234\n# c 1\nodd{x=1\nd{} nan\n\nlast_total 2e3'
    found = list(samples(text))
    assert found[:2] == [Sample("a", {}, 1.0), Sample("b", {"x": 'q"}\n\\', "y": "2"}, float("inf"))]
    assert found[-1] == Sample("last_total", {}, 2000.0)
    assert [one.name for one in found] == ["a", "b", "d", "last_total"]


@given(st.text() | st.from_regex(r'[a-z]+\{([a-z]+="[^\n]*",?)*\} [0-9.]+'))
def test_any_text_is_read_without_complaint(text: str) -> None:
    for one in samples(text):
        assert one.name


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z_]+\Z"),
        st.text(st.characters(exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")),
    ),
    st.floats(allow_nan=False),
)
def test_what_is_written_is_read(labels: dict[str, str], value: float) -> None:
    escaped = {name: text.replace("\\", r"\\").replace('"', r"\"") for name, text in labels.items()}
    line = "n{" + ",".join(f'{name}="{text}"' for name, text in escaped.items()) + f"}} {value!r}"
    assert list(samples(line)) == [Sample("n", labels, value)]


def test_hotgraphs_page_is_understood() -> None:
    found = counters.of_prometheus(HOTGRAPH, "m", signature="serving_default")
    assert found == Counters(100, 400, 50, 100, 0.2, 50, 0.15, 0.25)
    of_all = counters.of_prometheus(HOTGRAPH, "m")
    assert of_all is not None
    assert of_all.calls == 111


def test_processes_of_one_server_are_added_up() -> None:
    two = "".join(
        line.replace("{", f'{{process="{number}",') + "\n"
        for number in range(2)
        for line in HOTGRAPH.splitlines()
        if not line.startswith("#")
    )
    found = counters.of_prometheus(two, "m", signature="serving_default")
    assert found == Counters(200, 800, 100, 200, 0.4, 100, 0.3, 0.5)


def test_tritons_page_is_understood() -> None:
    found = counters.of_prometheus(TRITON, "m", version="1", signature="serving_default")
    assert found is not None
    assert dataclasses.astuple(found) == pytest.approx((100, 400, 50, 100, 0.2, 100, 0.3, 0.0, None))


def test_page_without_the_model_says_nothing() -> None:
    assert counters.of_prometheus(HOTGRAPH, "absent") is None
    assert counters.of_prometheus(HOTGRAPH, "m", version="2") is None
    assert counters.of_prometheus('other{model="m"} 1', "m") is None


def test_statistics_tell_runs_by_themselves_where_batches_are_listed() -> None:
    once, batches = Timing(8, 8.0), (BatchStatistics(4, Timing(2, 2.0)),)
    model = ModelStatistics(
        "m", "1", 8, 2, Timing(8, 9.0), Timing(0, 0.0), Timing(8, 1.0), once, 0.0, batches
    )
    found = counters.of_statistics([model])
    assert found == Counters(8, 8, 2, 8, 1.0, timed=2, run_s=2.0, busy_s=2.0)
    assert counters.of_statistics([]) is None


def test_figures_are_of_what_grew() -> None:
    before, middle = (
        Counters(1000, 1000, 1000, 1000, 5.0, 1000, 9.0, 9.0),
        Counters(1100, 1400, 1050, 1100, 5.2, 1050, 9.1, 9.1),
    )
    after = Counters(1100, 1400, 1050, 1100, 5.2, 1050, 9.1, 9.1)
    found = counters.figures("statistics", [(0.0, before), (1.0, middle), (2.0, after)])
    assert found["rows_per_run"] == 8.0
    assert found["queue_wait_ms"] == pytest.approx(2.0)
    assert found["run_ms"] == pytest.approx(2.0)
    assert found["runs_per_s"] == 25.0
    assert found["duty"] == pytest.approx(0.05)
    assert [moment["calls_per_s"] for moment in found["over_time"]] == [100.0, 0.0]
    assert found["over_time"][1]["rows_per_run"] is None, "nothing ran"


def test_server_that_was_started_again_counts_from_nothing() -> None:
    found = counters.figures("s", [(0.0, Counters(calls=500, runs=500)), (1.0, Counters(calls=20, runs=20))])
    assert found["over_time"][0]["calls_per_s"] == 20


def test_memory_is_told_as_it_was_and_is_no_count() -> None:
    taken = [
        (at_s, counters.of_prometheus(f"{HOTGRAPH}process_resident_memory_bytes {mib * 2**20}\n", "m"))
        for at_s, mib in ((0.0, 400), (1.0, 500), (2.0, 450))
    ]
    found = counters.figures("s", [(at_s, one) for at_s, one in taken if one is not None])
    assert found["resident_mib"] == {"before": 400, "most": 500, "after": 450}
    # Nothing was answered meanwhile; less memory than before is no new start of the server.
    assert [(one["calls_per_s"], one["resident_mib"]) for one in found["over_time"]] == [(0, 500), (0, 450)]
    again = counters.figures(
        "s", [(0.0, Counters(resident_bytes=2**20)), (1.0, Counters(resident_bytes=2**19))]
    )
    assert counters.joined([(2.0, found), (1.0, again)])["resident_mib"] == {
        "before": 400,
        "most": 500,
        "after": 0.5,
    }


def test_memory_of_several_processes_is_added_up_and_that_of_nobody_is_not_there() -> None:
    two = "".join(f'process_resident_memory_bytes{{process="{number}"}} 1e6\n' for number in range(2))
    found = counters.of_prometheus(HOTGRAPH + two, "m")
    assert found is not None
    assert found.resident_bytes == 2e6
    assert "resident_mib" not in counters.figures("s", [(0.0, Counters()), (1.0, Counters())])


def test_one_sample_says_nothing() -> None:
    assert counters.figures("s", [(0.0, Counters())]) == {}
    assert counters.figures("s", []) == {}


def test_repeats_are_joined() -> None:
    one = counters.figures("s", [(0.0, Counters()), (1.0, Counters(rows=10, runs=10))])
    other = counters.figures("s", [(0.0, Counters()), (1.0, Counters(rows=30, runs=10))])
    found = counters.joined([(2.0, one), (2.0, {}), (2.0, other)])
    assert found["rows_per_run"] == 2.0
    assert found["queue_wait_ms"] is None
    assert [moment["at_s"] for moment in found["over_time"]] == [0.0, 4.0]
    assert counters.joined([(1.0, {}), (1.0, {})]) == {}
    assert counters.joined([(1.0, one)]) == one


class Counting:
    """A server that has answered one more call each time that it is asked; None: it does not tell."""

    name = "fake"

    def __init__(self, answers: Iterable[float | None]) -> None:
        self._answers = iter(answers)
        self.asked = 0

    def read(self) -> Counters | None:
        self.asked += 1
        calls = next(self._answers, None)
        return None if calls is None else Counters(calls=calls)


def hurrying() -> itertools.count[int]:
    return itertools.count()


def sampled(source: Counting, seconds: float) -> ServerFigures:
    """The clock goes on by a second whenever it is looked at: nobody waits."""
    ticks = hurrying()
    sampler = Sampler(source, clock=lambda: float(next(ticks)))
    sampler.start(0.0, seconds)
    for thread in threading.enumerate():
        if thread.name == "loadtest-server-figures":
            thread.join(10)
    return sampler.stop()


def test_sampler_asks_until_the_step_ends() -> None:
    source = Counting(itertools.count())
    found = sampled(source, 30.0)
    assert found["source"] == "fake"
    assert found["over_time"][-1]["at_s"] >= 25
    assert source.asked == len(found["over_time"]) + 1


def test_server_that_does_not_tell_is_asked_once() -> None:
    source = Counting([None, 1.0, 2.0])
    assert sampled(source, 30.0) == {}
    assert source.asked == 1


def test_question_that_fails_is_a_second_that_is_missing() -> None:
    assert len(sampled(Counting([0.0, None, 2.0, 3.0, None]), 9.0)["over_time"]) == 2


def test_sampler_that_waits_is_stopped_at_once() -> None:
    sampler = Sampler(Counting([0.0]), clock=lambda: 0.0)
    sampler.start(1e6, 2e6)
    assert sampler.stop() == {}
    assert not any(thread.name == "loadtest-server-figures" for thread in threading.enumerate())


def test_without_a_source_nobody_is_asked() -> None:
    sampler = Sampler(None)
    sampler.start(0.0, 1.0)
    assert sampler.stop() == {}
    assert sampler.latest() == {}


def test_page_of_metrics_is_a_url_and_may_be_away() -> None:
    with pytest.raises(ValueError, match="--metrics"):
        PrometheusPage("file:///etc/passwd", "m")
    assert PrometheusPage("http://127.0.0.1:1/metrics", "m").read() is None


def test_page_that_is_no_http_is_a_second_that_is_missing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"no HTTP at all\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        port = listening.getsockname()[1]
        assert PrometheusPage(f"http://127.0.0.1:{port}/metrics", "m").read() is None
        thread.join(10)
