from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import StartError
from hotgraph_server.wrapping.wishes import Scale, lines_of, scale_of, size_of, unknown_in


@pytest.mark.parametrize(
    ("text", "low", "high"), [("0..1", 0, 1), ("-1..1", -1, 1), ("0.5..-0.5", 0.5, -0.5)]
)
def test_range_is_what_black_and_white_become(text: str, low: float, high: float) -> None:
    scale = scale_of(text)
    assert scale.offsets[0] == pytest.approx(low)
    assert 255 * scale.factors[0] + scale.offsets[0] == pytest.approx(high)


def test_named_scales_are_those_of_keras_applications() -> None:
    assert scale_of("none").is_none
    torch = scale_of("imagenet")
    assert torch.factors[0] * 255 + torch.offsets[0] == pytest.approx((1 - 0.485) / 0.229)
    caffe = scale_of("caffe")
    assert (caffe.is_bgr, caffe.offsets) == (True, (-103.939, -116.779, -123.68))


@pytest.mark.parametrize("text", ["", "1..1", "0-1", "nan..1", "0..1..2", "Imagenet"])
def test_what_is_no_scale_is_told_with_what_there_is(text: str) -> None:
    with pytest.raises(
        StartError, match=r"there is 0\.\.1, -1\.\.1 or any other range, none, imagenet or caffe"
    ):
        scale_of(text)


@given(st.text(max_size=30))
def test_any_text_is_a_scale_or_refused(text: str) -> None:
    try:
        scale = scale_of(text)
    except StartError:
        return
    assert isinstance(scale, Scale)


@pytest.mark.parametrize(
    ("text", "size"), [("", None), ("224", (224, 224)), ("224x112", (224, 112)), ("8X9", (8, 9))]
)
def test_size_is_height_and_width(text: str, size: tuple[int, int] | None) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["0x2", "x", "2x", "-1x3", "224x224x3", "123456x1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(StartError, match="HEIGHTxWIDTH"):
        size_of(text)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"cat\ndog\n", ["cat", "dog"]),
        (b"cat\r\ndog", ["cat", "dog"]),
        (b"\xef\xbb\xbfcat\n", ["cat"]),
        (b"\n[UNK]\n", ["", "[UNK]"]),
        ("schön\n\nb".encode(), ["schön", "", "b"]),
        # Ends of lines elsewhere, letters here.
        ("a\u2028b\n".encode(), ["a\u2028b"]),
    ],
)
def test_lines_keep_their_numbers(content: bytes, lines: list[str]) -> None:
    assert lines_of(content, "--labels x") == lines


@pytest.mark.parametrize(("content", "why"), [(b"", "no lines"), (b"\xff\xfe", "no UTF-8")])
def test_file_that_holds_no_lines_is_named(content: bytes, why: str) -> None:
    with pytest.raises(StartError, match=f"--labels x .*{why}"):
        lines_of(content, "--labels x")


def test_unknown_words_have_the_number_of_the_usual_word_or_the_one_named() -> None:
    assert unknown_in(["", "[UNK]", "a"], "") == 1
    assert unknown_in(["<pad>", "a", "<unk>"], "") == 2
    assert unknown_in(["?", "a"], "?") == 0
    with pytest.raises(StartError, match="--unknown WORD"):
        unknown_in(["a"], "")
    with pytest.raises(StartError, match="no such line"):
        unknown_in(["a"], "b")
