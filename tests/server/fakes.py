"""Stand-ins that a test holds in its hand: a clock that it moves, a graph that it holds shut, a caller."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError
from hotgraph_server.execution.executor import Opened
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.opening import assemble
from hotgraph_server.models.version import Version, title_of
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.plan import AS_SAVED, Plan
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind

HANG_S = 30.0
"""Only a test that fails anyway waits this long, seconds."""


@contextmanager
def switching_often() -> Iterator[None]:
    """Let Python change threads as often as it can, so that a race that is there is lost soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def until(holds: Callable[[], object], patience_s: float = HANG_S, pause_s: float = 0.001) -> None:
    """Ask again and again, until it is so; fails if it never is."""
    give_up_at = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up_at, "it never came to that"
        time.sleep(pause_s)


FLOAT32 = np.dtype(np.float32)


class FakeClock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def signature(
    name: str = "serving_default",
    inputs: Mapping[str, Shape | None] | None = None,
    outputs: Mapping[str, Shape | None] | None = None,
    *,
    dtype: np.dtype[Any] = FLOAT32,
    writes: bool = False,
) -> Signature:
    """A signature whose tensors all have `dtype`; `x` [-1, 2] in and `y` [-1, 2] out if nothing is said."""

    def specs(shapes: Mapping[str, Shape | None] | None, default: str) -> tuple[TensorSpec, ...]:
        chosen = {default: (None, 2)} if shapes is None else shapes
        return tuple(TensorSpec(alias, f"{alias}:0", dtype, shape) for alias, shape in chosen.items())

    return Signature(name, specs(inputs, "x"), specs(outputs, "y"), writes=writes)


def rows(*values: float) -> Array:
    """float32 [n, 2]: a row for each of `values`, which it holds twice."""
    return np.repeat(np.array(values, np.float32)[:, None], 2, axis=1)


class Caller:
    """Someone who waits for the outcome of one call.

    Attributes:
        completion: where the outcome is to land.
        outcomes: what was delivered; more than one would be a bug.
        thread: that of the last delivery.
    """

    def __init__(self) -> None:
        self.completion = Completion(self._deliver)
        self.outcomes: list[Outcome] = []
        self.thread: int | None = None
        self._ended = threading.Event()

    def _deliver(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.thread = threading.get_ident()
        self._ended.set()

    def outcome(self) -> Outcome:
        """Wait for what was delivered."""
        assert self._ended.wait(HANG_S), "nobody ended the call"
        (outcome,) = self.outcomes
        return outcome

    def answer(self) -> list[Array]:
        """Wait for arrays; an error fails the test."""
        outcome = self.outcome()
        assert not isinstance(outcome, CallError), repr(outcome)
        return list(outcome)

    def error(self) -> CallError:
        """Wait for an error; arrays fail the test."""
        outcome = self.outcome()
        assert isinstance(outcome, CallError), outcome
        return outcome


def call(
    inputs: Array | Sequence[Array] | None = None,
    of: Signature | None = None,
    completion: Completion | None = None,
    *,
    outputs: tuple[str, ...] | None = None,
    arrived: float = 0.0,
    deadline: float = math.inf,
    joinable: bool = True,
    peer: str | None = None,
) -> Call:
    """A call of `of` with one row of ones, if nothing is said."""
    of = of or signature()
    arrays = rows(1) if inputs is None else inputs
    made = Call(
        of,
        [arrays] if isinstance(arrays, np.ndarray) else arrays,
        of.output_aliases if outputs is None else outputs,
        completion or Caller().completion,
        arrived=arrived,
        deadline=deadline,
        joinable=joinable,
    )
    made.peer = peer
    return made


def doubled(inputs: Sequence[Array]) -> list[Array]:
    """What FakeGraph computes: twice its first input, or a row of zeros if it has none."""
    return [inputs[0] * 2 if inputs else rows(0)]


class FakeGraph:
    """A graph that computes what the test wants and can be held shut, run by run.

    Every method asserts that it is called in the thread that opened it, as graph.Graph does.

    Attributes:
        compute: inputs to outputs; the test may replace it between runs.
        runs: the inputs of every run so far, those of the warm-up included.
        closed: how often it was closed.
    """

    def __init__(
        self, *signatures: Signature, compute: Callable[[Sequence[Array]], Sequence[Array]] = doubled
    ) -> None:
        self.signatures = {one.name: one for one in signatures or (signature(),)}
        self.unusable: dict[str, str] = {}
        self.signature_defs: Mapping[str, Any] = {}
        self.variables: tuple[str, ...] = ()
        self.proofs: Mapping[str, Judgement] = {}
        self.tensor_bytes = 0
        self.compute = compute
        self.runs: list[list[Array]] = []
        self.closed = 0
        self.owner: int | None = None
        self._shut = False
        self._entered = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)

    def open(self) -> FakeGraph:
        """For an executor's `open_graph`."""
        self.owner = threading.get_ident()
        return self

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self._assert_owner()
        # Copies: a test that asks whether arrays are still alive must not keep them alive itself.
        self.runs.append([array.copy() for array in inputs])
        if self._shut:
            self._entered.release()
            assert self._passes.acquire(timeout=HANG_S), "the test never let the run go on"
        # Of infinities and of what is no number TensorFlow makes something without a word.
        with np.errstate(all="ignore"):
            return self.compute(inputs)

    def read_variables(self) -> dict[str, Array]:
        return {}

    def write_variables(self, values: Mapping[str, Array]) -> None:
        self._assert_owner()

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
        self._assert_owner()
        return lambda inputs: Measured(self.run(signature, signature.output_aliases, inputs), 0)

    def give_up(self, name: str, reason: str) -> None:
        del self.signatures[name]
        self.unusable[name] = reason

    def settle(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> dict[str, Plan]:
        return dict.fromkeys(self.signatures, AS_SAVED)

    def close(self) -> None:
        self._assert_owner()
        self.closed += 1

    def shut(self) -> None:
        """From now on a run that has begun waits for `let_one_go`."""
        self._shut = True

    def wait_until_held(self) -> list[Array]:
        """Wait until a run has begun and is held; returns its inputs."""
        assert self._entered.acquire(timeout=HANG_S), "no run has begun"
        return self.runs[-1]

    def let_one_go(self) -> None:
        """Let the run that is held, or the next one, go on."""
        self._passes.release()

    def let_all_go(self) -> None:
        """Hold no run any more."""
        self._shut = False
        self._passes.release()

    def _assert_owner(self) -> None:
        assert threading.get_ident() == self.owner, "another thread than its executor touched the graph"


def idle_version(
    name: str, number: int, *signatures: Signature, contract: Contract | None = None, **of_opened: Any
) -> Version:
    """A live version whose engine was never started, so that there is nothing to stop.

    Args:
        of_opened: what Opened shall have besides its signatures.
    """
    settings = ModelSettings(name, Path("unused"))
    known = {one.name: one for one in signatures}
    told = {"unusable": {}, "unbatched_reasons": dict.fromkeys(known), **of_opened}
    opened = Opened(known, signature_defs={}, plans={}, **told)
    engine = Engine(title_of(name, number), settings, number, FakeGraph().open)
    return assemble(settings, number, engine, opened, contract or Contract(None))


def submit(version: Version, request: Request) -> Call:
    """Submit what is no call of a sequence, so that the test can look at the call."""
    made = version.submit(request)
    assert isinstance(made, Call)
    return made
