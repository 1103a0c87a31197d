"""sampling.py: whose word counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from hotgraph_server.observability.tracing.sampling import Sampler
from hotgraph_server.observability.tracing.traceparent import SpanIdentity

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331


def headers(flags: str = "01", state: str | None = None) -> Callable[[str], str | None]:
    said = {"traceparent": f"00-{TRACE:032x}-{SPAN:016x}-{flags}", "tracestate": state}
    return said.get


def no_headers(_: str) -> str | None:
    return None


def never() -> float:
    raise AssertionError("chance has no say")


def sampler(rate: float, draw: Callable[[], float] = never) -> Sampler:
    numbers = itertools.count(7)
    return Sampler(rate, draw, lambda low, high: next(numbers))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_callers_word_counts_whatever_the_rate(rate: float) -> None:
    assert sampler(rate).drawn(headers("01", "a=1")) == SpanIdentity(TRACE, 7, SPAN, "a=1")
    assert sampler(rate).drawn(headers("00")) is None


def test_chance_decides_where_no_caller_does() -> None:
    assert sampler(0.25, lambda: 0.24).drawn(no_headers) == SpanIdentity(7, 8)
    assert sampler(0.25, lambda: 0.25).drawn(no_headers) is None


def test_without_a_rate_no_number_is_drawn() -> None:
    assert sampler(0.0).drawn(no_headers) is None


def test_broken_header_is_none() -> None:
    assert sampler(1.0, lambda: 0.5).drawn({"traceparent": "00-1-2-01"}.get) == SpanIdentity(7, 8)


def test_later_version_that_is_not_sampled_gets_none() -> None:
    said = {"traceparent": f"01-{TRACE:032x}-{SPAN:016x}-00-more"}
    assert sampler(1.0).drawn(said.get) is None
