"""A SavedModel without signatures, as TensorFlow Hub has them, into one with a signature.

What it holds are functions as they were called when it was saved. One of these calls becomes the signature:
the one that is asked for by its inputs, or the one that says least of their sizes, and does not train.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hotgraph_server.conversion.input_specs import InputSpec, input_specs
from hotgraph_server.conversion.request import Answer, Refused, Request
from hotgraph_server.errors import first_line

_CALL = "__call__"


class _Saved(NamedTuple):
    """A function as it was called once.

    Attributes:
        arguments: positional and named, with tensors' specs in the place of tensors.
        specs: these, flat.
        names: of them.
    """

    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    specs: list[Any]
    names: list[str]


def export(request: Request) -> Answer:
    """Write the SavedModel.

    Raises:
        Refused: it holds no such function, or not for such inputs.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(request.source)
    except Exception as error:
        raise Refused(f"TensorFlow cannot load it: {first_line(str(error))}") from error
    if dict(getattr(loaded, "signatures", None) or {}) and not request.function:
        names = ", ".join(sorted(loaded.signatures))
        raise Refused(f"has signatures already ({names}): hotgraph serve {request.source}")
    function, name = _function(loaded, request.function)
    saved = _chosen(name, _calls(function), input_specs(request.specs))
    signature = _signature(function, saved)
    holder = tf.Module()
    holder.model = loaded
    try:
        tf.saved_model.save(holder, request.target, signatures={"serving_default": signature})
    except Exception as error:
        raise Refused(f"cannot be saved again: {first_line(str(error))}") from error
    shown = ", ".join(f"{one}={_shown(spec)}" for one, spec in zip(saved.names, saved.specs, strict=True))
    return Answer(f"TensorFlow {tf.__version__}", (f"function {name}, inputs {shown}",))


def _function(loaded: Any, name: str) -> tuple[Any, str]:
    there = _functions(loaded)
    if name:
        if name not in there:
            raise Refused(f"--function {name[:100]!r}: it has {', '.join(sorted(there)) or 'no functions'}")
        return there[name], name
    if _CALL in there or len(there) == 1:
        chosen = _CALL if _CALL in there else next(iter(there))
        return there[chosen], chosen
    if not there:
        raise Refused(
            "has neither signatures nor functions, only variables: save it where it is made, with"
            " tf.saved_model.save(obj, DIR, signatures=...)"
        )
    raise Refused(f"has several functions: --function NAME says which, of {', '.join(sorted(there))}")


def _functions(loaded: Any) -> dict[str, Any]:
    found = {}
    if callable(loaded) and hasattr(loaded.__call__, "concrete_functions"):
        found[_CALL] = loaded.__call__
    for name, value in vars(loaded).items():
        if not name.startswith("_") and getattr(value, "concrete_functions", None):
            found[name] = value
    return found


def _calls(function: Any) -> list[_Saved]:
    import tensorflow as tf
    from tensorflow.python.util import nest

    found = []
    for concrete in function.concrete_functions:
        arguments = concrete.structured_input_signature
        specs: list[Any] = []
        names: list[str] = []
        for path, leaf in nest.flatten_with_tuple_paths(arguments):
            if isinstance(leaf, tf.TensorSpec):
                specs.append(leaf)
                names.append(_name(leaf, path, names))
        if specs:
            found.append(_Saved(arguments, specs, names))
    return found


def _name(spec: Any, path: Sequence[Any], taken: Sequence[str]) -> str:
    """A key of a dict says best what an input is, then its own name."""
    key = path[-1] if path and isinstance(path[-1], str) else None
    name = str(key or (spec.name or "").partition(":")[0] or f"input_{len(taken)}").rpartition("/")[2]
    return name if name not in taken else f"{name}_{len(taken)}"


def _chosen(name: str, calls: Sequence[_Saved], wanted: Sequence[InputSpec]) -> _Saved:
    if not calls:
        raise Refused(f"its function {name} was saved without any call that takes tensors")
    if wanted:
        return _as_wanted(name, calls, wanted)
    # Who trains says so by a true argument.
    return max(calls, key=lambda call: (not _trains(call), _free(call), -len(call.specs)))


def _as_wanted(name: str, calls: Sequence[_Saved], wanted: Sequence[InputSpec]) -> _Saved:
    import tensorflow as tf

    specs = [tf.TensorSpec(one.shape, one.dtype) for one in wanted]
    for call in sorted(calls, key=_trains):
        # By name where names are those that it has, else in order.
        by_name = dict(zip((one.name for one in wanted), specs, strict=True))
        ordered = [by_name[one] for one in call.names] if by_name.keys() == set(call.names) else specs
        fits = len(ordered) == len(call.specs) and all(
            _fits(theirs, ours) for theirs, ours in zip(call.specs, ordered, strict=True)
        )
        if fits:
            names = call.names
            if ordered is specs:
                names = [one.name or had for one, had in zip(wanted, call.names, strict=True)]
            return _Saved(call.arguments, ordered, names)
    shown = "; ".join(sorted({", ".join(map(_shown, call.specs)) for call in calls})[:5])
    raise Refused(f"its function {name} was saved for other inputs: {shown}")


def _fits(theirs: Any, ours: Any) -> bool:
    """May a function that was saved for such tensors be called with ours? What is free here is there, too."""
    if theirs.dtype != ours.dtype or theirs.shape.rank is None:
        return bool(theirs.dtype == ours.dtype)
    sizes = list(zip(theirs.shape.as_list(), ours.shape.as_list(), strict=False))
    return theirs.shape.rank == ours.shape.rank and all(had is None or had == size for had, size in sizes)


def _signature(function: Any, saved: _Saved) -> Any:
    import tensorflow as tf

    named = [
        tf.TensorSpec(spec.shape, spec.dtype, name=name)
        for spec, name in zip(saved.specs, saved.names, strict=True)
    ]

    def serve(*tensors: Any) -> dict[str, Any]:
        positional, keywords = _with(saved.arguments, tensors)
        return _named(function(*positional, **keywords))

    try:
        return tf.function(serve).get_concrete_function(*named)
    except Exception as error:
        raise Refused(f"its function cannot be called so: {first_line(str(error))}") from error


def _with(arguments: Any, tensors: Sequence[Any]) -> Any:
    import tensorflow as tf

    left = iter(tensors)
    return tf.nest.map_structure(
        lambda leaf: next(left) if isinstance(leaf, tf.TensorSpec) else leaf, arguments
    )


def _named(answers: Any) -> dict[str, Any]:
    from tensorflow.python.util import nest

    if not nest.is_nested(answers):
        return {"output_0": answers}
    if isinstance(answers, Mapping) and not any(map(nest.is_nested, answers.values())):
        return dict(answers)
    return {
        "_".join(map(str, path)) if any(isinstance(key, str) for key in path) else f"output_{index}": leaf
        for index, (path, leaf) in enumerate(nest.flatten_with_tuple_paths(answers))
    }


def _trains(call: _Saved) -> bool:
    import tensorflow as tf

    return any(leaf is True for leaf in tf.nest.flatten(call.arguments))


def _free(call: _Saved) -> int:
    sizes = [spec.shape.as_list() if spec.shape.rank is not None else [None] * 8 for spec in call.specs]
    return sum(size is None for shape in sizes for size in shape)


def _shown(spec: Any) -> str:
    sizes = (
        "..."
        if spec.shape.rank is None
        else ",".join("?" if size is None else str(size) for size in spec.shape)
    )
    return f"{spec.dtype.name}[{sizes}]"
