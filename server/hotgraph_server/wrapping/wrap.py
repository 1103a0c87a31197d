"""A SavedModel with more around one of its signatures, written as another."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hotgraph_server.errors import LoadError, StartError, first_line
from hotgraph_server.wrapping import tensorflow_1
from hotgraph_server.wrapping.images import ImageReader
from hotgraph_server.wrapping.labels import Labeller
from hotgraph_server.wrapping.texts import TextReader
from hotgraph_server.wrapping.wishes import ImageWish, LabelWish, TextWish

RAW = "raw"
"""What the signature is called in the new SavedModel that was put something around."""

_DEFAULT = "serving_default"


def wrap(
    folder: Path,
    target: Path,
    before: ImageWish | TextWish | None,
    after: LabelWish | None,
    *,
    signature: str = "",
    input_name: str = "",
) -> list[str]:
    """Write `target`, which appears there whole or not at all; returns what it takes and gives, a line each.

    Args:
        folder: of a SavedModel.
        before: what is put in front of an input; None: nothing.
        after: what is put behind an output; None: nothing.
        signature: of the model; empty: the default, or the only one.
        input_name: of the signature; empty: the only one.

    Raises:
        StartError: the model cannot be loaded or saved, or does not take or give what is asked for.
    """
    import tensorflow as tf

    work = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}-", dir=target.parent))
    try:
        loaded = _loaded(folder)
        name, function = _signature(folder, loaded, signature)
        if tensorflow_1.is_one(folder):
            tensorflow_1.write_frozen(folder, name, work / "frozen")
            loaded = _loaded(work / "frozen")
            name, function = _signature(folder, loaded, "")
        module = tf.Module()
        module.model = loaded
        wrapped = _wrapped(function, module, before, after, input_name)
        # Keras 3 has the default a second time, as "serve".
        left_out = (name, _DEFAULT, "serve") if name == _DEFAULT else (name, _DEFAULT)
        others = {key: one for key, one in loaded.signatures.items() if key not in left_out}
        signatures = {**others, _DEFAULT: wrapped, RAW: function}
        tf.saved_model.save(module, str(work / "model"), signatures=signatures)
        (work / "model").replace(target)
    except StartError:
        raise
    except OSError as error:
        raise LoadError(str(target), f"cannot be written: {error.strerror or error}") from error
    except Exception as error:
        raise LoadError(str(folder), f"cannot be wrapped: {first_line(str(error))}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    inputs = [f"in   {spec.name}  {_shown(spec)}" for spec in wrapped.structured_input_signature[0]]
    outputs = [f"out  {key}  {_shown(spec)}" for key, spec in wrapped.structured_outputs.items()]
    return inputs + outputs


def _loaded(folder: Path) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:
        raise LoadError(str(folder), f"TensorFlow cannot load it: {first_line(str(error))}") from error


def _signature(folder: Path, loaded: Any, wanted: str) -> tuple[str, Any]:
    signatures = dict(getattr(loaded, "signatures", None) or {})
    name = wanted or (_DEFAULT if _DEFAULT in signatures or len(signatures) != 1 else next(iter(signatures)))
    if name not in signatures:
        there = ", ".join(sorted(signatures))
        how = f"it has {there}" if there else f"it has none: hotgraph export {folder} DIR gives it one"
        raise LoadError(str(folder), f"no signature {name!r}; {how}")
    return name, signatures[name]


def _wrapped(
    function: Any,
    module: Any,
    before: ImageWish | TextWish | None,
    after: LabelWish | None,
    input_name: str,
) -> Any:
    import tensorflow as tf

    specs = dict(function.structured_input_signature[1])
    chosen = input_name or (next(iter(specs)) if len(specs) == 1 else "")
    if before is not None and chosen not in specs:
        known = f"--input {chosen!r}: " if chosen else "--input NAME says which input: "
        raise StartError(f"{known}the model has {', '.join(sorted(specs)) or 'none'}")
    read: Callable[[Any], Any] | None = None
    taken = ""
    if isinstance(before, ImageWish):
        read, taken = ImageReader(before, specs[chosen], chosen), "image"
    elif before is not None:
        reader = TextReader(before, specs[chosen], chosen)
        module.table = reader.table
        read, taken = reader, "text"
    label = Labeller(after, function.structured_outputs) if after is not None else None
    names = list(specs)
    others = [name for name in names if name != chosen]

    def serve(*inputs: Any) -> dict[str, Any]:
        given = dict(zip(names, inputs, strict=True))
        if read is not None:
            given[chosen] = read(given[chosen])
        outputs = function(**given)
        return label(outputs) if label is not None else dict(outputs)

    wanted = [
        tf.TensorSpec([None], tf.string, name=taken if taken not in others else f"{name}_{taken}")
        if read is not None and name == chosen
        else tf.TensorSpec(specs[name].shape, specs[name].dtype, name=name)
        for name in names
    ]
    return tf.function(serve).get_concrete_function(*wanted)


def _shown(spec: Any) -> str:
    sizes = (
        ""
        if spec.shape.rank is None
        else ", ".join("?" if size is None else str(size) for size in spec.shape)
    )
    return f"{spec.dtype.name} [{sizes}]"
