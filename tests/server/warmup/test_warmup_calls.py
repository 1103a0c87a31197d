"""What a model brings to be warmed up with: some of it to try batch safety with, all of it run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import InvalidCall, LoadError, RunFailed
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.warmup_calls import WarmupCall, nothing, replay, samples_of

from ..fakes import rows, signature

S = signature("s")
TWO = signature("two", inputs={"a": (None, 2), "scale": (), "table": (3,)})


def brought(*inputs: Array, of: Signature = S, kind: str = "predict", check: Any = len) -> WarmupCall:
    return WarmupCall(kind, f"record of {kind}", of, inputs, of.output_aliases, check)


def test_most_models_bring_nothing() -> None:
    assert list(nothing({"s": S}, {})) == []


def test_calls_that_have_the_shapes_of_their_signature_are_samples() -> None:
    table, scale = np.zeros(3, np.float32), np.float32(1)
    good = [brought(rows(1, 2)), brought(rows(3), np.array(scale), table, of=TWO)]
    bad = [
        brought(np.zeros(2, np.float32)),
        brought(np.zeros((), np.float32)),
        brought(rows()),
        brought(rows(3), np.zeros(2, np.float32), table, of=TWO),
    ]
    samples = samples_of([*bad, *good])
    assert {name: [list(inputs) for inputs in found] for name, found in samples.items()} == {
        "s": [[good[0].inputs[0]]],
        "two": [list(good[1].inputs)],
    }


def test_inputs_that_differ_in_their_rows_are_no_sample() -> None:
    pair = signature("pair", inputs={"a": (None, 2), "b": (None, 2)})
    assert samples_of([brought(rows(1, 2), rows(1), of=pair)]) == {"pair": []}


def test_input_of_unknown_rank_is_a_sample_if_it_has_rows() -> None:
    any_rank = signature("any", inputs={"x": None})
    samples = samples_of([brought(np.zeros((), np.float32), of=any_rank), brought(rows(1), of=any_rank)])
    assert len(samples["any"]) == 1


def test_few_samples_are_enough_and_the_rest_is_not_read() -> None:
    read = 0

    def many() -> Any:
        nonlocal read
        while True:
            read += 1
            yield brought(rows(read))

    assert len(samples_of(many())["s"]) == 8
    assert read < 100


class Recording:
    """A graph that remembers its runs."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, tuple[str, ...], list[Any]]] = []

    def __call__(self, one: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> list[Array]:
        self.runs.append((one.name, outputs, [array.tolist() for array in inputs]))
        return list(inputs)


def test_all_calls_are_run_as_they_are_and_counted() -> None:
    run = Recording()
    calls = [brought(rows(1)), brought(np.zeros(1, np.float32)), brought(rows(2), kind="classify")]
    assert replay(calls, run, "m") == {"predict": 2, "classify": 1}
    assert run.runs == [("s", ("y",), [array]) for array in ([[1, 1]], [0.0], [[2, 2]])]


def test_calls_are_run_as_often_as_asked_for() -> None:
    run = Recording()
    assert replay([brought(rows(1))], run, "m", rounds=3) == {"predict": 1}
    assert len(run.runs) == 3


def test_call_that_the_graph_refuses_fails_the_load() -> None:
    def refuse(*_: Any) -> list[Array]:
        raise RunFailed(3, "no such id\nand where")

    with pytest.raises(LoadError) as raised:
        replay([brought(rows(1))], refuse, "model 'm' version 1")
    assert str(raised.value) == (
        "model 'm' version 1: warm-up fails: record of predict: INVALID_ARGUMENT: no such id"
    )


def test_call_whose_answer_could_not_be_sent_fails_the_load() -> None:
    def check(_: Sequence[Array]) -> None:
        raise InvalidCall("Expected output Tensor of DT_FLOAT.")

    with pytest.raises(LoadError, match="record of predict: INVALID_ARGUMENT: Expected output"):
        replay([brought(rows(1), check=check)], Recording(), "m")
