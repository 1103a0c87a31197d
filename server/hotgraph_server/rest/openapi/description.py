"""What the document says of a version, without the version. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hotgraph_server.signatures import Shape


class Tensor(NamedTuple):
    """An input or output as callers see it.

    Attributes:
        datatype: by the Open Inference Protocol's name; None: no call can carry it in JSON.
        dtype: by numpy's name.
        shape: None for a dimension that is free; None instead of a tuple for an unknown rank.
        content: what its strings hold, in words; empty: texts of any kind.
        optional: a call may leave it out.
    """

    name: str
    datatype: str | None
    dtype: str
    shape: Shape | None
    content: str = ""
    optional: bool = False


class Form(NamedTuple):
    """A signature in one protocol.

    Attributes:
        inputs, outputs: in their order.
        example: the body of a call; None: there is none, and `without` says why.
        refusal: why it cannot be called in this protocol; empty: it can.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    example: Mapping[str, Any] | None = None
    without: str = ""
    refusal: str = ""


class SignatureDescription(NamedTuple):
    """A signature of a version.

    Attributes:
        v1, v2: its forms.
        v1_default, v2_default: do calls mean it that name none?
        notes: what there is to be known before one calls it, sentences.
    """

    name: str
    v1: Form
    v2: Form
    v1_default: bool
    v2_default: bool
    notes: tuple[str, ...] = ()


class VersionDescription(NamedTuple):
    """A live version.

    Attributes:
        sequences: calls of its default signature belong to sequences.
        unusable: the signatures that cannot be called, and why.
    """

    name: str
    number: int
    signatures: tuple[SignatureDescription, ...]
    sequences: bool = False
    unusable: Mapping[str, str] = {}
