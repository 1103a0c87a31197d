"""Messages that are nearly what a method takes: fields cut, swapped, enlarged, made extreme, or taken from
another message. Works on any protobuf message through its descriptor. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field

from fuzzing import wire_mutation

_SMALL = (0, 1, 2, -1, 7, 127, 255, 256, 32, 33, 64, 65, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32)
_LARGE = (2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63))
INTEGERS = (*_SMALL, *_LARGE)
FLOATS = (0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 1e308, 1e-320, 3.5e38)
TEXTS = (
    "",
    " ",
    "0",
    "1",
    "-1",
    "01",
    "1e3",
    "99999999999999999999",
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "a\0b",
    "\u202e\u0301\ufb01",
    "\U0001f525" * 40,
    "%s%n{0}",
    "x" * 5000,
    "BF16",
    "FP16",
    "FP32",
    "INT32",
    "BYTES",
    "BOOL",
    "fp32",
    "file:1/../../x",
    "triton_x",
)
# What a message may grow to by one mutation, bytes: enough to leave the short ways through the server.
_MAX = 300_000
_UNSIGNED = {Field.CPPTYPE_UINT32: 32, Field.CPPTYPE_UINT64: 64}
_SIGNED = {Field.CPPTYPE_INT32: 32, Field.CPPTYPE_INT64: 64, Field.CPPTYPE_ENUM: 32}


class Mutator:
    """Makes cases out of valid messages.

    Args:
        messages: valid ones; parts of one may turn up in another of the same type.
        words: strings that mean something to the method: names of models, tensors, parameters.
    """

    def __init__(self, messages: Sequence[Any], words: Sequence[str]) -> None:
        self._messages = messages
        self._words = tuple(words)
        self._parts: dict[str, list[Any]] = {}
        for message in messages:
            for part in _messages_within(message):
                self._parts.setdefault(part.DESCRIPTOR.full_name, []).append(part)

    def case(self, chance: random.Random) -> bytes:
        """One message with something wrong with it, or a few things; now and then with nothing."""
        message = _copy(chance.choice(self._messages))
        for _ in range(chance.choice((0, 1, 1, 1, 1, 2, 2, 4))):
            self._change(chance.choice(list(_messages_within(message))), chance)
        data = bytes(message.SerializePartialToString())
        if chance.random() < 0.25:
            data = wire_mutation.mutate(data, chance)
        return data

    def _change(self, message: Any, chance: random.Random) -> None:
        field = chance.choice(message.DESCRIPTOR.fields) if message.DESCRIPTOR.fields else None
        present = [found for found, _ in message.ListFields()]
        if present and chance.random() < 0.7:
            field = chance.choice(present)
        if field is None:
            return
        if chance.random() < 0.15:
            message.ClearField(field.name)
        elif _is_map(field):
            self._change_map(getattr(message, field.name), field, chance)
        elif field.is_repeated:
            self._change_list(getattr(message, field.name), field, chance)
        elif field.cpp_type == Field.CPPTYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(self._other(field, chance))
        else:
            setattr(message, field.name, self._scalar(field, getattr(message, field.name), chance))

    def _change_map(self, entries: Any, field: Any, chance: random.Random) -> None:
        key_field = field.message_type.fields_by_name["key"]
        value_field = field.message_type.fields_by_name["value"]
        keys = list(entries)
        key = chance.choice(keys) if keys and chance.random() < 0.4 else self._scalar(key_field, "", chance)
        if value_field.cpp_type == Field.CPPTYPE_MESSAGE:
            value = entries[key]
            if chance.random() < 0.3:
                value.CopyFrom(self._other(value_field, chance))
            else:
                self._change(value, chance)
        else:
            entries[key] = self._scalar(value_field, "", chance)
        if keys and chance.random() < 0.2:
            del entries[chance.choice(keys)]

    def _change_list(self, values: Any, field: Any, chance: random.Random) -> None:
        held = list(values)
        what = chance.randrange(5)
        if what == 0 and held:
            del held[chance.randrange(len(held))]
        elif what == 1 and held:
            one = chance.choice(held)
            size = one.ByteSize() if hasattr(one, "ByteSize") else len(one) if hasattr(one, "__len__") else 8
            held += [one] * min(chance.choice((1, 2, 40, 1000)), 1 + _MAX // (size + 1))
        elif what == 2:
            chance.shuffle(held)
        elif field.cpp_type == Field.CPPTYPE_MESSAGE:
            held.insert(chance.randrange(len(held) + 1), self._other(field, chance))
        elif held and what == 3:
            at = chance.randrange(len(held))
            held[at] = self._scalar(field, held[at], chance)
        else:
            held.insert(chance.randrange(len(held) + 1), self._scalar(field, None, chance))
        held = [_copy(one) if hasattr(one, "ByteSize") else one for one in held]
        del values[:]
        values.extend(held)

    def _other(self, field: Any, chance: random.Random) -> Any:
        """A message of a field's type: out of a valid message, or a changed one, or an empty one."""
        empty = field.message_type._concrete_class()
        found = self._parts.get(field.message_type.full_name)
        if not found or chance.random() < 0.1:
            if chance.random() < 0.7:
                self._change(empty, chance)
            return empty
        part = _copy(chance.choice(found))
        if chance.random() < 0.3:
            self._change(part, chance)
        return part

    def _scalar(self, field: Any, before: Any, chance: random.Random) -> Any:
        kind = field.cpp_type
        if kind == Field.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if kind in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
            return chance.choice(FLOATS)
        if kind == Field.CPPTYPE_STRING:
            if field.type == Field.TYPE_BYTES:
                return _bytes(before or b"", chance)
            return chance.choice(self._words if self._words and chance.random() < 0.6 else TEXTS)
        if kind in _UNSIGNED:
            return chance.choice(INTEGERS) % 2 ** _UNSIGNED[kind]
        bits = _SIGNED[kind]
        return (chance.choice(INTEGERS) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def _bytes(before: bytes, chance: random.Random) -> bytes:
    """Other contents: of another length, or with an element's length in it that is wrong."""
    what = chance.randrange(6)
    if what == 0:
        return before[: chance.randrange(len(before) + 1)]
    if what == 1:
        return before + chance.randbytes(chance.choice((1, 4, 8, 4096)))
    if what == 2:
        return before * min(chance.choice((2, 8, 1000)), 1 + _MAX // (len(before) + 1))
    if what == 3:
        return chance.randbytes(len(before))
    if what == 4:
        at = chance.randrange(max(len(before) - 3, 1))
        length = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, len(before)))
        return before[:at] + length.to_bytes(4, "little") + before[at + 4 :]
    return b"\xff" * len(before)


def _messages_within(message: Any) -> list[Any]:
    """It and all messages in it."""
    found = [message]
    for field, value in message.ListFields():
        if field.cpp_type != Field.CPPTYPE_MESSAGE:
            continue
        if _is_map(field):
            if field.message_type.fields_by_name["value"].cpp_type == Field.CPPTYPE_MESSAGE:
                for one in value.values():
                    found += _messages_within(one)
        elif field.is_repeated:
            for one in value:
                found += _messages_within(one)
        else:
            found += _messages_within(value)
    return found


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
