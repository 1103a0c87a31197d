"""The arrays of an answer to its body: JSON, and behind it the contents of what was asked for as bytes. Pure.

    {"id", "model_name", "model_version", "outputs": [{"name", "datatype", "shape", "data"}]}

The outputs come in the order in which they were asked for. One that comes as bytes has the parameter
``binary_data_size`` in place of data, and one that lies in shared memory has neither: NVIDIA's C++ client
wants that parameter of every output that has any. If any comes as bytes, a header says how long the JSON is,
and what follows it are the arrays' own memory: nothing of them is copied.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import orjson

from hotgraph_protos import tensors as wire
from hotgraph_server.errors import Unsupported
from hotgraph_server.protocols.v2.tensor_parameters import SharedMemory
from hotgraph_server.rest.v2.infer_request import BINARY_SIZE, LENGTH_HEADER
from hotgraph_server.rest.v2.values import json_bytes_of, written
from hotgraph_server.signatures import TensorSpec
from hotgraph_server.tensors import Array
from hotgraph_server.transport.http import Content
from hotgraph_server.transport.message_fields import WORTH_CUTTING

BINARY = "application/octet-stream"

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Head(NamedTuple):
    """What an answer says of itself.

    Attributes:
        model: the name of the one that answers.
        version: its number.
        request_id: of the request; empty: it has none.
    """

    model: str
    version: int
    request_id: str


class Output(NamedTuple):
    """One output; it can be sent to another process.

    Attributes:
        name: the alias.
        datatype: the protocol's name of it.
        shape: as the caller sees it.
        values: to be written as JSON; None: they are not in it.
        parameters: what else is said of it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Array | None
    parameters: Mapping[str, Any]


WriteText = Callable[[Head, Sequence[Output]], bytes]


def write_text(head: Head, outputs: Sequence[Output]) -> bytes:
    """The JSON of an answer.

    Raises:
        InvalidCall: strings that are no UTF-8.
    """
    described: list[dict[str, Any]] = []
    for output in outputs:
        one: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if output.parameters:
            one["parameters"] = output.parameters
        if output.values is not None:
            one["data"] = written(output.name, output.values)
        described.append(one)
    return orjson.dumps({**head_members(head), "outputs": described}, option=_NUMPY)


def write_answer(
    head: Head,
    specs: Sequence[TensorSpec],
    arrays: Sequence[Array],
    binary: Sequence[bool],
    elsewhere: Mapping[str, SharedMemory] | None = None,
    write: WriteText = write_text,
) -> Content:
    """The body of an answer.

    Args:
        specs: the outputs' names and dtypes.
        arrays: as the caller shall see them.
        binary: for each, does it come as bytes?
        elsewhere: by alias, where outputs lie that are not sent.
        write: writes the JSON where much of it shall be written; as `write_text`.

    Raises:
        InvalidCall: strings that are no UTF-8 are wanted as JSON.
        Unsupported: the protocol cannot carry an output's dtype.
    """
    if not elsewhere and False not in binary:
        return _all_binary(head, specs, arrays)
    outputs: list[Output] = []
    tails: list[Any] = []
    size = 0
    for spec, array, as_bytes in zip(specs, arrays, binary, strict=True):
        datatype = datatype_of(spec.alias, spec.dtype)
        parameters: dict[str, Any] = {}
        values: Array | None = None
        if elsewhere and spec.alias in elsewhere:
            pass
        elif as_bytes:
            contents, length = wire.raw_contents(array)
            parameters = {BINARY_SIZE: length}
            tails.append(contents)
            size += length
        else:
            values = sendable(array)
        outputs.append(Output(spec.alias, datatype, array.shape, values, parameters))
    if all(output.values is None for output in outputs):
        write = write_text
    text = write(head, outputs)
    if not tails:
        return Content((text,))
    return _with_tails(text, _headers(len(text)), tails, size)


def announce(reply: Any, arrays: Sequence[Array], binary: Sequence[bool]) -> None:
    """Say to the reply of a call, an HttpReply, about how many bytes of JSON these arrays will be.

    Args:
        binary: see `write_answer`.
    """
    reply.json_bytes_out = sum(
        [json_bytes_of(array) for array, as_bytes in zip(arrays, binary, strict=True) if not as_bytes]
    )


def datatype_of(alias: str, dtype: np.dtype[Any]) -> str:
    """
    Raises:
        Unsupported: the protocol cannot carry that dtype.
    """
    datatype = wire.datatype_of(dtype)
    if datatype is None:
        raise Unsupported(f"output '{alias}' is {dtype}, which this protocol cannot carry")
    return datatype


def head_members(head: Head) -> dict[str, Any]:
    """What an answer's JSON begins with."""
    model = {"model_name": head.model, "model_version": str(head.version)}
    return {"id": head.request_id, **model} if head.request_id else model


def _all_binary(head: Head, specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> Content:
    # As most calls are that come so often that it counts.
    tails: list[Any] = []
    described: list[tuple[str, np.dtype[Any], tuple[int, ...], int]] = []
    size = 0
    for spec, array in zip(specs, arrays, strict=True):
        datatype_of(spec.alias, spec.dtype)
        contents, length = wire.raw_contents(array)
        tails.append(contents)
        described.append((spec.alias, spec.dtype, array.shape, length))
        size += length
    text, headers = _text_of_binary(head.model, head.version, tuple(described))
    if head.request_id:
        # As it would be if it had been written with the rest.
        text = b'{"id":' + orjson.dumps(head.request_id) + b"," + text[1:]
        headers = _headers(len(text))
    return _with_tails(text, headers, tails, size)


# Most answers are like one before.
@functools.lru_cache(maxsize=1024)
def _text_of_binary(
    model: str, version: int, outputs: tuple[tuple[str, np.dtype[Any], tuple[int, ...], int], ...]
) -> tuple[bytes, Sequence[tuple[str, str]]]:
    text = write_text(
        Head(model, version, ""),
        [
            Output(alias, datatype_of(alias, dtype), shape, None, {BINARY_SIZE: length})
            for alias, dtype, shape, length in outputs
        ],
    )
    return text, _headers(len(text))


def _headers(length: int) -> Sequence[tuple[str, str]]:
    return ((LENGTH_HEADER, str(length)),)


def _with_tails(text: bytes, headers: Sequence[tuple[str, str]], tails: Sequence[Any], size: int) -> Content:
    if len(text) + size < WORTH_CUTTING:
        # To copy so little is quicker than to make views of it, and to send these.
        return Content((b"".join((text, *tails)),), BINARY, headers=headers)
    return Content((text, *map(_view, tails)), BINARY, headers=headers)


def _view(contents: Any) -> bytes | memoryview:
    if isinstance(contents, bytes | memoryview):
        return contents
    # Not every dtype has a format that a memoryview would know.
    view: memoryview = contents.reshape(-1).view(np.uint8).data
    return view


def sendable(array: Array) -> Array:
    """An array as it can be sent to another process."""
    # That dtype is none of numpy's own, and does not travel as memory.
    return array.astype(np.float32) if array.dtype == _BFLOAT16 else array
