"""traceparent.py: what of W3C's headers counts, and what is as good as none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from hotgraph_server.observability.tracing.traceparent import (
    Parent,
    is_plainly_unsampled,
    parse,
    passed_on,
    trace_id_of,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def header(version: str = "00", trace: str = TRACE, span: str = SPAN, flags: str = "01") -> str:
    return f"{version}-{trace}-{span}-{flags}"


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_what_a_caller_writes_is_read(trace: int, span: int, flags: int) -> None:
    text = f"00-{trace:032x}-{span:016x}-{flags:02x}"
    assert parse(text) == Parent(trace, span, bool(flags & 1))
    assert is_plainly_unsampled(text) is not bool(flags & 1)
    assert trace_id_of(text) == f"{trace:032x}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        header(version="ff"),
        header(trace="0" * 32),
        header(span="0" * 16),
        header(trace=TRACE.upper()),
        header(trace=TRACE[1:]),
        header(flags="1"),
        header() + "-more",
        header() + "\n",
        " " + header(),
        header().replace("-", "_"),
        f"{header()}, {header()}",
    ],
)
def test_what_breaks_a_rule_is_no_parent(text: str) -> None:
    assert parse(text) is None
    assert trace_id_of(text) == ""


def test_later_version_is_read_as_far_as_it_begins_alike() -> None:
    assert parse(header(version="01") + "-and-more") == Parent(int(TRACE, 16), int(SPAN, 16), True)
    assert parse(header(version="01") + "more") is None


@given(st.text())
def test_no_text_is_too_odd_to_be_looked_at(text: str) -> None:
    is_plainly_unsampled(text)
    assert parse(text) is None
    assert passed_on(text) in ("", text)


TOO_MANY = ",".join(f"k{number}=1" for number in range(33))


@pytest.mark.parametrize(
    "state", ["a", "=1", "A=1", "a=1,a=2", "a=\x1b[31m", "a=\u00e9", "a=1,b", ",", "a=1 =2", TOO_MANY]
)
def test_state_that_breaks_a_rule_is_dropped(state: str) -> None:
    assert passed_on(state) == ""


@given(st.text("ab1=,@ \t;\x1b", max_size=30))
def test_opentelemetry_takes_what_is_passed_on(state: str) -> None:
    if said := passed_on(state):
        assert len(TraceState.from_header([said])) == len([one for one in said.split(",") if one.strip()])


def test_state_that_is_longer_than_everybody_passes_on_is_dropped() -> None:
    assert passed_on("a=1,b=2") == "a=1,b=2"
    assert passed_on("a=1, ,1t@vendor=x y\t") == "a=1, ,1t@vendor=x y\t"
    assert passed_on("a=" + "1" * 511) == ""
    assert passed_on(None) == ""
