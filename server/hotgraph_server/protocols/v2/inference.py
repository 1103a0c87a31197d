"""ModelInfer: bytes in, a call into a version's queue, bytes out when it completes (fast_path.py)."""

from __future__ import annotations

from collections.abc import Sequence

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.submission import Answer
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.v2 import codec, models, spans
from hotgraph_server.protocols.v2.door import (
    Asked,
    Door,
    holds_for_one_call,
    show_answer,
    submit_call,
    treated_outputs,
    with_id,
)
from hotgraph_server.protocols.v2.outputs import Wanted
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply

_NO_DECOUPLED = "ModelInfer RPC doesn't support models with decoupled transaction policy"


class Infer(Door):
    """The hot method over a registry. Any number of threads may call it.

    Args:
        registry: of the live versions.
        regions: shared memory that tensors may lie in; None: they may not.
        streamed: do the calls come in a stream? Versions that give any number of answers are called so only.
    """

    def __init__(self, registry: Registry, regions: Regions | None = None, *, streamed: bool = False) -> None:
        super().__init__(registry, regions, "" if streamed else _NO_DECOUPLED)

    def __call__(self, message: Message, reply: Reply) -> None:
        """Read the message and queue its call.

        Raises:
            CallError: it cannot be answered, and why; the reply is not used then.
        """
        template = self._templates.find(message)
        if template is not None:
            asked = template.meaning
            version = self._still(asked)
            request_id = template.text(message)
            if version is not None and request_id is not None:
                _submit(version, asked, template.inputs(message), request_id, reply)
                return
        self._take_full_path(message, reply)

    def _take_full_path(self, message: Message, reply: Reply) -> None:
        request, raw = codec.read_request(message)
        try:
            with telling(self._registry, request.model_name):
                number = models.requested_number(request.model_version)
                version = self._find(request.model_name, number)
                asked, inputs = self._understood(request, raw, version, number)
        except CallError as error:
            # No cause: an error without an id is worded as it is, and would be its own.
            raise with_id(error, request.id) from None
        if not holds_for_one_call(request, asked, version):
            self._remember(
                message,
                asked,
                version,
                inputs,
                lambda: (spans.tensor_spans(message, request), spans.id_span(message)),
            )
        _submit(version, asked, inputs, request.id, reply)


class _Answer(Answer[tuple[Version, str, Wanted, ReplyObserver | None]]):
    """About the version that was called, the id of the request, what the answer shall hold, and who follows
    the call."""

    __slots__ = ()

    def encode(self, arrays: Sequence[Array]) -> bytes | list[memoryview]:
        version, request_id, wanted, observer = self.about
        if wanted.treatments is None:
            if observer is not None:
                show_answer(observer, wanted.specs, arrays)
            return codec.encode_response(version.name, version.number, request_id, wanted.specs, arrays)
        specs, sent, elsewhere = treated_outputs(wanted, arrays, request_id)
        if observer is not None:
            show_answer(observer, specs, sent, elsewhere)
        return codec.encode_response(version.name, version.number, request_id, specs, sent, elsewhere)

    def worded(self, error: CallError) -> CallError:
        return with_id(error, self.about[1])


def _submit(version: Version, asked: Asked, inputs: list[Array], request_id: str, reply: Reply) -> None:
    answer = _Answer(reply, (version, request_id, asked.wanted, reply.observer))
    submit_call(version, asked, inputs, request_id, answer, reply)
