"""Each rule finds what it is for, in a package that breaks it, and nothing in one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from codemap import rules

from . import package

FLOORS = [("top",), ("left", "right"), ("ground",)]
GOOD = {
    "top/__init__": '"""Tops. Nothing else."""',
    "top/a": "from p.left import b\nimport p.ground",
    "left/__init__": '"""Lefts. Nothing else."""',
    "left/b": "from p.ground import x",
    "right/__init__": '"""Rights. Nothing else."""',
    "right/c": "import p.right.d",
    "right/d": "",
    "ground": "x = 1",
}


def test_sound_package_breaks_no_rule(tmp_path: Path) -> None:
    made = package(tmp_path, GOOD)
    assert not rules.misplaced(made, FLOORS)
    assert not rules.not_downwards(made, FLOORS)
    assert not rules.circles_of_modules(made)
    assert not rules.circles_of_rooms(made)
    assert not rules.without_contract(made)
    assert not rules.too_long(made, 2, {})


@pytest.mark.parametrize(
    "source",
    [
        "from p.top import a",
        "import p.top.a",
        "def f():\n    import p.top.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.top.a",
    ],
    ids=["from", "import", "in a function", "for types"],
)
def test_arrow_upwards_is_found_however_it_is_written(tmp_path: Path, source: str) -> None:
    made = package(tmp_path, {**GOOD, "right/d": source})
    assert rules.not_downwards(made, FLOORS) == {"p.right.d -> p.top.a"}


def test_arrow_between_rooms_of_one_floor_is_found(tmp_path: Path) -> None:
    made = package(tmp_path, {**GOOD, "right/d": "import p.left.b"})
    assert rules.not_downwards(made, FLOORS) == {"p.right.d -> p.left.b"}


def test_rooms_and_floors_have_to_know_each_other(tmp_path: Path) -> None:
    made = package(tmp_path, {**GOOD, "attic/e": ""})
    floors = [*FLOORS, ("cellar", "ground")]
    assert rules.misplaced(made, floors) == {
        "attic is on no floor",
        "cellar is no room",
        "ground is on several floors",
    }


@pytest.mark.parametrize(
    "back",
    ["import p.right.c", "def f():\n    from p.right import c", "if TYPE_CHECKING:\n    import p.right.c"],
)
def test_circle_of_modules_within_a_room_is_found(tmp_path: Path, back: str) -> None:
    made = package(tmp_path, {**GOOD, "right/d": back})
    assert rules.circles_of_modules(made) == {"p.right.c, p.right.d"}
    assert not rules.circles_of_rooms(made)


def test_circle_by_way_of_others_is_one_circle_and_has_only_who_is_in_it(tmp_path: Path) -> None:
    sources = {
        "a": "import p.b",
        "b": "import p.c\nimport p.out",
        "c": "import p.a",
        "out": "",
        "into": "import p.a",
    }
    assert rules.circles_of_modules(package(tmp_path, sources)) == {"p.a, p.b, p.c"}


def test_rooms_may_make_a_circle_though_no_modules_do(tmp_path: Path) -> None:
    sources = {"one/a": "import p.two.b", "one/c": "", "two/b": "", "two/d": "import p.one.c"}
    made = package(tmp_path, sources)
    assert not rules.circles_of_modules(made)
    assert rules.circles_of_rooms(made) == {"one, two"}


@pytest.mark.parametrize("text", ["", '"""What lives here."""', '"""Nothing may live here."""'])
def test_folder_has_to_say_what_lives_in_it_and_what_may_not(tmp_path: Path, text: str) -> None:
    made = package(tmp_path, {**GOOD, "left/__init__": text})
    assert rules.without_contract(made) == {"p.left"}


def test_folder_without_init_has_no_contract(tmp_path: Path) -> None:
    made = package(tmp_path, {**GOOD, "left/deep/e": ""})
    assert rules.without_contract(made) == {"p.left.deep"}


def test_long_module_needs_a_reason_and_a_reason_a_long_module(tmp_path: Path) -> None:
    made = package(tmp_path, {"a": "\n" * 3, "b": "\n" * 3, "c": "\n" * 2})
    assert rules.too_long(made, 2, {"p.b": "a table", "p.c": "once long", "p.d": "gone"}) == {
        "p.a has more than 2 lines",
        "p.c has a reason to be long, and is not",
        "p.d has a reason to be long, and is not",
    }


def test_loose_are_the_modules_at_the_top(tmp_path: Path) -> None:
    assert rules.loose(package(tmp_path, {**GOOD, "__init__": "", "__main__": ""})) == ["__main__", "ground"]
