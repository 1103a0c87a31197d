"""The picture and the table say what the code says, and change when that does."""

from __future__ import annotations

import xml.etree.ElementTree
from pathlib import Path

import pytest

from codemap.page import BEGIN, END, CannotDraw, arrows, filled, picture, sizes
from codemap.sources import Package

from . import package

FLOORS = [("top",), ("left", "right"), ("ground",)]
SOURCES = {
    "top/__init__": '"""Tops & more. Nothing else lives here. As one sees."""',
    "top/a": "import p.left.b\nimport p.ground",
    "left/__init__": '"""Lefts."""',
    "left/b": "def f():\n    import p.ground",
    "right/__init__": '"""``Rights``."""',
    "ground": '"""The ground. Nobody is below."""',
}
PAGE = f"before\n{BEGIN}\nold\n{END}\nafter\n"


@pytest.fixture
def made(tmp_path: Path) -> Package:
    return package(tmp_path, SOURCES)


def test_picture_is_xml_with_every_room_and_its_first_sentence(made: Package) -> None:
    tree = xml.etree.ElementTree.fromstring(picture(made, FLOORS, 1))
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    expected = {"top/", "left/", "right/", "ground.py", "Tops & more.", "Lefts.", "Rights.", "The ground."}
    assert expected <= set(texts)
    assert "Nothing else lives here." not in texts


def test_arrows_that_others_imply_are_left_out(made: Package) -> None:
    assert arrows(made, FLOORS) == [("top", "left"), ("left", "ground")]


def test_arrow_to_what_all_stand_on_is_not_drawn(made: Package) -> None:
    assert picture(made, FLOORS, 1).count('class="arrow"') == 1
    assert picture(made, FLOORS, 0).count('class="arrow"') == 2


def test_only_what_is_imported_later_is_dashed(made: Package) -> None:
    assert "dasharray" not in picture(made, FLOORS, 1)
    assert picture(made, FLOORS, 0).count("dasharray") == 1


def test_picture_changes_with_rooms_arrows_and_sentences_and_with_nothing_else(
    made: Package, tmp_path: Path
) -> None:
    before = picture(made, FLOORS, 0)
    more = {"left/b": "def f():\n    import p.ground\n\nx = 1", "left/new": "import p.left.b"}
    assert picture(package(tmp_path / "more", SOURCES | more), FLOORS, 0) == before
    for number, other in enumerate([{"right/c": "import p.ground"}, {"right/__init__": '"""Other."""'}]):
        assert picture(package(tmp_path / str(number), SOURCES | other), FLOORS, 0) != before
    assert picture(made, [("top",), ("left",), ("right",), ("ground",)], 0) != before


def test_table_has_floors_rooms_and_what_may_not_be(made: Package) -> None:
    lines = filled(PAGE, made, FLOORS).splitlines()
    assert lines[:2] == ["before", BEGIN]
    assert lines[-2:] == [END, "after"]
    assert "| 3 | [top/](../server/p/top/) | Tops & more. | Nothing else lives here. |" in lines
    assert "| 2 | [right/](../server/p/right/) | `Rights`. |  |" in lines
    assert "| 1 | [ground.py](../server/p/ground.py) | The ground. |  |" in lines
    assert "old" not in lines


def test_filling_a_page_again_changes_nothing(made: Package) -> None:
    once = filled(PAGE, made, FLOORS)
    assert filled(once, made, FLOORS) == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_page_without_marks_is_refused(made: Package, page: str) -> None:
    with pytest.raises(CannotDraw, match="rooms"):
        filled(page, made, FLOORS)


def test_sizes_count_modules_and_lines_by_room(made: Package) -> None:
    assert [line.split() for line in sizes(made, FLOORS)[1:]] == [
        ["top/", "2", "3"],
        ["left/", "2", "3"],
        ["right/", "1", "1"],
        ["ground.py", "1", "1"],
    ]
