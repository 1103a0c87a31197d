"""Models that break naive batchers, each a real SavedModel: the same answers with neighbours as alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from hotgraph_server.batching.comparing import alike
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, RunFailed
from hotgraph_server.graph.graph import Graph
from hotgraph_server.models.opening import open_version
from hotgraph_server.settings import BatchSettings, ModelSettings, SessionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Event
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.plan import Plan
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind

from ...saved_models import SavedModels
from ..fakes import HANG_S, Caller


class Held:
    """A real graph whose next run waits until the test lets it go."""

    def __init__(self, directory: Path) -> None:
        self._graph = Graph.open(directory, SessionSettings())
        self.signatures: dict[str, Signature] = self._graph.signatures
        self.unusable: dict[str, str] = self._graph.unusable
        self.signature_defs: Mapping[str, Any] = self._graph.signature_defs
        self.variables = self._graph.variables
        self.proofs = self._graph.proofs
        self.tensor_bytes = self._graph.tensor_bytes
        self.rows: list[int] = []
        self._open = threading.Event()
        self._open.set()
        self._entered = threading.Event()

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.rows.append(len(inputs[0]) if inputs and inputs[0].ndim else 1)
        self._entered.set()
        assert self._open.wait(HANG_S), "the test never let the run go on"
        return self._graph.run(signature, outputs, inputs)

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
        return self._graph.bounded(signature, run_s)

    def give_up(self, name: str, reason: str) -> None:
        self._graph.give_up(name, reason)

    def settle(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> Mapping[str, Plan]:
        return self._graph.settle(kinds, rows)

    def read_variables(self) -> dict[str, Array]:
        return self._graph.read_variables()

    def write_variables(self, values: Mapping[str, Array]) -> None:
        self._graph.write_variables(values)

    def close(self) -> None:
        self._graph.close()

    def shut(self) -> None:
        self._open.clear()
        self._entered.clear()

    def wait_until_held(self) -> None:
        assert self._entered.wait(HANG_S), "no run has begun"

    def let_go(self) -> None:
        self._open.set()


class Serving:
    """A live version of one of the zoo's models."""

    def __init__(self, directory: Path, **batch: Any) -> None:
        self._graphs: list[Held] = []

        def open_graph() -> Held:
            self._graphs.append(Held(directory))
            return self._graphs[0]

        # A check would hide that they should not have been joined.
        settings = ModelSettings("m", directory, BatchSettings(**{"verify_one_in": 0, **batch}))
        self.version = open_version(settings, 1, open_graph)
        (self.graph,) = self._graphs

    def call(self, name: str, inputs: Sequence[Array]) -> Caller:
        caller, one = Caller(), self.version.signatures[name]
        self.version.submit(Request(one, inputs, one.output_aliases, caller.completion))
        return caller

    def alone(self, name: str, every: Sequence[Sequence[Array]]) -> list[Caller]:
        """One after the other, each when the one before has its answer."""
        callers = []
        for inputs in every:
            callers.append(self.call(name, inputs))
            callers[-1].outcome()
        return callers

    def together(self, name: str, every: Sequence[Sequence[Array]]) -> list[Caller]:
        """All but the first come while a run is held, so the executor finds them waiting together."""
        self.graph.shut()
        held = self.call(name, every[0])
        self.graph.wait_until_held()
        self.graph.rows.clear()
        callers = [self.call(name, inputs) for inputs in every]
        self.graph.let_go()
        held.outcome()
        for caller in callers:
            caller.outcome()
        return callers


@pytest.fixture
def serve(saved_models: SavedModels) -> Any:
    servings: list[Serving] = []

    def start(model: str, **batch: Any) -> Serving:
        servings.append(Serving(saved_models[model], **batch))
        return servings[-1]

    yield start
    for serving in servings:
        serving.graph.let_go()
        assert serving.version.stop(HANG_S)


def example(**features: Sequence[float]) -> bytes:
    return bytes(
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=value))
                    for name, value in features.items()
                }
            )
        ).SerializeToString()
    )


def texts(*values: bytes) -> list[Array]:
    return [np.array([value], STRING) for value in values]


def ids(*values: int) -> list[Array]:
    return [np.array([value], np.int32) for value in values]


def floats(width: int, count: int = 6, rows: int = 1) -> list[Array]:
    random = np.random.default_rng(7)
    return [random.standard_normal((rows, width)).astype(np.float32) for _ in range(count)]


EXAMPLES = texts(
    example(x=[1, 2, 3, 4]),
    b"no tf.Example",
    example(x=[5, 6, 7, 8]),
    example(other=[1]),
    example(x=[0, 0, 0, 1]),
)

# model, what calls bring, whether they share runs, settings
TRAPS: list[Any] = [
    pytest.param(
        "padded_text", texts(b"a", b"a much longer sentence than that", b"bb"), False, {}, id="strings"
    ),
    pytest.param(
        "strings", texts(b"a", b"a much longer text", b"\xff\x00"), True, {}, id="strings, harmless"
    ),
    pytest.param("batch_statistics", floats(4), False, {}, id="batch-norm in training mode"),
    pytest.param("unbatched_output", floats(3), False, {}, id="total over all rows"),
    pytest.param("unbatched_output", floats(3), False, {"batching": "always"}, id="total, though always"),
    pytest.param("square_output", floats(3), True, {}, id="square output of everybody"),
    pytest.param("square_output", floats(3, rows=3), True, {}, id="square output, as many rows"),
    pytest.param("embedding", ids(1, 77, 4, -1, 0, 2, 3, 1, 2), True, {}, id="id out of range"),
    pytest.param("example_scores", EXAMPLES, True, {}, id="broken tf.Example among others"),
    pytest.param("vocabulary", texts(b"amber", b"what", b"coral"), True, {}, id="vocabulary"),
]


@pytest.mark.parametrize(("model", "arrays", "shares", "batch"), TRAPS)
def test_answers_with_neighbours_are_those_alone(
    serve: Callable[..., Serving], model: str, arrays: list[Array], shares: bool, batch: dict[str, Any]
) -> None:
    serving = serve(model, **batch)
    name = next(
        name
        for name in ("serving_default", *serving.version.signatures)
        if name in serving.version.signatures
    )
    every = [[array] for array in arrays]
    for alone, together in zip(serving.alone(name, every), serving.together(name, every), strict=True):
        assert_same(alone, together)
    assert (max(serving.graph.rows) > len(arrays[0])) == shares
    assert (serving.version.unbatched_reasons[name] is None) == shares


def assert_same(alone: Caller, together: Caller) -> None:
    expected, got = alone.outcome(), together.outcome()
    if isinstance(expected, CallError):
        assert isinstance(expected, RunFailed)
        assert isinstance(got, RunFailed)
        assert got.code == expected.code
        return
    assert not isinstance(got, CallError), repr(got)
    for one, other in zip(expected, got, strict=True):
        assert alike(one, other)


def test_calls_with_equal_scalars_share_runs_and_others_do_not_meet(serve: Callable[..., Serving]) -> None:
    serving = serve("scalar_input")
    arrays = floats(2, count=6)
    every = [
        _inputs(serving, x=array, factor=np.array(factor, np.float32))
        for array, factor in zip(arrays, (2, 2, 2, -1, -1, 0.5), strict=True)
    ]
    for inputs, caller in zip(every, serving.together("serving_default", every), strict=True):
        by_alias = dict(
            zip(serving.version.signatures["serving_default"].inputs_by_alias, inputs, strict=True)
        )
        np.testing.assert_allclose(caller.answer()[0], by_alias["x"] * by_alias["factor"], rtol=1e-6)
    assert serving.version.statistics.snapshot().by_rows[3].count == 1
    assert serving.version.statistics.snapshot().by_rows[2].count == 1


def _inputs(serving: Serving, **arrays: Array) -> list[Array]:
    return [arrays[spec.alias] for spec in serving.version.signatures["serving_default"].inputs]


def test_counter_counts_every_call_once_and_in_order_whatever_comes_at_once(
    serve: Callable[..., Serving],
) -> None:
    serving = serve("counter", batching="always")
    every = [[np.array(1, np.int64)] for _ in range(8)]
    counts = [int(caller.answer()[0]) for caller in serving.together("increment", every)]
    # The held call was the first.
    assert counts == list(range(2, 10))
    assert int(serving.call("read", []).answer()[0]) == 9


def test_texts_of_different_lengths_can_be_padded_by_their_owner(serve: Callable[..., Serving]) -> None:
    serving = serve("variable_length", pad={"x.1": 0.0})
    arrays = [np.ones((1, length), np.float32) for length in (3, 11, 1, 7)]
    for array, caller in zip(
        arrays, serving.together("serving_default", [[array] for array in arrays]), strict=True
    ):
        answers = dict(
            zip(serving.version.signatures["serving_default"].output_aliases, caller.answer(), strict=True)
        )
        assert answers["total"].tolist() == [array.shape[1]]
        assert answers["nothing"].shape == (1, 0)
    assert serving.version.statistics.snapshot().by_rows[4].count == 1


def test_large_call_on_a_real_graph_is_answered_whole(serve: Callable[..., Serving]) -> None:
    serving = serve("tf2_mlp", max_batch_rows=8, row_buckets=(8,))
    (array,) = floats(16, count=1, rows=30)
    whole = serving.call("serving_default", [array]).answer()[0]
    parts = [serving.call("serving_default", [array[row : row + 1]]).answer()[0] for row in range(30)]
    assert alike(whole, np.concatenate(parts))
    # Nothing is ever run with another number of rows than its bucket's.
    assert set(serving.graph.rows[-30:]) == {8}


def test_nobody_gets_a_wrong_answer_from_what_the_trial_has_let_through(
    serve: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Six threads at once send texts that a graph pads to the longest; the empty one is NaN alone."""
    monkeypatch.setattr("hotgraph_server.warmup.first_runs.why_not_joined", lambda *_, **__: None)
    serving = serve("padded_text", verify_one_in=1000)
    assert serving.version.unbatched_reasons["serving_default"] is None
    every = [texts(b"abcdefgh"[:length] * repeats)[0] for repeats in (1, 3) for length in range(9)]
    expected = [caller.answer()[0] for caller in serving.alone("serving_default", [[one] for one in every])]
    answered: list[tuple[int, Caller]] = []
    serving.graph.shut()
    held = serving.call("serving_default", [every[1]])
    serving.graph.wait_until_held()

    def send(first: int) -> None:
        for number in (*range(first, len(every)), *range(first)):
            answered.append((number, serving.call("serving_default", [every[number]])))

    threads = [threading.Thread(target=send, args=(3 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    serving.graph.let_go()
    held.outcome()
    assert len(answered) == 6 * len(every)
    for number, caller in answered:
        np.testing.assert_allclose(caller.answer()[0], expected[number], rtol=1e-5, equal_nan=True)
    assert 64 in serving.graph.rows
    events = serving.version.statistics.by_signature()["serving_default"].events
    assert events[Event.DIFFERED] == 1
    reason = serving.version.unbatched_reasons["serving_default"] or ""
    assert "output 'mean_code' differs" in reason
    assert "RaggedTensorToTensor" in reason
    assert "RaggedTensorToTensor" in caplog.text
