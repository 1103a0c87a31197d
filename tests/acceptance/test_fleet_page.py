"""The fleet's page in a real browser, of a fleet in which something of everything is so."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotgraph_server.fleet.admin import FleetPages
from hotgraph_server.observability.admin.opening import open_admin

from ..server.fleet.documents import document
from . import browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.CHROMIUM is None, reason="no Chromium is installed (Debian's package: chromium)"
    ),
]

MODELS = 250
NAMES = "[...document.querySelectorAll('#models tbody th')].map(one => one.innerText.trim())"


class Fleet:
    """Attributes:
    at_s: moment of the document; None: now, at each look.
    models: besides those that something is so of.
    """

    def __init__(self) -> None:
        self.at_s: float | None = None
        self.models = 5

    def document(self) -> dict[str, object]:
        return document(time.time() if self.at_s is None else self.at_s, self.models)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def page(fleet: Fleet, tmp_path: Path) -> Iterator[browser.Page]:
    """The page, with figures; it asks nobody else, and nothing is wrong with it."""
    admin = open_admin("127.0.0.1", 0, FleetPages(fleet.document).answer, None)
    address = f"http://{admin.address}/"
    try:
        with browser.page(tmp_path / "browser") as found:
            found.open(address, 1600)
            found.until(f"{NAMES}.length > 3")
            yield found
            assert not found.complaints
            assert not [asked for asked in found.requests if not asked.startswith((address, "data:"))]
    finally:
        admin.stop()


def text(page: browser.Page, element: str) -> str:
    return str(page.evaluate(f"document.getElementById('{element}').innerText"))


def test_it_shows_models_replicas_nodes_and_what_the_driver_did(page: browser.Page) -> None:
    assert page.evaluate(NAMES)[0] == "flowers"
    row = page.evaluate("document.querySelector('#models tbody tr').innerText")
    assert re.search(r"2 of 2\s+3, 4\s+comparing to 4\s+103\s+0.5\s+12.3 ms\s+330 MB\s+r0, r1", row), row
    assert "10.0.0.1:8500" in text(page, "replicas")
    assert "gone" in text(page, "nodes")
    assert text(page, "recent").splitlines()[0] == "r2 is lost"
    assert "2 / 3" in text(page, "tiles")


def test_it_says_what_its_owner_should_know(page: browser.Page) -> None:
    said = text(page, "trouble")
    assert "r2 is lost." in said
    assert "31 calls compared, 2 differed, 0 failed, runs take 1.07 times as long." in said
    assert "voices: version 2 was refused: its runs take 2.10 times as long." in said
    assert "no replica has 9000 MB" in said


def test_driver_that_looks_no_more_is_told(page: browser.Page, fleet: Fleet) -> None:
    assert text(page, "state") == "loading"
    fleet.at_s = time.time() - 60
    page.until("document.getElementById('state').innerText === 'stale'")
    page.until("document.getElementById('trouble').innerText.includes('The driver has last looked')")


def test_of_many_models_some_are_shown_and_all_are_found(page: browser.Page, fleet: Fleet) -> None:
    fleet.models = MODELS
    page.until(f"{NAMES}.length === 200")
    assert text(page, "shown") == f"200 of {MODELS + 3}"
    field = "document.getElementById('filter')"
    page.evaluate(f"{field}.value = 'TEAM-249'; {field}.dispatchEvent(new Event('input'))")
    assert page.evaluate(NAMES) == ["team-249.model"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(page: browser.Page, tmp_path: Path, scheme: str) -> None:
    """The pictures are for eyes; what can be asserted is that nothing has to be scrolled to."""
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.until("document.querySelectorAll('#trouble .finding').length > 3")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 300) is (scheme == "dark")
    for width in (1600, 1000, 700, 400):
        size = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": False}
        page.send("Emulation.setDeviceMetricsOverride", **size)
        page.until(f"window.innerWidth === {width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = page.evaluate(
            "var right = one => one.getBoundingClientRect().right;"
            "[...document.querySelectorAll('td, th, .tile')]"
            ".filter(one => right(one) > right(one.closest('.card') || document.body))"
            ".map(one => one.innerText)"
        )
        assert cut == []
        page.screenshot(tmp_path / f"fleet-{scheme}-{width}.png")
