"""Sparse, ragged and other composite tensors of a signature, as the plain tensors that they consist of. Pure.

In a SignatureDef a composite tensor is one entry (`coo_sparse`, `composite_tensor`). Callers give and get its
parts under names of their own: ``NAME/indices``, ``NAME/values`` and ``NAME/dense_shape`` of a sparse tensor,
``NAME/flat_values`` and ``NAME/row_splits_0`` (the outermost), ``NAME/row_splits_1``, … of a ragged one,
``NAME/0``, ``NAME/1``, … of any other.

The inputs of TensorFlow 2's signatures are plain: it has taken composite ones apart itself, as ``NAME``,
``NAME_1``, … Those keep their names; what they are parts of, the function behind the signature tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, struct_pb2

from hotgraph_server.signatures import Part, Role, Shape, TensorSpec

_SPARSE: tuple[Role, ...] = ("indices", "values", "dense_shape")
_NAME = "_user_specified_name"
_RAGGED = "Ragged"


def is_composite(info: Any) -> bool:
    """Is this entry of a SignatureDef several tensors in one?"""
    return info.WhichOneof("encoding") in ("coo_sparse", "composite_tensor")


def spread(alias: str, info: Any) -> list[tuple[str, Any, Part | None]]:
    """An entry of a SignatureDef as entries of plain tensors, each with its name and what it is a part of.

    Raises:
        ValueError: a composite tensor has not the parts that its type says.
    """
    encoding = info.WhichOneof("encoding")
    if encoding == "coo_sparse":
        names = info.coo_sparse
        rank = None if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim)
        components = [
            _info(names.indices_tensor_name, tf.int64, [None, rank]),
            _info(names.values_tensor_name, tf.as_dtype(info.dtype), [None]),
            _info(names.dense_shape_tensor_name, tf.int64, [rank]),
        ]
        parts = [Part(alias, role, shape=shape_of(info.tensor_shape)) for role in _SPARSE]
    elif encoding == "composite_tensor":
        components = list(info.composite_tensor.components)
        parts = _parts(alias, info.composite_tensor.type_spec, len(components))
    else:
        return [(alias, info, None)]
    return [
        (f"{alias}/{_part_name(part, index)}", component, part)
        for index, (component, part) in enumerate(zip(components, parts, strict=True))
    ]


def shape_of(shape: Any) -> Shape | None:
    """A TensorShapeProto in our words."""
    if shape.unknown_rank:
        return None
    return tuple(dimension.size if dimension.size >= 0 else None for dimension in shape.dim)


def flattened_inputs(meta_graph: Any, inputs: Sequence[TensorSpec]) -> dict[str, Part]:
    """What inputs of a signature are parts of, by alias, where TensorFlow 2 has taken composite ones apart.

    From the signature on, one function calls the next with these inputs. One that is saved as an object of
    its own says what it takes. In others the parts of one argument have the argument's name in common. The
    plain tensors of a list have that too, so only those count that look like parts.
    """
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    nodes = meta_graph.graph_def.node
    aliases = {spec.tensor: spec.alias for spec in inputs}
    while len(aliases) > 1:
        call = next(
            (
                node
                for node in nodes
                if _function(node, functions) is not None
                and any(_tensor(name) in aliases for name in node.input)
            ),
            None,
        )
        if call is None:
            break
        function = _function(call, functions)
        arguments = [aliases.get(_tensor(name)) for name in call.input if not name.startswith("^")]
        names = [_argument_name(function, index) for index in range(len(arguments))]
        recorded = meta_graph.object_graph_def.concrete_functions.get(function.signature.name)
        if recorded is not None:
            told = _told(recorded.canonicalized_input_signature, arguments)
            if told:
                return told
        groups = _groups(arguments, names)
        if groups:
            if recorded is not None:
                return {}
            return _alike(
                groups, {spec.alias: spec for spec in inputs}, ragged=_names_ragged(function, functions)
            )
        nodes = function.node_def
        aliases = {
            f"{argument.name}:0": alias
            for argument, alias in zip(function.signature.input_arg, arguments, strict=False)
            if alias is not None
        }
    return {}


def _info(name: str, dtype: Any, shape: list[int | None]) -> Any:
    info = meta_graph_pb2.TensorInfo(name=name, dtype=dtype.as_datatype_enum)
    info.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return info


def _part_name(part: Part, index: int) -> str:
    if part.role == "other":
        return str(index)
    return f"row_splits_{part.level}" if part.role == "row_splits" else part.role


def _parts(whole: str, spec: Any, count: int) -> list[Part]:
    """The parts of what has this TypeSpecProto."""
    state = spec.type_state.tuple_value.values
    shape = (
        shape_of(state[0].tensor_shape_value) if state and state[0].HasField("tensor_shape_value") else None
    )
    if spec.type_spec_class == struct_pb2.TypeSpecProto.SPARSE_TENSOR_SPEC:
        return [Part(whole, role, shape=shape) for role in _SPARSE]
    if spec.type_spec_class == struct_pb2.TypeSpecProto.RAGGED_TENSOR_SPEC:
        splits = [Part(whole, "row_splits", level, shape) for level in range(count - 1)]
        return [Part(whole, "flat_values", shape=shape), *splits]
    return [Part(whole, "other", shape=shape)] * count


def _told(signature: Any, arguments: Sequence[str | None]) -> dict[str, Part]:
    """The parts among these arguments of a function that takes what this StructuredValue says."""
    found: dict[str, Part] = {}
    index = 0
    for spec in _leaves(signature):
        count = spec.num_flat_components if spec is not None else 1
        aliases = [alias for alias in arguments[index : index + count] if alias is not None]
        index += count
        if spec is not None and count and len(aliases) == count:
            found.update(zip(aliases, _parts(aliases[0], spec, count), strict=True))
    return found


def _leaves(value: Any) -> Iterator[Any]:
    """The TypeSpecProto of each argument in a StructuredValue, in the order of the function's; None for a
    plain tensor."""
    kind = value.WhichOneof("kind")
    if kind in ("tuple_value", "list_value"):
        for inner in getattr(value, kind).values:
            yield from _leaves(inner)
    elif kind == "dict_value":
        for key in sorted(value.dict_value.fields):
            yield from _leaves(value.dict_value.fields[key])
    elif kind == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from _leaves(pair.value)
    elif kind == "type_spec_value":
        yield value.type_spec_value
    elif kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        yield None


def _groups(arguments: Sequence[str | None], names: Sequence[str]) -> list[list[str]]:
    """The aliases of those arguments that have one name in common."""
    groups: dict[str, list[str]] = {}
    for alias, name in zip(arguments, names, strict=True):
        if alias is not None and name:
            groups.setdefault(name, []).append(alias)
    return [group for group in groups.values() if len(group) > 1]


def _alike(
    groups: Sequence[Sequence[str]], specs: Mapping[str, TensorSpec], *, ragged: bool
) -> dict[str, Part]:
    """The parts among these groups that can be told by their looks; of ragged tensors if there may be any."""
    found: dict[str, Part] = {}
    for group in groups:
        tensors = [specs[alias] for alias in group]
        if _looks_sparse(tensors):
            rank = (tensors[0].shape or ())[1]
            shape = None if rank is None else (None,) * rank
            sparse = (Part(group[0], role, shape=shape) for role in _SPARSE)
            found.update(zip(group, sparse, strict=True))
        elif ragged and _looks_ragged(tensors):
            found[group[0]] = Part(group[0], "flat_values")
            found.update(
                (alias, Part(group[0], "row_splits", level)) for level, alias in enumerate(group[1:])
            )
    return found


def _looks_sparse(tensors: Sequence[TensorSpec]) -> bool:
    if len(tensors) != 3 or any(spec.shape is None for spec in tensors):
        return False
    indices, values, dense_shape = (spec.shape or () for spec in tensors)
    is_int64 = [tensors[0].dtype.name, tensors[2].dtype.name] == ["int64"] * 2
    return is_int64 and (len(indices), len(values)) == (2, 1) and dense_shape == indices[1:]


def _names_ragged(function: Any, functions: Mapping[str, Any]) -> bool:
    """Does any op in a function, or in those that it calls, tell by its type or name that it works on a
    ragged tensor?"""
    to_visit, seen = [function], set()
    while to_visit:
        function = to_visit.pop()
        if function.signature.name in seen:
            continue
        seen.add(function.signature.name)
        if any(_RAGGED in node.op or _RAGGED in node.name for node in function.node_def):
            return True
        called = (_function(node, functions) for node in function.node_def)
        to_visit += [inner for inner in called if inner is not None]
    return False


def _looks_ragged(tensors: Sequence[TensorSpec]) -> bool:
    values, *splits = tensors
    dtypes = {spec.dtype.name for spec in splits}
    return (
        values.shape != ()
        and dtypes in ({"int32"}, {"int64"})
        and all(spec.shape is not None and len(spec.shape) == 1 for spec in splits)
    )


def _function(node: Any, functions: Mapping[str, Any]) -> Any:
    """The function of the library that a node calls; None: none."""
    return functions.get(node.attr["f"].func.name) if "f" in node.attr else None


def _argument_name(function: Any, index: int) -> str:
    """What the argument was called before its parts got names of their own; empty: not known."""
    attributes = function.arg_attr[index].attr if index in function.arg_attr else {}
    return str(attributes[_NAME].s.decode()) if _NAME in attributes else ""


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
