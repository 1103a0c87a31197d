"""options.py: texts of flags."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotgraph_client.loadtest.inputs.items import InputError
from hotgraph_client.loadtest.inputs.options import InputOptions, Rows, read_options, read_rows

INPUTS = ["image", "a=b"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1", Rows((1,))),
        ("1,4,16", Rows((1, 4, 16))),
        (" 1, 4", Rows((1, 4))),
        ("1:0.7,8:0.3", Rows((1, 8), (0.7, 0.3))),
        ("1:3,8:1", Rows((1, 8), (0.75, 0.25))),
    ],
)
def test_rows_are_in_turn_or_have_shares(text: str, rows: Rows) -> None:
    found = read_rows(text)
    assert found.counts == rows.counts
    assert found.shares == (None if rows.shares is None else pytest.approx(rows.shares))


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "x", "1,", "1:0.5,8", "1:0", "1:-1", "1:nan", "1:inf", "9" * 12, "\u0663"]
)
def test_rows_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--rows"):
        read_rows(text)


@given(st.text("0123456789:,. x-", max_size=12))
@example("1:1e308,2:1e308")
def test_whatever_rows_say_there_is_one_kind_of_error(text: str) -> None:
    try:
        rows = read_rows(text)
    except InputError:
        return
    assert all(count >= 1 for count in rows.counts)
    assert rows.shares is None or sum(rows.shares) == pytest.approx(1)


def test_options_belong_to_inputs() -> None:
    options = InputOptions(
        data=["image=x.npy", "folder/a=b.npy", "a=b=y.npy"],
        shapes=["image=224x224x3", "a=b=4,5"],
        ranges=["image=-1..1.5"],
    )
    found = read_options(options, INPUTS)
    assert found.data == (("image", "x.npy"), (None, "folder/a=b.npy"), ("a=b", "y.npy"))
    assert found.shapes == {"image": (224, 224, 3), "a=b": (4, 5)}
    assert found.ranges == {"image": (-1.0, 1.5)}
    assert found.rows is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"shapes": ["224x224"]}, "--shape 224x224: expected NAME=...; the inputs are image, a=b"),
        ({"shapes": ["nix=1"]}, "no input 'nix'; the inputs are image, a=b"),
        ({"shapes": ["image=0"]}, "a size is at least 1"),
        ({"shapes": ["image=2x"]}, "expected sizes"),
        ({"shapes": ["image=" + "9" * 5000]}, "a size is at least 1, and at most"),
        ({"shapes": ["image=1", "image=2"]}, "'image' is given twice"),
        ({"ranges": ["image=1"]}, r"expected NAME=LOW\.\.HIGH"),
        ({"ranges": ["image=2..1"]}, "its end lies before its beginning"),
        ({"ranges": ["image=0..nan"]}, "'nan' is no number"),
        ({"scale": "0..2"}, r"--scale 0..2: expected one of 0..1, -1..1, 0..255"),
        ({"items": 0}, "--items 0"),
        ({"seed": -1}, "--seed -1"),
        ({"max_bytes": 0}, "--input-mb"),
        ({"rows": "many"}, "--rows many"),
    ],
)
def test_options_that_make_no_sense_name_their_flag(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_options(InputOptions(**options), INPUTS)


@given(st.text("image=.0123456789x,-e", max_size=14))
def test_whatever_shapes_and_ranges_say_there_is_one_kind_of_error(text: str) -> None:
    for options in (InputOptions(shapes=[text]), InputOptions(ranges=[text])):
        try:
            found = read_options(options, INPUTS)
        except InputError:
            continue
        assert found.shapes or found.ranges
