"""``inference.GRPCInferenceService``: which versions there are, what they take, and ModelInfer."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_protos.version import __version__
from hotgraph_server.batching.slot import Outcome, Slot
from hotgraph_server.errors import CallError, InternalError, InvalidCall, NotFound, NotReady, RunFailed
from hotgraph_server.model import State, Version
from hotgraph_server.protocols.v2 import codec
from hotgraph_server.protocols.v2.parameters import read_parameters
from hotgraph_server.registry import Registry
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.statistics import Snapshot, Total
from hotgraph_server.transport.service import PlainMethod, Reply, Service

NAME = "inference.GRPCInferenceService"

_EXTENSIONS = ("binary_tensor_data", "parameters", "statistics")
_PLATFORM = "tensorflow_savedmodel"


def service(registry: Registry, is_ready: Callable[[], bool]) -> Service:
    """The service over a registry; `is_ready` says whether the server as a whole takes calls."""
    answers = _Answers(registry, is_ready)
    return Service(
        name=NAME,
        descriptor=pb.DESCRIPTOR,
        hot={"ModelInfer": _Infer(registry)},
        plain={
            "ServerLive": PlainMethod(pb.ServerLiveRequest, answers.server_live),
            "ServerReady": PlainMethod(pb.ServerReadyRequest, answers.server_ready),
            "ModelReady": PlainMethod(pb.ModelReadyRequest, answers.model_ready),
            "ServerMetadata": PlainMethod(pb.ServerMetadataRequest, answers.server_metadata),
            "ModelMetadata": PlainMethod(pb.ModelMetadataRequest, answers.model_metadata),
            "ModelStatistics": PlainMethod(pb.ModelStatisticsRequest, answers.model_statistics),
        },
    )


class _Infer:
    """ModelInfer: bytes in, a call into the version's queue, bytes out when its slot ends."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __call__(self, message: bytes, reply: Reply) -> None:
        request, raw = codec.read_request(message)
        try:
            self._hand_in(request, raw, reply)
        except CallError as error:
            # No cause: an error without an id is worded as it is, and would be its own.
            raise _with_id(error, request.id) from None

    def _hand_in(
        self, request: pb.ModelInferRequest, raw: Sequence[bytes | memoryview], reply: Reply
    ) -> None:
        version = _find(self._registry, request.model_name, request.model_version)
        parameters = read_parameters(request)
        signature = _signature(version, parameters.signature_name)
        batched = version.alone[signature.name] is None
        inputs = codec.decode_inputs(request, signature, version.name, batched=batched, raw=raw)
        outputs = codec.requested_outputs(request, signature, version.name)
        specs = [signature.outputs_by_alias[alias] for alias in outputs]
        slot = Slot(functools.partial(self._deliver, reply, version, request.id, specs))
        deadline = min(reply.deadline, time.monotonic() + parameters.timeout_s)
        call = version.call(signature, inputs, outputs, slot, deadline=deadline)
        reply.when_gone(functools.partial(version.leave, call))

    @staticmethod
    def _deliver(
        reply: Reply, version: Version, request_id: str, specs: list[TensorSpec], outcome: Outcome
    ) -> None:
        def encode() -> bytes:
            if isinstance(outcome, CallError):
                raise _with_id(outcome, request_id)
            return codec.encode_response(version.name, version.number, request_id, specs, outcome)

        reply.finish(encode)


class _Answers:
    """The plain methods."""

    def __init__(self, registry: Registry, is_ready: Callable[[], bool]) -> None:
        self._registry = registry
        self._is_ready = is_ready

    def server_live(self, _: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    def server_ready(self, _: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._is_ready())

    def model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        version = self._registry.find(request.name, _number(request.version))
        return pb.ModelReadyResponse(ready=version is not None and version.state is State.LIVE)

    def server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="hotgraph", version=__version__, extensions=_EXTENSIONS)

    def model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        version = _find(self._registry, request.name, request.version)
        numbers = [version.number] if request.version else sorted(self._registry.table[version.name])
        response = pb.ModelMetadataResponse(
            name=version.name,
            versions=[str(number) for number in numbers],
            platform=_PLATFORM,
            properties=_properties(version),
        )
        if version.default_signature is not None:
            response.inputs.extend(map(_tensor_metadata, version.default_signature.inputs))
            response.outputs.extend(map(_tensor_metadata, version.default_signature.outputs))
        return response

    def model_statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        number = _number(request.version)
        if request.name and request.name not in self._registry.table:
            raise InvalidCall(f"requested model '{request.name}' is not available")
        chosen = [
            version
            for version in self._registry.versions()
            if request.name in ("", version.name) and number in (None, version.number)
        ]
        if number is not None and not chosen:
            raise InvalidCall(
                f"requested model version is not available for model '{request.name}': {number}"
            )
        return pb.ModelStatisticsResponse(model_stats=map(_statistics, chosen))


def _find(registry: Registry, name: str, version: str) -> Version:
    number = _number(version)
    found = registry.find(name, number)
    if found is None:
        which = f"'{name}' version {number}" if number is not None and registry.find(name) else f"'{name}'"
        raise NotFound(f"Request for unknown model: {which} is not found")
    if found.state is not State.LIVE:
        raise NotReady(f"Request for unknown model: {found.title} is not at ready state")
    return found


def _number(version: str) -> int | None:
    """A version as requests spell it; None: whichever is the highest."""
    if not version:
        return None
    if version.startswith("-") and version[1:].isdecimal():
        raise InvalidCall(f"invalid model version specified '{version}'")
    if not (version.isascii() and version.isdecimal() and len(version) <= 18):
        raise InvalidCall(f"failed to get model version from specified version string '{version}'")
    return int(version)


def _signature(version: Version, name: str) -> Signature:
    signature = version.signatures.get(name) if name else version.default_signature
    if signature is not None:
        return signature
    if name in version.unusable:
        raise InvalidCall(
            f"signature '{name}' of model '{version.name}' cannot be called: {version.unusable[name]}"
        )
    missing = f"no signature '{name}'" if name else "no default signature"
    raise InvalidCall(
        f"model '{version.name}' has {missing}; the request parameter 'signature_name' takes one of "
        f"{sorted(version.signatures)}"
    )


def _with_id(error: CallError, request_id: str) -> CallError:
    """An error as this protocol's clients expect it: a run that failed is INTERNAL, and the text begins
    with the request's id if it has one."""
    prefix = f"[request id: {request_id}] " if request_id else ""
    if isinstance(error, RunFailed):
        return _Worded(prefix + str(error), error, InternalError.status)
    return _Worded(prefix + str(error), error, error.status) if prefix else error


class _Worded(CallError):
    """An error under another text or status."""

    def __init__(self, text: str, error: CallError, status: Any) -> None:
        self.status = status
        self.retry_after_ms = error.retry_after_ms
        super().__init__(text)


def _tensor_metadata(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.alias,
        datatype=wire.datatype_of(spec.dtype) or codec.INVALID_DATATYPE,
        shape=codec.shape_of(spec),
    )


def _properties(version: Version) -> Mapping[str, str]:
    """What the protocol has no field for: the other signatures, and which are batched."""
    default = version.default_signature
    properties = {"signatures": ",".join(version.signatures)}
    if default is not None:
        properties["default_signature"] = default.name
    for name, reason in version.alone.items():
        properties[f"batching.{name}"] = "batched" if reason is None else f"alone: {reason}"
    return properties


def _statistics(version: Version) -> pb.ModelStatistics:
    figures: Snapshot = version.statistics.snapshot()
    return pb.ModelStatistics(
        name=version.name,
        version=str(version.number),
        last_inference=figures.last_run_ms,
        inference_count=figures.rows,
        execution_count=figures.runs,
        inference_stats=pb.InferStatistics(
            success=_duration(figures.success),
            fail=_duration(figures.fail),
            queue=_duration(figures.queue),
            compute_infer=_duration(figures.run),
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=rows, compute_infer=_duration(total))
            for rows, total in sorted(figures.by_rows.items())
        ],
    )


def _duration(total: Total) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=total.count, ns=total.ns)
