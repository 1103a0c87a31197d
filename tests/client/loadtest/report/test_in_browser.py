"""Reports as a real browser shows them: Chromium, which Debian's package `chromium` brings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotgraph_client.loadtest.report import figures, page

from ....acceptance import browser
from .conftest import Make
from .documents import HOSTILE

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="no Chromium is installed (Debian's package: chromium)"
)

NAMES = (
    *("ramp", "twelve_steps", "one_step", "closed_loop", "search", "nothing_but_errors"),
    *("wrong_answers", "tuned", "hostile"),
)
WIDTHS = (400, 1000, 1600)
THEMES = ("light", "dark")

# Whether each line, bar or point set of a chart is drawn: without it there is less in the picture.
_DRAWN = """Object.fromEntries([...report.drawings].filter(([id]) =>
  !document.querySelector(`[data-chart=${id}]`).hidden).map(([id, { chart, drawn }]) => {
    const seen = (one) => !one.closest("defs") && one.getBBox().width + one.getBBox().height > 0;
    const count = () => {
      drawn.getZr().flush();
      return [...drawn.getDom().querySelectorAll("svg path")].filter(seen).length;
    };
    const all = count();
    return [id, chart.series.map(({ name }) => {
      drawn.dispatchAction({ type: "legendUnSelect", name });
      const without = count();
      drawn.dispatchAction({ type: "legendSelect", name });
      return without < all && count() === all;
    })];
  }))"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.page(tmp_path_factory.mktemp("browser")) as found:
        yield found


class Report:
    """A report in the browser."""

    def __init__(self, shown: browser.Page, path: Path) -> None:
        self.shown, self.path = shown, path

    def open(self, text: str, width: int = 1000, theme: str = "light") -> None:
        self.path.write_text(text, encoding="utf-8")
        self.shown.complaints.clear()
        self.shown.requests.clear()
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.shown.send("Emulation.setEmulatedMedia", media="", features=features)
        self.shown.open(self.path.as_uri(), width)
        self.shown.until(f"location.href === {self.path.as_uri()!r} && window.report")

    def ask(self, expression: str) -> Any:
        return self.shown.evaluate(expression)

    def asked_for(self) -> list[str]:
        return [address for address in self.shown.requests if address != self.path.as_uri()]

    def charts(self) -> list[str]:
        found: list[str] = self.ask(
            "[...document.querySelectorAll('figure[data-chart]')].filter(one => !one.hidden)"
            ".map(one => one.dataset.chart)"
        )
        return found

    def lines(self, chart: str) -> int:
        """How many lines a chart has."""
        found: int = self.ask(f"report.drawings.get({chart!r}).chart.series.length")
        return found

    def tip(self, chart: str, series: int, place: int) -> list[str]:
        """The lines of what is said at a point."""
        drawn = f"report.drawings.get({chart!r}).drawn"
        where = f"seriesIndex: {series}, dataIndex: {place}"
        self.ask(f"{drawn}.dispatchAction({{type: 'showTip', {where}}})")
        tip = f"document.querySelector('[data-chart={chart}] .tip')"
        self.shown.until(tip)
        text: str = self.ask(f"{tip}.innerText")
        return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.fixture
def report(shown: browser.Page, tmp_path: Path) -> Report:
    return Report(shown, tmp_path / "report.html")


def is_right(report: Report, text: str, width: int, theme: str) -> None:
    """The report fits, is drawn whole, complains of nothing and asks for nothing."""
    report.open(text, width, theme)
    assert report.ask("document.documentElement.scrollWidth") <= width
    charts = report.charts()
    assert charts
    assert report.ask(_DRAWN) == {chart: [True] * report.lines(chart) for chart in charts}
    for chart in charts:
        svg = f"document.querySelector('[data-chart={chart}] .plot svg')"
        assert 200 < report.ask(f"{svg}.getBoundingClientRect().width") <= width
    assert not report.shown.complaints
    assert not report.asked_for()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_is_drawn_at_every_width_in_both_themes(
    report: Report, made: Make, width: int, theme: str
) -> None:
    is_right(report, page(made("ramp"), made("baseline")), width, theme)


@pytest.mark.parametrize("name", ["closed_loop", "nothing_but_errors", "tuned", "hostile"])
def test_other_documents_fit_the_smallest_screen(report: Report, made: Make, name: str) -> None:
    is_right(report, page(made(name)), min(WIDTHS), "dark")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_document_is_drawn_at_every_width_in_both_themes(report: Report, made: Make, name: str) -> None:
    for width in WIDTHS:
        for theme in THEMES:
            is_right(report, page(made(name)), width, theme)


def test_tooltips_say_the_documents_figures(report: Report, made: Make) -> None:
    document = made("ramp")
    report.open(page(document))
    step = document["steps"][3]
    written = {name: figures.ms(step["latency_ms"][name]) for name in ("p50", "p99", "p99.9")}
    assert report.tip("curve", 0, 3) == [
        "600/s, 600/s answered, errors 0 %",
        *(f"{name}\t{value}" for name, value in written.items()),
    ]
    over = document["steps"][7]
    said = report.tip("errors", 0, 7)
    assert said[0] == over["label"]
    total = 100 * over["errors"]["RESOURCE_EXHAUSTED"] / over["calls"]
    assert f"RESOURCE_EXHAUSTED\t{figures.number(total)} %" in said
    assert report.tip("distribution", 3, 30)[0] == "75 % of the calls"
    assert report.tip("distribution", 3, 30)[4] == f"600/s\t{figures.ms(step['distribution'][30][1])}"
    second = document["steps"][5]["over_time"][4]
    assert report.tip("time-latency", 1, 4) == [
        "4.00 s",
        f"p50\t{figures.ms(second['p50_ms'])}",
        f"p99\t{figures.ms(second['p99_ms'])}",
        f"max\t{figures.ms(second['max_ms'])}",
        f"sender's lag, p99\t{figures.ms(second['lag_p99_ms'])}",
    ]
    assert not report.shown.complaints


def test_another_step_can_be_chosen(report: Report, made: Make) -> None:
    document = made("ramp")
    report.open(page(document))
    assert report.ask("document.getElementById('step').value") == "5"
    report.ask(
        "(one => { one.value = '7'; one.dispatchEvent(new Event('change')); })"
        "(document.getElementById('step'))"
    )
    second = document["steps"][7]["over_time"][2]
    assert f"p99\t{figures.ms(second['p99_ms'])}" in report.tip("time-latency", 1, 2)
    errors = second["errors"]["RESOURCE_EXHAUSTED"]
    assert f"RESOURCE_EXHAUSTED\t{figures.number(errors)} calls/s" in report.tip("time-calls", 2, 2)
    assert report.ask("document.querySelector('[data-chart=time-calls] .said').innerText").startswith(
        "1200/s: 1,200/s due"
    )


def test_a_charts_table_has_its_figures(report: Report, made: Make) -> None:
    document = made("ramp")
    report.open(page(document))
    details = "document.querySelector('[data-chart=curve] details')"
    assert report.ask(f"{details}.querySelector('table')") is None
    report.ask(f"{details}.open = true")
    report.shown.until(f"{details}.querySelector('table')")
    rows = report.ask(
        f"[...{details}.querySelectorAll('tbody tr')].map(row => [...row.cells].map(one => one.innerText))"
    )
    assert rows == [
        [
            step["label"] + (" (void)" if step["void"] else ""),
            figures.number(step["offered_per_s"]),
            figures.number(step["achieved_per_s"]),
            *(figures.number(step["latency_ms"][name]) for name in ("p50", "p99", "p99.9")),
        ]
        for step in document["steps"]
    ]
    time = "document.querySelector('[data-chart=time-waits] details')"
    report.ask(f"{time}.open = true")
    report.shown.until(f"{time}.querySelector('table')")
    assert report.ask(f"{time}.querySelector('thead').innerText.trim().split('\\t')") == [
        *("seconds since the warm-up", "queue wait, ms", "run time, ms")
    ]


def test_figures_are_written_as_the_tables_have_them(report: Report, made: Make) -> None:
    report.open(page(made("one_step")))
    values = [0, 0.00043, 0.0482, 0.5, 2.131, 9.996, 18.44, 99.96, 482.4, 1240.4, 1234567.0, -18.44]
    assert report.ask(f"{values}.map(report.number)") == [figures.number(one) for one in values]
    assert report.ask("report.number(null)") == figures.NONE


def test_the_button_turns_the_theme_over_and_the_charts_with_it(report: Report, made: Make) -> None:
    report.open(page(made("one_step")), theme="dark")
    colours = (
        "[getComputedStyle(document.body).backgroundColor,"
        " document.querySelector('[data-chart=curve] svg').innerHTML]"
    )
    dark = report.ask(colours)
    assert report.ask("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    report.ask("document.getElementById('theme').click()")
    light = report.ask(colours)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    assert report.ask("document.getElementById('theme').getAttribute('aria-pressed')") == "false"
    report.ask("document.getElementById('theme').click()")
    assert report.ask(colours)[0] == dark[0]
    assert not report.shown.complaints


def test_a_line_can_be_left_out(report: Report, made: Make) -> None:
    report.open(page(made("ramp")))
    count = "document.querySelectorAll('[data-chart=curve] svg path').length"
    before = report.ask(count)
    button = "document.querySelector('[data-chart=curve] .legend button')"
    assert report.ask(f"{button}.innerText") == "p50"
    report.ask(f"{button}.click()")
    report.shown.until(f"{count} < {before}")
    assert report.ask(f"{button}.getAttribute('aria-pressed')") == "false"
    report.ask(f"{button}.click()")
    report.shown.until(f"{count} === {before}")


def test_a_hostile_name_runs_nothing_and_is_shown_as_it_is(report: Report, made: Make) -> None:
    report.open(page(made("hostile"), made("hostile")))
    report.ask("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    report.shown.until("document.querySelectorAll('details.data .scroll').length > 3")
    for chart in report.charts():
        report.ask(
            f"report.drawings.get({chart!r}).drawn.dispatchAction("
            "{type: 'showTip', seriesIndex: 0, dataIndex: 1})"
        )
    assert report.ask("document.querySelectorAll('img').length") == 0
    assert report.ask("document.querySelectorAll('script').length") == 3
    assert HOSTILE.partition("\u2028")[0] in report.ask("document.querySelector('h1').textContent")
    assert HOSTILE.partition("\u2028")[0] in report.ask(
        "document.querySelector('[data-chart=errors] .tip').textContent"
    )
    assert not report.shown.complaints
    assert not report.asked_for()


def test_whoever_does_not_see_a_chart_is_told_what_it_shows(report: Report, made: Make) -> None:
    report.open(page(made("ramp")))
    for chart in report.charts():
        plot = f"document.querySelector('[data-chart={chart}] .plot')"
        assert report.ask(f"{plot}.getAttribute('role')") == "img"
        said = report.ask(f"document.querySelector('[data-chart={chart}] .said').innerText")
        assert len(said) > 20
        assert report.ask(f"{plot}.getAttribute('aria-label')").endswith(said)
    unnamed = "[...document.querySelectorAll('button, select')].filter(one => !one.innerText.trim())"
    assert report.ask(f"{unnamed}.length") == 0


def test_on_paper_it_is_light_and_whole(report: Report, made: Make) -> None:
    report.open(page(made("ramp")), theme="dark")
    light_line = "document.querySelector('[data-chart=curve] svg').innerHTML.includes('rgb(0, 114, 178)')"
    assert not report.ask(light_line)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    report.shown.send("Emulation.setEmulatedMedia", media="print", features=features)
    report.shown.until(light_line)
    assert report.ask("getComputedStyle(document.body).color") == "rgb(27, 33, 41)"
    assert report.ask("getComputedStyle(document.querySelector('header')).display") == "none"
    assert report.ask("document.querySelector('.scroll').scrollHeight") == report.ask(
        "document.querySelector('.scroll').clientHeight"
    )
    assert not report.shown.complaints


def test_a_screen_that_turns_has_charts_that_follow(report: Report, made: Make) -> None:
    report.open(page(made("twelve_steps")), 1000)
    width = "document.querySelector('[data-chart=curve] svg').getBoundingClientRect().width"
    assert report.ask(width) > 800
    report.shown.send(
        "Emulation.setDeviceMetricsOverride",
        **{"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    report.shown.until(f"{width} < 400")
    report.shown.until("document.documentElement.scrollWidth <= 400")
