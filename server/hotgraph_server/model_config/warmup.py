"""``model_warmup`` of a model's configuration: calls that are run before the version is live.

As in Triton, the dims of an input are those of one row, and the row is repeated `batch_size` times. Random
data is the same at every start, and modest: integers are 0 or 1, because an index must be one that is there,
and numbers are 0 to 1. A file holds raw bytes as calls do; a string is its length in four bytes,
little-endian, and its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hotgraph_protos import tensors as wire
from hotgraph_protos.model_config import ModelWarmup
from hotgraph_server.errors import LoadError
from hotgraph_server.model_config import datatypes
from hotgraph_server.model_config.completion import contract_of
from hotgraph_server.model_config.own_files import OwnFiles
from hotgraph_server.models import reshaping
from hotgraph_server.models.contract import Contract
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.warmup_calls import WarmupCall, WarmupSource

FOLDER = "warmup"
"""In a model's folder, where files of warm-up data lie."""

_KIND = "model_warmup"
# Of one call, all inputs together.
_MAX_BYTES = 2 * 1024**3
_MAX_RANK = 32
# What a string costs at least: a pointer, and the object of an empty one.
_STRING_BYTES = 8 + 33
_SEED = 7
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
_STRING_LENGTH = 8


def with_warmup(settings: ModelSettings, where: str, others: WarmupSource) -> WarmupSource:
    """What a model brings: the calls of its configuration, then `others`.

    What contradicts the SavedModel is found before any of them is made.

    Args:
        settings: of the model; `others` as they are where it has no configuration.
        where: names the version in errors.
    """
    if settings.config is None:
        return others

    files = OwnFiles(settings.path, settings.folder.linked_files)

    def brings(signatures: Mapping[str, Signature], unusable: Mapping[str, str]) -> Iterator[WarmupCall]:
        contract = contract_of(settings, where, signatures, unusable, {})
        samples = settings.config.model_warmup
        if samples and contract.signature is None:
            raise LoadError(where, "model_warmup: there is no default signature to be warmed up")
        for sample in samples:
            if not sample.batch_size:
                continue
            signature = signatures[contract.signature or ""]
            what = f"{_KIND} '{sample.name}'"
            call = _call(sample, signature, contract, files, f"{where}: {what}")
            for _ in range(max(sample.count, 1)):
                yield WarmupCall(_KIND, what, signature, call, signature.output_aliases, len)
        yield from others(signatures, unusable)

    return brings


def _call(
    sample: ModelWarmup, signature: Signature, contract: Contract, files: OwnFiles, where: str
) -> list[Array]:
    """One array for each input of the signature."""
    most = contract.max_batch_size if contract.batched else 1
    if most and sample.batch_size > most:
        raise LoadError(where, f"batch_size must be <= {most}, got {sample.batch_size}")
    unknown = sorted(sample.inputs.keys() - signature.inputs_by_alias.keys())
    if unknown:
        raise LoadError(where, f"the SavedModel has no input {', '.join(unknown)}")
    arrays = []
    for spec in signature.inputs:
        if spec.alias in sample.inputs:
            field = f"{where}: input '{spec.alias}'"
            row = _row(sample.inputs[spec.alias], spec, contract, files, sample.batch_size, field)
            arrays.append(_batch(row, sample.batch_size) if contract.batched else row)
        else:
            arrays.append(_left_out(spec, signature, contract, sample.batch_size, where))
    return arrays


def _row(
    tensor: ModelWarmup.Input, spec: TensorSpec, contract: Contract, files: OwnFiles, rows: int, where: str
) -> Array:
    """The data of an input as the model takes it, without the batch dimension."""
    if datatypes.dtype_of(tensor.data_type) != spec.dtype:
        expected = datatypes.name_of(datatypes.number_of(spec.dtype))
        raise LoadError(where, f"data-type must be {expected}, got {datatypes.name_of(tensor.data_type)}")
    shape = tuple(tensor.dims)
    each = _STRING_BYTES + _STRING_LENGTH if spec.dtype == STRING else spec.dtype.itemsize
    # A size of 0 makes the rest cost nothing, and numpy refuses it all the same where that is large.
    if math.prod(max(size, 1) for size in shape) * rows * each > _MAX_BYTES or len(shape) > _MAX_RANK:
        raise LoadError(where, f"{rows} rows of {list(shape)} are more than {_MAX_BYTES} bytes")
    wanted = _model_shape(spec, contract, shape, where)
    given = tensor.WhichOneof("input_data_type")
    if given == "input_data_file":
        row = _from_file(tensor.input_data_file, spec.dtype, shape, files, where)
    elif given == "random_data":
        row = _random(spec.dtype, shape)
    else:
        row = _zeros(spec.dtype, shape)
    return row.reshape(wanted)


def _model_shape(spec: TensorSpec, contract: Contract, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """The shape in which the model takes a row of `shape`."""
    rules = contract.inputs.get(spec.alias)
    if rules is not None and rules.dims is not None:
        if not reshaping.matches(shape, rules.dims):
            raise LoadError(where, f"dims {list(shape)} are not those of the input, {list(rules.dims)}")
        if rules.reshape is not None:
            return reshaping.reshaped(shape, rules.dims, rules.reshape, batched=False)
        return shape
    if spec.shape is not None:
        inner = [reshaping.FREE if size is None else size for size in spec.shape]
        inner = inner[1:] if contract.batched else inner
        if not reshaping.matches(shape, inner):
            raise LoadError(where, f"dims {list(shape)} are not those of the input, {inner}")
    return shape


def _left_out(spec: TensorSpec, signature: Signature, contract: Contract, rows: int, where: str) -> Array:
    """What an input gets that the warm-up says nothing about."""
    if spec.alias in signature.defaults:
        return signature.defaults[spec.alias]
    rules = contract.sequence
    if rules is None or spec.alias not in rules.hidden_inputs:
        raise LoadError(where, f"input '{spec.alias}' is missing")
    for state in rules.states:
        if state.input_alias == spec.alias and state.initial is not None:
            return _batch(state.initial, rows) if contract.batched else state.initial
    sizes = [1 if size is None else size for size in spec.shape or ()]
    if contract.batched and sizes:
        sizes[0] = rows
    array = _zeros(spec.dtype, sizes)
    for control in rules.controls:
        if control.alias == spec.alias and spec.dtype != STRING:
            array[...] = control.false
    return array


def _batch(row: Array, rows: int) -> Array:
    return np.repeat(row[np.newaxis], rows, axis=0)


def _zeros(dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    return np.full(shape, b"", object) if dtype == STRING else np.zeros(shape, dtype)


def _random(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    source = np.random.default_rng(_SEED)
    if dtype == STRING:
        array = np.empty(shape, object)
        words = source.choice(_LETTERS, (array.size, _STRING_LENGTH))
        array.reshape(-1)[:] = [word.tobytes() for word in words]
        return array
    if dtype.kind in "biu":
        return source.integers(0, 2, shape).astype(dtype)
    return source.random(shape).astype(dtype)


def _from_file(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], files: OwnFiles, where: str) -> Array:
    path = f"{FOLDER}/{name}"
    content = files.read(path, where, _MAX_BYTES)
    try:
        return wire.decode_raw(wire.datatype_of(dtype) or "", shape, content)
    except ValueError as error:
        raise LoadError(where, f"{path}: {error}") from error
