"""Paths into folders: what is made once, and when it is made anew. Nothing is converted here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hotgraph_server.conversion import folders
from hotgraph_server.conversion.folders import saved_model_folder, with_folders
from hotgraph_server.conversion.request import Answer, Request
from hotgraph_server.errors import LoadError
from hotgraph_server.settings import ConversionSettings, ModelSettings, OpsSettings

_OPS = OpsSettings()


class Conversions:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, request: Request, timeout_s: float, say: object) -> Answer:
        self.requests.append(request)
        Path(request.target).mkdir()
        (Path(request.target) / "saved_model.pb").write_bytes(b"graph")
        self.meanwhile()
        return Answer("a stand-in")


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conversions:
    made = Conversions()
    monkeypatch.setattr(folders, "convert", made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "m.keras"
    file.write_bytes(b"a model")
    return file


def folder(path: Path, *, ops: OpsSettings = _OPS, **settings: bool) -> Path:
    return saved_model_folder(path, ConversionSettings(**settings), ops, lambda _: None)


def test_whatever_is_no_models_file_is_left_as_it_is(tmp_path: Path, conversions: Conversions) -> None:
    for path in (tmp_path, tmp_path / "missing.keras", tmp_path / "m.tflite"):
        assert folder(path) == path
    assert not conversions.requests


def test_file_is_converted_once(file: Path, conversions: Conversions) -> None:
    first = folder(file)
    assert (first / "saved_model.pb").is_file()
    assert folder(file) == first
    assert len(conversions.requests) == 1
    assert conversions.requests[0].source == str(file)


def test_copy_under_another_name_is_another_model(
    file: Path, conversions: Conversions, tmp_path: Path
) -> None:
    other = tmp_path / "other.keras"
    other.write_bytes(file.read_bytes())
    assert folder(file) != folder(other)


def test_changed_file_is_converted_again(file: Path, conversions: Conversions) -> None:
    first = folder(file)
    file.write_bytes(b"another model")
    assert folder(file) != first


def test_what_else_counts_makes_it_anew(file: Path, conversions: Conversions) -> None:
    found = {
        folder(file),
        folder(file, allow_lambda=True),
        folder(file, ops=OpsSettings(import_=["json"])),  # type: ignore[arg-type]
    }
    assert len(found) == len(conversions.requests) == 3


def test_own_module_that_has_changed_counts_too(
    file: Path, conversions: Conversions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ops = OpsSettings(import_=["layers_of_mine"])  # type: ignore[arg-type]
    (tmp_path / "layers_of_mine.py").write_text("one = 1")
    first = folder(file, ops=ops)
    (tmp_path / "layers_of_mine.py").write_text("one = 1000")
    assert folder(file, ops=ops) != first


def test_without_the_cache_it_is_this_processs_alone(
    file: Path, conversions: Conversions, tmp_path: Path
) -> None:
    made = folder(file, conversion_cache=False)
    assert not made.is_relative_to(tmp_path / "cache")
    assert folder(file, conversion_cache=False) == made


def rewrite(file: Path) -> None:
    file.write_bytes(b"half a model")


def test_file_that_changes_meanwhile_is_told(file: Path, conversions: Conversions) -> None:
    conversions.meanwhile = lambda: rewrite(file)
    with pytest.raises(LoadError, match="has changed while"):
        folder(file)
    conversions.meanwhile = lambda: None
    file.write_bytes(b"a model")
    folder(file)
    assert len(conversions.requests) == 2


def test_models_get_their_folders_and_keep_the_rest(
    file: Path, conversions: Conversions, tmp_path: Path
) -> None:
    given = [ModelSettings("m", file), ModelSettings("other", tmp_path)]
    found = with_folders(given, ConversionSettings(), _OPS, lambda _: None)
    assert [one.name for one in found] == ["m", "other"]
    assert found[0].path.parent == tmp_path / "cache" / "hotgraph" / "models"
    assert found[1] is given[1]
