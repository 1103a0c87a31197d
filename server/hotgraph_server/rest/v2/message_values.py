"""Messages as values that JSON is written of, in Triton's form. Pure.

Fields have their own names, enums the names of their values, and every whole number is a number; protobuf's
own JSON makes strings of those with 64 bits. What a field holds when nobody has said anything is told too.
Bytes are base64.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor

_SCALAR = (bool, int, float, str, bytes)


def values_of(message: Any) -> dict[str, Any]:
    """A message's fields by name, in the order of their declaration. What has presence (a message in it, a
    member of a oneof) is there if it is set."""
    return {
        field.name: _values(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _values(field: FieldDescriptor, held: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of_map = kind.fields_by_name["value"]
        # A map has no order of its own.
        return {str(key): _value(of_map, held[key]) for key in sorted(held)}
    if field.has_presence or isinstance(held, _SCALAR):
        return _value(field, held)
    return [_value(field, one) for one in held]


def _value(field: FieldDescriptor, held: Any) -> Any:
    if field.message_type is not None:
        return values_of(held)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(held)
        return held if named is None else named.name
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        # Written with the digits that its own width needs.
        return np.float32(held)
    return base64.b64encode(held).decode() if isinstance(held, bytes) else held
