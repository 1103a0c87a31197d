from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from hotgraph_client.loadtest.document import Document
from hotgraph_client.loadtest.report import assets, page

from . import documents
from .conftest import Make
from .documents import HOSTILE
from .test_markup import Read

ALL = (
    *("ramp", "twelve_steps", "one_step", "closed_loop", "search", "nothing_but_errors"),
    *("wrong_answers", "tuned", "hostile"),
)
MAX_BYTES = 1_500_000


def drawn(made: str) -> Any:
    """The page's JSON."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', made)
    assert found
    return json.loads(found[1])


def sections(made: str) -> list[str | None]:
    return [attributes.get("id") for name, attributes in Read(made).tags if name == "section"]


@pytest.mark.parametrize("name", ALL)
def test_the_page_is_small_and_asks_for_nothing(made: Make, name: str) -> None:
    text = page(made(name))
    assert len(text.encode()) < MAX_BYTES
    found = Read(text).tags
    assert [tag for tag, _ in found].count("script") == 3
    assert [tag for tag, _ in found].count("style") == 1
    for tag, attributes in found:
        assert not {"src", "style", "srcset", "action"} & set(attributes), tag
        assert not [one for one in attributes if one.startswith("on")], tag
        assert attributes.get("href", "#").startswith("#"), tag  # type: ignore[union-attr]


@pytest.mark.parametrize("with_baseline", [False, True])
def test_a_hostile_name_adds_no_element(made: Make, with_baseline: bool) -> None:
    hostile = made("hostile")
    mild = json.loads(json.dumps(hostile).replace(json.dumps(HOSTILE)[1:-1], "mild"))
    found = Read(page(hostile, made("hostile") if with_baseline else None))
    # As many of each as with a name that tries nothing.
    expected = Read(page(mild, json.loads(json.dumps(mild)) if with_baseline else None))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in expected.tags]
    assert HOSTILE.replace("\0", "\N{REPLACEMENT CHARACTER}") in "".join(found.texts)


def test_the_policy_is_of_what_stands_in_the_page(made: Make) -> None:
    text = page(made("one_step"))
    (policy,) = (
        attributes["content"]
        for tag, attributes in Read(text).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert assets.hash_source(script) in policy
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert assets.hash_source(style) in policy
    assert "default-src 'none'" in policy
    assert policy.count("unsafe") == policy.count("style-src-attr 'unsafe-inline'") == 1


def test_loads_that_confirm_a_tuning_are_no_curve(made: Make) -> None:
    assert "curve" not in sections(page(made("tuned")))


def test_sections_stand_in_their_order(made: Make) -> None:
    assert sections(page({**made("search"), "tune": made("tuned")["tune"]}, made("baseline"))) == [
        *("summary", "tuning", "curve", "distribution", "errors"),
        *("time", "steps", "sender", "machine", "comparison"),
    ]


def test_sections_without_data_are_left_out(made: Make) -> None:
    assert sections(page({})) == ["summary"]
    assert sections(page(made("nothing_but_errors"))) == [
        *("summary", "errors", "time", "steps", "sender", "machine")
    ]
    assert sections(page({"model": "m", "tune": made("tuned")["tune"]})) == ["summary", "tuning"]


def test_every_chart_has_its_place_and_every_place_its_chart(made: Make) -> None:
    for name in ALL:
        text = page(made(name))
        data = drawn(text)
        places = {one["data-chart"] for tag, one in Read(text).tags if tag == "figure"}
        charts = {one["id"] for one in data["charts"]} | {one["id"] for step in data["steps"] for one in step}
        assert places == charts, name


def test_figures_of_the_table_are_those_of_the_document(made: Make) -> None:
    document = made("ramp")
    text = page(document)
    row = re.search(r"<tr[^>]*><th scope=\"row\">750/s</th>(.*?)</tr>", text)
    assert row
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1])
    step = document["steps"][4]
    assert cells[:4] == ["750", "750", "1,875", "7,500"]
    assert [float(one) for one in cells[4:10]] == pytest.approx(
        [step["latency_ms"][name] for name in ("mean", "p50", "p90", "p99", "p99.9", "max")], rel=0.005
    )
    assert cells[10:14] == ["0", "0 %", "0", "0"]


def test_errors_are_told_by_status_with_what_came_with_them(made: Make) -> None:
    document = made("ramp")
    said = page(document)
    here = [step["errors"]["RESOURCE_EXHAUSTED"] for step in document["steps"] if step["errors"]]
    where = ", ".join(f"{rate}/s: {amount:,}" for rate, amount in zip((1050, 1200, 1500), here, strict=True))
    assert (
        f'<th scope="row">RESOURCE_EXHAUSTED</th><td class="figure">{sum(here):,}</td><td>{where}</td>'
        "<td>resource_exhausted: the queue of resnet50 is full (64 calls)</td>"
    ) in said
    assert "Errors by status" not in page(made("one_step"))
    assert '<th scope="row">wrong answers</th><td class="figure">12</td>' in page(made("wrong_answers"))


def test_void_steps_are_said_loudly(made: Make) -> None:
    text = page(made("ramp"))
    top = text.partition("</section>")[0]
    assert "1 of 9 steps is void" in top
    assert "the sender&#x27;s lag (p99 6.2 ms)" in top
    assert '<span class="badge bad">void</span>' in text


def test_figures_that_are_none_are_written_as_none(made: Make) -> None:
    document = made("ramp")
    document["steps"][2]["latency_ms"]["p99"] = math.nan
    document["steps"][3]["latency_ms"]["p99"] = math.inf
    document["steps"][4]["server"]["rows_per_run"] = None
    curve = drawn(page(document))["charts"][0]
    p99 = next(one for one in curve["series"] if one["name"] == "p99")
    assert [y for _, y in p99["points"]][2:4] == [None, None]


def test_a_document_that_was_written_and_read_gives_the_same_page(made: Make) -> None:
    document: Document = made("tuned")
    assert page(json.loads(json.dumps(document))) == page(document)


def test_an_hour_and_many_steps_stay_small() -> None:
    def errors(second: int) -> dict[str, int]:
        return {f"STATUS_{place}": second % (place + 2) for place in range(9)}

    steps = []
    for rate in range(10, 130, 10):
        step = documents.open_step(rate, seconds=1)
        second = step["over_time"][0]
        server = step["server"]["over_time"][0]
        step["over_time"] = [{**second, "at_s": at, "errors": errors(at)} for at in range(3600)]
        step["server"]["over_time"] = [{**server, "at_s": at} for at in range(3600)]
        steps.append(step)
    assert len(page(documents.document(*steps)).encode()) < MAX_BYTES


def test_the_licences_of_what_is_in_it_are_in_it(made: Make) -> None:
    text = page(made("one_step"))
    for said in ("Apache License", "Mike Bostock", "Baidu", "Microsoft"):
        assert said in text


def test_the_step_that_confirmed_is_told_at_the_top(made: Make) -> None:
    top = page(made("search")).partition("</section>")[0]
    assert "<dd>875/s</dd>" in top
    assert "at 875/s, to confirm" in top


def test_void_steps_of_a_promise_that_was_kept_do_not_contradict_it(made: Make) -> None:
    document = made("search")
    for step in document["steps"]:
        step["void"], step["void_why"] = True, "late"
    assert "kept all the same" in page(document)
    document["slo"]["rate_per_s"] = 0.0
    assert "kept all the same" not in page(document)
