"""Two looks that find the same: then a model is taken. Pure but for what the test says is on disk."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.model_control.discovery import Discovery, Offer
from hotgraph_server.model_control.stability import StabilityCheck
from hotgraph_server.repository.tree import Tree

ROOT = Path("/r")


def offer(name: str, stamp: int = 0) -> Offer:
    return Offer(name, ROOT / name, ROOT, ROOT / name / "config.pbtxt", (1, stamp, 1))


def offers(*found: Offer, refused: tuple[str, ...] = ()) -> Discovery:
    return Discovery({one.name: one for one in found}, dict.fromkeys(refused, "why"))


class Disk:
    def __init__(self) -> None:
        self.trees: dict[str, int] = {}
        self.arrivals = StabilityCheck(self._tree)

    def _tree(self, folder: Path) -> Tree:
        return Tree(frozenset({("file", self.trees.get(folder.name, 0), 0)}))


def test_new_model_is_taken_at_the_second_look_that_found_the_same() -> None:
    disk = Disk()
    assert disk.arrivals.look(offers(offer("a"))) == ([], set())
    disk.trees["a"] = 5
    assert disk.arrivals.look(offers(offer("a"))) == ([], set())
    assert disk.arrivals.look(offers(offer("a", stamp=1))) == ([], set())
    assert disk.arrivals.look(offers(offer("a", stamp=1))) == ([offer("a", stamp=1)], set())
    assert disk.arrivals.look(offers(offer("a", stamp=1))) == ([], set())


def test_changed_configuration_is_taken_at_the_second_look_whatever_the_other_files_do() -> None:
    disk = Disk()
    disk.arrivals.take(offer("a"))
    assert disk.arrivals.look(offers(offer("a", stamp=1))) == ([], set())
    disk.trees["a"] = 5
    assert disk.arrivals.look(offers(offer("a", stamp=1))) == ([offer("a", stamp=1)], set())


def test_configuration_that_changes_back_is_no_change() -> None:
    disk = Disk()
    disk.arrivals.take(offer("a"))
    disk.arrivals.look(offers(offer("a", stamp=1)))
    assert disk.arrivals.look(offers(offer("a"))) == ([], set())
    assert disk.arrivals.look(offers(offer("a", stamp=1))) == ([], set())


def test_model_is_gone_with_its_folder_and_new_when_it_comes_back() -> None:
    disk = Disk()
    disk.arrivals.take(offer("a"))
    assert disk.arrivals.look(offers()) == ([], {"a"})
    assert disk.arrivals.look(offers()) == ([], set())
    assert disk.arrivals.look(offers(offer("a"))) == ([], set())
    assert disk.arrivals.look(offers(offer("a"))) == ([offer("a")], set())


def test_name_that_is_refused_from_now_on_goes_on() -> None:
    disk = Disk()
    disk.arrivals.take(offer("a"))
    assert disk.arrivals.look(offers(refused=("a",))) == ([], set())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_nothing_is_taken_that_two_looks_in_a_row_have_not_found_the_same(
    looks: list[tuple[str, int, int]],
) -> None:
    disk = Disk()
    before: tuple[str, int, int] | None = None
    for look in looks:
        name, stamp, files = look
        disk.trees[name] = files
        ready, _ = disk.arrivals.look(offers(offer(name, stamp)))
        assert not ready or (before is not None and before[:2] == look[:2])
        before = look
