"""bound.py: so many lines a second, and the others counted by status."""

from __future__ import annotations

from hotgraph_server.observability.logs.bound import Bound


def test_so_many_a_second_have_a_line() -> None:
    bound = Bound(2)
    assert [bound.takes(5.0, "INTERNAL") for _ in range(3)] == [True, True, False]
    assert not bound.takes(5.999, "NOT_FOUND")
    assert bound.takes(6.0, "INTERNAL")


def test_others_are_counted_once_and_the_most_frequent_comes_first() -> None:
    bound = Bound(1)
    for status in ("A", "B", "C", "C"):
        bound.takes(5.0, status)
    assert bound.others == 3
    assert list(bound.take_others().items()) == [("C", 2), ("B", 1)]
    assert (bound.others, bound.take_others()) == (0, {})
