from __future__ import annotations

from hotgraph_client.loadtest.report.markup import Markup
from hotgraph_client.loadtest.report.tune_charts import cost_curve, pareto_fronts
from hotgraph_client.loadtest.report.tune_section import MAX_ROWS, charts_of, tune_tiles, tuning

from .conftest import Make
from .test_markup import Read


def test_every_candidate_is_a_point_and_the_front_is_told_apart(made: Make) -> None:
    tune = made("tuned")["tune"]
    charts = pareto_fronts(tune)
    assert [chart.id for chart in charts] == ["candidates-goodput", "candidates-duty"]
    names = {one.name: one for one in charts[0].series}
    assert set(names) == {"candidates", "Pareto front", "defaults", "best"}
    front = [one["predicted"] for one in tune["candidates"] if one["pareto"]]
    assert len(front) > 1
    assert names["Pareto front"].points == [(one["goodput_per_s"], one["p99_ms"]) for one in front]
    assert len(names["candidates"].points) + len(front) == len(tune["candidates"])
    best = next(one for one in tune["candidates"] if one["label"] == "A")
    assert names["best"].points == [(best["predicted"]["goodput_per_s"], best["predicted"]["p99_ms"])]
    assert f"max_batch_size {best['settings']['max_batch_size']}" in names["best"].tips[0]


def test_what_is_alike_in_all_is_no_axis(made: Make) -> None:
    tune = made("tuned")["tune"]
    for one in tune["candidates"]:
        one["predicted"]["goodput_per_s"] = 800.0
    assert [chart.id for chart in pareto_fronts(tune)] == ["candidates-duty"]
    for one in tune["candidates"]:
        one["predicted"]["duty"] = 0.5
    assert [chart.id for chart in pareto_fronts(tune)] == ["candidates-goodput"]


def test_a_line_for_each_plan(made: Make) -> None:
    tune = made("tuned")["tune"]
    chart = cost_curve(tune)
    assert chart is not None
    found = {one.name: list(one.points) for one in chart.series}
    for plan in ("graph", "XLA", "one thread"):
        assert found[plan] == [(one["rows"], one["ms"]) for one in tune["costs"] if one["plan"] == plan]


def test_tiles_hold_the_best_against_the_defaults(made: Make) -> None:
    tune = made("tuned")["tune"]
    tiles = {name: (value, more) for name, value, more in tune_tiles(tune)}
    assert tiles["Best settings"][0] == "A"
    assert tiles["p99 of the defaults"] == ("24.0 ms", "measured; predicted 12.5 ms")
    assert tiles["Fewest replicas"] == ("2", "of 4 cores")
    tune["best"] = "defaults"
    assert "p99 of the defaults" not in dict((name, value) for name, value, _ in tune_tiles(tune))


def test_the_best_stands_first_and_the_table_stays_short(made: Make) -> None:
    tune = made("tuned")["tune"]
    for one in tune["candidates"]:
        one["pareto"] = True
    section = tuning(tune, charts_of(tune))
    assert section is not None
    rows = Markup(section.body).partition("</tbody>")[0].count("<tr")
    assert rows == 1 + MAX_ROWS
    texts = "".join(Read(section.body).texts)
    assert texts.index("A best") < texts.index("defaults")


def test_a_name_that_is_its_settings_is_not_said_twice(made: Make) -> None:
    tune = made("tuned")["tune"]
    best = next(one for one in tune["candidates"] if one["label"] == "A")
    assert dict((name, more) for name, _, more in tune_tiles(tune))["Best settings"].startswith(
        "max_batch_size"
    )
    for one in tune["candidates"]:
        one["label"] = "" if one is best else one["label"]
        one["settings"] = {"max_batch_rows": 8} if one is best else {}
    best["label"] = tune["best"] = "max_batch_rows=8"
    assert ("Best settings", "max_batch_rows=8", "") in tune_tiles(tune)
    section = tuning(tune, [])
    assert section is not None
    assert "Settings</th>" not in section.body


def test_processors_are_shown_where_they_are_known(made: Make) -> None:
    tune = made("tuned")["tune"]
    assert "Processors busy" not in {name for name, _, _ in tune_tiles(tune)}
    section = tuning(tune, [])
    assert section is not None
    assert "Cores" not in section.body
    for one in tune["candidates"]:
        one["predicted"]["cores"] = 1.5 if one["default"] else 0.75
    assert ("Processors busy", "0.750", "predicted; 1.50 with the defaults") in tune_tiles(tune)
    section = tuning(tune, [])
    assert section is not None
    assert "Cores predicted" in section.body
    assert "Cores measured" not in section.body
    next(one for one in tune["candidates"] if one["label"] == "A")["measured"]["cores"] = 0.5
    assert ("Processors busy", "0.500", "measured; 1.50 with the defaults") in tune_tiles(tune)


def test_replicas_say_how_sure_it_is_and_from_what(made: Make) -> None:
    tune = made("tuned")["tune"]
    for one, kept in zip(tune["replicas"], ("no", "at best", "likely", "yes"), strict=False):
        one |= {"kept": kept, "holds": kept == "yes"}
    tune |= {"replicas_for": 3000, "trust": {"low": 0.9, "middle": 1, "high": 1.3, "confirmed": True}}
    section = tuning(tune, [])
    assert section is not None
    for said in (
        "How many replicas for 3,000/s",
        "does not hold<",
        "holds at best<",
        "likely holds<",
        "real loads had 0.900 to 1.30 times the p99",
    ):
        assert said in section.body
    tune["trust"]["confirmed"] = False
    section = tuning(tune, [])
    assert section is not None
    assert "real loads had" not in section.body
    assert "Predicted alone" in section.body


def test_a_document_without_tuning_has_none_of_it() -> None:
    assert tuning(None, []) is None
    assert charts_of(None) == []
    assert charts_of({}) == []
    assert tune_tiles({}) == []


def test_what_tuning_found_may_be_little() -> None:
    section = tuning({"model": "m", "rate_per_s": 3.0, "slo": "p99<1ms", "verdict": "No."}, [])
    assert section is not None
    assert "3.00/s, p99&lt;1ms" in section.body
