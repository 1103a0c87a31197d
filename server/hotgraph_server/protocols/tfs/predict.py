"""Predict: bytes in, a call into a version's queue, bytes out when its completion ends; see fast_path.py."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.fast_path import FastPath
from hotgraph_server.protocols.submission import Answer, QueueHints, hand_in
from hotgraph_server.protocols.template import Template
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
        place: of the call in the queue; worked out for templates, which spare all later calls the same.
    """

    wanted: Wanted
    version: weakref.ref[Version]
    signature: Signature
    aliases: tuple[str, ...]
    place: QueueHints = QueueHints()


class Predict(FastPath[Asked]):
    """The hot method over a registry. Any number of threads may call it."""

    def __init__(self, registry: Registry, settings: PredictionSettings | None = None) -> None:
        super().__init__()
        self._registry = registry
        self._settings = settings or PredictionSettings()

    def _take_the_short_way(self, template: Template[Asked], message: Message, reply: Reply) -> bool:
        asked = template.meaning
        version = model_spec.look_up(self._registry, asked.wanted)
        if version is None or version is not asked.version():
            return False
        self._hand_in(version, asked, template.inputs(message), reply)
        return True

    def _take_the_long_way(self, message: Message, reply: Reply) -> None:
        request, large = decode.read_request(message)
        version = model_spec.find_for(self._registry, request)
        spec = request.model_spec
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
        self._remember(message, asked, version, inputs, lambda: (spans.tensor_gaps(message, request), None))
        self._hand_in(version, asked, inputs, reply)

    def _hand_in(self, version: Version, asked: Asked, inputs: Sequence[Array], reply: Reply) -> None:
        answer = _Answer(reply, version, asked, self._settings.tensor_content)
        hand_in(
            version,
            asked.signature,
            inputs,
            asked.aliases,
            answer,
            reply,
            deadline=reply.deadline,
            place=asked.place,
        )


class _Answer(Answer):
    __slots__ = ("_as_content", "_asked", "_version")

    def __init__(self, reply: Reply, version: Version, asked: Asked, as_content: bool) -> None:
        super().__init__(reply)
        self._version = version
        self._asked = asked
        self._as_content = as_content

    def encode(self, arrays: Sequence[Array]) -> bytes | list[memoryview]:
        version, asked = self._version, self._asked
        return encode.encode_response(
            version.name,
            version.number,
            asked.signature.name,
            asked.aliases,
            arrays,
            as_content=self._as_content,
        )
