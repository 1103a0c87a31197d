"""What a graph tells of the values that it is asked for: how large ids may be, which words it knows.

What neighbours do to each other may show only for some values: ids above 5,000, words of the vocabulary, a
score above a threshold. A graph that treats them apart holds them: the size of what it looks up in, the depth
of a one-hot, boundaries of buckets, what it compares with, the keys of its tables, its vocabulary files. All
that a signature can come to is one pool of values worth a try, whichever input they belong to.

The work is bounded: so many values, and so much read of each file, from its beginning, middle and end.
"""

from __future__ import annotations

import functools
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from hotgraph_server.graph import rewriting
from hotgraph_server.row_independence.effects import BEFORE_ARGUMENTS, functions_of
from hotgraph_server.signatures import Values

_MAX_NUMBERS = 24
_MAX_TEXTS = 64
_MAX_FILES = 8
_BYTES_OF_A_FILE = 3 * 2**14
_LONGEST_TEXT = 200
_LARGEST_CONSTANT = 2**16

_GATHERS = frozenset({"GatherV2", "Gather", "ResourceGather", "GatherNd", "ResourceGatherNd"})
_COMPARISONS = frozenset(
    {
        *("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual", "Minimum", "Maximum"),
        *("ClipByValue", "FloorMod", "Mod", "FloorDiv"),
    }
)
_COUNTS = {"OneHot": 1, "Bincount": 1, "DenseBincount": 1, "RaggedBincount": 2}
# In the types of ops that look words up, those of libraries among them.
_LOOKUPS = ("Table", "Tokenize", "tokenize", "Wordpiece")
_FILLS = frozenset(
    {
        *("LookupTableImport", "LookupTableImportV2", "LookupTableInsertV2"),
        *("InitializeTable", "InitializeTableV2"),
    }
)
_VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_PASS = frozenset({"Identity", "ReadVariableOp", "StopGradient", "Enter", "RefIdentity", "Cast", "Snapshot"})

_FARTHEST = 64

_One = TypeVar("_One")


def asset_files(directory: Path, meta_graph: Any) -> list[Path]:
    """The paths of a SavedModel's assets, in whichever way they are listed."""
    try:
        found = loader_impl.get_asset_tensors(str(directory), meta_graph)
    except Exception:
        # Lists of another kind, or none that could be read: whatever needs them says so when it is loaded.
        return []
    return [Path(os.fsdecode(path)) for path in sorted(found.values())]


def lines_of(path: Path) -> list[bytes]:
    """Some lines of a text file, from its beginning, middle and end; none where it is no text, or not there.
    Of a line of several columns the first stands for itself too."""
    try:
        if not path.is_file():
            return []
        size = path.stat().st_size
        part = _BYTES_OF_A_FILE // 3
        with path.open("rb") as file:
            chunks = []
            for start in sorted({0, max(size // 2 - part // 2, 0), max(size - part, 0)}):
                file.seek(start)
                chunk = file.read(part)
                # What the chunk begins and ends with may be half a line.
                lines = chunk.split(b"\n")
                chunks.append(lines[start > 0 : None if start + part >= size else -1])
    except OSError:
        return []
    found = []
    for lines in chunks:
        texts = [line.rstrip(b"\r") for line in lines if 0 < len(line) <= _LONGEST_TEXT]
        if not all(_is_text(line) for line in texts):
            return []
        found += _some(texts, _MAX_TEXTS // 3)
    first = [line.split(b"\t")[0] for line in found if b"\t" in line]
    return [*found, *(text for text in first if text)]


class GraphValues:
    """What a graph tells, signature by signature; as inputs of nodes are looked for through what passes them
    on, and into functions.

    Args:
        graph_def: a GraphDef with its function library.
        files: assets; those that hold text may be vocabularies. They are read only where a table is asked.
    """

    def __init__(self, graph_def: Any, files: Sequence[Path] = ()) -> None:
        self._graph_def = graph_def
        self._files = files
        self._bodies = {function.signature.name: function for function in graph_def.library.function}
        self._nodes: dict[str, dict[str, Any]] = {"": {node.name: node for node in graph_def.node}}
        self._callers: defaultdict[str, list[tuple[str, Any]]] = defaultdict(list)
        for name, function in self._bodies.items():
            self._nodes[name] = {node.name: node for node in function.node_def}
        for scope, node in self._every_node():
            for name in functions_of(node, self._bodies):
                self._callers[name].append((scope, node))

    def of(self, outputs: Iterable[str], inputs: Iterable[str]) -> Values:
        """What all that is computed for `outputs` from `inputs` (tensors, ``op:index``) tells."""
        ends = {tensor.partition(":")[0] for tensor in outputs}
        fed = {tensor.partition(":")[0] for tensor in inputs}
        reached = rewriting.needed(self._graph_def, ends, fed)
        bodies = [("", reached)]
        for body in rewriting.functions_of(self._graph_def, reached):
            bodies.append((body.signature.name, list(body.node_def)))
        found = Values()
        for scope, nodes in bodies:
            for node in nodes:
                found = _with(found, self._numbers(scope, node))
                if node.op in _COMPARISONS:
                    found = _with(found, (), self._texts(scope, node))
        if any(_knows_words(node) for _, nodes in bodies for node in nodes):
            found = _with(found, self._tables.numbers, self._tables.texts)
        return Values(found.numbers, tuple(_some(found.texts, _MAX_TEXTS)))

    @functools.cached_property
    def _tables(self) -> Values:
        """What tables are filled with, and what may be a vocabulary."""
        found = Values()
        for scope, node in self._every_node():
            if node.op in _FILLS:
                found = _with(found, self._constants(scope, node, 1), self._texts(scope, node))
        for path in self._files[:_MAX_FILES]:
            found = _with(found, (), lines_of(path))
        return found

    def _every_node(self) -> Iterator[tuple[str, Any]]:
        for scope, nodes in self._nodes.items():
            for node in nodes.values():
                yield scope, node

    def _numbers(self, scope: str, node: Any) -> Iterator[float]:
        """What a node tells of numbers."""
        if node.op in _GATHERS:
            yield from self._sizes(scope, node)
        elif node.op in _COUNTS:
            yield from self._constants(scope, node, _COUNTS[node.op])
        elif node.op == "Bucketize":
            yield from (float(one) for one in _some(list(node.attr["boundaries"].list.f), 4))
        elif node.op in _COMPARISONS:
            for index in range(len(_data(node))):
                yield from self._constants(scope, node, index)

    def _texts(self, scope: str, node: Any) -> list[bytes]:
        """The strings among a node's inputs that are constants."""
        found: list[bytes] = []
        for index in range(len(_data(node))):
            origin = self._origin(scope, node, index)
            if origin is not None and origin.op == "Const":
                texts = origin.attr["value"].tensor.string_val
                step = max(len(texts) // _MAX_TEXTS, 1)
                found += [text for text in texts[::step] if len(text) <= _LONGEST_TEXT]
        return found

    def _sizes(self, scope: str, node: Any) -> Iterator[float]:
        """Of what is looked up in, along the axis."""
        origin = self._origin(scope, node, 0)
        if origin is None:
            return
        if origin.op in _VARIABLES:
            shape = origin.attr["shape"].shape
        elif origin.op == "Const":
            shape = origin.attr["value"].tensor.tensor_shape
        else:
            return
        sizes = [dimension.size for dimension in shape.dim]
        axis = 0
        if node.op == "GatherV2":
            axis = int(next(self._constants(scope, node, 2), 0))
        if sizes and -len(sizes) <= axis < len(sizes) and sizes[axis] > 0:
            yield float(sizes[axis])

    def _constants(self, scope: str, node: Any, index: int) -> Iterator[float]:
        """Some of the numbers of an input that is a constant."""
        if index >= len(_data(node)):
            return
        origin = self._origin(scope, node, index)
        if origin is None or origin.op != "Const":
            return
        tensor = origin.attr["value"].tensor
        if tensor.dtype == tf.string.as_datatype_enum or tensor.ByteSize() > _LARGEST_CONSTANT:
            return
        try:
            values = tf.make_ndarray(tensor).ravel()
        except (TypeError, ValueError):
            return
        if values.dtype.kind in "iuf" and values.size:
            yield from (float(one) for one in dict.fromkeys((values.max(), values.min(), *values[:2])))

    def _origin(self, scope: str, node: Any, index: int) -> Any:
        """The node that an input is made by; None: it is not found."""
        tensor = _data(node)[index]
        for _ in range(_FARTHEST):
            name = tensor.partition(":")[0]
            found = self._nodes[scope].get(name)
            if found is None:
                outside = self._argument(scope, name)
                if outside is None:
                    return None
                scope, tensor = outside
                continue
            data = _data(found)
            if found.op not in _PASS or not data:
                return found
            tensor = data[0]
        return None

    def _argument(self, function: str, name: str) -> tuple[str, str] | None:
        """What the first call of a function that gives its argument gives for it, and where."""
        if not function:
            return None
        names = [argument.name for argument in self._bodies[function].signature.input_arg]
        if name not in names:
            return None
        for scope, node in self._callers[function]:
            before = 0 if node.op == function else BEFORE_ARGUMENTS.get(node.op)
            given = _data(node)
            if before is not None and before + names.index(name) < len(given):
                return scope, given[before + names.index(name)]
        return None


def _data(node: Any) -> list[str]:
    return [tensor for tensor in node.input if not tensor.startswith("^")]


def _knows_words(node: Any) -> bool:
    return any(part in node.op for part in _LOOKUPS)


def _is_text(line: bytes) -> bool:
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


def _with(values: Values, numbers: Iterable[float], texts: Iterable[bytes] = ()) -> Values:
    """With these as well, as far as there is room; none twice."""
    finite = dict.fromkeys([*values.numbers, *(one for one in numbers if math.isfinite(one))])
    return Values(tuple(finite)[:_MAX_NUMBERS], tuple(dict.fromkeys([*values.texts, *texts])))


def _some(values: Sequence[_One], count: int) -> list[_One]:
    """So many at most, from everywhere."""
    if len(values) <= count:
        return list(values)
    return [values[index * len(values) // count] for index in range(count)]
