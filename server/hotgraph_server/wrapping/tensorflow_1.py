"""A signature of a SavedModel of TensorFlow 1 as one of TensorFlow 2, its variables made constants: what
TensorFlow 2 makes of such a one when it loads it, it cannot save again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hotgraph_server.errors import LoadError


def is_one(folder: Path) -> bool:
    """Was it written without the objects that TensorFlow 2 writes?"""
    from tensorflow.python.saved_model import loader_impl

    meta_graphs = loader_impl.parse_saved_model(str(folder)).meta_graphs
    return not any(meta_graph.object_graph_def.nodes for meta_graph in meta_graphs)


def write_frozen(folder: Path, name: str, target: Path) -> None:
    """Write a SavedModel of TensorFlow 2 with this signature, as its default.

    Raises:
        LoadError: it has tables, which are no constants.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        meta_graph = v1.saved_model.load(session, ["serve"], str(folder))
        signature = meta_graph.signature_def[name]
        outputs = {alias: info.name for alias, info in signature.outputs.items()}
        inputs = {alias: info.name for alias, info in signature.inputs.items()}
        ends = sorted({tensor.partition(":")[0] for tensor in outputs.values()})
        graph_def = v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), ends)
        specs = [
            tf.TensorSpec(tensor.shape, tensor.dtype, name=alias)
            for alias, tensor in ((key, session.graph.get_tensor_by_name(one)) for key, one in inputs.items())
        ]
    tables = [node.name for node in graph_def.node if "Table" in node.op]
    if tables:
        raise LoadError(
            str(folder), f"is of TensorFlow 1 and has tables ({tables[0]!r}), which wrap cannot take along"
        )

    def call(*tensors: Any) -> dict[str, Any]:
        given = dict(zip(inputs.values(), tensors, strict=True))
        # Of an output that is an input no op is left to import.
        wanted = [tensor for tensor in outputs.values() if tensor not in given]
        found = tf.import_graph_def(graph_def, input_map=given, return_elements=wanted, name="")
        answers = {**given, **dict(zip(wanted, found, strict=True))}
        return {alias: tf.identity(answers[tensor]) for alias, tensor in outputs.items()}

    signature_of_2 = tf.function(call).get_concrete_function(*specs)
    tf.saved_model.save(tf.Module(), str(target), signatures=signature_of_2)
