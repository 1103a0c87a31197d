"""The variables of a session that signatures write: read as a whole, and written as a whole.

Both go through ops of our own beside the graph as saved, found by what the session knows a variable by. They
belong to the thread that owns the session, between two runs, so what is read is the state after one run and
before the next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from hotgraph_server.graph.refusals import run_failed
from hotgraph_server.row_independence.effects import VARIABLES, variable_name
from hotgraph_server.tensors import Array, dtype_of

_SCOPE = "hotgraph_state"
_CALLER_THREAD = -1


class Variables:
    """Those of `names` that are in the session's graph and of a dtype that arrays have.

    Attributes:
        names: of these, sorted.
    """

    def __init__(self, session: Any, names: Collection[str]) -> None:
        self._session = session
        found: dict[str, Any] = {}
        for op in session.graph.get_operations():
            if op.type in VARIABLES:
                name = variable_name(op.node_def)
                if name in names and dtype_of(op.get_attr("dtype").as_datatype_enum) is not None:
                    found.setdefault(name, op)
        self.names = tuple(sorted(found))
        self._ops = [found[name] for name in self.names]
        self._dtypes = [dtype_of(op.get_attr("dtype").as_datatype_enum) for op in self._ops]
        self._feeds: list[str] = []
        self._read = self._write = None
        if self.names:
            with session.graph.as_default():
                self._prepare()

    def read(self) -> dict[str, Array]:
        """The values, each in memory that no later run changes.

        Raises:
            RunFailed: one has no value yet.
        """
        if self._read is None:
            return {}
        try:
            values = self._read()
        except tf.errors.OpError as error:
            raise run_failed(error) from error
        return {
            # A reference's value is the variable's own memory. A resource's is copied by what writes next.
            name: np.array(value, dtype) if op.type != "VarHandleOp" else np.asarray(value, dtype)
            for name, op, dtype, value in zip(self.names, self._ops, self._dtypes, values, strict=True)
        }

    def write(self, values: Mapping[str, Array]) -> None:
        """Give every variable its value.

        Raises:
            RunFailed: one does not take it.
        """
        if self._write is None:
            return
        try:
            self._write(*[values[name] for name in self.names])
        except tf.errors.OpError as error:
            raise run_failed(error) from error

    def shapes(self) -> dict[str, tuple[int | None, ...] | None]:
        """What the graph says of each variable's shape; None: nothing."""
        found: dict[str, tuple[int | None, ...] | None] = {}
        for name, op in zip(self.names, self._ops, strict=True):
            shape = op.get_attr("shape")
            found[name] = (
                None
                if shape.unknown_rank
                else tuple(dimension.size if dimension.size >= 0 else None for dimension in shape.dim)
            )
        return found

    def _prepare(self) -> None:
        reads, writes = [], []
        for number, op in enumerate(self._ops):
            variable, dtype = op.outputs[0], op.get_attr("dtype")
            with tf.device(op.device):
                value = tf.compat.v1.placeholder(dtype, name=f"{_SCOPE}/value_{number}")
                if op.type == "VarHandleOp":
                    read = tf.raw_ops.ReadVariableOp(
                        resource=variable, dtype=dtype, name=f"{_SCOPE}/read_{number}"
                    )
                    write = tf.raw_ops.AssignVariableOp(
                        resource=variable, value=value, name=f"{_SCOPE}/write_{number}"
                    )
                else:
                    read = tf.identity(variable, name=f"{_SCOPE}/read_{number}")
                    write = tf.compat.v1.assign(variable, value, validate_shape=False).op
            reads.append(read.name)
            writes.append(write.name)
            self._feeds.append(value.name)
        self._read = self._callable(config_pb2.CallableOptions(fetch=reads))
        self._write = self._callable(config_pb2.CallableOptions(feed=self._feeds, target=writes))

    def _callable(self, options: Any) -> Any:
        options.run_options.inter_op_thread_pool = _CALLER_THREAD
        return self._session._make_callable_from_options(options)
