"""The page: its sections in their order, and the one file that they make. Pure, but for reading assets/."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from string import Template
from typing import Any

from ..document import Document
from . import assets, sections
from .charts import Chart
from .judging import judge
from .markup import Markup, join, json_block, tag, text
from .sections import Section
from .step_charts import distributions, errors_by_step, throughput_latency
from .summary import summary
from .time_charts import charts_over_time, chosen
from .tune_section import charts_of, tuning

_OF_LOAD_TESTS = (
    "Latencies count from the moment at which a call was due, and leave errors out."
    " Written by hotgraph loadtest;"
)


def page(document: Document, baseline: Document | None = None) -> str:
    """The report of a document, as one HTML file in UTF-8.

    Args:
        document: what --json writes, of a load test or of `hotgraph tune`.
        baseline: another one, which this one is held against.
    """
    best = judge(document).step
    # Those that confirm a tuning are all at one rate.
    at_one_rate = document.get("tune") and not document.get("slo")
    curve = None if at_one_rate else throughput_latency(document, baseline)
    lines = distributions(document)
    errors = errors_by_step(document)
    seconds = charts_over_time(document)
    of_tuning = charts_of(document.get("tune"))
    found = [
        # What was asked of a document that has it; the load tests in it are there to confirm it.
        tuning(document.get("tune"), of_tuning),
        sections.of_chart("Throughput", curve, sections.search(document)),
        sections.of_chart("Distribution", lines),
        sections.of_chart("Errors", errors),
        sections.over_time(seconds, best),
        sections.all_steps(document),
        sections.sender(document),
        sections.machine(document),
        sections.comparison(document, baseline),
    ]
    drawn = {
        "charts": plain_charts([chart for chart in (curve, lines, errors, *of_tuning) if chart is not None]),
        "steps": [plain_charts(charts) for _, charts in seconds],
        "step": chosen([step for step, _ in seconds], best),
    }
    title = f"{'Tuning' if document.get('tune') else 'Load test'} of {document.get('model', 'a model')}"
    top = summary(document, baseline)
    return assemble(title, top, [section for section in found if section is not None], drawn)


def plain_charts(charts: Sequence[Chart]) -> Any:
    """Charts as values that JSON has."""
    return _finite([dataclasses.asdict(chart) for chart in charts])


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity; figures of 64 bits have more digits than anybody can see."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def assemble(
    title: str, top: Markup, found: Sequence[Section], drawn: Any, written: str = _OF_LOAD_TESTS
) -> str:
    """The one file.

    Args:
        top: below the title.
        drawn: for assets/report.js: `charts`, and for each of `steps` its own, of which `step` is shown.
        written: at the foot: what the figures mean, and by what it was written.
    """
    style, script, library = assets.text("report.css"), assets.text("report.js"), assets.library()
    links = (tag("a", one.link, href=f"#{one.id}") for one in found)
    return Template(assets.text("report.html")).substitute(
        title=text(title),
        policy=_policy(style, library, script),
        style=style,
        links=join(links),
        summary=top,
        sections=join(tag("section", tag("h2", one.title), one.body, id=one.id) for one in found),
        written=text(written),
        version=text(assets.ECHARTS),
        licences=_licences(),
        data=json_block(drawn),
        library=library,
        script=script,
    )


def _policy(style: str, *scripts: str) -> str:
    """Nothing from elsewhere, and no script but these; ECharts places its tooltips by style attributes."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(assets.hash_source, scripts))}",
            f"style-src-elem {assets.hash_source(style)}",
            "style-src-attr 'unsafe-inline'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _licences() -> Markup:
    return join(
        tag("details", tag("summary", whose), *(tag("pre", assets.text(name)) for name in names))
        for whose, names in assets.LICENCES
    )
