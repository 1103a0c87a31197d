from __future__ import annotations

import gc
import weakref

import pytest

from hotgraph_server.repository import memory


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_what_only_a_collection_frees_is_freed() -> None:
    gc.disable()
    try:
        hanging = weakref.ref(Cycle())
        assert hanging() is not None
        memory.give_back()
        assert hanging() is None
    finally:
        gc.enable()


def test_c_library_is_asked_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(memory, "_malloc_trim", lambda: asked.append)
    memory.give_back()
    assert asked == [0]


def test_c_library_is_looked_for_once() -> None:
    """To look for it makes classes, of which only a collection frees the memory."""
    left = []
    for _ in range(5):
        memory.give_back()
        left.append(gc.collect())
    # Some garbage may be another thread's.
    assert min(left) == 0


def test_c_library_that_cannot_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_malloc_trim", lambda: None)
    memory.give_back()
