"""reading.py: what one --input holds."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hotgraph_client.predicting.reading import Given, Json, Raw, Zeros, read_input
from hotgraph_client.predicting.tables import Table


def read(text: str, stdin: bytes = b"") -> Given:
    return read_input(text, lambda: stdin)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def encoded(kind: str) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (2, 2)).save(written, kind)
    return written.getvalue()


def npy() -> bytes:
    written = io.BytesIO()
    np.save(written, np.ones(2))
    return written.getvalue()


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("[1, 2]", None, Json([1, 2])),
        ("x=[1, 2]", "x", Json([1, 2])),
        ('{"a=b": 1}', None, Json({"a=b": 1})),
        ('"a=b"', None, Json("a=b")),
        ("-1", None, Json(-1)),
        ("x=true", "x", Json(True)),
        ("zeros", None, Zeros(None)),
        ("x=zeros:1x2x3", "x", Zeros((1, 2, 3))),
    ],
)
def test_json_and_zeros_stand_on_the_spot(text: str, name: str | None, value: Any) -> None:
    given_ = read(text)
    assert (given_.name, given_.value) == (name, value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_picture_is_known_by_its_name_or_by_its_bytes(folder: Path, kind: str) -> None:
    data = encoded(kind)
    (folder / "no_ending").write_bytes(data)
    (folder / f"a.{kind.lower()}").write_bytes(data)
    for given_ in (read("no_ending"), read(f"x=a.{kind.lower()}"), read("-", data)):
        assert given_.value == Raw(data, True)


def test_file_of_no_kind_is_taken_as_it_is(folder: Path) -> None:
    (folder / "notes.txt").write_text("a film, too long")
    assert read("notes.txt").value == Raw(b"a film, too long", False)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"instances": [1]}', Json),
        (b" [1]", Json),
        (b"1", Json),
        (b'"a"', Json),
        (b"a,b\n1,2\n", Table),
        (b'"a","b"\n1,2\n', Table),
        (b"1,2\n3,4\n", Table),
        (b"a\tb\n1\t2\n", Table),
        (npy(), np.ndarray),
        (b"a film\n", Raw),
        (b"\xfe\x00", Raw),
    ],
)
def test_standard_input_is_known_by_what_it_holds(data: bytes, kind: type) -> None:
    given_ = read("-", data)
    assert isinstance(given_.value, kind)
    assert given_.where == "standard input"


@pytest.mark.parametrize(
    ("text", "stdin", "why"),
    [
        ("good film", b"", "'\"good film\"'"),
        ("none.csv", b"", "none.csv: No such file"),
        ("[1", b"", "is not JSON"),
        ("-", b"", "standard input is empty"),
        ("-", b'{"a": ', "standard input is not JSON"),
        ("-", b"PK\x03\x04", "not a plain numpy array file"),
    ],
)
def test_what_is_neither_is_told_in_one_line(text: str, stdin: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(text, stdin)


def test_long_json_is_no_file_name() -> None:
    assert isinstance(read(f"[{'1, ' * 5000}1]").value, Json)
    assert isinstance(read('["\\u0000"]').value, Json)
    assert isinstance(read(f'["{"=" * 500}"]').value, Json)
    with pytest.raises(ValueError, match="neither a file nor JSON"):
        read(f"x={'y' * 500}")


def test_folder_is_told_as_such(folder: Path) -> None:
    (folder / "images").mkdir()
    with pytest.raises(ValueError, match="images is a folder: give a file"):
        read("x=images")


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda data: npy()[:70] + data))
def test_whatever_comes_there_is_one_kind_of_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        read("-", data)


@given(st.text(max_size=40))
def test_whatever_is_written_there_is_one_kind_of_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text, b"1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1" * 5000, "a whole number in it is longer than any datatype holds"),
        ("[" + "1, " * 5000, "is not JSON"),
        ("word " * 5000, "is neither a file nor JSON"),
    ],
)
def test_long_text_is_told_in_a_short_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        read_input(text, bytes)
    assert len(str(raised.value)) < 250
