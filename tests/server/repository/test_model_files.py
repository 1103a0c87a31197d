"""What is said of paths that are no SavedModels: what they are, and the command that would do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.errors import LoadError
from hotgraph_server.repository.layout import default_name, versions_in
from hotgraph_server.repository.model_files import about_a_folder, is_model_file


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def said(path: Path) -> str:
    with pytest.raises(LoadError) as caught:
        versions_in(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)
    return caught.value.why


@pytest.mark.parametrize(
    "name", ["m.keras", "m.h5", "M.H5", "m.hdf5", "frozen.pb", "graph.pbtxt", "model.graphdef"]
)
def test_files_that_can_be_converted_are_known_by_name(tmp_path: Path, name: str) -> None:
    touched(tmp_path, name)
    assert is_model_file(tmp_path / name)
    assert default_name(tmp_path / name) == Path(name).stem
    assert f"hotgraph export {tmp_path / name} DIR" in said(tmp_path / name)


@pytest.mark.parametrize("name", ["saved_model.pb", "m.tflite", "missing.keras", "folder.keras/x"])
def test_others_are_not(tmp_path: Path, name: str) -> None:
    touched(tmp_path, "saved_model.pb", "m.tflite", "folder.keras/x")
    assert not is_model_file(tmp_path / name)
    assert not is_model_file(tmp_path / "folder.keras")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("m/saved_model.pb", "is a file; give the folder that holds it: "),
        ("m.tflite", "TensorFlow Lite's, which has no way back"),
        ("m.onnx", "onnx2tf -i "),
        ("m.pt", "PyTorch's, and no graph"),
        ("m.zip", "is an archive: unzip "),
        ("m.tar.gz", "is an archive: tar -xzf "),
        ("ckpt-1.index", "is a checkpoint, which holds variables and no graph"),
        ("ckpt-1.data-00000-of-00001", "is a checkpoint"),
        ("checkpoint", "is a checkpoint"),
        ("m.txt", "give the folder that holds saved_model.pb, or a .keras, .h5 or frozen .pb file"),
    ],
)
def test_file_is_told_with_what_to_do(tmp_path: Path, name: str, why: str) -> None:
    assert why in said(touched(tmp_path, name) / name)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (
            ("a/saved_model.pb", "b/1/saved_model.pb"),
            "is a folder of models (a, b): hotgraph serve --repository ",
        ),
        (("a/1/model.savedmodel/saved_model.pb",), "is a folder of models (a): "),
        (tuple(f"m{number}/saved_model.pb" for number in range(9)), "(m0, m1, m2, ...)"),
        (("m.keras",), "holds no SavedModel, but m.keras: hotgraph serve "),
        (("checkpoint", "ckpt-1.index", "ckpt-1.data-00000-of-00001"), "is a checkpoint"),
        (("variables/variables.index",), "was it copied whole?"),
        (("config.json", "metadata.json", "model.weights.h5"), "is a .keras file that was unpacked"),
        (("config.json", "tf_model.h5"), "save_pretrained(DIR, saved_model=True)"),
        (("config.json", "model.safetensors"), "save_pretrained(DIR, saved_model=True)"),
        (("model.json", "group1-shard1of1.bin"), "TensorFlow.js's"),
        (("m.tflite",), "m.tflite is a model of TensorFlow Lite's"),
        (("m.tar.gz",), "m.tar.gz is an archive: tar -xzf "),
    ],
)
def test_folder_is_told_with_what_to_do(tmp_path: Path, files: tuple[str, ...], why: str) -> None:
    assert why in said(touched(tmp_path, *files))


def test_paths_in_commands_can_be_pasted(tmp_path: Path) -> None:
    touched(tmp_path, "my models/a/saved_model.pb")
    assert f"hotgraph serve --repository '{tmp_path}/my models'" in said(tmp_path / "my models")


def test_of_an_empty_folder_nothing_is_known(tmp_path: Path) -> None:
    assert about_a_folder(tmp_path) is None
    assert "no numbered folder" in said(tmp_path)


def test_folder_of_versions_without_graphs_is_no_folder_of_models(tmp_path: Path) -> None:
    touched(tmp_path, "1/variables/variables.index")
    assert "no numbered folder" in said(tmp_path)
