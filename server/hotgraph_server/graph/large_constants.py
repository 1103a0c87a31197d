"""Large constants, kept out of the message that a frozen graph is, and made one by one.

TensorFlow copies and imports a graph as one message, and holds Python's lock all the while: with 17 MB of
constants inside that was 50 to 130 ms in which no other model was answered. The message needs no values to be
converted, only constants to have some: it gets stand-ins, and the import puts the real ones in their place.
A copy for XLA shares them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hotgraph_server.graph.lifting import LARGE_BYTES
from hotgraph_server.tensors import Array

_SCOPE = "hotgraph_constants"


class ValuesApart:
    """What the converter takes for the session: answers the one question that it asks, for the values of
    variables, and keeps the large ones back.

    Attributes:
        large: by the name of the variable's node.
    """

    def __init__(self, session: Any, inside: Collection[str]) -> None:
        """`inside`: the names of nodes whose values stay in the message, because they are fetched or fed."""
        self._session = session
        self._inside = frozenset(inside)
        self.large: dict[str, Array] = {}

    def run(self, tensors: Sequence[str]) -> list[Array]:
        """The values of these tensors; of a large one, a zero of its type."""
        values: list[Array] = self._session.run(list(tensors))
        return [self._seen(tensor, value) for tensor, value in zip(tensors, values, strict=True)]

    def _seen(self, tensor: str, value: Array) -> Array:
        # The converter asks for what reads a resource, and for a reference variable itself.
        node = tensor.removesuffix(":0").removesuffix("/Read/ReadVariableOp")
        if node in self._inside or value.dtype == object or value.nbytes < LARGE_BYTES:
            return value
        self.large[node] = value
        return np.zeros((), value.dtype)


def add_constants(session: Any, values: Mapping[str, Array], device: str) -> dict[str, Any]:
    """Constants of these values in the session's graph; by the tensors that stand in for them, as
    `tf.import_graph_def` wants them."""
    with session.graph.as_default(), tf.device(device):
        return {f"{name}:0": tf.constant(value, name=f"{_SCOPE}/{name}") for name, value in values.items()}
