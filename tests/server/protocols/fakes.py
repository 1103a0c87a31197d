"""Versions over graphs of numpy functions, and replies without a port, to drive a protocol in its tests."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded, RunFailed
from hotgraph_server.execution.executor import Opened
from hotgraph_server.models.admission import Admission
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version, title_of
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import BatchSettings, ModelSettings
from hotgraph_server.signatures import Signature, TensorSpec, default_signature
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.service import Answered, joined
from hotgraph_server.warmup.plan import AS_SAVED, Plan
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind

# Nothing in these tests takes long; a test that waits this long has failed.
PATIENCE_S = 60.0

INVALID_ARGUMENT = 3
"""TensorFlow's code."""

Compute = Callable[..., Mapping[str, Array]]
"""The arrays of the inputs, in the signature's order, to the arrays of all outputs by alias."""


def spec(alias: str, dtype: Any, *shape: int | None) -> TensorSpec:
    """An input or output with that shape."""
    return TensorSpec(alias, f"{alias}:0", np.dtype(dtype), shape)


class FakeGraph:
    """executor.OpenGraph over numpy functions, one for each signature; `gate` shut holds every run."""

    def __init__(
        self,
        *computes: tuple[Signature, Compute],
        unusable: Mapping[str, str] | None = None,
        signature_defs: Mapping[str, Any] | None = None,
    ) -> None:
        self.signatures = {signature.name: signature for signature, _ in computes}
        self.unusable = dict(unusable or {})
        self.signature_defs: Mapping[str, Any] = signature_defs or {}
        self.variables: tuple[str, ...] = ()
        self.proofs: Mapping[str, Judgement] = {}
        self.tensor_bytes = 0
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Event()
        self._computes = {signature.name: compute for signature, compute in computes}

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.inside.set()
        assert self.gate.wait(PATIENCE_S)
        answers = self._computes[signature.name](*inputs)
        return [answers[alias] for alias in outputs]

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
        return lambda inputs: Measured(self.run(signature, signature.output_aliases, inputs), 0)

    def give_up(self, name: str, reason: str) -> None:
        raise AssertionError(f"{name}: {reason}")

    def settle(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> dict[str, Plan]:
        return dict.fromkeys(self.signatures, AS_SAVED)

    def read_variables(self) -> dict[str, Array]:
        return {}

    def write_variables(self, values: Mapping[str, Array]) -> None:
        assert not values

    def close(self) -> None:
        pass


class FakeReply:
    """transport.service.Reply for one call, whose answer the test waits for.

    Attributes:
        expires: when the call ends on its own, monotonic seconds; None if nobody said so.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline
        self.peer = "127.0.0.1:1"
        self.observer: ReplyObserver | None = None
        self.held_up: Callable[[bool], object] | None = None
        self.expires: float | None = None
        self.headers: Mapping[str, str] = {}
        self.cancel: Callable[[], object] | None = None
        self._encode: Callable[[], Answered] | None = None
        self._finished = threading.Event()

    @property
    def finished(self) -> bool:
        """Is there an answer?"""
        return self._finished.is_set()

    def finish(self, encode: Callable[[], Answered]) -> None:
        assert not self._finished.is_set(), "finished twice"
        self._encode = encode
        self._finished.set()

    def when_gone(self, cancel: Callable[[], object]) -> None:
        self.cancel = cancel

    def expire_at(self, deadline: float) -> None:
        self.expires = deadline

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def answer(self) -> bytes:
        """What would have been sent; raises what would have been translated."""
        assert self._finished.wait(PATIENCE_S), "never finished"
        # As every transport does: a call that is over is cancelled no more.
        self.cancel = None
        assert self._encode is not None
        return joined(self._encode())


class RecordingVersion(Version):
    """A live version without an executor: its calls are kept, and the test ends them.

    Attributes:
        calls: those handed in, in their order.
        refusal: raised instead of taking a call, if it is set.
        clock: tells a call that is cancelled whether its deadline has passed.
    """

    def __init__(self, name: str, number: int, *signatures: Signature, alone: str | None = None) -> None:
        settings = ModelSettings(name, Path("/nowhere"))
        known = {signature.name: signature for signature in signatures}
        opened = Opened(known, {}, {}, dict.fromkeys(known, alone), {})
        title = title_of(name, number)
        engine = Engine(title, settings, number, FakeGraph)
        admission = Admission(
            title,
            number,
            settings.batch,
            known,
            opened.unbatched_reasons,
            opened.padded,
            (),
            engine.queue,
            engine.statistics,
            engine.clock,
        )
        super().__init__(
            settings,
            number,
            opened,
            Contract(None),
            engine,
            admission,
            sequences=None,
            kept=None,
            default_signature=default_signature(known),
            load_s=0.0,
        )
        self.submit = self.record
        self.clock: Callable[[], float] = time.monotonic
        self.calls: list[Call] = []
        self.refusal: CallError | None = None

    def record(self, request: Request) -> Call:
        """What `submit` does."""
        if self.refusal is not None:
            raise self.refusal
        lane, rows, nbytes = request.hints
        call = Call(
            request.signature,
            request.inputs,
            request.outputs,
            request.completion,
            arrived=0.0,
            deadline=min(request.deadline, time.monotonic() + request.timeout_s),
            joinable=self.unbatched_reasons[request.signature.name] is None,
            level=request.priority,
            lane=lane,
            rows=rows,
            nbytes=nbytes,
            peer=request.peer,
        )
        call.taken_by = self
        self.calls.append(call)
        return call

    def cancel(self, call: Call, *, expired: bool | None = None) -> None:
        """End a call, as what has taken it does."""
        if expired is None:
            expired = call.deadline <= self.clock()
        call.completion.leave(DeadlineExceeded() if expired else Cancelled())


class Models:
    """Live versions in a registry; `stop` ends their executors."""

    def __init__(self) -> None:
        self.registry = Registry()

    def add(
        self, name: str, number: int, graph: FakeGraph, *, live: bool = True, max_queued_calls: int = 1024
    ) -> Version:
        """Publish a version; one that is not live is draining, and its graph is not opened."""
        settings = ModelSettings(name, Path("/nowhere"), BatchSettings(max_queued_calls=max_queued_calls))
        version: Version
        if live:
            version = open_version(settings, number, lambda: graph)
            graph.inside.clear()
        else:
            version = RecordingVersion(name, number, *graph.signatures.values())
            version.state = State.DRAINING
        self.registry.publish([version])
        return version

    def stop(self) -> None:
        """All executors end."""
        for version in self.registry.versions():
            assert version.stop(PATIENCE_S)


def float_signature(
    name: str = "serving_default", *, defaults: Mapping[str, Array] | None = None
) -> Signature:
    """`x` float32 [-1, 2] and `y` float32 [-1, 2] to `sum` and `difference`, float32 [-1, 2]."""
    return Signature(
        name,
        (spec("x", np.float32, None, 2), spec("y", np.float32, None, 2)),
        (spec("sum", np.float32, None, 2), spec("difference", np.float32, None, 2)),
        defaults=defaults or {},
    )


def add_and_subtract(x: Array, y: Array) -> Mapping[str, Array]:
    """The function of `float_signature`."""
    return {"sum": x + y, "difference": x - y}


def refuse_666(x: Array, y: Array) -> Mapping[str, Array]:
    """`add_and_subtract`, but one value is more than the graph can bear."""
    if (x == 666).any():
        raise RunFailed(INVALID_ARGUMENT, "666 is not a number\n\t[[{{node x}}]]")
    return add_and_subtract(x, y)


def identity_signature(dtype: Any, *shape: int | None, name: str = "serving_default") -> Signature:
    """`x` to `x`, of any dtype."""
    return Signature(name, (spec("x", dtype, *shape),), (spec("x", dtype, *shape),))


def identity(x: Array) -> Mapping[str, Array]:
    """The function of `identity_signature`."""
    return {"x": x}


def strings(*values: bytes) -> Array:
    """A vector of strings."""
    array = np.empty(len(values), STRING)
    array[:] = values
    return array
