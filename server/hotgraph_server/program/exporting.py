"""Models that a program holds in memory, written as SavedModels.

What is saved is the model as it is at that moment; what the program does with it later is not seen. Whatever
TensorFlow says of a model that cannot be saved is passed on, with the way out where there is one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hotgraph_server.errors import StartError, first_line

_DEFAULT = "serving_default"
_KERAS = ("keras", "tf_keras")


def name_of(model: object) -> str:
    """What a model is called that its owner has not named: its own name, or that of what it is made of."""
    for name in (getattr(model, "name", None), getattr(model, "__name__", None)):
        if isinstance(name, str) and name:
            return name
    function = getattr(model, "python_function", None)
    return getattr(function, "__name__", None) or type(model).__name__.lower()


def export(model: object, folder: Path) -> None:
    """Write a SavedModel.

    Args:
        model: a Keras model, a tf.function or one of its concrete functions, or a tf.Module. The functions of
            a module that have an input signature, or were called, are its signatures: `__call__`, or its only
            one, is the default.
        folder: is made.

    Raises:
        StartError: it is none of these, or cannot be saved; says why.
    """
    import tensorflow as tf

    save: Callable[[Any, Path], None]
    if _is_keras(model):
        save = _export_keras
    elif _is_function(model):
        save = _save_function
    elif isinstance(model, tf.Module):
        save = _save_module
    else:
        raise StartError(
            f"a model is a folder, a Keras model, a tf.function or a tf.Module; got {_article(model)}"
        )
    try:
        save(model, folder)
    except StartError:
        raise
    except Exception as error:
        raise StartError(f"{name_of(model)!r} cannot be saved: {first_line(str(error))}") from error


def _article(model: object) -> str:
    if inspect.isfunction(model):
        return (
            f"the plain function {model.__name__!r}; put @tf.function(input_signature=[tf.TensorSpec(...)])"
            " above it"
        )
    if isinstance(model, (list, tuple)):
        return f"a {type(model).__name__}; several go by their names: {{'a': model, 'b': 'models/b'}}"
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _is_keras(model: object) -> bool:
    """Is it a model of Keras 3 or of tf_keras? Without importing either."""
    return callable(getattr(model, "export", None)) and any(
        base.__module__.partition(".")[0] in _KERAS for base in type(model).__mro__
    )


def _is_function(model: object) -> bool:
    return callable(model) and (hasattr(model, "get_concrete_function") or hasattr(model, "captured_inputs"))


def _export_keras(model: Any, folder: Path) -> None:
    if not model.built:
        raise StartError(
            f"{model.name!r} is not built, so the shapes of its inputs are not known: begin it with"
            " keras.Input(shape), or call it once"
        )
    # Keras 3 tells what it has written, to stdout.
    quiet = {"verbose": False} if "verbose" in inspect.signature(model.export).parameters else {}
    model.export(str(folder), **quiet)


def _save_function(function: Any, folder: Path) -> None:
    import tensorflow as tf

    concrete = _concrete(function, name_of(function))
    module = tf.Module()
    module.function = function
    # What a function captures is saved only if something that is saved holds it.
    module.captured = list(concrete.variables)
    tf.saved_model.save(module, str(folder), signatures={_DEFAULT: concrete})


def _save_module(module: Any, folder: Path) -> None:
    import tensorflow as tf

    found = {}
    for name in [*dir(type(module)), *vars(module)]:
        # A property may do anything.
        special = name.startswith("__") and name != "__call__"
        if special or isinstance(getattr(type(module), name, None), property):
            continue
        function = getattr(module, name, None)
        if hasattr(function, "get_concrete_function") and _known(function):
            found[_DEFAULT if name == "__call__" else name] = _concrete(function, name)
    if not found:
        raise StartError(
            f"{name_of(module)!r} has no tf.function whose inputs are known: give one of its methods"
            " @tf.function(input_signature=[tf.TensorSpec(...)]), or call it once"
        )
    if len(found) == 1:
        found = {_DEFAULT: next(iter(found.values()))}
    tf.saved_model.save(module, str(folder), signatures=found)


def _known(function: Any) -> bool:
    """Are a function's inputs known: said by it, or by a call that there has been?"""
    return function.input_signature is not None or bool(_traced(function))


def _concrete(function: Any, name: str) -> Any:
    """
    Raises:
        StartError: it can be called in no way, or in several, and nothing says in which it shall be.
    """
    if not hasattr(function, "get_concrete_function"):
        return function
    if function.input_signature is not None:
        return function.get_concrete_function()
    traced = _traced(function)
    if len(traced) != 1:
        how = "was never called" if not traced else f"was called with {len(traced)} kinds of inputs"
        raise StartError(
            f"the tf.function {name!r} {how}, so its inputs are not known: give it"
            " input_signature=[tf.TensorSpec(shape, dtype, name=...)], or pass one of its"
            " get_concrete_function(...)"
        )
    return traced[0]


def _traced(function: Any) -> list[Any]:
    """The concrete functions that calls have made. TensorFlow tells of them where it saves a function."""
    listed = getattr(function, "_list_all_concrete_functions", None)
    if listed is None:
        return []
    return list(listed())
