"""progress.py and table.py: what is seen of a load, with and without a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest import table
from hotgraph_client.loadtest.document import Slo
from hotgraph_client.loadtest.histograms import Histogram
from hotgraph_client.loadtest.load import Ended, Interval
from hotgraph_client.loadtest.plan import Closed, Load, Open
from hotgraph_client.loadtest.progress import Drawn, Plain, progress_on
from hotgraph_client.loadtest.steps import Checked, Run, step_of
from hotgraph_client.loadtest.watching import Together

from .fake_generator import Silent


def second(at_s: int, due: int = 10, latency_ms: float = 5.0, **errors: int) -> Interval:
    answered = due - sum(errors.values())
    latency = Histogram.of([round(1e3 * latency_ms)] * answered).encode()
    return Interval(at_s, due, answered, answered, errors, latency, Histogram.of([100] * due).encode())


TEN = Open(10.0)


def step(load: Load = TEN, *, checked: Checked | None = None, latency_ms: float = 5.0, **errors: int) -> Any:
    intervals = [second(at_s, latency_ms=latency_ms, **errors) for at_s in range(3)]
    ended = Ended(intervals, seconds=3.0, error_texts=dict.fromkeys(errors, "because\nof that"))
    return step_of(load, [Run(load, ended, 0.0, 1, checked or Checked())])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    """Whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_terminal_is_drawn_on_and_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_on(Terminal()), Drawn)
    assert isinstance(progress_on(io.StringIO()), Plain)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(Terminal()), Plain)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(progress_on(Terminal()), Plain)


def test_each_second_is_a_line_once_most_of_its_answers_are_there() -> None:
    stream = io.StringIO()
    with Plain(stream) as plain:
        plain.began(Open(10.0), 1, 2, 5.0)
        plain.second(second(-1), {})
        plain.second(second(0, due=3), {})
        plain.second(second(0, due=10, UNAVAILABLE=2), {})
        assert "1 s" not in stream.getvalue()
        plain.second(second(1), {})
        plain.ended(step())
    lines = stream.getvalue().splitlines()
    assert lines[0] == "run 1 of 2 10/s, 5 s"
    assert lines[1].split()[:3] == ["warm-up", "due", "10"]
    assert lines[2].split()[:6] == ["1", "s", "due", "10", "answered", "8"]
    assert lines[2].endswith("2 x UNAVAILABLE")
    assert lines[3].split()[:2] == ["2", "s"]
    assert len(lines) == 6


def test_reader_who_leaves_ends_the_telling_and_not_the_load() -> None:
    plain = Plain(Pipe())
    plain.began(Open(10.0), 1, 1, 5.0)
    plain.second(second(0), {})
    plain.ended(step())
    drawn = Drawn(Pipe(), force_terminal=True, width=120)
    drawn.note("a note")


def test_table_is_drawn_with_the_load_that_is_on() -> None:
    stream, now = io.StringIO(), 100.0
    drawn = Drawn(stream, clock=lambda: now, force_terminal=True, width=160, color_system=None)
    with drawn:
        drawn.began(Open(10.0), 1, 2, 20.0)
        drawn.ended(step(UNAVAILABLE=1))
        drawn.began(Closed(8), 2, 2, 20.0)
        drawn.second(second(0, latency_ms=7.0), {"rows_per_run": 3.5, "queue_wait_ms": 0.25})
        drawn.second(second(1, latency_ms=14.0), {"rows_per_run": 3.5, "queue_wait_ms": 0.25})
        now = 105.0
    text = stream.getvalue()
    assert "offered/s" in text
    assert "10/s" in text
    assert "8 callers" in text
    assert "3.5" in text
    assert "run 2 of 2" in text
    assert "15 s left" in text
    assert "▄█" in text


def test_several_may_watch() -> None:
    one, other = Silent(), Silent()
    both = Together(one, other)
    both.began(Open(10.0), 1, 1, 5.0)
    both.second(second(0), {})
    both.ended(step())
    assert one.told == other.told == ["10/s 1/1", "0"]
    assert len(one.steps) == len(other.steps) == 1


def test_columns_stand_under_their_headings() -> None:
    heading, *rows = table.table([step(), step(Closed(100), latency_ms=1234.0)])
    assert len(rows) == 2
    end = heading.index("p50 ms") + len("p50 ms")
    assert [row[:end].split()[-1] for row in rows] == ["5", "1235"]


def test_baseline_is_compared_load_by_load() -> None:
    heading, same, other = table.table([step(latency_ms=6.0), step(Open(20.0))], [step(latency_ms=5.0)])
    assert heading.endswith("p99 before")
    assert same.endswith("5 (+20 %)")
    assert other.endswith("-")


def test_remarks_say_what_figures_do_not() -> None:
    found = table.remarks({"steps": [step(Closed(2), checked=Checked(3, "y[0] is 2"), UNAVAILABLE=2)]})
    assert any("6 x UNAVAILABLE: because of that" in line for line in found)
    assert any("y[0] is 2" in line for line in found)
    assert any("closed loop" in line for line in found)
    assert table.remarks({"steps": [step()]}) == []


@pytest.mark.parametrize(
    ("rate", "confirmed", "need", "says", "enough"),
    [
        (100.0, True, None, "holds at 100/s (confirmed)", True),
        (100.0, True, 90.0, "reaches the 90/s", True),
        (100.0, False, 90.0, "not confirmed", False),
        (100.0, True, 110.0, "misses the 110/s", False),
        (0.0, False, None, "no rate", True),
        (0.0, False, 1.0, "misses", False),
    ],
)
def test_what_a_search_found_is_a_sentence(
    rate: float, confirmed: bool, need: float | None, says: str, enough: bool
) -> None:
    slo: Slo = {
        "text": "p99<20ms",
        "rate_per_s": rate,
        "confirmed": confirmed,
        "why": "",
        "need_per_s": need,
        "tried": [],
    }
    assert says in table.promise_line(slo)
    assert table.is_enough(slo) is enough


@given(st.lists(st.none() | st.floats(0, 1e6)))
def test_sparkline_has_a_character_for_each_value(values: list[float | None]) -> None:
    drawn = table.sparkline(values)
    assert len(drawn) == (len(values) if any(values) else 0)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_cell_is_cut_in_a_narrow_terminal(width: int) -> None:
    stream = io.StringIO()
    drawn = Drawn(stream, force_terminal=True, width=width, color_system=None)
    with drawn:
        drawn.began(Open(10.0), 1, 2, 20.0)
        drawn.ended(step(Open(12345.0), latency_ms=123.0))
    text = stream.getvalue()
    assert "…" not in text
    assert "12345/s" in text
    assert "p99 ms" in text


def test_remarks_tell_median_and_spread_of_repeats() -> None:
    repeated = step()
    repeated["repeats"] = 3
    repeated["spread"] = {"p99_ms": {"median": 7.0, "least": 5.0, "greatest": 12.0}}
    (line,) = table.remarks({"steps": [repeated, step()]})
    assert line == "10/s: median of 3 runs (least to greatest): p99 7 ms (5 to 12)"


def test_texts_of_a_server_do_nothing_to_the_terminal() -> None:
    failed = step(UNAVAILABLE=1)
    failed["error_texts"] = {"UNAVAILABLE": "\x1b]0;title\x07 no\nway \u202e"}
    (line,) = table.remarks({"steps": [failed]})
    assert line.isprintable()
    assert line.endswith("?]0;title? no way ?")
