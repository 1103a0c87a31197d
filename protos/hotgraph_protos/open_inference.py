"""The messages of the Open Inference Protocol, in a descriptor pool of their own.

Every copy of this protocol calls its package ``inference``, and protobuf's default pool takes only
one. A private pool lets our client and server share a process with tritonclient and kserve, whichever
is imported first. The price is that a message of ours is not an instance of a class of theirs; on the
wire they are the same. The types are in open_inference.pyi; both come from scripts/generate-protos.
"""

from importlib import resources

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_FILES = FileDescriptorSet.FromString(
    resources.files(__package__).joinpath("open_inference.binpb").read_bytes()
)
_POOL = DescriptorPool()
for _file in _FILES.file:
    _POOL.Add(_file)

DESCRIPTOR = _POOL.FindFileByName("open_inference.proto")
"""Descriptor of the file: its messages and its service, for reflection."""

for _name, _message in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = GetMessageClass(_message)
