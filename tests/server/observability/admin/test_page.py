"""The live page's files: whole, of one piece with the status, and nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from hotgraph_server.observability.admin import page
from hotgraph_server.statistics import Event

ROOT = Path(__file__).parents[4]

# Of npm's uplot; scripts/vendor-uplot prints them.
SHA256 = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}

OWN = [name for name in page.ASSETS if name.endswith(".js") and not name.startswith("uPlot")]


def source(name: str) -> str:
    return page.stored(name).decode()


class Elements(HTMLParser):
    """What a page is made of, what it asks for, and what scripts and styles it has in itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.inside: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br", "input"):
            self.open.append(tag)
        found = dict(attrs)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        self.inside += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in found):
            self.inside.append(tag)
        self.ids += [str(found["id"])] if "id" in found else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def elements() -> Elements:
    return Elements(page.page().body.decode())


def test_uplot_is_as_its_maker_publishes_it() -> None:
    assert {name: hashlib.sha256(page.stored(name)).hexdigest() for name in SHA256} == SHA256
    assert f"(v{page.UPLOT})" in source("uPlot.iife.min.js")[:100]


def test_the_page_is_well_formed_and_has_no_script_and_no_style_in_itself(elements: Elements) -> None:
    assert not elements.open
    assert not elements.inside
    assert page.page().headers["Content-Security-Policy"] == page.POLICY
    assert "unsafe" not in page.POLICY


def test_it_asks_for_what_is_served_and_for_nothing_else(elements: Elements) -> None:
    wanted = {link for link in elements.links if not link.startswith("data:")}
    modules = {name for file in OWN for name in re.findall(r'from "\./([^"]+)"', source(file))}
    files = {link.removeprefix("live/") for link in wanted if link.startswith("live/")} | modules
    assert files == set(page.ASSETS)
    assert {link for link in wanted if not link.startswith("live/")} == {
        *("metrics", "api/status", "healthz", "readyz"),
    }
    for name in OWN:
        for word in ("@import", "import(", "innerHTML", "outerHTML", "document.write", "eval(", "http:"):
            assert word not in source(name).replace("http://www.w3.org/2000/svg", ""), (name, word)


def test_every_element_that_a_script_looks_for_is_there(elements: Elements) -> None:
    wanted = {name for file in OWN for name in re.findall(r'byId\("([^"]+)"\)', source(file))}
    assert len(wanted) > 10
    assert wanted <= set(elements.ids)


def test_it_knows_every_event_and_every_limit_by_name() -> None:
    words = source("words.js")
    for event in Event:
        assert f"{event.name.lower()}:" in words
    limits = (Path(page.__file__).with_name("limits.py")).read_text()
    kinds = set(re.findall(r'Finding\(\s*"([a-z]+)"', limits))
    assert len(kinds) >= 7
    for kind in kinds:
        assert f"{kind}:" in words


def test_the_wheel_holds_the_page_and_its_licence() -> None:
    builder = WheelBuilder(str(ROOT))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    folder = "hotgraph_server/observability/admin/live"
    assert {f"{folder}/{name}" for name in (*page.ASSETS, "live.html")} <= packed
    licence = f"server/{folder}/uPlot.LICENSE"
    assert licence in builder.metadata.core.license_files
    assert (ROOT / licence).read_bytes() == page.stored("uPlot.LICENSE")
