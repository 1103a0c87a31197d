"""A SavedModel written again, with other values for some of its variables.

The graph saves itself: every SavedModel has the op that wrote its variables, so names in the checkpoint,
shards and the objects of TensorFlow 2 come out as they were. All other files are copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.graph.loading import open_session, told
from hotgraph_server.graph.variables import Variables
from hotgraph_server.settings import SessionSettings
from hotgraph_server.tensors import Array

_PARTIAL = ".partial"
# What is made again; and the hash of what it was made of before.
_NOT_COPIED = ("variables", "fingerprint.pb")


def export(origin: Path, values: Mapping[str, Array], end: Path) -> None:
    """Write the SavedModel of `origin` to `end`, which appears there whole or not at all.

    Args:
        origin: a folder with a SavedModel.
        values: of variables, by name; the others keep theirs.
        end: a folder that is not there yet.

    Raises:
        LoadError: `origin` cannot be loaded, has not these variables, or `end` cannot be written.
    """
    if end.exists():
        raise LoadError(str(end), "it is there already")
    session, meta_graph = open_session(origin, SessionSettings())
    partial = end.with_name(end.name + _PARTIAL)
    try:
        variables = Variables(session, set(values))
        missing = values.keys() - set(variables.names)
        if missing:
            raise LoadError(str(origin), f"it has no variables {', '.join(sorted(missing))}")
        other = _that_do_not_fit(variables, values)
        if other:
            raise LoadError(str(origin), f"its variables are others: {'; '.join(other)}")
        saver = meta_graph.saver_def
        if not saver.save_tensor_name:
            raise LoadError(str(origin), "it has no op that saves its variables")
        variables.write(values)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(origin, partial, ignore=lambda folder, names: _left_out(origin, folder, names))
        (partial / "variables").mkdir()
        session.run(
            saver.save_tensor_name, {saver.filename_tensor_name: str(partial / "variables" / "variables")}
        )
        partial.replace(end)
    except (OSError, RunFailed, tf.errors.OpError) as error:
        raise LoadError(str(end), f"cannot be written: {told(error)}") from error
    finally:
        session.close()
        shutil.rmtree(partial, ignore_errors=True)


def _that_do_not_fit(variables: Variables, values: Mapping[str, Array]) -> list[str]:
    """TensorFlow would write them all the same, and the result could not be loaded."""
    shapes, present = variables.shapes(), variables.read()
    return [
        f"{name} is {present[name].dtype}{list(present[name].shape)}, not {value.dtype}{list(value.shape)}"
        for name, value in values.items()
        if value.dtype != present[name].dtype or not _takes(shapes[name], value.shape)
    ]


def _takes(shape: tuple[int | None, ...] | None, size: tuple[int, ...]) -> bool:
    """Does a variable of this shape, free where it is None, take a value of this size?"""
    return shape is None or (
        len(shape) == len(size) and all(one in (None, other) for one, other in zip(shape, size, strict=True))
    )


def _left_out(origin: Path, folder: str, names: list[str]) -> set[str]:
    return set(names) & set(_NOT_COPIED) if Path(folder) == origin else set()
