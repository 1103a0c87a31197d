"""Ops that call back into the Python program that made the graph: ``tf.py_function``, ``tf.numpy_function``.

What they call is kept in that program under a token, and is no part of what is saved. A process that has not
registered it answers every run of such an op with a traceback. (tensorflow/python/ops/script_ops.py)
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from tensorflow.python.ops import script_ops

from hotgraph_server.row_independence.effects import reached_nodes

_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})

# What is in a body of these, or behind one of TensorFlow 1's switches, may never be run.
_MAY_SKIP = frozenset({"If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile", "Switch"})


def python_calls(graph_def: Any, fetches: Iterable[str], fed: Iterable[str]) -> tuple[str, bool]:
    """The first op on the way to `fetches` whose Python function is not in this process, in words, and
    whether every run comes to it. Empty: there is none.

    Args:
        graph_def: a GraphDef with its function library.
        fetches: tensor names, ``op:index``.
        fed: tensor names that a run replaces.
    """
    nodes = list(reached_nodes(graph_def, fetches, fed))
    lost = [node for node in nodes if node.op in _OPS and not _is_registered(node)]
    if not lost:
        return "", False
    always = not any(node.op in _MAY_SKIP for node in nodes)
    return f"{lost[0].op} {lost[0].name!r}", always


def _is_registered(node: Any) -> bool:
    token, registered = node.attr["token"].s, _registered()
    return token in registered or token.decode() in registered


def _registered() -> Container[bytes | str]:
    """The tokens of what TensorFlow can call here. Its book is private: where it has moved to, nothing is
    known to be here."""
    registered: Container[bytes | str] = getattr(script_ops._py_funcs, "_funcs", {})
    return registered
