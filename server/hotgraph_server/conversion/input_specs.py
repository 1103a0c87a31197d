"""Inputs as people write them: ``x=float32[?,224,224,3]``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from hotgraph_server.conversion.request import Refused

_SPEC = re.compile(
    r"(?:(?P<name>[A-Za-z_][\w.\-]{0,199})=)?(?P<dtype>[a-z][a-z0-9]{1,19})\[(?P<shape>[^\[\]]{0,400})\]"
)
_FREE = ("?", "None", "-1")
_DTYPES = (
    *("bool", "string", "float16", "float32", "float64", "bfloat16", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
_LARGEST = 2**31


class InputSpec(NamedTuple):
    """One input.

    Attributes:
        name: what callers call it; empty: not said.
        dtype: TensorFlow's name of it.
        shape: None for a dimension that is free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def input_spec(text: str) -> InputSpec:
    """
    Raises:
        Refused: it is none; the text says what one looks like.
    """
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise Refused(f"--input-spec {text[:100]!r} is not like 'x=float32[?,224,224,3]' (?: any size)")
    if found["dtype"] not in _DTYPES:
        raise Refused(
            f"--input-spec {text[:100]!r}: no dtype {found['dtype']!r}; there are {', '.join(_DTYPES)}"
        )
    sizes = [size.strip() for size in found["shape"].split(",")] if found["shape"].strip() else []
    return InputSpec(found["name"] or "", found["dtype"], tuple(_size(text, size) for size in sizes))


def input_specs(texts: Iterable[str]) -> list[InputSpec]:
    """
    Raises:
        Refused: one is none, or two have one name.
    """
    specs = [input_spec(text) for text in texts]
    names = [spec.name for spec in specs if spec.name]
    if len(set(names)) < len(names):
        raise Refused("--input-spec: two inputs have one name")
    return specs


def _size(text: str, size: str) -> int | None:
    if size in _FREE:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", size) or int(size) >= _LARGEST:
        raise Refused(f"--input-spec {text[:100]!r}: {size[:20]!r} is no size; it is a number, or ? for any")
    return int(size)
