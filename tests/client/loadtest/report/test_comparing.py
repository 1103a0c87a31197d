from __future__ import annotations

import copy

from hotgraph_client.loadtest.report import comparing

from . import documents
from .conftest import Make


def test_steps_of_about_the_same_rate_belong_together() -> None:
    now = documents.document(*(documents.open_step(rate, seconds=2) for rate in (100, 200, 300)))
    before = documents.document(*(documents.open_step(rate, seconds=2) for rate in (104, 220, 301, 299)))
    found = [(one.now["offered_per_s"], one.before["offered_per_s"]) for one in comparing.pairs(now, before)]
    assert found == [(100, 104), (300, 299)]


def test_void_steps_are_compared_with_none(made: Make) -> None:
    now = made("ramp")
    assert [pair.now["offered_per_s"] for pair in comparing.pairs(now, now)][-1] == 1200
    for step in now["steps"]:
        step["void"] = True
    assert comparing.pairs(now, made("ramp")) == []


def test_callers_are_compared_with_as_many_callers(made: Make) -> None:
    now, before = made("closed_loop"), made("closed_loop")
    del before["steps"][2]
    found = comparing.pairs(now, before)
    assert [pair.now["concurrency"] for pair in found] == [1, 2, 8, 16, 32, 64]
    assert all(pair.now["concurrency"] == pair.before["concurrency"] for pair in found)


def test_the_same_on_the_same_machine_needs_no_caution_but_repeats(made: Make) -> None:
    assert comparing.cautions(made("twelve_steps"), made("twelve_steps")) == []
    assert comparing.cautions(made("one_step"), made("one_step")) == [
        "without repeats on both sides, differences of some percent may be chance"
    ]


def test_what_differs_beside_the_server_is_a_caution(made: Make) -> None:
    now = made("twelve_steps")
    before = copy.deepcopy(now)
    before["model"] = "resnet50"
    before["machine"]["cores"] = 64
    before["input"]["rows"] = {"1": 1.0}
    before["load"]["arrivals"] = "uniform"
    del before["machine"]["cpu"]
    before["machine"]["server"]["version"] = "0.1"
    assert comparing.cautions(now, before) == [
        "model is mobilenet_v2, and was resnet50",
        "machine: cpu is AMD EPYC 9B14, and was not told",
        "machine: cores is 2, and was 64",
        "input: rows is {'1': 0.5, '4': 0.5}, and was {'1': 1.0}",
        "load: arrivals is poisson, and was uniform",
    ]


def test_ratios_have_something_to_divide_by() -> None:
    assert comparing.ratio(3.0, 2.0) == 1.5
    assert comparing.ratio(None, 2.0) is None
    assert comparing.ratio(3.0, None) is None
    assert comparing.ratio(3.0, 0.0) is None


def test_repeats_that_overlap_may_differ_by_chance(made: Make) -> None:
    step = made("twelve_steps")["steps"][0]
    other = copy.deepcopy(step)
    pair = comparing.Pair(step, other)
    assert comparing.within_spread(pair, "p99_ms") is True
    other["spread"]["p99_ms"] = {"median": 90.0, "least": 80.0, "greatest": 100.0}
    assert comparing.within_spread(pair, "p99_ms") is False
    del other["spread"]
    assert comparing.within_spread(pair, "p99_ms") is None
