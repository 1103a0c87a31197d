"""Nothing that a request says leads out of the folder it is joined to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.model_control.safe_paths import FILE, model_name, upload, uploads, version
from hotgraph_server.model_control.uploads import Uploads

# What leads elsewhere, or may on some file system, in every mixture.
_WICKED = st.sampled_from(
    [
        *("..", ".", "", "/", "\\", "\0", "~", "1", "2", "a", "A", "é", "e\u0301", "model.savedmodel", "CON"),
        *(
            "\u2025",
            "\uff0e\uff0e",
            "\uff0f",
            "\u2215",
            "\u2024\u2024",
            "\u202e",
            "\ufeff",
            "\ud800",
            ":",
            " ",
        ),
        *("C:", "nul.txt", "%2e%2e", "a" * 256, "\n", "../", "//", "ﬁ", "fi", "ß", "ss"),
    ]
)
_KEYS = st.lists(_WICKED | st.text(max_size=8), max_size=12).map("/".join) | st.text(max_size=40)


@pytest.mark.parametrize(
    "parts",
    [
        ("1", "saved_model.pb"),
        ("12", "model.savedmodel", "variables", "variables.index"),
        ("0", "model.savedmodel", "assets", "vocabulaire é.txt"),
        ("1", "a..b"),
    ],
)
def test_plain_path_is_taken_as_it_is(parts: tuple[str, ...]) -> None:
    assert upload(FILE + "/".join(parts)) == parts


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../saved_model.pb", "is not VERSION/PATH"),
        ("/etc/passwd", "is not VERSION/PATH"),
        ("1", "is not VERSION/PATH"),
        ("", "is not VERSION/PATH"),
        ("01/a", "is not VERSION/PATH"),
        ("-1/a", "is not VERSION/PATH"),
        ("+1/a", "is not VERSION/PATH"),
        ("\u0661/a", "is not VERSION/PATH"),
        ("9223372036854775808/a", "is not VERSION/PATH"),
        ("config.pbtxt", "is not VERSION/PATH"),
        ("1/", "has an empty part"),
        ("1//a", "has an empty part"),
        ("1/../../x", "has a part that no file is called"),
        ("1/./a", "has a part that no file is called"),
        ("1/.ssh", "has a part that no file is called"),
        ("1/a.", "has a part that no file is called"),
        ("1/ a", "has a part that no file is called"),
        ("1/a\\b", "has a part that no file is called"),
        ("1/C:x", "has a part that no file is called"),
        ("1/\u2025/x", "has a part that no file is called"),
        ("1/\uff0e\uff0e/x", "has a part that no file is called"),
        ("1/a\uff0fb", "has a part that no file is called"),
        ("1/a\0b", "has a character that is not seen"),
        ("1/a\nb", "has a character that is not seen"),
        ("1/\u202etxt", "has a character that is not seen"),
        ("1/\ud800", "has a character that is not seen"),
        ("1/e\u0301", "has a part that is not in its normal form"),
        ("1/CON", "has a part that is the name of a device"),
        ("1/lpt1.txt", "has a part that is the name of a device"),
        ("1/" + "a" * 256, "has a part longer than 255 bytes"),
        ("1/" + "é" * 128, "has a part longer than 255 bytes"),
        ("1/" + "/".join("a" * 16), "has more than 16 parts"),
        ("1/" + "/".join(["a" * 200] * 6), "is longer than 1024 bytes"),
    ],
)
def test_path_that_may_lead_elsewhere_is_refused_with_the_reason(path: str, why: str) -> None:
    with pytest.raises(InvalidCall, match=why) as refused:
        upload(FILE + path)
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 250


@settings(max_examples=1000)
@given(_KEYS)
def test_no_path_of_a_request_leaves_the_folder_it_is_joined_to(key: str) -> None:
    try:
        parts = upload(FILE + key)
    except InvalidCall:
        return
    folder = Path("/repository/of/somebody")
    path = folder.joinpath(*parts)
    assert path.parts == (*folder.parts, *parts)
    assert ".." not in path.parts
    assert version(parts[0]) is not None


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_KEYS, st.binary(max_size=20), max_size=6))
def test_files_of_a_request_are_written_where_they_belong_and_nowhere_else(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        beside, inside = Path(root, "beside"), Path(root, "inside")
        for folder in (beside, inside):
            folder.mkdir()
        try:
            checked = uploads(
                {FILE + key: value for key, value in files.items()}, most_files=5, most_bytes=99
            )
        except InvalidCall:
            return
        written = Uploads(inside)
        folder = written.write(checked)
        assert {path.relative_to(folder).parts: path.read_bytes() for path in files_in(folder)} == checked
        assert set(files_in(Path(root))) == set(files_in(folder))
        written.keep(())
        assert list(files_in(Path(root))) == []


def files_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


class TestManyFiles:
    def test_number_and_size_have_a_limit(self) -> None:
        files = {"file:1/a": b"12", "file:1/b": b"34"}
        assert uploads(files, most_files=2, most_bytes=4) == {("1", "a"): b"12", ("1", "b"): b"34"}
        with pytest.raises(InvalidCall, match="2 files in one request to load; the limit is 1"):
            uploads(files, most_files=1, most_bytes=4)
        with pytest.raises(InvalidCall, match="4 bytes of files in one request to load; the limit is 3"):
            uploads(files, most_files=2, most_bytes=3)

    @pytest.mark.parametrize(
        "keys",
        [
            ("1/a", "1/a/b"),
            ("1/a/b", "1/a"),
            ("1/A", "1/a"),
            ("1/x/a", "1/X/b"),
            ("1/ﬁ", "1/fi"),
            ("1/ß", "1/ss"),
            ("1/A/b", "1/a"),
        ],
    )
    def test_two_that_some_file_system_cannot_hold_together_are_refused(self, keys: tuple[str, ...]) -> None:
        with pytest.raises(InvalidCall, match="two files to load cannot both be there"):
            uploads({FILE + key: b"" for key in keys}, most_files=9, most_bytes=9)


class TestModelName:
    @pytest.mark.parametrize(
        "name", ["m", "a.b-c_d", "0", "x" * 140, "modèle", "-m", "_m", "a b", "a:b", "con", "m[1]*?"]
    )
    def test_name_that_a_folder_may_have_is_taken(self, name: str) -> None:
        assert model_name(name) == name

    @pytest.mark.parametrize("name", ["", " ", "\t\n"])
    def test_empty_name_is_said_to_be_empty(self, name: str) -> None:
        with pytest.raises(InvalidCall, match=r"^Model name cannot be empty\."):
            model_name(name)

    @pytest.mark.parametrize("name", ["../x", "..", "a/b", "/", "a\\b", "a\0", "a..b", "\uff0e\uff0e"])
    def test_name_that_leads_elsewhere_is_said_to_do_so(self, name: str) -> None:
        with pytest.raises(InvalidCall, match=r"^model name must not contain path traversal characters"):
            model_name(name)

    @pytest.mark.parametrize(
        "name", ["m\n", "m\x1b[0m", "m\u2028", "\udce9", "m\u202e", "x" * 256, ".", ".m"]
    )
    def test_name_that_nothing_carries_or_nobody_sees_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidCall, match=r"^a model's name ") as caught:
            model_name(name)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400

    @given(_KEYS)
    def test_name_that_is_taken_is_one_folder(self, name: str) -> None:
        try:
            model_name(name)
        except InvalidCall:
            return
        assert Path("/r", name).parts == ("/", "r", name)
