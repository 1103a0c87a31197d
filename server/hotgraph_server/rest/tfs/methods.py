"""What each target does: a request's body to a call or to an answer, over the registry and the gRPC services.

Predict goes from JSON to arrays and into the queue itself. Everything else is what the gRPC method of the
same name does, with its request made from JSON and its response turned into it: one set of rules, of
errors and of words. Predict goes that way too where calls are written down, for what is written is messages.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from hotgraph_server.batching.completion import Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, InvalidCall, NotFound, NotLoaded
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.submission import Answer, submit
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.tfs import decode, encode, model_spec
from hotgraph_server.rest.json import text as json_text
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.tfs import examples, predict
from hotgraph_server.rest.tfs.paths import Target, What
from hotgraph_server.rest.translated_reply import TranslatedReply
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.http import HttpReply
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply, Service

Begin = Callable[[Target, Message, HttpReply], None]
About = Callable[[Target], bytes]


class _OfExamples(NamedTuple):
    """A gRPC method that takes examples: its name, its messages, and how its result is written as JSON."""

    method: str
    request: Any
    response: Any
    write: Callable[[Any], bytes]


_CLASSIFY = _OfExamples(
    "Classify",
    classification_pb2.ClassificationRequest,
    classification_pb2.ClassificationResponse,
    examples.write_classes,
)
_REGRESS = _OfExamples(
    "Regress",
    regression_pb2.RegressionRequest,
    regression_pb2.RegressionResponse,
    examples.write_values,
)


class Methods:
    """Any thread may call everything.

    Attributes:
        calls: begin a call with its target, its body and where its answer goes; raise CallError instead
            of using the reply.
        about: answer at once, or raise CallError.
        pool: what is called in its threads is read and written by another process.
    """

    def __init__(
        self,
        registry: Registry,
        prediction: Service,
        models: Service,
        names: Callable[[], Iterable[str]] | None = None,
        is_logged: Callable[[str], bool] = lambda model: False,
        pool: JsonProcessPool | None = None,
        *,
        strict_shapes: bool = True,
    ) -> None:
        """
        Args:
            registry: which versions are live.
            prediction: tensorflow.serving.PredictionService.
            models: tensorflow.serving.ModelService.
            names: of the models that it knows of; None: those of the registry.
            is_logged: may calls of the model of that name be written down?
            pool: reads and writes very large JSON; None: that happens here.
            strict_shapes: does Predict refuse inputs whose shape contradicts the signature?
        """
        self._registry = registry
        self._prediction = prediction
        self._models = models
        self._names = names or (lambda: registry.table)
        self._is_logged = is_logged
        self._strict_shapes = strict_shapes
        self.pool = pool or JsonProcessPool(0)
        self.calls: dict[What, Begin] = {
            What.PREDICT: self._predict,
            What.CLASSIFY: functools.partial(self._ask_of_examples, _CLASSIFY),
            What.REGRESS: functools.partial(self._ask_of_examples, _REGRESS),
        }
        self.about: dict[What, About] = {
            What.MODELS: self._statuses,
            What.STATUS: self._status,
            What.METADATA: self._metadata,
        }

    def close(self) -> None:
        """End what was started for the calls so far."""
        self.pool.stop()

    def _predict(self, target: Target, body: Message, call: HttpReply) -> None:
        # A broken request for an unknown model is told that it is broken.
        refusal, version = None, None
        try:
            version = self._version(target)
        except NotLoaded:
            # By its signatures the body is read.
            raise
        except CallError as error:
            refusal = error
        with telling(self._registry, target.name):
            request = self.pool.run(
                predict.read_request,
                body,
                dict(version.signatures) if version else {},
                strict_shapes=self._strict_shapes,
            )
        if version is None:
            assert refusal is not None
            with telling(self._registry, target.name):
                raise refusal
        if version.state is not State.LIVE:
            # Another has taken its place while a large body was read.
            self._predict(target, body, call)
            return
        if request.inputs is None:
            with telling(self._registry, target.name):
                raise _no_signature(version, request.signature)
        signature, inputs = version.signatures[request.signature], request.inputs
        if self._is_logged(version.name):
            self._predict_by_message(version, signature, inputs, request.rows, call)
            return
        outputs = signature.output_aliases
        answer = _Predicted(call, (call, outputs, request.rows, self.pool))
        request_of_call = Request(
            *(signature, inputs, outputs, answer, call.deadline), peer=call.peer, observer=call.observer
        )
        submit(version, request_of_call, call)

    def _predict_by_message(
        self, version: Version, signature: Signature, inputs: Sequence[Array], rows: bool, reply: Reply
    ) -> None:
        request = predict_pb2.PredictRequest()
        request.model_spec.CopyFrom(model_spec.answered(version, signature.name))
        for spec, array in zip(signature.inputs, inputs, strict=True):
            request.inputs[spec.alias].ParseFromString(encode.encode_tensor(array))
        outputs = signature.output_aliases

        def write(response: Any) -> bytes:
            arrays = [decode.decode_tensor(alias, response.outputs[alias]) for alias in outputs]
            return predict.write_outputs(outputs, arrays, rows=rows)

        self._hand_on(
            "Predict",
            request.SerializeToString(),
            TranslatedReply(reply, predict_pb2.PredictResponse, write),
        )

    def _ask_of_examples(self, about: _OfExamples, target: Target, body: Message, call: HttpReply) -> None:
        name, written = self.pool.run(examples.read_request, body)
        request = about.request()
        request.model_spec.signature_name = name
        self._fill_spec(request.model_spec, target)
        self._check_number(target)
        reply = TranslatedReply(call, about.response, lambda found: about.write(found.result))
        # Messages may be concatenated.
        self._hand_on(about.method, bytes(request.SerializeToString()) + written, reply)

    def _hand_on(self, method: str, request: bytes, reply: Reply) -> None:
        self._prediction.hot[method](request, reply)

    def _statuses(self, _: Target) -> bytes:
        found = {}
        for name in sorted(self._names()):
            # One that has gone meanwhile is not there.
            with contextlib.suppress(NotFound):
                found[name] = self._status_of(Target(What.STATUS, name))
        return json_text.write({"models": found})

    def _status(self, target: Target) -> bytes:
        return json_text.write(self._status_of(target))

    def _status_of(self, target: Target) -> Any:
        """Raises CallError."""
        request = get_model_status_pb2.GetModelStatusRequest()
        self._fill_spec(request.model_spec, target)
        return _as_dict(self._models.plain["GetModelStatus"].answer(request))

    def _metadata(self, target: Target) -> bytes:
        self._check_number(target)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill_spec(request.model_spec, target)
        response = self._prediction.plain["GetModelMetadata"].answer(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        answer = {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {"signature_def": _as_dict(signatures)},
        }
        return json_text.write(answer)

    def _fill_spec(self, spec: Any, target: Target) -> None:
        spec.name = target.name
        if target.number is not None:
            spec.version.value = target.number
        elif target.label:
            spec.version_label = target.label

    def _version(self, target: Target) -> Version:
        """Raises CallError."""
        self._check_number(target)
        wanted = model_spec.Wanted(target.name, target.number, target.label)
        return model_spec.find(self._registry, wanted)

    def _check_number(self, target: Target) -> None:
        # In a message 0 can mean that no version was named, but who writes it in a path means it.
        if target.number == 0 and 0 not in self._registry.table.get(target.name, {}):
            raise NotFound(f"Servable not found for request: Specific({target.name}, 0)")


class _Predicted(Answer[tuple[HttpReply, Sequence[str], bool, JsonProcessPool]]):
    """About the call, the outputs that it gets, whether in rows, and where JSON is written."""

    __slots__ = ()

    def _deliver(self, outcome: Outcome) -> None:
        if not isinstance(outcome, CallError):
            self.about[0].json_bytes_out = sum(array.nbytes for array in outcome)
        super()._deliver(outcome)

    def encode(self, arrays: Sequence[Array]) -> bytes:
        _, outputs, rows, pool = self.about
        return pool.run(predict.write_outputs, outputs, arrays, rows=rows)


def _no_signature(version: Version, name: str) -> InvalidCall:
    why = f" It cannot be called: {version.unusable[name]}." if name in version.unusable else ""
    return InvalidCall(f'Serving signature name: "{name}" not found in signature def{why}')


def _as_dict(message: Any) -> Any:
    # With the fields' own names, and with those that say nothing, as TensorFlow Serving prints them.
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
