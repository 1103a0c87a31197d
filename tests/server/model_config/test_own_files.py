from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config.own_files import OwnFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "warmup").mkdir(parents=True)
    (folder / "labels.txt").write_text("cat\n")
    (folder / "warmup" / "raw").write_bytes(b"12345678")
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "inside").symlink_to("labels.txt")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return folder


def test_files_of_the_model_are_read(folder: Path) -> None:
    assert OwnFiles(folder).read("labels.txt", "f", 4) == b"cat\n"
    assert OwnFiles(folder).read("inside", "f", 4) == b"cat\n"
    assert OwnFiles(folder).read("warmup/raw", "f", 8) == b"12345678"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is no name of a file"),
        (".", "is no name of a file"),
        ("..", "is no name of a file"),
        ("../secret", "is no name of a file"),
        ("warmup/../../secret", "is no name of a file"),
        ("warmup/../labels.txt", "is no name of a file"),
        ("/etc/passwd", "is no name of a file"),
        ("a\0b", "is no name of a file"),
        ("..\\secret", "is no name of a file"),
        ("x" * 2000, "is no name of a file"),
        ("x" * 300, "no file|cannot be followed"),
        ("out", "leads out of the model's folder"),
        ("outside/secret", "leads out of the model's folder"),
        ("loop", "cannot be followed|no file"),
        ("pipe", "there is no file"),
        ("warmup", "there is no file"),
        ("missing", "there is no file"),
        ("warmup/raw", "larger than 7 bytes"),
    ],
)
def test_nothing_else_is(folder: Path, name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        OwnFiles(folder).read(name, "label_filename", 7)
    assert str(caught.value).startswith("label_filename: ")


def test_what_the_owner_has_linked_is_read_where_he_has_named_it(folder: Path) -> None:
    files = OwnFiles(folder, linked=True)
    assert files.read("out", "f", 6) == files.read("outside/secret", "f", 6) == b"secret"
    for name in ("../secret", "/etc/passwd", "loop", "pipe", "warmup"):
        with pytest.raises(SettingsError):
            files.read(name, "f", 7)


PARTS = st.sampled_from(
    ["..", ".", "", "secret", "model", "out", "outside", "warmup", "labels.txt", "~", "//"]
)


@given(st.lists(PARTS | st.text(max_size=3), max_size=5).map("/".join))
def test_no_name_leads_to_what_is_not_the_models(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    above = tmp_path_factory.getbasetemp() / "own_files"
    folder = above / "model"
    if not folder.exists():
        folder.mkdir(parents=True)
        (above / "secret").write_text("secret")
        (folder / "out").symlink_to("../secret")
        (folder / "outside").symlink_to("..")
    try:
        content = OwnFiles(folder).read(name, "f", 100)
    except SettingsError:
        return
    assert content != b"secret"
