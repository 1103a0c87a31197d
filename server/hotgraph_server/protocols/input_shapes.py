"""Does the shape of an input agree with the signature, where the graph is not the only judge of it? Pure.

A graph that is sent one feature where it has four broadcasts it, and answers something plausible. So rank and
every dimension that the signature knows must be met. Dimensions of size 1 may be missing at the end: that is
the same values in the same order, and the best known request to TensorFlow Serving, the one to half_plus_two
in its own documentation, sends [3] where the signature says [-1,1].
"""

from __future__ import annotations

from collections.abc import Sequence

from hotgraph_server.errors import InvalidCall
from hotgraph_server.signatures import TensorSpec
from hotgraph_server.tensors import Array


def check_shape(spec: TensorSpec, array: Array) -> None:
    """
    Raises:
        InvalidCall: the array's shape contradicts that of the input.
    """
    wanted, shape = spec.shape, array.shape
    if wanted is None:
        return
    known = zip(shape, wanted, strict=False)
    agree = len(shape) <= len(wanted) and all(size is None or size == got for got, size in known)
    if not agree or any(size != 1 for size in wanted[len(shape) :]):
        said = _listed([-1 if size is None else size for size in wanted])
        raise InvalidCall(f"input '{spec.alias}' has shape {_listed(shape)}, the signature says {said}")


def with_inner_dimensions(spec: TensorSpec, array: Array) -> Array:
    """An array that is empty in its first dimension, and says nothing of the others, as JSON has it: with the
    others as the signature knows them, those that are free empty too."""
    if spec.shape is None or array.shape != (0,) or len(spec.shape) < 2:
        return array
    return array.reshape(0, *(0 if size is None else size for size in spec.shape[1:]))


def _listed(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
