"""Messages in a descriptor pool of their own, from the descriptor sets that scripts/generate-protos makes.

protobuf's default pool takes one file of a name and one message of a name; whoever brings the second copy
cannot be imported. A private pool keeps ours out of everybody's way.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

# protobuf itself forgets a nested class when garbage is collected while no message has one, makes it anew for
# the next, and fails in between if it is asked for by its descriptor.
_NESTED: list[Any] = []


def load(name: str) -> tuple[Any, dict[str, Any]]:
    """The descriptor of the file ``NAME.proto``, and what it declares (see `declared`), its public imports'
    declarations included.

    Args:
        name: of the file and of its descriptor set, which holds what it imports as well.
    """
    files = FileDescriptorSet.FromString(resources.files(__package__).joinpath(f"{name}.binpb").read_bytes())
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    descriptor = pool.FindFileByName(f"{name}.proto")
    found = declared(descriptor)
    for public in descriptor.public_dependencies:
        found.update(declared(public))
    return descriptor, found


def declared(file: Any) -> dict[str, Any]:
    """What a module made from a file's descriptor would hold: the class of each message, and each enum with
    its values, by name."""
    found: dict[str, Any] = {
        name: GetMessageClass(message) for name, message in file.message_types_by_name.items()
    }
    for message in file.message_types_by_name.values():
        _NESTED.extend(_nested(message))
    for name, enum in file.enum_types_by_name.items():
        found[name] = EnumTypeWrapper(enum)
        found.update((value.name, value.number) for value in enum.values)
    return found


def _nested(message: Any) -> Iterator[Any]:
    """The classes of all that is declared in a message."""
    for nested in message.nested_types:
        yield GetMessageClass(nested)
        yield from _nested(nested)
