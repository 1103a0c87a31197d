from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from hotgraph_server.rest.openapi import page

ROOT = Path(__file__).parents[4]

# Of npm's swagger-ui-dist; scripts/vendor-swagger-ui prints them.
SHA256 = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


class Links(HTMLParser):
    """What a page asks for, and what scripts and styles it has in itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        self.inside += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in found):
            self.inside.append(tag)


def test_swagger_ui_is_as_its_makers_publish_it() -> None:
    found = {name: hashlib.sha256(page.unpacked(name)).hexdigest() for name in SHA256}
    assert found == SHA256


def test_the_page_asks_for_what_is_served_and_for_nothing_else() -> None:
    links = Links(page.page("a server", 1, "1.2").decode()).links
    own = {link.partition("?")[0].removeprefix("docs/") for link in links}
    assert own == {*page.ASSETS, "openapi.json"}
    # Relative, so that it works behind a proxy that puts something before our paths.
    assert not [link for link in links if link.startswith(("/", "http", "//"))]


def test_the_page_has_no_script_and_no_style_in_itself() -> None:
    assert not Links(page.page("a server", 1, "1.2").decode()).inside
    assert "unsafe" not in page.POLICY


def test_the_page_of_many_models_is_folded() -> None:
    assert 'data-expansion="list"' in page.page("a server", 2, "1.2").decode()
    assert 'data-expansion="none"' in page.page("a server", 200, "1.2").decode()


def test_what_the_server_calls_itself_is_no_markup() -> None:
    assert "<b>" not in page.page("<b>", 1, "1.2").decode()
    assert "&lt;b&gt;" in page.page("<b>", 1, "1.2").decode()


@pytest.mark.parametrize("name", page.ASSETS)
def test_every_file_is_there(name: str) -> None:
    assert page.unpacked(name)
    if page.ASSETS[name].packed:
        assert len(page.stored(name)) < len(page.unpacked(name)) / 2


def test_the_licences_are_those_of_what_is_served() -> None:
    assert b"Apache License" in page.stored("LICENSE")
    assert b"SmartBear" in page.stored("NOTICE")
    assert b"MIT" in page.stored("swagger-ui-bundle.js.LICENSE.txt")


def test_another_release_has_another_revision() -> None:
    assert page.revision("1.2") != page.revision("1.3")
    assert re.fullmatch(r"[\w.-]+", page.revision("1.2+dirty & more"))


def test_the_wheel_holds_every_file_and_the_licences() -> None:
    files = {one.distribution_path for one in WheelBuilder(str(ROOT)).recurse_included_files()}
    folder = "hotgraph_server/rest/openapi/assets"
    packed = {f"{name}.gz" if asset.packed else name for name, asset in page.ASSETS.items()}
    assert {f"{folder}/{name}" for name in packed} <= files
    licences = WheelBuilder(str(ROOT)).metadata.core.license_files
    assert len([name for name in licences if "openapi/assets" in name]) == 3
