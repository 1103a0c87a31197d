"""Ops that compile what they run once more for each shape that they get: functions with
``jit_compile=True``, and what JAX exports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hotgraph_server.row_independence.effects import reached_nodes

_OPS = frozenset({"XlaLaunch", "XlaCallModule"})
_MARK = "_XlaMustCompile"


def compiling_op(graph_def: Any, fetches: Iterable[str], fed: Iterable[str]) -> str:
    """The first such op on the way to `fetches`, as its type and name; empty: there is none.

    Args:
        graph_def: a GraphDef with its function library.
        fetches: tensor names, ``op:index``.
        fed: tensor names that a run replaces.
    """
    marked = {
        function.signature.name
        for function in graph_def.library.function
        if _MARK in function.attr and function.attr[_MARK].b
    }
    for node in reached_nodes(graph_def, fetches, fed):
        if node.op in _OPS or (_MARK in node.attr and node.attr[_MARK].b):
            return f"{node.op} {node.name!r}"
        called = node.attr["f"].func.name if "f" in node.attr else node.op
        if called in marked:
            return f"{node.op} {node.name!r}"
    return ""
