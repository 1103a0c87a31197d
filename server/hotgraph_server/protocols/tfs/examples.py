"""Lists of tf.Example, as Classify, Regress and MultiInference send them. Pure.

An example is bytes here: the graph parses it, the server never does. So the requests are read with messages
of our own that have the same fields on the wire, with an example as ``bytes``. They live in a private
descriptor pool, because two files that describe the same bytes differently cannot share one.

A context is shared by all examples of its list. It goes before each of them, byte after byte: a protobuf
message followed by another of its kind is the two merged, where what the second one says counts last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from tensorflow_serving.apis import model_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import Message

# A message of some megabytes can say "this megabyte, before each of a million examples". As much as a tensor
# may be filled with by one value (decode.py).
_MAX_REPEATED_BYTES = 256 * 2**20


def read_request(message: Message, kind: str) -> Any:
    """The request of Classify or Regress: `model_spec`, and `input` for `examples_of`.

    Args:
        message: its bytes.
        kind: what it is called in errors.

    Raises:
        InvalidCall: the bytes are none.
    """
    return _parsed(_Request, message, kind)


def read_multi_inference(message: Message) -> Any:
    """The request of MultiInference: `tasks`, and `input` for `examples_of`.

    Raises:
        InvalidCall: the bytes are none.
    """
    return _parsed(_MultiInferenceRequest, message, "MultiInferenceRequest")


def examples_of(input_: Any) -> Array:
    """The examples of an `input`, as strings [n].

    Raises:
        InvalidCall: there are none, or their context is too large to go with each of them.
    """
    found = getattr(input_, input_.WhichOneof("kind") or "example_list")
    # Only a list with a context has the field, and it is often empty.
    context = getattr(found, "context", b"")
    if len(context) * len(found.examples) > _MAX_REPEATED_BYTES:
        raise InvalidCall(
            f"a context of {len(context)} bytes for {len(found.examples)} examples is too large: "
            f"they may have {_MAX_REPEATED_BYTES} bytes of it together"
        )
    serialized = [context + example for example in found.examples] if context else found.examples
    if not len(serialized):
        raise InvalidCall("Input is empty.")
    examples = np.empty(len(serialized), STRING)
    examples[:] = serialized
    return examples


def _parsed(request: Any, message: Message, kind: str) -> Any:
    try:
        return request.FromString(bytes(message))
    except DecodeError as error:
        raise InvalidCall(f"the message is no {kind}: {error}") from error


_PACKAGE = "hotgraph.tfs"
_MODEL_SPEC = model_pb2.ModelSpec.DESCRIPTOR.full_name


def _request_classes() -> tuple[Any, Any]:
    """The classes of the requests; field numbers are those of TensorFlow Serving's input.proto,
    classification.proto (regression.proto has the same) and inference.proto."""
    file = FileDescriptorProto(
        name="hotgraph/serialized_examples.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[model_pb2.DESCRIPTOR.name],
    )
    _add_message(file, "ExampleList", examples=(1, bytes, True))
    _add_message(file, "ExampleListWithContext", examples=(1, bytes, True), context=(2, bytes, False))
    input_ = _add_message(
        file,
        "Input",
        example_list=(1, "ExampleList", False),
        example_list_with_context=(2, "ExampleListWithContext", False),
    )
    input_.oneof_decl.add(name="kind")
    for field in input_.field:
        field.oneof_index = 0
    _add_message(file, "Request", model_spec=(1, _MODEL_SPEC, False), input=(2, "Input", False))
    _add_message(file, "Task", model_spec=(1, _MODEL_SPEC, False), method_name=(2, str, False))
    _add_message(file, "MultiInferenceRequest", tasks=(1, "Task", True), input=(2, "Input", False))
    pool = DescriptorPool()
    for known in (wrappers_pb2.DESCRIPTOR, model_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return tuple(  # type: ignore[return-value]
        GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in ("Request", "MultiInferenceRequest")
    )


def _add_message(file: FileDescriptorProto, name: str, **fields: tuple[int, type | str, bool]) -> Any:
    """Declare a message; its fields are number, type or the name of a message, and whether repeated."""
    message = file.message_type.add(name=name)
    for field_name, (number, kind, repeated) in fields.items():
        field = message.field.add(name=field_name, number=number)
        field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        if isinstance(kind, str):
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{kind}" if "." in kind else f".{_PACKAGE}.{kind}"
        else:
            field.type = (
                FieldDescriptorProto.TYPE_BYTES if kind is bytes else FieldDescriptorProto.TYPE_STRING
            )
    return message


_Request, _MultiInferenceRequest = _request_classes()
