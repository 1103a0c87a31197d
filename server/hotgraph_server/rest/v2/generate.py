"""generate and generate_stream: a call of infer in plainer JSON, and its answer as JSON or as an event.

Graphs give each call one answer, so a stream is of one event, and what fails has a status of its own: Triton
has said 200 by then. Versions that promise any number of answers may be called, here as there.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_server.batching.completion import Outcome
from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, NotLoaded
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.submission import Answer
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.v2 import checks, models
from hotgraph_server.protocols.v2.door import (
    Door,
    contract_of,
    name_call,
    show_answer,
    submit_call,
    treated_outputs,
    with_id,
)
from hotgraph_server.protocols.v2.outputs import Wanted
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2 import infer_answer, infer_request
from hotgraph_server.rest.v2.generate_text import Field, as_event, read_generate, write_generate
from hotgraph_server.rest.v2.infer_answer import Head, Output
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import Array
from hotgraph_server.transport.http import JSON, Content, Endpoint, HttpReply, Request
from hotgraph_server.transport.message_fields import Message

EVENTS = "text/event-stream; charset=utf-8"


class HttpGenerate(Door):
    """Any number of threads may call everything.

    Args:
        registry: of the live versions.
        pool: reads and writes JSON for the threads that are its own.
        most_bytes: of a body.
    """

    def __init__(self, registry: Registry, pool: JsonProcessPool, most_bytes: int) -> None:
        super().__init__(registry, None)
        self._pool = pool
        self._most_bytes = most_bytes

    def endpoint(self, request: Request, model: str, version: str, *, stream: bool = False) -> Endpoint:
        """Where a request for a model leads; see HttpInfer.

        Args:
            stream: is its answer an event?

        Raises:
            CallError: there is no such version, or it is not live.
        """
        with telling(self._registry, model):
            number = models.requested_number(version)
            with contextlib.suppress(NotLoaded):
                self._find(model, number)
        begin = functools.partial(self._begin, model, number, stream)
        return Endpoint(begin, self._most_bytes, limited=True)

    def stream_endpoint(self, request: Request, model: str, version: str) -> Endpoint:
        """The same, for an answer that is an event."""
        return self.endpoint(request, model, version, stream=True)

    def _begin(self, model: str, number: int | None, stream: bool, body: Message, reply: HttpReply) -> None:
        """Raises CallError."""
        version = self._find(model, number)
        fields = {name: _fields(version, signature) for name, signature in version.signatures.items()}
        if version.default_signature is not None:
            fields[""] = fields[version.default_signature.name]
        with telling(self._registry, model):
            described = self._pool.run(read_generate, bytes(body), fields)
        request = pb.ModelInferRequest.FromString(described.request)
        request.model_name = model
        name_call(reply, request.id)
        names = [tensor.name for tensor in request.inputs]
        raw = infer_request.raw_contents(names, described.contents, b"", {})
        try:
            # Reading may have taken its time, and another version its place.
            with telling(self._registry, model):
                version = self._find(model, number)
                asked, inputs = self._understood(request, raw, version, number)
        except CallError as error:
            raise with_id(error, request.id) from None
        about = version, request.id, asked.wanted, self._pool, stream, reply.observer
        answer = _Answer(reply, about)
        submit_call(version, asked, inputs, request.id, answer, reply)


class _Answer(Answer[tuple[Version, str, Wanted, JsonProcessPool, bool, ReplyObserver | None]]):
    """About the version that was called, the request's id, what the answer shall hold, where JSON is written,
    whether the answer is an event, and who follows the call."""

    __slots__ = ()

    def _deliver(self, outcome: Outcome) -> None:
        if not isinstance(outcome, CallError):
            infer_answer.announce(self._reply, outcome, (False,) * len(outcome))
        super()._deliver(outcome)

    def encode(self, arrays: Sequence[Array]) -> Content:
        version, request_id, wanted, pool, stream, observer = self.about
        specs: Sequence[TensorSpec] = wanted.specs
        if wanted.treatments is not None:
            specs, arrays, _ = treated_outputs(wanted, arrays, request_id)
        if observer is not None:
            show_answer(observer, specs, arrays)
        try:
            outputs = [
                Output(
                    spec.alias,
                    infer_answer.datatype_of(spec.alias, spec.dtype),
                    array.shape,
                    infer_answer.sendable(array),
                    {},
                )
                for spec, array in zip(specs, arrays, strict=True)
            ]
            head = Head(version.name, version.number, request_id)
            text = pool.run(write_generate, head, outputs)
        except CallError as error:
            raise with_id(error, request_id) from None
        return Content((as_event(text),), EVENTS) if stream else Content((text,), JSON)

    def worded(self, error: CallError) -> CallError:
        return with_id(error, self.about[1])


def _fields(version: Version, signature: Signature) -> list[Field]:
    contract = contract_of(version, signature)
    return [
        Field(spec.alias, wire.datatype_of(spec.dtype) or "", checks.shape_sent(spec, contract))
        for spec in checks.sent_inputs(signature, contract).values()
    ]
