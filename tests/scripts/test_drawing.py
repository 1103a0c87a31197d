"""The quickstart's pictures: the right ink in the right place, and lines of the promised size."""

from __future__ import annotations

import numpy as np
import pytest

from drawing import bar, digit_picture, histogram, probability_bars, side_by_side


@pytest.mark.parametrize(("share", "length"), [(0.0, 0), (0.5, 5), (1.0, 10), (-0.1, 0), (7.0, 10)])
def test_bar_is_as_long_as_its_share_and_never_longer_than_its_width(share: float, length: int) -> None:
    assert bar(share, 10) == "█" * length


def test_digit_is_drawn_in_fourteen_lines_of_twenty_eight_characters() -> None:
    image = np.zeros((28, 28), np.float32)
    image[4:6, 10] = 1.0
    image[27, 27] = 0.01
    lines = digit_picture(image.reshape(784))
    assert [len(line) for line in lines] == [28] * 14
    inked = {
        (row, column): lines[row][column]
        for row in range(14)
        for column in range(28)
        if lines[row][column] != " "
    }
    assert inked == {(2, 10): "█", (13, 27): "░"}


def test_every_class_has_a_line_with_its_probability() -> None:
    lines = probability_bars(np.array([0.25, 0.75], np.float32), width=8)
    assert lines == ["0  ██        0.250", "1  ██████    0.750"]


def test_histogram_counts_a_straggler_in_its_last_block() -> None:
    blocks, low, high = histogram([*[1.0] * 600, *[2.0] * 385, *[3.0] * 10, *[1000.0] * 5], width=4)
    assert (low, high) == (1.0, 3.0)
    assert blocks == "█ ▆▁"


def test_histogram_of_one_value_has_one_block() -> None:
    blocks, low, high = histogram([5.0], width=3)
    assert low == high == 5.0
    assert blocks.count("█") == 1
    assert blocks.strip() == "█"


def test_shorter_column_is_centred_against_the_longer() -> None:
    assert side_by_side(["aa", "a", "aaa"], ["b"], gap=1) == ["aa", "a   b", "aaa"]
    assert side_by_side(["a"], ["b", "b", "b"], gap=2) == ["   b", "a  b", "   b"]
