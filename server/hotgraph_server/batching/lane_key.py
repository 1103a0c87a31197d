"""The key of the lane that a call waits in: what calls must have in common to share a batch. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

LaneKey = Hashable
Padded = Collection[tuple[str, int]]
"""Dimensions that may be filled up before a run: alias of the input, and its dimension from 1."""


def lane_key(
    signature: Signature,
    outputs: tuple[str, ...],
    shapes: Sequence[tuple[int, ...]],
    padded: Padded = (),
) -> LaneKey | None:
    """What calls must have in common to be joined without changing a shape.

    A call whose inner dimensions contradict the signature gets no lane: on TensorFlow Serving's protocol
    it must reach the graph, which may refuse it, and then it shall be refused alone.

    The key does not know the values of scalar inputs, which must be equal too. Where the signature has any
    (`joins_by_values`), it is no use to Call and only Call itself can make one that is.

    Args:
        signature: what is called.
        outputs: the aliases asked for.
        shapes: of all inputs, in the signature's order, dimension 0 included.
        padded: dimensions that do not tell calls apart, because they are filled up.

    Returns:
        The key; None: such a call runs alone.
    """
    inner: list[tuple[int | None, ...] | None] = []
    for spec, shape in zip(signature.inputs, shapes, strict=True):
        if spec.shape is None or len(shape) != len(spec.shape):
            return None
        if not shape:
            inner.append(None)
            continue
        for wanted, got in zip(spec.shape[1:], shape[1:], strict=True):
            if wanted is not None and wanted != got:
                return None
        if padded:
            inner.append(
                tuple(
                    None if (spec.alias, dimension) in padded else size
                    for dimension, size in enumerate(shape[1:], 1)
                )
            )
        else:
            inner.append(shape[1:])
    return (signature.name, outputs, *inner)


def joins_by_values(signature: Signature) -> bool:
    """Does it have scalar inputs, which calls must have equal to share a batch?"""
    return any(spec.shape == () for spec in signature.inputs)


def with_scalars(key: LaneKey, inputs: Sequence[Array]) -> LaneKey:
    """The key with the values of the inputs that are scalars."""
    # The bytes and not the value: NaN is to meet itself, and 0.0 not -0.0. A string is its own bytes.
    scalars = [one.item() if one.dtype == object else one.tobytes() for one in inputs if not one.ndim]
    return (key, *scalars) if scalars else key
