"""A fleet's day on paper, as `hotgraph fleet plan --simulate --json` writes it, as one HTML file. Pure, but
for reading assets/."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .assembling import assemble, plain_charts
from .charts import Axis, Chart, Point, Series
from .figures import NONE, count, number, percent, plural
from .markup import Markup, Row, join, table, tag
from .sections import Section, figure
from .tune_section import Tile

MAX_POINTS = 600
"""Of a line; of longer times several moments make a point, of which the worst is shown."""

_WRITTEN = (
    "Planner, reconciler and scaling are those of hotgraph fleet up; nodes, servers, loads and calls are "
    "made up, on a virtual clock. Written by hotgraph fleet plan --simulate;"
)

Moment = Mapping[str, Any]


def fleet_page(document: Mapping[str, Any]) -> str:
    """The page, in UTF-8.

    Args:
        document: as JSON was read.
    """
    charts = _charts(document)
    parts = [Section(one.id, one.title, figure(one, titled=False), link) for link, one in charts]
    parts.append(Section("losses", "What was lost, and how long it lacked", _losses(document), "Losses"))
    parts.append(Section("done", "What was done", _done(document), "Done"))
    drawn = {"charts": plain_charts([one for _, one in charts]), "steps": [], "step": 0}
    title = f"A day of fleet {document['fleet']} on paper"
    if document["scenario"]["hours"] != 24:
        title = f"{document['scenario']['hours']:g} hours of fleet {document['fleet']} on paper"
    return assemble(title, _summary(document), parts, drawn, _WRITTEN)


def _charts(document: Mapping[str, Any]) -> list[tuple[str, Chart]]:
    moments: Sequence[Moment] = document["over_time"]
    if not moments:
        return []
    made: list[tuple[str, str, str, Axis, tuple[Series, ...]]] = [
        (
            *("Calls", "fleet-calls", "Calls"),
            Axis("calls/s", unit="calls/s", least=0),
            (_series("calls", moments, lambda one: one["calls_per_s"], "area"),),
        ),
        (
            *("Replicas", "fleet-replicas", "Replicas"),
            Axis("replicas", least=0),
            (
                _series("wanted", moments, lambda one: one["wanted"], colour="muted", dashed=True),
                _series("ready", moments, lambda one: one["ready"], worst=min),
            ),
        ),
        (
            *("Use", "fleet-use", "Memory and time of replicas in use"),
            Axis("share in use, %", unit="%", least=0, greatest=100),
            (
                _series("memory for models", moments, lambda one: 100 * one["memory"], colour="2"),
                _series("time in runs", moments, lambda one: 100 * one["duty"], colour="1"),
            ),
        ),
        (
            *("Models short", "fleet-short", "Models with fewer copies than asked for"),
            Axis("models", least=0),
            (
                _series("fewer than asked for", moments, lambda one: one["short"], colour="1"),
                _series("none at all", moments, lambda one: one["without"], colour="3"),
            ),
        ),
    ]
    hours = Axis("hours", unit="h", least=0, greatest=float(document["scenario"]["hours"]))
    return [
        (link, Chart(name, title, _between(series), hours, axis, series, group="time"))
        for link, name, title, axis, series in made
    ]


def _series(
    name: str,
    moments: Sequence[Moment],
    read: Callable[[Moment], float],
    look: Any = "line",
    colour: str = "0",
    dashed: bool = False,
    worst: Callable[[Iterator[float]], float] = max,
) -> Series:
    width = max(1, -(-len(moments) // MAX_POINTS))
    points: list[Point] = [
        (moments[at]["at_s"] / 3600, worst(float(read(one)) for one in moments[at : at + width]))
        for at in range(0, len(moments), width)
    ]
    return Series(name, points, look, colour, dashed, size=4)


def _between(series: Sequence[Series]) -> str:
    said = []
    for one in series:
        values = [value for _, value in one.points if value is not None]
        least, most = _figure(min(values)), _figure(max(values))
        said.append(f"{one.name}: {least}" if least == most else f"{one.name}: {least} to {most}")
    return "; ".join(said) + "."


def _figure(value: float) -> str:
    return count(value) if value == int(value) else number(value)


def _summary(document: Mapping[str, Any]) -> Markup:
    replicas, models = document["replicas"], document["models"]
    what = (
        f"{plural(document['nodes'], 'node')}, {plural(replicas['count'], 'replica')} at first"
        f" ({count(replicas['least'])} to {count(replicas['most'])}), {plural(models, 'model')},"
        f" {document['scenario']['hours']:g} hours, seed {document['scenario']['seed']}"
    )
    placed = document["placed_s"]
    verdict = (
        ("Not all models were placed.", "bad")
        if placed is None
        else ("Calls were left without a copy.", "bad")
        if document["found_none"] > 0
        else ("Every call found a copy of its model.", "good")
    )
    return join(
        [
            tag("p", tag("strong", document["fleet"]), f": {what}", class_="what"),
            tag("p", verdict[0], class_=f"verdict {verdict[1]}"),
            tag("dl", *(_tile(*one) for one in _tiles(document)), class_="tiles"),
        ]
    )


def _tile(name: str, value: str, more: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", more) if more else ""), class_="tile")


def _tiles(document: Mapping[str, Any]) -> Iterator[Tile]:
    yield "Calls", count(document["calls"]), ""
    yield "Without a copy", percent(document["found_none"]), "of calls"
    yield (
        "At a second try",
        percent(document["found_at_another"]),
        "the copy was gone, and not yet known to be",
    )
    yield (
        *("Models short", number(document["models_short_on_average"])),
        f"on average; {count(document['models_short_at_most'])} at most",
    )
    placed = document["placed_s"]
    first = f"{count(document['loads_to_place'])} loads"
    yield "All placed after", NONE if placed is None else f"{number(placed)} s", first


def _losses(document: Mapping[str, Any]) -> Markup:
    rows = [
        Row([f"{kind}s", count(many), *_spread(document["recovery_s"].get(kind))])
        for kind, many in document["losses"].items()
    ]
    rows.append(Row(["new versions", count(document["updates"]), *_spread(document["update_s"])]))
    of = "Losses and new versions, and the seconds until every model had its copies again"
    made = [table(of, ["", "how many", "median, s", "worst, s"], rows)]
    if document["losses_not_mended"]:
        left = plural(document["losses_not_mended"], "loss", "losses")
        made.append(tag("p", f"{left} not made good at the end.", class_="said"))
    return join(made)


def _spread(found: Mapping[str, float] | None) -> tuple[str, str]:
    return (NONE, NONE) if found is None else (number(found["median"]), number(found["worst"]))


def _done(document: Mapping[str, Any]) -> Markup:
    rows = [Row(["loads", count(document["loads"])])]
    rows += [Row([name, count(many)]) for name, many in document["actions"].items() if name != "load"]
    return table("What the driver had done, once all was placed", ["", "how often"], rows)
