"""Classify and Regress: examples in, one call into a version's queue, a result out when its completion ends.

They wait in the same lanes as Predict's calls of the same signature and outputs, and share batches with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hotgraph_server.batching.request import QueueHints, Request
from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.submission import Answer, submit
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.tfs import classify, examples, model_spec, regress
from hotgraph_server.protocols.tfs.predict_rules import why_unusable
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array, tensorflow_name
from hotgraph_server.transport.message_fields import Message, header
from hotgraph_server.transport.service import Reply


class Kind(NamedTuple):
    """What sets Classify and Regress apart.

    Attributes:
        word: in errors.
        request: the name of its message.
        method_name: of signatures that were exported for it.
        outputs_of: what it wants of a signature; raises InvalidCall where that cannot be had.
        encode_result: its result's bytes, from the outputs, their arrays and the number of examples; raises
            InvalidCall where they are no result.
        result: the field of its result in MultiInference's.
    """

    word: str
    request: str
    method_name: str
    outputs_of: Callable[[Signature], tuple[str, ...]]
    encode_result: Callable[[Sequence[str], Sequence[Array], int], bytes]
    result: int


CLASSIFY = Kind(
    "classification",
    "ClassificationRequest",
    classify.METHOD_NAME,
    classify.outputs_of,
    classify.encode_result,
    2,
)
REGRESS = Kind(
    "regression", "RegressionRequest", regress.METHOD_NAME, regress.outputs_of, regress.encode_result, 3
)

# classification.proto, and regression.proto alike: the fields of a response.
_RESULT, _MODEL_SPEC = 1, 2


class Task(NamedTuple):
    """One signature to run on examples, checked."""

    kind: Kind
    signature: Signature
    outputs: tuple[str, ...]


def named_task(
    kind: Kind,
    name: str,
    signatures: Mapping[str, Signature],
    unusable: Mapping[str, str],
    *,
    check_method_name: bool,
) -> Task:
    """The signature of that name, as Classify or Regress runs it; see predict_rules.signature_of.

    Raises:
        InvalidCall: there is none, or it cannot be run so.
    """
    signature = signatures.get(name)
    if signature is None:
        raise InvalidCall(f"No signature was found with the name: {name}{why_unusable(unusable, name)}")
    return task_of(kind, signature, check_method_name=check_method_name)


def task_of(kind: Kind, signature: Signature, *, check_method_name: bool) -> Task:
    """A signature as Classify or Regress runs it.

    Raises:
        InvalidCall: it cannot be run so.
    """
    if check_method_name and signature.method_name != kind.method_name:
        raise InvalidCall(
            f"Expected {kind.word} signature method_name to be {kind.method_name}. "
            f"Was: {signature.method_name}"
        )
    outputs = kind.outputs_of(signature)
    (spec,) = signature.inputs
    if spec.dtype != STRING:
        raise InvalidCall(
            f"Type mismatch for input {spec.alias}: actual string vs. expect {tensorflow_name(spec.dtype)}"
        )
    return Task(kind, signature, outputs)


class Inference:
    """The hot method Classify or Regress over a registry. Any number of threads may call it."""

    def __init__(self, registry: Registry, kind: Kind, *, check_method_names: bool = False) -> None:
        self._registry = registry
        self._kind = kind
        self._check_method_names = check_method_names

    def __call__(self, message: Message, reply: Reply) -> None:
        """Read the message and queue its call.

        Raises:
            CallError: it cannot be answered, and why; the reply is not used then.
        """
        asked = examples.read_request(message, self._kind.request)
        with telling(self._registry, asked.model_spec.name):
            version = model_spec.find_for(self._registry, asked)
            name = model_spec.signature_name(asked.model_spec)
            task = named_task(
                self._kind,
                name,
                version.signatures,
                version.unusable,
                check_method_name=self._check_method_names,
            )
            inputs = examples.examples_of(asked.input)
        request = Request(
            task.signature,
            [inputs],
            task.outputs,
            _Answer(reply, (version, task, len(inputs))),
            reply.deadline,
            # What the array of strings says of its size leaves out the strings.
            hints=QueueHints(nbytes=len(message)),
            peer=reply.peer,
            observer=reply.observer,
        )
        submit(version, request, reply)


class _Answer(Answer[tuple[Version, Task, int]]):
    """About the version that was called, what it was asked, and the number of examples."""

    __slots__ = ()

    def encode(self, arrays: Sequence[Array]) -> bytes:
        version, (kind, signature, outputs), count = self.about
        result = kind.encode_result(outputs, arrays, count)
        spec = model_spec.answered(version, signature.name).SerializeToString()
        return b"".join((header(_RESULT, len(result)), result, header(_MODEL_SPEC, len(spec)), spec))
