"""What is checked of a request's inputs before a byte of them is read, in the words of Triton. Pure.

Some of Triton's clients match the wording. Each error names the input, the model and the values. What the
inputs of a call must look like comes from its signature, and from the model's contract if that is about
this signature: its shapes are what clients see, which a `reshape` makes another than what the graph takes,
and some inputs are the server's to fill in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_protos import tensors as wire
from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.models.contract import Contract
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import MAX_EMPTY, Array

# What numpy 1 and TensorFlow can hold both. Dimensions beside a zero cost nothing, but numpy counts the
# zero as a one when it looks whether a shape's bytes overflow.
_MAX_RANK = 32
_MAX_DIMENSION = 2**31 - 1

INVALID_DATATYPE = "<invalid>"
"""What metadata and errors call a dtype that the protocol cannot carry (complex numbers)."""


def sent_inputs(signature: Signature, contract: Contract | None) -> Mapping[str, TensorSpec]:
    """The inputs that callers send, by alias and in the signature's order."""
    if contract is None or contract.sequence is None:
        return signature.inputs_by_alias
    hidden = contract.sequence.hidden_inputs
    return {alias: spec for alias, spec in signature.inputs_by_alias.items() if alias not in hidden}


def shape_sent(spec: TensorSpec, contract: Contract | None) -> Shape | None:
    """The shape that callers give an input; as in TensorSpec."""
    rules = None if contract is None else contract.inputs.get(spec.alias)
    if contract is None or rules is None:
        return spec.shape
    if rules.dims is None:
        return None
    dims = tuple([None if dimension < 0 else dimension for dimension in rules.dims])
    return (None, *dims) if contract.batched else dims


def check_names(
    names: Sequence[str], known: Mapping[str, TensorSpec], defaults: Mapping[str, Array], model: str
) -> None:
    """Are these the inputs of a call, each of them once?

    Args:
        names: as they were sent.
        known: see `sent_inputs`.
        defaults: the values of those that may be left out, and perhaps of others.

    Raises:
        InvalidCall: they are not.
    """
    if names == list(known):
        return
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise InvalidCall(f"input '{twice}' already exists in request for model '{model}'")
    missing = [alias for alias in known if alias not in names and alias not in defaults]
    if len(names) != len(known) and (missing or len(names) > len(known)):
        optional = sum(alias in defaults for alias in known)
        if optional:
            expected = f"number of inputs between {len(known) - optional} and {len(known)}"
        else:
            expected = f"{len(known)} inputs"
        raise InvalidCall(
            f"expected {expected} but got {len(names)} inputs for model '{model}'. "
            f"Got input(s) {list(names)}, but missing required input(s) {missing}. "
            f"Please provide all required input(s)."
        )
    # With as many inputs as there should be, each missing one has an unexpected one in its place.
    for name in names:
        if name not in known:
            raise InvalidCall(f"unexpected inference input '{name}' for model '{model}'")


def check_datatype(tensor: Any, spec: TensorSpec, model: str) -> None:
    """Is an input's datatype that of its tensor?

    Raises:
        InvalidCall: it is another.
        Unsupported: the protocol cannot carry what it should be.
    """
    expected = wire.datatype_of(spec.dtype)
    if expected is None:
        raise Unsupported(
            f"input '{spec.alias}' of model '{model}' is {spec.dtype}, which this protocol cannot carry"
        )
    if tensor.datatype != expected:
        known = tensor.datatype in wire.CONTENTS_FIELDS or tensor.datatype in ("BF16", "FP16")
        got = tensor.datatype if known else INVALID_DATATYPE
        raise InvalidCall(
            f"inference input '{spec.alias}' data-type is '{got}', but model '{model}' expects '{expected}'"
        )


def checked_shape(tensor: Any, spec: TensorSpec, wanted: Shape | None, model: str) -> tuple[int, ...]:
    """The shape of an input, if it fits.

    Args:
        wanted: see `shape_sent`.

    Raises:
        InvalidCall: it does not fit.
    """
    shape = tuple(tensor.shape)
    if wanted is not None and len(shape) == len(wanted):
        for size, got in zip(wanted, shape, strict=True):
            if got != size and (size is not None or not 0 <= got <= _MAX_DIMENSION):
                break
        else:
            if 0 in shape:
                _check_empty(shape, spec, model)
            return shape
    if any(dimension < 0 for dimension in shape):
        raise InvalidCall(
            f"All input dimensions should be specified for input '{spec.alias}' for model '{model}', "
            f"got {list(shape)}"
        )
    if len(shape) > _MAX_RANK or any(dimension > _MAX_DIMENSION for dimension in shape):
        raise InvalidCall(f"shape {list(shape)} of input '{spec.alias}' for model '{model}' is too large")
    if wanted is None:
        if 0 in shape:
            _check_empty(shape, spec, model)
        return shape
    if not shape and wanted and wanted[0] is None:
        raise _no_rows(spec, model)
    expected = ",".join("-1" if size is None else str(size) for size in wanted)
    raise InvalidCall(
        f"unexpected shape for input '{spec.alias}' for model '{model}'. "
        f"Expected [{expected}], got [{','.join(map(str, shape))}]"
    )


def _no_rows(spec: TensorSpec, model: str) -> InvalidCall:
    return InvalidCall(
        f"input '{spec.alias}' has no shape but model requires batch dimension for model '{model}'"
    )


def _check_empty(shape: tuple[int, ...], spec: TensorSpec, model: str) -> None:
    """
    Raises:
        InvalidCall: a tensor without values is too large to be had for nothing.
    """
    if math.prod([max(dimension, 1) for dimension in shape]) > MAX_EMPTY:
        raise InvalidCall(
            f"shape {list(shape)} of input '{spec.alias}' for model '{model}' is too large: its dimensions "
            f"other than 0 have a product above {MAX_EMPTY}, and there is no value in it"
        )


def check_rows(specs: Sequence[TensorSpec], arrays: Sequence[Array], model: str, most: int = 0) -> None:
    """Do all inputs of a call have the same rows, and not too many? None are as good as any: what comes of
    that is the graph's to say.

    Args:
        specs: of the inputs, as the graph takes them.
        arrays: as the graph takes them.
        most: rows of a call; 0: there is no limit.

    Raises:
        InvalidCall: they do not.
    """
    first: str | None = None
    rows = 0
    for spec, array in zip(specs, arrays, strict=True):
        if spec.shape == ():
            # One value for the whole call: it has no rows, and joins what has.
            continue
        if not array.shape:
            # Of a tensor of unknown rank the shape was not looked at.
            raise _no_rows(spec, model)
        if first is None:
            first, rows = spec.alias, array.shape[0]
        if array.shape[0] != rows:
            raise InvalidCall(
                f"input '{spec.alias}' batch size does not match other inputs: "
                f"{array.shape[0]} rows, '{first}' has {rows}"
            )
    if most and rows > most:
        raise InvalidCall(f"inference request batch-size must be <= {most} for '{model}', got {rows}")
