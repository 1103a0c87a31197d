"""What a dialect is, and what it knows of a model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hotgraph_protos.tensors import Array

from ...descriptions import TensorMetadata
from ..load import Answer, Payload

V2_GRPC = "v2 over gRPC"
V2_HTTP = "v2 over HTTP"
SERVING_GRPC = "TensorFlow Serving over gRPC"
SERVING_HTTP = "TensorFlow Serving over HTTP"


class TargetError(Exception):
    """The target cannot be called so: one line that says what, where, and what to do next."""


@dataclass(frozen=True)
class Description:
    """A model as it is called.

    Attributes:
        protocol: as documents have it: `v2 over gRPC`, `TensorFlow Serving over HTTP`, ...
        model: its name.
        version: that was asked for, or the one that the server says it is; empty: not told.
        signature: that is called; empty: the server has no word for it.
        inputs: what it takes. Datatypes are the Open Inference Protocol's, and besides those of COMPLEX64 and
            COMPLEX128; a dimension that may have any size is -1, an unknown rank is a single -1.
        outputs: what it gives; empty: not told.
        server: its name; empty: not told.
        server_version: of the server; empty: not told.
        max_batch_rows: of a call; None: not told, or any.
        optional: inputs that have a default and may be left out.
    """

    protocol: str
    model: str
    version: str
    signature: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...] = ()
    server: str = ""
    server_version: str = ""
    max_batch_rows: int | None = None
    optional: frozenset[str] = frozenset()

    def input(self, name: str) -> TensorMetadata | None:
        """The input of that name; None: there is none."""
        return next((tensor for tensor in self.inputs if tensor.name == name), None)

    def output(self, name: str) -> TensorMetadata | None:
        """The output of that name; None: there is none, or none was told."""
        return next((tensor for tensor in self.outputs if tensor.name == name), None)

    @property
    def has_rows(self) -> bool:
        """Is dimension 0 of an input free, so that calls may have any number of rows?"""
        return any(is_free(tensor) for tensor in self.inputs)

    def rows_of(self, inputs: Mapping[str, Array]) -> int:
        """Rows of a call with these arrays: the size of dimension 0 where it is free; otherwise 1."""
        for tensor in self.inputs:
            if is_free(tensor) and tensor.name in inputs and inputs[tensor.name].ndim:
                return int(inputs[tensor.name].shape[0])
        return 1


class Dialect(Protocol):
    """One protocol, over one way, for one signature of one model. Pure: it neither sends nor waits."""

    @property
    def description(self) -> Description:
        """The model as it is called."""

    def payload(self, inputs: Mapping[str, Array]) -> Payload:
        """A call as bytes.

        Args:
            inputs: of the datatypes and shapes of the description; BYTES are object arrays of bytes.

        Raises:
            TargetError: an array that the protocol cannot carry.
        """

    def read(self, answer: Answer) -> dict[str, Array]:
        """The outputs of a good answer by name; ids, versions and other names in it are not told.

        Raises:
            ValueError: the answer makes no sense.
        """


def is_free(tensor: TensorMetadata) -> bool:
    """Is its dimension 0 of any size?"""
    return bool(tensor.shape) and tensor.shape[0] < 0


def listed(tensors: tuple[TensorMetadata, ...]) -> str:
    """Tensors for an error's text."""
    return ", ".join(map(str, tensors)) or "none"
