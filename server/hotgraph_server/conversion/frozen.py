"""A frozen graph (a GraphDef in a .pb or .pbtxt file, which holds no variables) into a SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hotgraph_server.conversion.request import Answer, Refused, Request
from hotgraph_server.errors import first_line

_FEEDS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_NO_ANSWER = (
    "NoOp",
    "Const",
    "Assert",
    "Print",
    "PrintV2",
    "Placeholder",
    "PlaceholderV2",
    "SaveV2",
    "RestoreV2",
)
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
# What graphs of TensorFlow 1 call the op that fills their tables.
_INIT = ("init_all_tables", "tables_initializer")


def export(request: Request) -> Answer:
    """Write the SavedModel.

    Raises:
        Refused: it is no frozen graph, or its inputs and outputs are not there.
    """
    import tensorflow as tf

    graph_def = _read(Path(request.source))
    variables = [node.name for node in graph_def.node if node.op in _VARIABLES]
    if variables:
        raise Refused(
            f"is a graph that is not frozen: {variables[0]!r} is a variable, whose value lies in a"
            " checkpoint. Load both in Python, and save with tf.saved_model.save, or freeze it first"
        )
    with tf.Graph().as_default() as graph:
        try:
            tf.import_graph_def(graph_def, name="")
        except Exception as error:
            raise Refused(f"TensorFlow cannot read its graph: {first_line(str(error))}") from error
        inputs = [_tensor(graph, name, "--inputs") for name in request.inputs] or _feeds(graph)
        outputs = [_tensor(graph, name, "--outputs") for name in request.outputs] or _sinks(graph, inputs)
        _save(graph, inputs, outputs, request.target)
    shown = ", ".join(tensor.name for tensor in inputs), ", ".join(tensor.name for tensor in outputs)
    remarks = (f"inputs {shown[0]}; outputs {shown[1]} (others: --inputs a:0,b:0 --outputs c:0)",)
    return Answer(f"TensorFlow {tf.__version__}", remarks)


def is_graph(path: Path) -> bool:
    """Is it a GraphDef, and no SavedModel?"""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        content = path.read_bytes()
        if saved_model_pb2.SavedModel.FromString(content).meta_graphs:
            return False
    except OSError:
        return False
    except DecodeError:
        pass
    try:
        return bool(graph_pb2.GraphDef.FromString(content).node)
    except DecodeError:
        return False


def _read(path: Path) -> Any:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    content = path.read_bytes()
    graph_def = graph_pb2.GraphDef()
    if path.suffix.lower() == ".pbtxt":
        try:
            return text_format.Parse(content.decode(), graph_def)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise Refused(f"is no GraphDef: {first_line(str(error))}") from None
    try:
        graph_def.ParseFromString(content)
    except DecodeError:
        graph_def.Clear()
    if graph_def.node:
        return graph_def
    try:
        if saved_model_pb2.SavedModel.FromString(content).meta_graphs:
            raise Refused(
                f"is a SavedModel's graph: give the folder that holds it as saved_model.pb, {path.parent}"
            )
    except DecodeError:
        pass
    raise Refused("is no GraphDef, or an empty one; was it copied whole?")


def _tensor(graph: Any, name: str, flag: str) -> Any:
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError):
        feeds = ", ".join(op.name for op in graph.get_operations() if op.type in _FEEDS)
        raise Refused(
            f"{flag}: the graph has no tensor {name!r}; its placeholders are {feeds or 'none'}"
        ) from None


def _feeds(graph: Any) -> list[Any]:
    found = [op.outputs[0] for op in graph.get_operations() if op.type in _FEEDS[:2]]
    if not found:
        raise Refused("its graph has no placeholder: --inputs NAME:0 says what is fed")
    return found


def _sinks(graph: Any, inputs: Sequence[Any]) -> list[Any]:
    """What nobody in the graph reads, and depends on an input."""
    reached = {id(tensor.op) for tensor in inputs}
    # Operations come in the order in which they were made: after what they read, loops of TensorFlow 1 aside.
    for op in graph.get_operations():
        if any(id(tensor.op) in reached for tensor in op.inputs):
            reached.add(id(op))
    found = [
        tensor
        for op in graph.get_operations()
        if id(op) in reached and op.type not in _NO_ANSWER
        for tensor in op.outputs
        if not tensor.consumers() and not any(other.consumers() for other in op.outputs)
    ]
    if not found:
        raise Refused("no output can be told from its graph: --outputs NAME:0 says what is answered")
    return found


def _save(graph: Any, inputs: Sequence[Any], outputs: Sequence[Any], target: str) -> None:
    import tensorflow as tf

    saved_model = tf.compat.v1.saved_model
    signature = saved_model.build_signature_def(
        {_alias(tensor, inputs): saved_model.build_tensor_info(tensor) for tensor in inputs},
        {_alias(tensor, outputs): saved_model.build_tensor_info(tensor) for tensor in outputs},
        "tensorflow/serving/predict",
    )
    names = {op.name: op for op in graph.get_operations()}
    init = next((names[name] for name in _INIT if name in names), None)
    with tf.compat.v1.Session(graph=graph) as session:
        builder = saved_model.Builder(target)
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=init, strip_default_attrs=True
        )
        builder.save()


def _alias(tensor: Any, among: Sequence[Any]) -> str:
    """The op's name, and with its number where an op has several."""
    several = sum(other.op is tensor.op for other in among) > 1
    name = tensor.name if several else tensor.op.name
    return str(name).replace(":", "_")
