"""ModelInfer: bytes in, a call into a version's queue, bytes out when it completes (fast_path.py)."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.request import NO_HINTS, QueueHints, Request
from hotgraph_server.errors import CallError, InternalError, RunFailed, Unsupported
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.fast_path import FastPath
from hotgraph_server.protocols.submission import Answer, submit
from hotgraph_server.protocols.v2 import codec, models, spans
from hotgraph_server.protocols.v2.outputs import Wanted, treated, wanted_outputs
from hotgraph_server.protocols.v2.parameters import Parameters, read_parameters
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.protocols.v2.tensor_parameters import shared_memory_of
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply


class Asked(NamedTuple):
    """What a message asks for: all that was found when it was read, but for its tensors and its id.

    Attributes:
        model: the name that it calls.
        number: of the version that it wants; None: the highest that is live.
        version: the one that was found; weakly, so that no template keeps a version from closing.
        batched: did the signature's calls share batches then? Inputs are checked for it.
        wanted: what the answer shall hold.
        aliases: of the outputs.
        hints: for the queue; worked out for templates, which spare all later calls the same.
    """

    model: str
    number: int | None
    version: weakref.ref[Version]
    signature: Signature
    batched: bool
    wanted: Wanted
    aliases: tuple[str, ...]
    parameters: Parameters
    hints: QueueHints = NO_HINTS


class Infer(FastPath[Asked]):
    """The hot method over a registry. Any number of threads may call it.

    Args:
        registry: of the live versions.
        regions: shared memory that tensors may lie in; None: they may not.
        streamed: do the calls come in a stream? Versions that give any number of answers are called so only.
    """

    def __init__(self, registry: Registry, regions: Regions | None = None, *, streamed: bool = False) -> None:
        super().__init__()
        self._registry = registry
        self._regions = regions
        self._streamed = streamed

    def __call__(self, message: Message, reply: Reply) -> None:
        template = self._templates.find(message)
        if template is not None:
            asked = template.meaning
            version = self._registry.find(asked.model, asked.number)
            request_id = template.text(message)
            if (
                version is not None
                and version is asked.version()
                and version.state is State.LIVE
                and (version.unbatched_reasons[asked.signature.name] is None) is asked.batched
                and request_id is not None
            ):
                _submit(version, asked, template.inputs(message), request_id, reply)
                return
        self._take_full_path(message, reply)

    def _take_full_path(self, message: Message, reply: Reply) -> None:
        request, raw = codec.read_request(message)
        try:
            number = models.requested_number(request.model_version)
            version = models.find(self._registry, request.model_name, number)
            asked, inputs = self._read(request, raw, version, number)
        except CallError as error:
            # No cause: an error without an id is worded as it is, and would be its own.
            raise _with_id(error, request.id) from None
        if not _holds_for_one_call(request, asked, version):
            self._remember(
                message,
                asked,
                version,
                inputs,
                lambda: (spans.tensor_spans(message, request), spans.id_span(message)),
            )
        _submit(version, asked, inputs, request.id, reply)

    def _read(
        self,
        request: pb.ModelInferRequest,
        raw: Sequence[bytes | memoryview],
        version: Version,
        number: int | None,
    ) -> tuple[Asked, list[Array]]:
        """What a request asks of a version, and its tensors.

        Raises:
            CallError: it cannot be answered, and why.
        """
        parameters = read_parameters(request)
        signature = models.signature_of(version, parameters.signature_name)
        contract = _contract_of(version, signature)
        if contract is not None and contract.decoupled and not self._streamed:
            raise Unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        batched = version.unbatched_reasons[signature.name] is None
        name, regions = version.name, self._regions
        inputs = codec.decode_inputs(
            request, signature, name, batched=batched, raw=raw, contract=contract, regions=regions
        )
        wanted = wanted_outputs(request, signature, name, contract, regions)
        asked = Asked(
            model=request.model_name,
            number=number,
            version=weakref.ref(version),
            signature=signature,
            batched=batched,
            wanted=wanted,
            aliases=wanted.aliases,
            parameters=parameters,
        )
        return asked, inputs


class _Answer(Answer[tuple[Version, str, Wanted]]):
    """About the version that was called, the id of the request, and what the answer shall hold."""

    __slots__ = ()

    def encode(self, arrays: Sequence[Array]) -> bytes | list[memoryview]:
        version, request_id, wanted = self.about
        if wanted.treatments is None:
            return codec.encode_response(version.name, version.number, request_id, wanted.specs, arrays)
        try:
            specs, sent, elsewhere = treated(wanted, arrays)
        except CallError as error:
            raise _with_id(error, request_id) from None
        return codec.encode_response(version.name, version.number, request_id, specs, sent, elsewhere)

    def worded(self, error: CallError) -> CallError:
        return _with_id(error, self.about[1])


def _contract_of(version: Version, signature: Signature) -> Contract | None:
    """The contract, if it is about calls of this signature."""
    contract = version.contract
    return contract if contract.signature == signature.name else None


def _holds_for_one_call(request: pb.ModelInferRequest, asked: Asked, version: Version) -> bool:
    """Does what was found depend on more than the message? Then no other message can mean the same."""
    return (
        asked.wanted.in_shared_memory
        or version.sequences is not None
        or any(shared_memory_of(tensor) is not None for tensor in request.inputs)
    )


def _submit(version: Version, asked: Asked, inputs: list[Array], request_id: str, reply: Reply) -> None:
    parameters = asked.parameters
    request = Request(
        asked.signature,
        inputs,
        asked.aliases,
        _Answer(reply, (version, request_id, asked.wanted)),
        reply.deadline,
        parameters.timeout_s,
        parameters.priority,
        asked.hints,
        reply.peer,
        parameters.sequence,
        observer=reply.observer,
    )
    try:
        submit(version, request, reply)
    except CallError as error:
        raise _with_id(error, request_id) from None


def _with_id(error: CallError, request_id: str) -> CallError:
    """An error as this protocol's clients expect it: a run that failed is INTERNAL, and the text begins
    with the request's id if it has one."""
    prefix = f"[request id: {request_id}] " if request_id else ""
    if isinstance(error, RunFailed):
        return OfRequest(prefix + str(error), error, InternalError.status, request_id)
    return OfRequest(prefix + str(error), error, error.status, request_id) if prefix else error


class OfRequest(CallError):
    """An error under another text or status.

    Attributes:
        request_id: of the request that it is the answer to; empty if it has none.
    """

    def __init__(self, text: str, error: CallError, status: Any, request_id: str) -> None:
        self.status = status
        self.retry_after_ms = error.retry_after_ms
        self.request_id = request_id
        super().__init__(text)
