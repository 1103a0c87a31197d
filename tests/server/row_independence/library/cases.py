"""What a case is made of, and how one is built and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hotgraph_server.row_independence.verdict import Input, Judgement, judge

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Given:
    """An input: its inner shape, and how values for its rows are drawn.

    Attributes:
        inner: the shape of a row; None for a size that is free.
        dtype: of TensorFlow.
        draw: so many rows.
    """

    inner: tuple[int | None, ...]
    dtype: str
    draw: Callable[[np.random.Generator, int], Array]
    rows: bool = True


def floats(*inner: int, free: Sequence[int] = ()) -> Given:
    """Numbers, some negative; axes in `free` are declared to be of any size."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        return rng.normal(0, 2, (rows, *inner)).astype(np.float32)

    shape = tuple(None if axis in free else size for axis, size in enumerate(inner))
    return Given(shape, "float32", draw)


def ints(*inner: int, below: int = 5, free: Sequence[int] = ()) -> Given:
    def draw(rng: np.random.Generator, rows: int) -> Array:
        return rng.integers(0, below, (rows, *inner), np.int32)

    shape = tuple(None if axis in free else size for axis, size in enumerate(inner))
    return Given(shape, "int32", draw)


def lengths(most: int) -> Given:
    """For each row a number from 1 to `most`."""
    return Given((), "int32", lambda rng, rows: rng.integers(1, most + 1, (rows,), np.int32))


def texts() -> Given:
    def draw(rng: np.random.Generator, rows: int) -> Array:
        words = ["amber", "birch", "coral", "dune", "an", "x"]
        return np.array(
            [" ".join(rng.choice(words, rng.integers(1, 6))).encode() for _ in range(rows)], object
        )

    return Given((), "string", draw)


def examples() -> Given:
    """Serialised tf.Examples: `x` four floats, `ids` one to four of 0 to 4, `word` a text."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        return np.array([_example(rng) for _ in range(rows)], object)

    return Given((), "string", draw)


def _example(rng: np.random.Generator) -> bytes:
    import tensorflow as tf

    feature = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=rng.normal(size=4))),
        "ids": tf.train.Feature(int64_list=tf.train.Int64List(value=rng.integers(0, 5, rng.integers(1, 5)))),
        "word": tf.train.Feature(bytes_list=tf.train.BytesList(value=[rng.choice([b"a", b"bc"])])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def images() -> Given:
    """PNG files of 2 by 2 to 5 by 5 dots."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        return np.array([_png(rng) for _ in range(rows)], object)

    return Given((), "string", draw)


def _png(rng: np.random.Generator) -> bytes:
    import tensorflow as tf

    high, wide = rng.integers(2, 6, 2)
    return bytes(tf.io.encode_png(rng.integers(0, 255, (high, wide, 3), np.uint8)).numpy())


def scalar(value: float, dtype: str = "float32") -> Given:
    """An input without rows, equal in all calls of a batch."""
    return Given((), dtype, lambda rng, rows: np.array(value, dtype), rows=False)


Body = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A graph.

    Attributes:
        body: gets TensorFlow and the inputs, gives the outputs: one, or a tuple.
        inputs: by their names in `body`.
        old: built with TensorFlow 1's control flow.
    """

    body: Body
    inputs: Mapping[str, Given]
    old: bool = False


@dataclass
class Cases:
    """A collection, by the names of the functions."""

    found: dict[str, Case] = field(default_factory=dict)

    def __call__(self, *, old: bool = False, **inputs: Given) -> Callable[[Body], Body]:
        def enter(body: Body) -> Body:
            name = body.__name__
            assert name not in self.found, name
            self.found[name] = Case(body, inputs, old)
            return body

        return enter


class Built:
    """A case as a graph with a session of its own.

    Args:
        case: what to build.
        in_function: the body is a function that the graph calls.
    """

    def __init__(self, case: Case, *, in_function: bool = False) -> None:
        import tensorflow as tf

        self.case = case
        self.graph = tf.Graph()
        if case.old:
            tf.compat.v1.disable_control_flow_v2()
        try:
            with self.graph.as_default():
                fed = {
                    name: tf.compat.v1.placeholder(
                        given.dtype, (None, *given.inner) if given.rows else given.inner, name
                    )
                    for name, given in case.inputs.items()
                }

                def body(*tensors: Any) -> Any:
                    return case.body(tf, *tensors)

                called = tf.function(body, autograph=False) if in_function else body
                made = called(*fed.values())
                outputs = [tf.identity(one) for one in (made if isinstance(made, tuple | list) else [made])]
                start = [tf.compat.v1.global_variables_initializer(), tf.compat.v1.tables_initializer()]
        finally:
            if case.old:
                tf.compat.v1.enable_control_flow_v2()
        self.fed = {name: tensor.name for name, tensor in fed.items()}
        self.outputs = [tensor.name for tensor in outputs]
        self.session = tf.compat.v1.Session(graph=self.graph)
        self.session.run(start)

    def judged(self, *, shapes: bool = True) -> Judgement:
        """What is said of it; `shapes`: with what TensorFlow knows of shapes written into the graph."""
        from tensorflow.python.framework import op_def_registry

        inputs = [
            Input(name, tensor, (None, *given.inner) if given.rows else given.inner, given.rows)
            for (name, tensor), given in zip(self.fed.items(), self.case.inputs.values(), strict=True)
        ]
        outputs = {f"y{index}": tensor for index, tensor in enumerate(self.outputs)}
        return judge(self.graph.as_graph_def(add_shapes=shapes), inputs, outputs, op_def_registry.get)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        fed = dict(zip(self.fed.values(), arrays, strict=True))
        return [np.asarray(answer) for answer in self.session.run(self.outputs, fed)]

    def draw(self, rng: np.random.Generator, rows: int) -> list[Array]:
        return [given.draw(rng, rows) for given in self.case.inputs.values()]

    def difference(self, arrays: Sequence[Array]) -> str:
        """How the rows' answers together differ from those alone; empty: they do not."""
        together = self.run(arrays)
        takes_rows = [given.rows for given in self.case.inputs.values()]
        count = next(len(array) for array, rows in zip(arrays, takes_rows, strict=True) if rows)
        for row in range(count):
            alone = self.run(
                [
                    array[row : row + 1] if rows else array
                    for array, rows in zip(arrays, takes_rows, strict=True)
                ]
            )
            for index, (whole, part) in enumerate(zip(together, alone, strict=True)):
                has_rows = whole.shape[:1] == (count,) and part.shape[:1] == (1,)
                if not (has_rows and _equal(whole[row : row + 1], part)) and not _equal(whole, part):
                    return f"output {index} of row {row}: {whole!r} together, {part!r} alone"
        return ""


def _equal(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, 1e-4, 1e-4, equal_nan=True))
    return bool(np.array_equal(one, other))
