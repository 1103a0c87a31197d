"""infer over HTTP: a request's body to a call into a version's queue, and its outcome to an answer's body.

A body of a form that is known (protocols/template.py) is a look at the registry away from the queue, as
gRPC's messages are: what its JSON says is the same, and the tensors are views of what follows it. What is
said elsewhere, and belongs to the form, is the model and the version in the path and the length of the JSON.
Only bodies with tensors behind their JSON have a form.

Much JSON is read and written where no call waits for it: a thread of the pool is asked to do it by whoever
calls `begin` and `encode`, which knows how much it is (transport/http.py).
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.completion import Outcome
from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, NotLoaded
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.submission import Answer
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.v2 import models
from hotgraph_server.protocols.v2.door import (
    Asked,
    Door,
    contract_of,
    holds_for_one_call,
    name_call,
    show_answer,
    submit_call,
    with_id,
)
from hotgraph_server.protocols.v2.outputs import treated
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2 import infer_answer, infer_request
from hotgraph_server.rest.v2.infer_answer import Head, Output, write_answer, write_text
from hotgraph_server.rest.v2.json_forms import Form, JsonForms, around
from hotgraph_server.rest.v2.number_lists import NumberLists
from hotgraph_server.rest.v2.raw_request import raw_request
from hotgraph_server.rest.v2.values import flat, read_values
from hotgraph_server.tensors import Array
from hotgraph_server.transport.http import Content, Endpoint, HttpReply, Request
from hotgraph_server.transport.message_fields import Message, Span

# Larger texts are read elsewhere, and cost what their digits cost.
_MAX_FORM_BYTES = 256 * 1024

_NO_DECOUPLED = "HTTP end point doesn't support models with decoupled transaction policy"

# An id that stands first in the JSON and is all there is between two quotes.
_ID_BEGINS = re.compile(rb'\{\s{0,8}"id"\s{0,8}:\s{0,8}"')
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')


class HttpInfer(Door):
    """Any number of threads may call everything.

    Args:
        registry: of the live versions.
        pool: reads and writes JSON for the threads that are its own.
        most_bytes: of a body.
        regions: shared memory that tensors may lie in; None: they may not.
    """

    def __init__(
        self, registry: Registry, pool: JsonProcessPool, most_bytes: int, regions: Regions | None = None
    ) -> None:
        super().__init__(registry, regions, _NO_DECOUPLED)
        self._forms: JsonForms[_InJson] = JsonForms()
        self._number_lists = NumberLists()
        self._pool = pool
        self._most_bytes = most_bytes

    def endpoint(self, request: Request, model: str, version: str) -> Endpoint:
        """Where a request for a model leads.

        Args:
            model: its name, as it is.
            version: its number as text; empty: the highest that is live.

        Raises:
            CallError: there is no such version, it is not live, or a header makes no sense.
        """
        with telling(self._registry, model):
            number = models.requested_number(version)
            # One that is loaded when it is called is looked for when the body is there.
            with contextlib.suppress(NotLoaded):
                self._find(model, number)
            length = infer_request.header_length(request.headers)
        return Endpoint(
            functools.partial(self._begin, model, number, length),
            self._most_bytes,
            None if length is None else max(length, 0),
            limited=True,
        )

    def _begin(
        self, model: str, number: int | None, length: int | None, body: Message, reply: HttpReply
    ) -> None:
        """Read a body and queue its call.

        Raises:
            CallError: it cannot be answered, and why; the reply is not used then.
        """
        if length:
            template = self._templates.find(body, (model, number, length))
            if template is not None:
                asked = template.meaning
                version = self._still(asked)
                sent_id = template.text(body)
                if version is not None and sent_id is not None and _PLAIN.fullmatch(sent_id):
                    request_id = sent_id or asked.request_id
                    name_call(reply, request_id)
                    self._submit(version, asked, template.inputs(body), request_id, reply)
                    return
        elif length is None and len(body) <= _MAX_FORM_BYTES and not isinstance(body, memoryview):
            found = self._forms.find((model, number), body)
            if found is not None and self._go_by_form(*found, reply):
                return
        self._take_full_path(model, number, length, body, reply)

    def _go_by_form(self, meant: _InJson, values: memoryview, reply: HttpReply) -> bool:
        """Queue a call by the form of its text. Returns False if that cannot be: the full path says why.

        Raises:
            CallError: the queue does not take it.
        """
        version = self._still(meant.asked)
        if version is None:
            return False
        array = self._number_lists.read(values, meant.datatype)
        if array is None:
            try:
                array = read_values(flat(orjson.loads(values), ""), meant.datatype, "")
            except (orjson.JSONDecodeError, CallError):
                return False
        if len(array) != meant.size:
            return False
        array = array.reshape(meant.shape)
        self._submit(version, meant.asked, [array], meant.asked.request_id, reply)
        return True

    def _learn_form(self, body: Message, request: Any, asked: Asked, inputs: Sequence[Array]) -> None:
        """Know a text by its form the next time, if it has one, and it is time for that."""
        if len(body) > _MAX_FORM_BYTES or len(inputs) != 1 or len(request.inputs) != 1:
            return
        (tensor,) = request.inputs
        if tuple(tensor.shape) != inputs[0].shape or not self._forms.wants_more():
            return
        found = around(bytes(body))
        if found is not None:
            meant = _InJson(asked, tensor.datatype, inputs[0].shape, inputs[0].size)
            self._forms.add((asked.model, asked.number), Form(*found, meant))

    def _take_full_path(
        self, model: str, number: int | None, length: int | None, body: Message, reply: HttpReply
    ) -> None:
        with telling(self._registry, model):
            if length is not None:
                infer_request.check_length(length, body)
            read = self._raw(model, number, body) if length == 0 else self._read(model, length, body)
        request = read.request
        request.model_name = model
        name_call(reply, request.id)
        try:
            # Only now: reading may have taken its time, and another version its place.
            with telling(self._registry, model):
                version = self._find(model, number)
                asked, inputs = self._understood(request, read.raw, version, number)
        except CallError as error:
            raise with_id(error, request.id) from None
        binary = tuple(read.binary) if request.outputs else (read.all_binary,) * len(asked.aliases)
        asked = asked._replace(binary=binary, request_id=request.id)
        if holds_for_one_call(request, asked, version):
            pass
        elif length is None:
            self._learn_form(body, request, asked, inputs)
        elif read.places:
            self._remember(
                body,
                asked,
                version,
                inputs,
                lambda: (read.places, _id_span(body, length, request.id)),
                (model, number, length),
            )
        self._submit(version, asked, inputs, request.id, reply)

    def _read(self, model: str, length: int | None, body: Message) -> _Read:
        """Raises CallError."""
        at = len(body) if length is None else length
        text = body if isinstance(body, bytes) and at == len(body) else bytes(memoryview(body)[:at])
        described = self._pool.run(infer_request.read_json, text, with_length=length is not None)
        request = pb.ModelInferRequest.FromString(described.request)
        names = [tensor.name for tensor in request.inputs]
        places = infer_request.tails(names, described.contents, body, at, model, hint=length is None)
        raw = infer_request.raw_contents(names, described.contents, body, places)
        return _Read(request, raw, described.binary, described.all_binary, places)

    def _raw(self, model: str, number: int | None, body: Message) -> _Read:
        """Raises CallError."""
        version = self._find(model, number)
        signature = models.signature_of(version, "")
        request, contents = raw_request(body, signature, contract_of(version, signature), model)
        return _Read(request, [contents], (), all_binary=True, places={})

    def _submit(
        self, version: Version, asked: Asked, inputs: list[Array], request_id: str, reply: HttpReply
    ) -> None:
        answer = _Answer(reply, (version, request_id, asked, self._pool, reply.observer))
        submit_call(version, asked, inputs, request_id, answer, reply)


class _InJson(NamedTuple):
    """What a text of a known form means.

    Attributes:
        asked: all but its tensor.
        datatype, shape: of that.
        size: how many values it has.
    """

    asked: Asked
    datatype: str
    shape: tuple[int, ...]
    size: int


class _Read(NamedTuple):
    """A request that was read.

    Attributes:
        request: without the contents of its tensors.
        raw: those, of all that do not lie in shared memory.
        binary, all_binary: see infer_request.Described.
        places: where contents lie in the body, by the names of the inputs.
    """

    request: Any
    raw: Sequence[bytes | memoryview]
    binary: Sequence[bool]
    all_binary: bool
    places: Mapping[str, Span]


class _Answer(Answer[tuple[Version, str, Asked, JsonProcessPool, ReplyObserver | None]]):
    """About the version that was called, the request's id, what it asks for, where JSON is written, and who
    follows the call."""

    __slots__ = ()

    def _deliver(self, outcome: Outcome) -> None:
        asked = self.about[2]
        binary, treatments = asked.binary, asked.wanted.treatments
        if treatments is not None:
            # Classes are written one by one, as long as JSON takes, even if they are sent as bytes.
            binary = tuple(
                as_bytes and not treatment.classes
                for as_bytes, treatment in zip(binary, treatments, strict=True)
            )
        if False in binary and not isinstance(outcome, CallError):
            infer_answer.announce(self._reply, outcome, binary)
        super()._deliver(outcome)

    def encode(self, arrays: Sequence[Array]) -> Content:
        version, request_id, asked, pool, observer = self.about
        head = Head(version.name, version.number, request_id)
        wanted, binary = asked.wanted, asked.binary

        def write(head: Head, outputs: Sequence[Output]) -> bytes:
            return pool.run(write_text, head, outputs)

        try:
            if wanted.treatments is None:
                if observer is not None:
                    show_answer(observer, wanted.specs, arrays)
                return write_answer(head, wanted.specs, arrays, binary, write=write)
            specs, sent, elsewhere = treated(wanted, arrays)
            if observer is not None:
                show_answer(observer, specs, sent, elsewhere)
            return write_answer(head, specs, sent, binary, elsewhere, write)
        except CallError as error:
            raise with_id(error, request_id) from None

    def worded(self, error: CallError) -> CallError:
        return with_id(error, self.about[1])


def _id_span(body: Message, length: int, request_id: str) -> Span | None:
    """Where the request's id lies, if another text could stand there and be the id of such a request.

    It can if it stands first and no second one can follow: a template compares the text around it.
    """
    text = bytes(memoryview(body)[:length])
    begin = _ID_BEGINS.match(text)
    if begin is None or not request_id:
        return None
    sent = request_id.encode()
    end = begin.end() + len(sent)
    rest = text[end:]
    if text[begin.end() : end] != sent or not rest.startswith(b'"') or not _PLAIN.fullmatch(request_id):
        return None
    # An escape could spell the name of a second one.
    if b'"id"' in rest or b"\\" in rest:
        return None
    return Span(begin.end(), len(sent))
