"""The parts of the page, in their order, as HTML. Pure.

Each is a function of what is known, and gives None where there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..document import Document, Step
from . import comparing, judging
from .charts import Chart, label
from .figures import NONE, by_count, count, moment, number, per_s, percent, plural, times
from .judging import percentile, steps_of
from .markup import Markup, Row, join, table, tag
from .time_charts import chosen

_PERCENTILES = ("mean", "p50", "p90", "p99", "p99.9", "max")

WRONG = "wrong answers"
"""What they are called among the statuses."""

_UNITS = {"s": "s", "ms": "ms", "gib": "GiB"}

LAG = (
    "How much later than they were due calls were sent. A step is void where this could have changed its "
    "latencies: then the sender was what was measured. More processes (--processes) help, or another machine."
)


@dataclass(frozen=True)
class Section:
    """One part of the page; `link` is what leads to it from the top."""

    id: str
    title: str
    body: Markup
    link: str


def figure(chart: Chart, *, titled: bool = True) -> Markup:
    """Where a chart goes: its title, what it shows in a sentence, and its figures."""
    title = [tag("h3", chart.title)] if titled else []
    return tag(
        "figure",
        tag("figcaption", *title, tag("p", chart.summary, class_="said")),
        tag("p", chart.y.name, class_="axis", aria_hidden="true"),
        tag("div", class_="plot", role="img", aria_label=f"{chart.title}. {chart.summary}"),
        tag("div", class_="legend", role="group", aria_label=f"Lines of: {chart.title}"),
        tag("details", tag("summary", "Figures of this chart"), class_="data"),
        data_chart=chart.id,
    )


def of_chart(link: str, chart: Chart | None, more: Markup | None = None) -> Section | None:
    """A part that is one chart, and what belongs to it."""
    if chart is None:
        return None
    body = join([figure(chart, titled=False), *([more] if more else [])])
    return Section(chart.id, chart.title, body, link)


def over_time(found: list[tuple[Step, tuple[Chart, ...]]], best: Step | None) -> Section | None:
    """The charts of one step, and which one."""
    if not found:
        return None
    steps = [step for step, _ in found]
    first = chosen(steps, best)
    options = (
        tag(
            "option",
            label(step) + (" (void)" if step.get("void") else ""),
            value=str(place),
            selected=place == first,
        )
        for place, step in enumerate(steps)
    )
    choice = tag("label", "Step ", tag("select", *options, id="step"), class_="choice")
    # Every place that any step needs; those that the chosen one does not fill are hidden.
    places: dict[str, Chart] = {chart.id: chart for _, made in found for chart in made}
    places |= {chart.id: chart for chart in found[first][1]}
    order = ("time-latency", "time-calls", "time-rows", "time-waits", "time-memory")
    body = join([choice, *(figure(places[one]) for one in order if one in places)])
    return Section("time", "Over time", body, "Over time")


def all_steps(document: Document) -> Section | None:
    """Every figure of every step."""
    steps = steps_of(document)
    if not steps:
        return None
    server = any(step.get("server") for step in steps)
    columns = [
        "Step",
        "Offered/s",
        "Answered/s",
        "Rows/s",
        "Calls",
        *(f"{name}, ms" for name in _PERCENTILES),
    ]
    columns += ["Errors", "of calls", "Wrong", "Unchecked"]
    if server:
        columns += ["Rows/run", "Queue wait, ms", "Run, ms", "Runs/s", "Duty"]
    judgement = judging.judge(document)
    best = judgement.step if judgement.rate_per_s else None
    rows = [Row(_step_cells(step, server=server), _look(step, best)) for step in steps]
    body = join([table("All steps", columns, rows), *_repeats(steps), *_by_status(steps)])
    return Section("steps", "Steps", body, "Steps")


def _look(step: Step, best: Step | None) -> str:
    return "void" if step.get("void") else "best" if step is best else ""


def _step_cells(step: Step, *, server: bool) -> list[object]:
    void = tag("span", "void", class_="badge bad") if step.get("void") else ""
    wrong = count(step.get("wrong", 0))
    cells: list[object] = [
        tag("span", label(step), " ", void) if void else label(step),
        number(step.get("offered_per_s")),
        number(step.get("achieved_per_s")),
        number(step.get("rows_per_s")),
        count(step.get("calls")),
        *(number(percentile(step, name)) for name in _PERCENTILES),
        count(judging.errors_of([step]).total()),
        percent(judging.errors_share(step)),
        tag("strong", wrong, class_="bad") if step.get("wrong") else wrong,
        count(step.get("unchecked", 0)),
    ]
    if server:
        told = step.get("server") or {}
        cells += [
            number(told.get("rows_per_run")),
            number(told.get("queue_wait_ms")),
            number(told.get("run_ms")),
        ]
        cells += [number(told.get("runs_per_s")), percent(told.get("duty"))]
    return cells


def _repeats(steps: Iterable[Step]) -> list[Markup]:
    names = (("p50_ms", "p50, ms"), ("p99_ms", "p99, ms"), ("achieved_per_s", "answered/s"))
    rows = [
        Row([label(step), count(step.get("repeats")), *(_spread(step, name) for name, _ in names)])
        for step in steps
        if step.get("spread")
    ]
    if not rows:
        return []
    columns = ["Step", "Repeats", *(f"{name}: median (least to greatest)" for _, name in names)]
    return [tag("h3", "Repeats"), table("Spread over the repeats", columns, rows)]


def _spread(step: Step, name: str) -> str:
    found = step["spread"].get(name)
    if not found:
        return NONE
    return f"{number(found['median'])} ({number(found['least'])} to {number(found['greatest'])})"


def _by_status(steps: Iterable[Step]) -> list[Markup]:
    """How many errors of each status there were, where, and what came with them; wrong answers as well."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    for step in steps:
        texts = step.get("error_texts") or {}
        for status, amount in (step.get("errors") or {}).items():
            found.setdefault(status, []).append((label(step), amount, texts.get(status, "")))
        if wrong := step.get("wrong"):
            found.setdefault(WRONG, []).append((label(step), wrong, step.get("wrong_why", "")))
    if not found:
        return []
    totals = {status: sum(amount for _, amount, _ in told) for status, told in found.items()}
    rows = [
        Row(
            [
                status,
                count(totals[status]),
                ", ".join(f"{where}: {count(amount)}" for where, amount, _ in found[status]),
                next((words for _, _, words in found[status] if words), NONE),
            ]
        )
        for status in by_count(totals)
    ]
    columns = ["Status", "Calls", "Step by step", "The first text that came with it"]
    return [tag("h3", "Errors"), table("Errors by status", columns, rows, texts=(2, 3))]


def sender(document: Document) -> Section | None:
    """What the sending itself took, and how late it was."""
    steps = [
        step for step in steps_of(document) if step.get("lag_ms") or step.get("generator_cores") is not None
    ]
    if not steps:
        return None
    lags = [
        name for name in ("p50", "p99", "max") if any(name in (step.get("lag_ms") or {}) for step in steps)
    ]
    rows = (
        Row(
            [
                label(step),
                number(step.get("generator_cores")),
                *(number((step.get("lag_ms") or {}).get(name)) for name in lags),
                f"void: {step.get('void_why', '')}" if step.get("void") else "none",
            ],
            "void" if step.get("void") else "",
        )
        for step in steps
    )
    columns = ["Step", "Cores", *(f"Lag {name}, ms" for name in lags), "Doubt"]
    made = table("The sender's lag and cores", columns, rows, texts=(len(columns) - 1,))
    return Section("sender", "The sender itself", join([tag("p", LAG, class_="said"), made]), "Sender")


def machine(document: Document) -> Section | None:
    """Where it ran, with what, and how to run it again."""
    parts = (
        ("Machine", document.get("machine")),
        ("Input", document.get("input")),
        ("Load", document.get("load")),
    )
    lists = [tag("div", tag("h3", name), _definitions(values)) for name, values in parts if values]
    command = document.get("command")
    if not lists and not command:
        return None
    body: list[Markup] = [tag("div", *lists, class_="columns")] if lists else []
    if command:
        again = tag("pre", tag("code", command), tabindex="0", aria_label="The command")
        body += [tag("h3", "To run it again"), again]
    return Section("machine", "Machine, versions and command", join(body), "Machine")


def _definitions(values: Mapping[str, Any]) -> Markup:
    pairs = (join([tag("dt", _name(name)), tag("dd", _value(value))]) for name, value in values.items())
    return tag("dl", *pairs)


def _name(name: str) -> str:
    """`warm_up_s`: `warm up, s`."""
    whole, _, unit = name.rpartition("_")
    if whole and unit in _UNITS:
        return f"{whole.replace('_', ' ')}, {_UNITS[unit]}"
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.keys() == {"name", "version"}:
            return f"{value['name']} {value['version']}"
        return ", ".join(f"{name}: {_value(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def comparison(document: Document, baseline: Document | None) -> Section | None:
    """Ratios against the baseline."""
    if baseline is None:
        return None
    cautions = comparing.cautions(document, baseline)
    found = comparing.pairs(document, baseline)
    named = (
        f"{baseline.get('model', 'a model')} at {baseline.get('target', 'a target that it does not tell')}"
    )
    server = (baseline.get("machine") or {}).get("server")
    began = moment(str(baseline.get("started", "at a time that it does not tell")))
    told = ", ".join([named, *([_value(server)] if server else []), f"begun {began}"])
    body = [tag("p", f"The baseline: {told}.")]
    if cautions:
        items = (tag("li", one) for one in cautions)
        body.append(tag("div", tag("strong", "With caution:"), tag("ul", *items), class_="note mixed"))
    if found:
        repeats = any(comparing.within_spread(pair, "p99_ms") is not None for pair in found)
        rows = (Row([label(pair.now), *_ratios(pair, repeats=repeats), *_absolute(pair)]) for pair in found)
        columns = ["Step", "p50", "p99", "Answered/s", *(["p99 beyond the spread"] if repeats else [])]
        columns += ["p99 now, ms", "p99 then, ms", "Answered/s now", "Answered/s then"]
        body.append(table("Now by then, step by step", columns, rows))
    else:
        body.append(tag("p", "No step of it has the load of one of these."))
    return Section("comparison", "Against the baseline", join(body), "Baseline")


def _ratios(pair: comparing.Pair, *, repeats: bool) -> Iterable[str]:
    for name in ("p50", "p99"):
        yield times(comparing.ratio(percentile(pair.now, name), percentile(pair.before, name)))
    yield times(comparing.ratio(pair.now.get("achieved_per_s"), pair.before.get("achieved_per_s")))
    if repeats:
        within = comparing.within_spread(pair, "p99_ms")
        yield NONE if within is None else "no" if within else "yes"


def _absolute(pair: comparing.Pair) -> Iterable[str]:
    yield number(percentile(pair.now, "p99"))
    yield number(percentile(pair.before, "p99"))
    yield number(pair.now.get("achieved_per_s"))
    yield number(pair.before.get("achieved_per_s"))


def search(document: Document) -> Markup | None:
    """The rates that a search tried."""
    tried = (document.get("slo") or {}).get("tried") or []
    if not tried:
        return None
    rows = (
        Row([per_s(one["rate_per_s"]), "yes" if one["held"] else "no", one.get("why", "")]) for one in tried
    )
    inner = table("Rates that were tried, in their order", ["Rate", "Held", "Why not"], rows, texts=(1, 2))
    return tag("details", tag("summary", f"The search: {plural(len(tried), 'rate')} tried"), inner)
