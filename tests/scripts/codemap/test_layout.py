"""Where boxes and arrows go: nothing lies upon anything, and no line behind a box."""

from __future__ import annotations

import itertools

from codemap.layout import GUTTER, WIDTH, Box, Layout, laid_out, text_width, wrapped

FLOORS = [["a"], ["b", "c"], ["d", "e", "f"], ["g"], ["h", "i"]]
ARROWS = [("a", "b"), ("a", "h"), ("a", "i"), ("b", "f"), ("b", "g"), ("c", "i"), ("d", "h"), ("a", "g")]
TEXTS = {name: f"Room {name}: " + "what lives here, in some words. " * 3 for name in "abcdefghi"}


def page() -> Layout:
    return laid_out(FLOORS, TEXTS, ARROWS, top=50.0)


def boxes() -> list[Box]:
    return list(itertools.chain(*page().floors))


def test_boxes_of_a_floor_lie_side_by_side_within_the_page() -> None:
    for floor in page().floors:
        assert floor[0].left >= GUTTER
        assert floor[-1].left + floor[-1].width <= WIDTH - GUTTER + 0.01
        for left, right in itertools.pairwise(floor):
            assert left.left + left.width < right.left
            assert (left.top, left.height) == (right.top, right.height)


def test_floors_lie_below_each_other_and_the_page_ends_with_the_last() -> None:
    floors = page().floors
    for upper, lower in itertools.pairwise(floors):
        assert upper[0].top + upper[0].height < lower[0].top
    assert page().height == floors[-1][0].top + floors[-1][0].height


def test_text_keeps_within_its_box() -> None:
    for box in boxes():
        assert " ".join(box.lines) == TEXTS[box.name].strip()
        assert max(map(text_width, box.lines)) <= box.width


def test_arrow_begins_below_its_source_and_ends_above_its_target() -> None:
    placed = {box.name: box for box in boxes()}
    for route in page().routes:
        source, target = placed[route.source], placed[route.target]
        (x, y), (to_x, to_y) = route.points[0], route.points[-1]
        assert y == source.top + source.height
        assert source.left < x < source.left + source.width
        assert to_y == target.top
        assert target.left < to_x < target.left + target.width


def test_arrow_passes_every_floor_between_in_a_gap() -> None:
    level = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    for route in page().routes:
        passed = route.points[1:-1]
        assert len(passed) == 2 * (level[route.target] - level[route.source] - 1)
        for (x, top), (same_x, bottom) in zip(passed[::2], passed[1::2], strict=True):
            assert x == same_x
            assert 0 < x < WIDTH
            floor = next(floor for floor in page().floors if floor[0].top == top)
            assert bottom == top + floor[0].height
            assert not any(box.left <= x <= box.left + box.width for box in floor)


def test_no_two_arrows_meet_a_floor_in_one_place() -> None:
    points = [point for route in page().routes for point in route.points]
    assert len(set(points)) == len(points)


def test_words_are_kept_whole() -> None:
    assert wrapped("a bb ccc", text_width("a bb")) == ["a bb", "ccc"]
    assert wrapped("unbreakable word", 1.0) == ["unbreakable", "word"]
    assert wrapped("", 10.0) == []
