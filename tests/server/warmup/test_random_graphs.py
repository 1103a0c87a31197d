"""What TensorFlow loads and runs is served with the same answers, whatever else of the graph is broken.

A graph has some signatures that work, of random dtypes, ranks and operations, and perhaps one that does not.
Each that works is called several times at once, with rows of its own, and must answer each call as a session
of TensorFlow's own does that runs it alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError
from hotgraph_server.models.version import Version
from hotgraph_server.repository.loader import load
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Shape
from hotgraph_server.tensors import STRING, Array

from ...saved_models import tf1
from ..fakes import HANG_S, Caller

# Building, loading and warming one up takes half a second: few of them, and none made smaller and smaller.
EXAMPLES = settings(
    max_examples=settings().max_examples // 20, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "int32", "int64")
SHAPES: tuple[Shape | None, ...] = (
    *((None,), (None, 2), (None, None), (None, 3, 2)),  # rows
    *((), (3,), (2, None)),  # none, or a fixed number
    None,
)
# What can be done to a tensor, by the kind of its dtype.
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "number": ("twice", "one more", "variable", "centred", "total", "identity"),
    "string": ("upper", "joined", "identity"),
    "bool": ("not", "identity"),
}


@dataclass(frozen=True)
class Recipe:
    """One signature: its inputs by alias, and what is done to each for the output of the same name."""

    inputs: Mapping[str, tuple[str, Shape | None]]
    operations: Mapping[str, tuple[str, ...]]


def kind_of(dtype: str) -> str:
    return dtype if dtype in OPERATIONS else "number"


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    aliases = ["x", "y"][: draw(st.integers(1, 2))]
    dtypes = st.sampled_from([*FLOATS, *INTEGERS, "string", "bool"])
    inputs = {alias: (draw(dtypes), draw(st.sampled_from(SHAPES))) for alias in aliases}
    return Recipe(
        inputs,
        {
            alias: tuple(draw(st.lists(st.sampled_from(OPERATIONS[kind_of(dtype)]), min_size=1, max_size=3)))
            for alias, (dtype, _) in inputs.items()
        },
    )


def applied(tensor: Any, operation: str) -> Any:
    import tensorflow.compat.v1 as tf

    match operation:
        case "twice":
            return tensor * tf.cast(2, tensor.dtype)
        case "one more":
            return tensor + tf.cast(1, tensor.dtype)
        case "variable":
            return tensor + tf.cast(tf.Variable(3.0, use_resource=True), tensor.dtype)
        case "centred":
            # Of all rows of a run: such a signature's calls must not share one.
            return tensor - tf.reduce_max(tensor)
        case "total":
            return tf.reduce_sum(tensor)
        case "upper":
            return tf.strings.upper(tensor)
        case "joined":
            return tf.strings.join([tensor, "!"])
        case "not":
            return tf.logical_not(tensor)
    return tf.identity(tensor)


def add_broken(kind: str) -> tuple[tf1.Tensors, tf1.Tensors]:
    """Inputs and outputs of a signature that loads and does not run."""
    import tensorflow.compat.v1 as tf

    x = tf.placeholder(tf.float32, [None], name="broken_x")
    words = tf.as_string(x)
    match kind:
        case "variable":
            # No value of it is saved, and nothing else gives it one.
            lost = tf.get_variable("lost", [], use_resource=False, collections=["lost"])
            return {"x": x}, {"y": x + lost}
        case "table":
            rows = tf.lookup.KeyValueTensorInitializer(["amber"], np.array([0], np.int64))
            return {"x": x}, {"y": tf.lookup.StaticHashTable(rows, -1).lookup(words)}
        case "file":
            content = tf.io.read_file("/there/is/no/such/file")
            return {"x": x}, {"y": tf.strings.join([words, content])}
        case "check":
            with tf.control_dependencies([tf.debugging.assert_greater(x, 1e30)]):
                return {"x": x}, {"y": tf.identity(x)}
    # Declared as another dtype than it has, when it is saved (see `build`).
    return {"x": x}, {"y": tf.identity(x)}


def build(folder: Path, signatures: Mapping[str, Recipe], broken: str | None) -> None:
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        made: dict[str, tuple[tf1.Tensors, tf1.Tensors]] = {}
        for name, recipe in signatures.items():
            fed: dict[str, Any] = {}
            given_out: dict[str, Any] = {}
            for alias, (dtype, shape) in recipe.inputs.items():
                fed[alias] = tensor = tf.placeholder(dtype, shape, name=f"{name}_{alias}")
                for operation in recipe.operations[alias]:
                    tensor = applied(tensor, operation)
                given_out[alias] = tensor
            made[name] = (fed, given_out)
        if broken is not None:
            made["broken"] = add_broken(broken)
        saver = tf.train.Saver(allow_empty=True)
        session.run(tf.global_variables_initializer())
        tf1.save(folder, session, made, saver=saver)
    if broken == "dtype":
        change_dtype(folder / "saved_model.pb")


def change_dtype(path: Path) -> None:
    """Let the input of `broken` say int32, which its tensor is not."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved_model.meta_graphs[0].signature_def["broken"].inputs["x"].dtype = types_pb2.DT_INT32
    path.write_bytes(saved_model.SerializeToString())


def values(dtype: str, shape: Shape | None, rows: int, rng: np.random.Generator) -> Array:
    """An array that the input takes; rows where its first dimension is free."""
    sizes = (rows, 2) if shape is None else shape
    free = [int(rng.integers(1, 4)) if size is None else size for size in sizes]
    if sizes and sizes[0] is None:
        free[0] = rows
    # Small, so that no sum of theirs leaves the narrowest of the dtypes.
    drawn = rng.integers(0, 3, free)
    if dtype == "string":
        words = np.array([b"a", b"ab", b"abc"], object)
        # An array also of a single one.
        return np.asarray(words[drawn], object)
    return np.asarray(drawn).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def inputs_of(recipe: Recipe, rng: np.random.Generator) -> dict[str, Array]:
    rows = int(rng.integers(1, 5))
    return {alias: values(dtype, shape, rows, rng) for alias, (dtype, shape) in recipe.inputs.items()}


def answers_of_tensorflow(
    folder: Path, calls: Sequence[tuple[str, Mapping[str, Array]]]
) -> list[Mapping[str, Array]]:
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        signatures = tf.saved_model.load(session, ["serve"], str(folder)).signature_def
        return [
            session.run(
                {alias: info.name for alias, info in signatures[name].outputs.items()},
                {signatures[name].inputs[alias].name: value for alias, value in inputs.items()},
            )
            for name, inputs in calls
        ]


def hand_in(version: Version, name: str, inputs: Mapping[str, Array]) -> Caller:
    signature, caller = version.signatures[name], Caller()
    arrays = [inputs[spec.alias] for spec in signature.inputs]
    version.submit(Request(signature, arrays, signature.output_aliases, caller.completion))
    return caller


def check_same(found: Array, expected: Any) -> None:
    """`expected` as a session gives it: a string without dimensions as bare bytes."""
    expected = np.asarray(expected, object if isinstance(expected, bytes) else None)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype == STRING or expected.dtype.kind in "iub":
        assert found.tolist() == expected.tolist()
    else:
        tolerance = 1e-4 if expected.dtype.itemsize >= 4 else 1e-2
        wide = expected.astype(np.float64)
        np.testing.assert_allclose(found.astype(np.float64), wide, rtol=tolerance, atol=tolerance)


def check_served(signatures: Mapping[str, Recipe], broken: str | None, seed: int) -> None:
    """Build a graph, serve it, and hold it against TensorFlow."""
    rng = np.random.default_rng(seed)
    calls = [(name, inputs_of(recipe, rng)) for name, recipe in signatures.items() for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        build(path, signatures, broken)
        expected = answers_of_tensorflow(path, calls)
        version = load(ModelSettings("m", path))
        try:
            callers = [hand_in(version, name, inputs) for name, inputs in calls]
            for (name, _), caller, right in zip(calls, callers, expected, strict=True):
                aliases = version.signatures[name].output_aliases
                for alias, found in zip(aliases, caller.answer(), strict=True):
                    check_same(found, right[alias])
            if broken is not None and "broken" in version.signatures:
                dtype = version.signatures["broken"].inputs[0].dtype
                assert isinstance(hand_in(version, "broken", {"x": np.ones(2, dtype)}).error(), CallError)
        finally:
            assert version.stop(HANG_S)


@EXAMPLES
@given(
    signatures=st.dictionaries(
        st.sampled_from(["first", "second", "serving_default"]), recipes(), min_size=1
    ),
    seed=st.integers(0),
)
def test_graph_answers_as_tensorflow_alone_does(signatures: dict[str, Recipe], seed: int) -> None:
    check_served(signatures, None, seed)


@pytest.mark.parametrize("broken", ["variable", "table", "file", "check", "dtype"])
@EXAMPLES
@given(recipe=recipes(), seed=st.integers(0))
def test_signatures_beside_a_broken_one_answer_as_tensorflow_alone_does(
    broken: str, recipe: Recipe, seed: int
) -> None:
    check_served({"serving_default": recipe}, broken, seed)
