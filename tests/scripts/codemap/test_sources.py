"""What is read from sources: who imports what, and when."""

from __future__ import annotations

import ast
from pathlib import Path

from codemap.sources import Import, When, sentences, statements

from . import package


def test_imports_are_told_apart_by_when_they_run(tmp_path: Path) -> None:
    lines = (
        *("import a", "if TYPE_CHECKING:", "    import b", "def f():", "    import c"),
        *(
            "class K:",
            "    import d",
            "    def g(self):",
            "        if TYPE_CHECKING:",
            "            import e",
        ),
        *("try:", "    import f", "finally:", "    pass"),
    )
    made = package(tmp_path, {"one": "\n".join(lines)})
    assert made.imports["p.one"] == {
        Import("a", When.AT_ONCE),
        Import("b", When.NEVER),
        Import("c", When.LATER),
        Import("d", When.AT_ONCE),
        Import("e", When.NEVER),
        Import("f", When.AT_ONCE),
    }


def test_relative_imports_are_made_absolute(tmp_path: Path) -> None:
    sources = {
        "room/one": "from . import two\nfrom .two import x\nfrom ..other import y",
        "room/__init__": "",
    }
    made = package(tmp_path, {**sources, "room/sub/__init__": "from . import z\nfrom .. import one"})
    assert {one.name for one in made.imports["p.room.one"]} == {"p.room.two", "p.room.two.x", "p.other.y"}
    assert {one.name for one in made.imports["p.room.sub"]} == {"p.room.sub.z", "p.room.one"}


def test_arrow_leads_to_the_module_that_a_name_comes_from(tmp_path: Path) -> None:
    sources = {
        "room/__init__": "from p.room.inner import f",
        "room/inner": "",
        "one": "from p.room import f",
        "two": "import p.room.inner",
        "three": "from p.room import inner\nimport numpy",
    }
    made = package(tmp_path, sources)
    assert {module: set(targets) for module, targets in made.arrows.items() if targets} == {
        "p.room": {"p.room.inner"},
        "p.one": {"p.room"},
        "p.two": {"p.room.inner"},
        "p.three": {"p.room.inner"},
    }


def test_rooms_are_folders_and_loose_modules_at_the_top(tmp_path: Path) -> None:
    sources = {"__init__": "import p.loose", "loose": "", "room/one": "", "room/sub/two": "import p.loose"}
    made = package(tmp_path, sources)
    assert made.rooms == ["loose", "room"]
    assert made.room_arrows == {"loose": {}, "room": {"loose": {When.AT_ONCE}}}


def test_arrow_between_rooms_has_every_time_at_which_it_is_needed(tmp_path: Path) -> None:
    late = "def f():\n    import p.b"
    made = package(tmp_path, {"a/one": late, "a/two": "if TYPE_CHECKING:\n    import p.b", "b": ""})
    assert made.room_arrows["a"] == {"b": {When.LATER, When.NEVER}}


def test_function_within_a_function_runs_no_earlier() -> None:
    tree = ast.parse("def f():\n    class K:\n        import a\nb = lambda: 1\nc = 2")
    times = {type(node).__name__: when for node, when in statements(tree)}
    assert times["Import"] is When.LATER
    assert times["Lambda"] is When.LATER
    assert times["Assign"] is When.AT_ONCE


def test_function_that_is_there_for_types_alone_never_runs(tmp_path: Path) -> None:
    made = package(tmp_path, {"one": "if TYPE_CHECKING:\n    def f():\n        import a"})
    assert made.imports["p.one"] == {Import("a", When.NEVER)}


def test_sentences_end_at_full_stops_and_not_within_names_of_files() -> None:
    text = "What lives here: see\nverdict.py.\n\nNothing else does, e.g.\nthis."
    assert sentences(text) == ["What lives here: see verdict.py.", "Nothing else does, e.g.", "this."]
    assert sentences("") == []
