from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.tuning.slo import digits, share_of, slo_of
from hotgraph_server.tuning.traffic import Senseless


def test_all_conditions_must_hold_and_the_first_that_does_not_is_told() -> None:
    slo = slo_of("p99<20ms, p50 <= 5ms,errors<0.1%")
    assert slo.latencies == ("p99", "p50")
    assert slo.latency_s == 0.005
    assert slo.broken({"p99": 0.019, "p50": 0.005}, 0.0) == ""
    assert slo.broken({"p99": 0.020, "p50": 0.005}, 0.0) == "p99 is 20 ms, not <20ms"
    assert slo.broken({"p99": 0.019, "p50": 0.006}, 0.0) == "p50 is 6 ms, not <= 5ms"
    assert slo.broken({"p99": 0.019, "p50": 0.001}, 0.002) == "errors is 0.20%, not <0.1%"
    assert "p99" in slo.broken({"p99": math.nan, "p50": 0.001}, 0.0)


def test_an_objective_without_a_word_on_errors_does_not_hold_where_many_are_refused() -> None:
    assert slo_of("p99<20ms").broken({"p99": 0.001}, 0.02) == ""
    assert "5.0%" in slo_of("p99<20ms").broken({"p99": 0.001}, 0.05)


@pytest.mark.parametrize(("text", "met"), [("achieved>95%", 0.02), ("goodput>=99%", 0.01), ("wrong<1%", 0.0)])
def test_shares_of_load_tests_are_known(text: str, met: float) -> None:
    assert slo_of(text).broken({}, met) == ""
    assert slo_of(text).latency_s == math.inf


@pytest.mark.parametrize(
    "text", ["", "p99", "p99<20", "p99>20ms", "p99<20%", "errors<20ms", "errors>1%", "p100<1ms", "p99<20ms,"]
)
def test_what_is_no_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Senseless, match="p99<20ms"):
        slo_of(text)


@given(st.text("p59.0123<>=,ms%erors ", max_size=20))
def test_any_text_is_an_objective_or_senseless(text: str) -> None:
    with contextlib.suppress(Senseless):
        assert slo_of(text).conditions


def test_share_of_a_percentile() -> None:
    assert share_of("p99.9") == pytest.approx(0.999)


def test_figures_have_three_digits_and_no_exponent() -> None:
    shown = [
        digits(value) for value in (0.01234, 1.234, 123.4, 999.9, 1000.0, 12345.6, -2000.0, float("inf"))
    ]
    assert shown == ["0.0123", "1.23", "123", "1,000", "1,000", "12,346", "-2,000", "inf"]
