"""What TensorFlow alone says to each call of a pool, one at a time, in a process of its own.

``python -m tests.acceptance.real_models.alone FILE NAME=SAVED_MODEL ...``: NAMEs are those of cases; FILE
gets the `Expected` of each, pickled, by name. Nothing of hotgraph is imported, and no call has shared a run
with another.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cases import CASES, Case
from .pools import Call


@dataclass(frozen=True)
class Expected:
    """A call and what it must be answered.

    Attributes:
        inputs: arrays by alias.
        answer: arrays by alias; None: it fails.
        error: why, in TensorFlow's words.
    """

    inputs: Call
    answer: dict[str, Any] | None
    error: str = ""


def expected(case: Case, folder: str) -> list[Expected]:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        meta_graph = v1.saved_model.load(session, ["serve"], folder)
        signature = meta_graph.signature_def[case.signature]
        fetches = {alias: info.name for alias, info in signature.outputs.items()}
        found = []
        for inputs in case.pool():
            assert inputs.keys() == set(signature.inputs), list(signature.inputs)
            feeds = {signature.inputs[alias].name: value for alias, value in inputs.items()}
            try:
                found.append(Expected(inputs, session.run(fetches, feeds)))
            except tf.errors.OpError as error:
                found.append(Expected(inputs, None, error.message))
    return found


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    by_name = {case.name: case for case in CASES}
    # by the name under which others import it, so that they can unpickle it
    from tests.acceptance.real_models import alone

    result = {name: alone.expected(by_name[name], folder) for name, folder in given.items()}
    Path(sys.argv[1]).write_bytes(pickle.dumps(result))
