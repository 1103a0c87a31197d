"""What becomes of a request in the process that converts: who does it, and what is brought before."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.conversion import child
from hotgraph_server.conversion.request import Answer, Request

from ... import model_files


def converted(tmp_path: Path, source: Path, **more: tuple[str, ...]) -> Answer:
    """Without the limits, which would be this process's."""
    return child.answer_to(Request(str(source), str(tmp_path / "made"), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["graph.pb", "GRAPH.PB", "model.graphdef", "folder/saved_model.pb"])
def test_frozen_graph_is_known_in_a_file_and_as_a_folders_graph(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    model_files.frozen_graph(tmp_path / name)
    source = tmp_path / name if "/" not in name else tmp_path / "folder"
    assert "inputs x:0" in converted(tmp_path, source).remarks[0]


def test_folder_of_functions_is_one(tmp_path: Path) -> None:
    model_files.hub_module(tmp_path / "module")
    assert converted(tmp_path, tmp_path / "module").remarks == ("function __call__, inputs x=float32[?,4]",)


def test_what_is_refused_is_answered(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"no model")
    assert "is no file of Keras's" in converted(tmp_path, tmp_path / "m.keras").error


def test_module_is_found_in_the_folder_that_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "broken_layers.py").write_text("raise ValueError('broken here')")
    (tmp_path / "m.keras").write_bytes(b"no model")
    found = converted(tmp_path, tmp_path / "m.keras", modules=("broken_layers",))
    assert found.error == "--import broken_layers: broken here"


def test_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = converted(tmp_path, tmp_path, libraries=("/nowhere.so",))
    assert found.error.startswith("--load-op-library /nowhere.so: ")


@pytest.mark.parametrize(
    ("source", "more", "says"),
    [
        ("m.keras", {"inputs": ("x:0",)}, "is a file of Keras's, and --inputs is for frozen graphs"),
        ("m.keras", {"function": "f"}, "and --function is for modules without signatures"),
        ("graph.pb", {"specs": ("x=float32[?]",)}, "is a frozen graph, and --input-spec is for files of"),
        ("module", {"outputs": ("y:0",)}, "is a folder of functions, and --outputs is for frozen graphs"),
    ],
)
def test_what_is_asked_of_a_file_that_has_it_not_is_told(
    tmp_path: Path, source: str, more: dict[str, tuple[str, ...]], says: str
) -> None:
    (tmp_path / "m.keras").write_bytes(b"no model")
    model_files.frozen_graph(tmp_path / "graph.pb")
    model_files.hub_module(tmp_path / "module")
    assert says in converted(tmp_path, tmp_path / source, **more).error
