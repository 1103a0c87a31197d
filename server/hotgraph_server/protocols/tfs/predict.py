"""Predict: bytes in, a call into a version's queue, bytes out when its completion ends; see fast_path.py."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

from hotgraph_server.batching.request import NO_HINTS, QueueHints, Request
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.fast_path import FastPath
from hotgraph_server.protocols.submission import Answer, submit
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.tfs import decode, encode, model_spec, predict_rules, spans
from hotgraph_server.protocols.tfs.model_spec import Wanted
from hotgraph_server.settings import PredictionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply


class Asked(NamedTuple):
    """What a message asks for: all that was found when it was read, but for its tensors.

    Attributes:
        wanted: the model and version, as they were named.
        version: the one that was found; weakly, so that no template keeps a version from closing.
        aliases: of the outputs that the answer shall hold, in its order.
        hints: for the queue; worked out for templates, which spare all later calls the same.
    """

    wanted: Wanted
    version: weakref.ref[Version]
    signature: Signature
    aliases: tuple[str, ...]
    hints: QueueHints = NO_HINTS


class Predict(FastPath[Asked]):
    """The hot method over a registry. Any number of threads may call it."""

    def __init__(self, registry: Registry, settings: PredictionSettings | None = None) -> None:
        super().__init__()
        self._registry = registry
        self._settings = settings or PredictionSettings()

    def __call__(self, message: Message, reply: Reply) -> None:
        template = self._templates.find(message)
        if template is not None:
            asked = template.meaning
            version = model_spec.look_up(self._registry, asked.wanted)
            if version is not None and version is asked.version():
                self._submit(version, asked, template.inputs(message), reply)
                return
        self._take_full_path(message, reply)

    def _take_full_path(self, message: Message, reply: Reply) -> None:
        request, large = decode.read_request(message)
        spec = request.model_spec
        with telling(self._registry, spec.name):
            version = model_spec.find_for(self._registry, request)
            signature = predict_rules.signature_of(
                version.signatures,
                version.unusable,
                spec.signature_name,
                check_method_name=self._settings.check_method_names,
            )
            inputs = predict_rules.inputs_of(
                request, large, signature, strict_shapes=self._settings.predict_checks_shapes
            )
            outputs = predict_rules.outputs_of(request.output_filter, signature)
        asked = Asked(model_spec.wanted(spec), weakref.ref(version), signature, outputs)
        self._remember(message, asked, version, inputs, lambda: (spans.tensor_spans(message, request), None))
        self._submit(version, asked, inputs, reply)

    def _submit(self, version: Version, asked: Asked, inputs: Sequence[Array], reply: Reply) -> None:
        request = Request(
            asked.signature,
            inputs,
            asked.aliases,
            _Answer(reply, (version, asked, self._settings.tensor_content)),
            reply.deadline,
            hints=asked.hints,
            peer=reply.peer,
            observer=reply.observer,
        )
        submit(version, request, reply)


class _Answer(Answer[tuple[Version, Asked, bool]]):
    """About the version that was called, what it was asked, and whether as `tensor_content`."""

    __slots__ = ()

    def encode(self, arrays: Sequence[Array]) -> bytes | list[memoryview]:
        version, asked, as_content = self.about
        return encode.encode_response(
            version.name,
            version.number,
            asked.signature.name,
            asked.aliases,
            arrays,
            as_content=as_content,
        )
