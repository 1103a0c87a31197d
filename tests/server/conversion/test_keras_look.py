"""Files of Keras's, looked at: whatever their bytes say, they are known or refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.conversion.keras_look import code_in, look, names_registered
from hotgraph_server.conversion.request import Refused

_CONFIG = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "Dense", "config": {"name": "d"}}]},
}


def zipped(path: Path, members: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


def hdf5(path: Path, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        file.create_group("layers")
    return path


@pytest.mark.parametrize(
    ("version", "is_old"),
    [("3.15.1", False), ("2.15.0", True), ("2.3.0-tf", True), ("1.2", True), ("10.0", False)],
)
def test_who_wrote_a_file_is_found_in_both_formats(tmp_path: Path, version: str, is_old: bool) -> None:
    members = {"metadata.json": {"keras_version": version}, "config.json": _CONFIG}
    for found in (
        look(zipped(tmp_path / "m.keras", members)),
        look(hdf5(tmp_path / "m.h5", keras_version=version, model_config=json.dumps(_CONFIG))),
    ):
        assert (found.version, found.is_old, found.config) == (version, is_old, _CONFIG)


def test_format_is_told_by_bytes_and_not_by_the_ending(tmp_path: Path) -> None:
    """Keras 2 has written HDF5 into whatever it was told to."""
    file = hdf5(tmp_path / "m.keras", keras_version="2.4.0", model_config=json.dumps(_CONFIG))
    assert (look(file).is_old, look(file).ending) == (True, ".h5")


def test_file_that_does_not_say_who_wrote_it_is_an_old_one(tmp_path: Path) -> None:
    assert look(hdf5(tmp_path / "m.h5", model_config=json.dumps(_CONFIG))).is_old
    assert look(zipped(tmp_path / "m.keras", {"metadata.json": [3], "config.json": _CONFIG})).version == ""


def test_weights_alone_are_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"holds weights only.*model.save"):
        look(hdf5(tmp_path / "m.weights.h5"))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"archive/data.pkl": b""}, "is weights of PyTorch's"),
        ({"else": b""}, "holds no config.json"),
        ({"config.json": b"{"}, "no JSON"),
        ({"config.json": b"[" * 100_000}, "no JSON"),
        ({"config.json": b"3"}, "no JSON object"),
    ],
)
def test_zip_that_is_no_model_is_refused(tmp_path: Path, members: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        look(zipped(tmp_path / "m.keras", members))


def test_text_that_unpacks_to_more_than_the_limit_is_not_read(tmp_path: Path) -> None:
    file = zipped(tmp_path / "m.keras", {"config.json": b" " * 1001})
    with pytest.raises(Refused, match=r"config\.json is larger"):
        look(file, most_bytes=1000)


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x89HDF\r\n\x1a\n"]))
def test_any_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.keras"
    file.write_bytes(start + content)
    with pytest.raises(Refused):
        look(file)


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (_CONFIG, None),
        ({"layers": [{"class_name": "Lambda", "config": {"name": "twice"}}]}, "twice"),
        (
            {"layers": [{"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__"}}}]},
            "lambda",
        ),
        ({"a": [[{"function_type": "lambda", "name": "old"}]]}, "old"),
    ],
)
def test_layer_that_brings_code_is_found_wherever_it_is(config: Any, layer: str | None) -> None:
    assert code_in(config) == layer


def test_registered_names_are_those_with_a_package() -> None:
    config = {
        "registered_name": None,
        "layers": [{"registered_name": "Custom>My"}, {"registered_name": "Dense"}],
    }
    assert names_registered(config) == {"Custom>My"}
