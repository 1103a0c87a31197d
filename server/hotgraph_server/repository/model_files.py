"""Which files are models that a SavedModel can be made of, by their names; and what is said of all others,
and of folders that hold no SavedModel. Looks at names and first bytes, never loads."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

KERAS = (".keras", ".h5", ".hdf5")
GRAPHS = (".pb", ".pbtxt", ".graphdef")
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
_PYTORCH = (".pt", ".pth", ".safetensors")
_ARCHIVES = {".zip": "unzip", ".gz": "tar -xzf", ".tgz": "tar -xzf", ".tar": "tar -xf", ".bz2": "tar -xjf"}
_MANY = 3
# Of a folder, and of each in it: this is looked at again and again where a model is waited for.
_LOOK_AT = 1000
_LOOK_INTO = 50


def is_model_file(path: Path) -> bool:
    """Is it a file that `hotgraph export` makes a SavedModel of?"""
    return has_models_ending(path) and path.is_file()


def has_models_ending(path: Path) -> bool:
    """Does its name say so?"""
    return path.suffix.lower() in (*KERAS, *GRAPHS) and path.name not in _SAVED_MODEL


def about_a_file(path: Path) -> str:
    """What to say of a file where a folder of a SavedModel was wanted: what it is, and what to do."""
    name, suffix, shown = path.name.lower(), path.suffix.lower(), shlex.quote(str(path))
    if path.name in _SAVED_MODEL:
        return f"is a file; give the folder that holds it: {path.parent}"
    if is_model_file(path):
        return f"is no SavedModel, but one can be made of it: hotgraph export {shown} DIR"
    if suffix == ".tflite" or suffix == ".lite":
        return (
            "is a model of TensorFlow Lite's, which has no way back: serve what it was made of, the"
            " SavedModel or the .keras file"
        )
    if suffix == ".onnx":
        return (
            f"is an ONNX model; pip install onnx2tf, and: onnx2tf -i {shown} -o DIR makes a SavedModel of it"
        )
    if suffix in _PYTORCH:
        return (
            "holds weights of PyTorch's, and no graph: torch.onnx.export writes an ONNX model, and onnx2tf"
            " makes a SavedModel of that"
        )
    if suffix in _ARCHIVES:
        return f"is an archive: {_ARCHIVES[suffix]} {shown}, and give the folder that it holds"
    if suffix in (".ckpt", ".index", ".meta") or ".data-" in name or name == "checkpoint":
        return _CHECKPOINT
    return "is a file; give the folder that holds saved_model.pb, or a .keras, .h5 or frozen .pb file"


def about_a_folder(path: Path) -> str | None:
    """What to say of a folder without a SavedModel; None: nothing is known of it."""
    names = _names(path)
    models = [name for name in sorted(names)[:_LOOK_INTO] if _is_model(path / name)]
    if models:
        shown = ", ".join(models[:_MANY]) + (", ..." if len(models) > _MANY else "")
        return (
            f"is a folder of models ({shown}): hotgraph serve --repository {shlex.quote(str(path))} serves"
            f" them all, hotgraph serve {shlex.quote(str(path / models[0]))} the first"
        )
    files = [name for name in sorted(names) if is_model_file(path / name)]
    if {"model.safetensors", "pytorch_model.bin"} & names or {"tf_model.h5", "config.json"} <= names:
        return (
            "is a model of Transformers' without a graph: model.save_pretrained(DIR, saved_model=True) of"
            " its TensorFlow class writes one, in DIR/saved_model/1"
        )
    if {"config.json", "metadata.json"} <= names:
        return "is a .keras file that was unpacked; give the file itself, or zip these files into one again"
    if files:
        return f"holds no SavedModel, but {files[0]}: hotgraph serve {shlex.quote(str(path / files[0]))}"
    if "variables" in names or "assets" in names:
        return (
            "holds variables or assets, but neither saved_model.pb nor saved_model.pbtxt: was it copied"
            " whole?"
        )
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return _CHECKPOINT
    if "model.json" in names:
        return "is a model of TensorFlow.js's, which is made of a SavedModel or a .h5 file: serve that"
    for suffix in (".tflite", ".onnx", *_PYTORCH, *_ARCHIVES):
        for name in sorted(names):
            if name.lower().endswith(suffix):
                return f"holds no SavedModel, and {name} {about_a_file(path / name)}"
    return None


_CHECKPOINT = (
    "is a checkpoint, which holds variables and no graph: make the model in Python, load them, and call"
    " model.export(DIR), or tf.saved_model.save(obj, DIR)"
)


def _names(path: Path) -> set[str]:
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry, _ in zip(entries, range(_LOOK_AT), strict=False)}
    except OSError:
        return set()


def _is_model(path: Path) -> bool:
    """A SavedModel, or a folder of versions of one."""
    names = _names(path)
    versions = (name for name in names if name.isdecimal())
    return _holds(names) or any(_holds(_names(path / name)) for name in _first(versions))


def _holds(names: set[str]) -> bool:
    return bool(names & {*_SAVED_MODEL, "model.savedmodel"})


def _first(names: Iterable[str]) -> list[str]:
    return sorted(names)[:_LOOK_INTO]
