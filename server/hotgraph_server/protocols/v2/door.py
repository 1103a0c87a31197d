"""An infer call from a request that is read to its queue, and its outcome back: what every door does alike.

A door is gRPC's ModelInfer, its streams, or HTTP (rest/v2/). It reads a request into a ModelInferRequest and
the raw contents of its tensors, and writes the answer; what a request may ask, and the words of every
refusal, are the same at all of them, because they are here and in what is called from here.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.request import NO_HINTS, QueueHints, Request
from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, InternalError, NotLoaded, RunFailed, Unsupported
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.fast_path import FastPath
from hotgraph_server.protocols.submission import submit
from hotgraph_server.protocols.v2 import codec, models
from hotgraph_server.protocols.v2.outputs import Wanted, treated, wanted_outputs
from hotgraph_server.protocols.v2.parameters import Parameters, read_parameters
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.protocols.v2.tensor_parameters import SharedMemory, shared_memory_of
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import Array
from hotgraph_server.transport.service import Reply

NOTHING_ELSEWHERE: Mapping[str, SharedMemory] = {}


class Asked(NamedTuple):
    """What a request asks for: all that was found when it was read, but for its tensors and its id.

    Attributes:
        model: the name that it calls.
        number: of the version that it wants; None: the highest that is live.
        version: the one that was found; weakly, so that no template keeps a version from closing.
        batched: did the signature's calls share batches then? Inputs are checked for it.
        wanted: what the answer shall hold.
        aliases: of the outputs.
        hints: for the queue; worked out for templates, which spare all later calls the same.
        binary: for each output, shall it come as bytes behind the answer's text? A door that writes all
            outputs alike leaves this empty.
        request_id: of the first request of a form, and so of all those whose id belongs to the form.
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
    binary: tuple[bool, ...] = ()
    request_id: str = ""


class Door(FastPath[Asked]):
    """Any number of threads may call everything.

    Args:
        registry: of the live versions.
        regions: shared memory that tensors may lie in; None: they may not.
        no_decoupled: what callers hear of versions that give any number of answers, where there can be one
            only; empty: they may be called.
    """

    def __init__(self, registry: Registry, regions: Regions | None, no_decoupled: str = "") -> None:
        super().__init__()
        self._registry = registry
        self._regions = regions
        self._no_decoupled = no_decoupled

    def _still(self, asked: Asked) -> Version | None:
        """The version that a template's request calls, if all that was found of it holds; else None."""
        version = self._registry.find(asked.model, asked.number)
        if (
            version is not None
            and version is asked.version()
            and version.state is State.LIVE
            and (version.unbatched_reasons[asked.signature.name] is None) is asked.batched
        ):
            return version
        return None

    def _find(self, model: str, number: int | None) -> Version:
        """Raises CallError."""
        return models.find(self._registry, model, number)

    def _understood(
        self,
        request: pb.ModelInferRequest,
        raw: Sequence[bytes | memoryview],
        version: Version,
        number: int | None,
    ) -> tuple[Asked, list[Array]]:
        """What a request asks of a version, and its tensors.

        Args:
            raw: the contents of its inputs, of those that do not lie elsewhere; empty: they are in it.
            number: of the version, as the request names it.

        Raises:
            CallError: it cannot be answered, and why.
        """
        parameters = read_parameters(request)
        signature = models.signature_of(version, parameters.signature_name)
        contract = contract_of(version, signature)
        if contract is not None and contract.decoupled and self._no_decoupled:
            raise Unsupported(self._no_decoupled)
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


def contract_of(version: Version, signature: Signature) -> Contract | None:
    """The contract, if it is about calls of this signature."""
    contract = version.contract
    return contract if contract.signature == signature.name else None


def holds_for_one_call(request: pb.ModelInferRequest, asked: Asked, version: Version) -> bool:
    """Does what was found depend on more than the request? Then no other request can mean the same."""
    return (
        asked.wanted.in_shared_memory
        or version.sequences is not None
        or any(shared_memory_of(tensor) is not None for tensor in request.inputs)
    )


def submit_call(
    version: Version,
    asked: Asked,
    inputs: list[Array],
    request_id: str,
    completion: Completion,
    reply: Reply,
) -> None:
    """
    Args:
        completion: where the outcome lands, which goes to `reply`.

    Raises:
        CallError: the version does not take the call, and why; the reply is not used then.
    """
    parameters = asked.parameters
    request = Request(
        asked.signature,
        inputs,
        asked.aliases,
        completion,
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
        raise with_id(error, request_id) from None


def name_call(reply: Reply, request_id: str) -> None:
    """Tell who follows a call what the call calls itself; empty: nothing."""
    observer = reply.observer
    if observer is not None:
        observer.named(request_id)


def show_answer(
    observer: ReplyObserver,
    specs: Sequence[TensorSpec],
    arrays: Sequence[Array],
    elsewhere: Mapping[str, SharedMemory] = NOTHING_ELSEWHERE,
) -> None:
    """Show who follows a call what its answer holds.

    Args:
        elsewhere: by alias, where outputs lie that are not in it.
    """
    held = [at for at, spec in enumerate(specs) if spec.alias not in elsewhere]
    observer.answered([specs[at].alias for at in held], [arrays[at] for at in held])


def treated_outputs(
    wanted: Wanted, arrays: Sequence[Array], request_id: str
) -> tuple[Sequence[TensorSpec], Sequence[Array], dict[str, SharedMemory]]:
    """See `outputs.treated`; its errors have the request's id."""
    try:
        return treated(wanted, arrays)
    except CallError as error:
        raise with_id(error, request_id) from None


def with_id(error: CallError, request_id: str) -> CallError:
    """An error as this protocol's clients expect it: a run that failed is INTERNAL, and the text begins
    with the request's id if it has one. That a model is not loaded is not for clients: their calls wait."""
    if isinstance(error, NotLoaded):
        return error
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
        self.about = error.about
        self.request_id = request_id
        super().__init__(text)
