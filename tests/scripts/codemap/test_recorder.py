"""Which of the functions that threads enter are noted."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from codemap.recorder import Recorder
from codemap.way import Step

SOURCE = """
def outer():
    inner()
    [n for n in range(3)]
    len([])

def inner():
    pass

def counting():
    yield 1
    yield 2

def counted():
    list(counting())
    list(counting())
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    (tmp_path / "room").mkdir()
    path = tmp_path / "room" / "watched.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("watched", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path)
    made.install()
    yield made
    threading.setprofile(None)


def on_a_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act, name="seen")
    thread.start()
    thread.join()


def names(steps: list[Step]) -> list[tuple[str, int]]:
    return [(step.function, step.depth) for step in steps]


def test_functions_of_the_folder_are_noted_with_thread_file_and_depth(
    module: ModuleType, recorder: Recorder
) -> None:
    recorder.recording = True
    on_a_thread(module.outer)
    assert recorder.taken() == [
        Step("seen", "room/watched.py", "outer", 0),
        Step("seen", "room/watched.py", "inner", 1),
    ]


def test_generator_counts_once_however_often_it_is_resumed(module: ModuleType, recorder: Recorder) -> None:
    recorder.recording = True
    on_a_thread(module.counted)
    assert names(recorder.taken()) == [("counted", 0), ("counting", 1), ("counting", 1)]


def test_what_has_been_taken_is_not_told_again(module: ModuleType, recorder: Recorder) -> None:
    recorder.recording = True
    on_a_thread(module.inner)
    assert names(recorder.taken()) == [("inner", 0)]
    assert recorder.taken() == []


def test_nothing_is_noted_while_it_does_not_record(module: ModuleType, recorder: Recorder) -> None:
    on_a_thread(module.outer)
    assert recorder.taken() == []


def test_functions_of_other_folders_are_not_noted(module: ModuleType, tmp_path: Path) -> None:
    other = Recorder(tmp_path / "roo")
    other.install()
    other.recording = True
    on_a_thread(module.outer)
    threading.setprofile(None)
    assert other.taken() == []
