"""A SavedModel as one Python function: what every rival that is written in Python runs.

It is the quickest way that TensorFlow has from Python: a session callable that runs in the caller's
thread. With the function that ``tf.saved_model.load`` gives, a small model's run takes some twenty times
as long; no rival shall lose by that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]

_CALLER_THREAD = -1


def open_session(directory: Path, *, frozen: bool = False) -> Run:
    """The signature ``serving_default`` of a SavedModel with one input and one output.

    Args:
        frozen: variables are made constants first, so that TensorFlow can simplify what depends on them.
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(directory))
    signature = meta_graph.signature_def["serving_default"]
    (feed,) = (info.name for info in signature.inputs.values())
    (fetch,) = (info.name for info in signature.outputs.values())
    if frozen:
        graph_def = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, session.graph.as_graph_def(), [fetch.partition(":")[0]]
        )
        session = tf.compat.v1.Session(graph=tf.Graph())
        with session.graph.as_default():
            tf.import_graph_def(graph_def, name="")
    options = config_pb2.CallableOptions(feed=[feed], fetch=[fetch])
    options.run_options.inter_op_thread_pool = _CALLER_THREAD
    call: Any = session._make_callable_from_options(options)

    def run(rows: Floats) -> Floats:
        answer: Floats = call(rows)[0]
        return answer

    return run
