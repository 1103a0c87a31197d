"""A model's file of Keras's into a SavedModel, with the Keras that wrote it: 3, or tf_keras for what is
older.

What Keras 3 writes is what ``model.export(DIR)`` writes, and what tf_keras writes is what ``model.save(DIR)``
always has: clients find the names that they know from there. Inputs keep the names that the model gives them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hotgraph_server.conversion.input_specs import InputSpec, input_specs
from hotgraph_server.conversion.keras_look import KerasFile, code_in, look, names_registered
from hotgraph_server.conversion.request import Answer, Refused, Request
from hotgraph_server.errors import first_line

_NO_CLASS = re.compile(
    r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|\w+ ?\w*):?) '([^']{1,200})'"
)
_IN_LAYER = re.compile(r"calling (?:layer )?\"?([\w./]{1,200}?)(?:\.call\(\)|\"? \(type (\w{1,200})\))")

_SAYS_NOTHING = (
    "its model does not say what it takes: hotgraph export FILE DIR --input-spec 'x=float32[?,4]' says it"
)


def export(request: Request) -> Answer:
    """Write the SavedModel.

    Raises:
        Refused: it cannot be done; the text says what to do instead.
    """
    path = Path(request.source)
    found = look(path)
    layer = code_in(found.config)
    if layer is not None and not request.allow_lambda:
        raise Refused(
            f"its layer {layer!r} brings Python code of its own, a lambda, which would be run:"
            " --allow-lambda allows that, of a file whose maker you trust"
        )
    # Whichever the user's own programs have: it is the one whose models are SavedModels.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    keras = old_keras(found) if found.is_old else importlib.import_module("keras")
    classes = _classes_of(keras, request.modules, found)
    try:
        model = _loaded(keras, _with_ending(path, found, request), classes, request.allow_lambda)
    except Exception as error:
        raise Refused(_why_not_loaded(error, found, request)) from error
    specs = input_specs(request.specs)
    try:
        if found.is_old:
            _save_old(model, request.target, specs or _freed(model))
        else:
            _export_new(keras, model, request.target, specs or _of_own_class(model))
    except Refused:
        raise
    except Exception as error:
        raise Refused(_why_not_exported(error)) from error
    return Answer(f"{'tf_keras' if found.is_old else 'Keras'} {keras.__version__}")


def old_keras(found: KerasFile) -> ModuleType:
    """tf_keras.

    Raises:
        Refused: it is not installed; the text says how it is.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    try:
        return importlib.import_module("tf_keras")
    except ModuleNotFoundError as error:
        if error.name != "tf_keras":
            raise
    wrote = f"Keras {found.version}" if found.version else "an old Keras"
    release = ".".join(importlib.metadata.version("tensorflow").split(".")[:2])
    raise Refused(
        f"was written by {wrote}, and what is older than Keras 3 is read with tf_keras, which is not"
        f" installed: pip install 'tf_keras=={release}.*'"
    )


def _with_ending(path: Path, found: KerasFile, request: Request) -> Path:
    """The file under a name that ends as its format does, for by that Keras tells formats apart."""
    if path.suffix == found.ending:
        return path
    link = Path(request.target).parent / f"source{found.ending}"
    link.symlink_to(path)
    return link


def _loaded(keras: Any, path: Path, classes: dict[str, Any], allow_lambda: bool) -> Any:
    load = keras.models.load_model
    options = {"custom_objects": classes, "compile": False}
    # Of 2.13 on.
    if "safe_mode" in inspect.signature(load).parameters:
        options["safe_mode"] = not allow_lambda
    return load(str(path), **options)


def _classes_of(keras: Any, modules: Sequence[str], file: KerasFile) -> dict[str, Any]:
    """What the modules that were imported make themselves and Keras could ask for, by name."""
    found: dict[str, Any] = {}
    kinds = (keras.layers.Layer, keras.Model, keras.initializers.Initializer, keras.regularizers.Regularizer)
    for name in modules:
        for key, value in vars(sys.modules[name]).items():
            is_class = inspect.isclass(value) and issubclass(value, kinds)
            if (is_class or inspect.isfunction(value)) and value.__module__ == name:
                found[key] = value
    # What is registered under a package's name in one program, and defined alone in the module.
    for registered in names_registered(file.config):
        name = registered.rpartition(">")[2]
        if name in found:
            found[registered] = found[name]
    return found


def _freed(model: Any) -> list[InputSpec]:
    """The inputs of an old model with a free batch dimension, as Keras 3 gives them itself: its size is most
    often that of the first batch that the model met. Empty: it is free, or there is state for each row."""
    tensors = list(model.inputs or ())
    if getattr(model, "stateful", False) or all(tensor.shape[0] is None for tensor in tensors):
        return []
    return [
        InputSpec(tensor.name.partition(":")[0], tensor.dtype.name, (None, *tuple(tensor.shape)[1:]))
        for tensor in tensors
    ]


def _of_own_class(model: Any) -> list[InputSpec]:
    """The input of a model of Keras 3 that is a class of its own: the shape of the first batch that it met,
    but for the batch's size. Empty: it is none, or has several inputs; then Keras knows more, or nobody."""
    is_graph = getattr(model, "_functional", None) is not None or hasattr(model, "_nodes_by_depth")
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    if is_graph or len(shapes) != 1:
        return []
    (shape,) = shapes.values()
    sizes = isinstance(shape, (tuple, list)) and all(size is None or isinstance(size, int) for size in shape)
    dtype = getattr(model, "input_dtype", None) or "float32"
    return [InputSpec("", str(dtype), (None, *shape[1:]))] if sizes and shape else []


def _export_new(keras: Any, model: Any, target: str, specs: Sequence[InputSpec]) -> None:
    if not model.built:
        raise Refused(_never_called(model))
    options: dict[str, Any] = {}
    if specs:
        names = [
            spec.name or ("inputs" if len(specs) == 1 else f"inputs_{index}")
            for index, spec in enumerate(specs)
        ]
        made = [
            keras.InputSpec(shape=spec.shape, dtype=spec.dtype, name=name)
            for spec, name in zip(specs, names, strict=True)
        ]
        options["input_signature"] = [made if len(made) > 1 else made[0]]
    model.export(target, format="tf_saved_model", verbose=False, **options)


def _save_old(model: Any, target: str, specs: Sequence[InputSpec]) -> None:
    import tensorflow as tf

    if not model.built:
        raise Refused(_never_called(model))
    if not specs:
        if not model.inputs:
            raise Refused(_SAYS_NOTHING)
        model.save(target, save_format="tf", include_optimizer=False)
        return
    names = [spec.name or f"input_{index + 1}" for index, spec in enumerate(specs)]
    outputs = list(getattr(model, "output_names", None) or ())

    def serve(*inputs: Any) -> dict[str, Any]:
        given = list(inputs) if len(inputs) > 1 else inputs[0]
        answers = model(given, training=False)
        if isinstance(answers, dict):
            return answers
        flat = tf.nest.flatten(answers)
        known = (
            outputs if len(outputs) == len(flat) else [f"output_{index + 1}" for index in range(len(flat))]
        )
        return dict(zip(known, flat, strict=True))

    tensors = [
        tf.TensorSpec(spec.shape, spec.dtype, name=name) for spec, name in zip(specs, names, strict=True)
    ]
    signature = tf.function(serve).get_concrete_function(*tensors)
    model.save(target, save_format="tf", include_optimizer=False, signatures=signature)


def _never_called(model: Any) -> str:
    return (
        f"its model ({type(model).__name__}) was saved before it was ever called, and so has no weights"
        " and knows no shape of its inputs: train it, or call it once, or give it a keras.Input, and save it"
        " again"
    )


def _why_not_loaded(error: Exception, found: KerasFile, request: Request) -> str:
    text = str(error)
    unknown = _NO_CLASS.search(text)
    if unknown is not None:
        package = re.search(r"'registered_name': '([\w.]{1,100})>", text)
        of = f" (of {package[1]})" if package and package[1] != "Custom" else ""
        tried = f"; {', '.join(request.modules)} brought none" if request.modules else ""
        return (
            f"its class {unknown[1]!r}{of} is not Keras's own: --import MODULE, where MODULE defines it"
            f" (with @keras.saving.register_keras_serializable()){tried}; or call model.export(DIR) where"
            " the model is made"
        )
    if re.search(r"unsafe|safe_mode|arbitrary code", text) and not request.allow_lambda:
        return (
            f"it brings Python code of its own, which Keras refuses to run: {_short(text)}; --allow-lambda"
            " allows it, of a file whose maker you trust"
        )
    wrote = f" (written by Keras {found.version})" if found.version else ""
    return f"Keras cannot read it{wrote}: {_short(text) or type(error).__name__}"


def _why_not_exported(error: Exception) -> str:
    text = str(error)
    layer = _IN_LAYER.search(text)
    at = f" at its layer {layer[1]!r}" if layer else ""
    why = _short(text) or type(error).__name__
    return (
        f"Keras reads it, but cannot make a graph of it{at}: {why}; what a layer's call() does must be"
        " TensorFlow's or keras.ops' alone. A tf.Module with a tf.function of your own, saved with"
        " tf.saved_model.save(module, DIR, signatures=...), can be served"
    )


def _short(text: str) -> str:
    line = first_line(text.strip())
    return line if len(line) <= 300 else f"{line[:300]}..."
