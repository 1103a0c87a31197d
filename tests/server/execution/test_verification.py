"""Where trust begins, how long the first joined calls are all compared, and what counts as a difference. What
a verifier does with calls is tested with the runner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.comparing import OF_PROVEN
from hotgraph_server.batching.joining import Joining, joining_of
from hotgraph_server.batching.padding import padding_of
from hotgraph_server.batching.trust import FIRST
from hotgraph_server.execution.verification import MAX_BYTES, difference, sample_of, stops, trust_in
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.settings import BatchSettings
from hotgraph_server.state.learnt import Learnt
from hotgraph_server.tensors import STRING, Array

from ..fakes import call, rows, signature


def test_sample_has_arrays_of_its_own() -> None:
    """Views would keep a whole message and a whole batch alive."""
    one = call(rows(1))
    whole = rows(2, 3)
    sample = sample_of(one, [whole[:1]])
    assert sample is not None
    assert not np.shares_memory(sample.inputs[0], one.inputs[0])
    assert not np.shares_memory(sample.answer[0], whole)
    assert sample.answer[0].tolist() == rows(2).tolist()


def test_very_large_calls_are_not_remembered() -> None:
    large = np.zeros((MAX_BYTES // 8 + 1, 2), np.float32)
    assert sample_of(call(large), [rows(1)]) is None


@pytest.mark.parametrize(
    ("batched", "alone", "text"),
    [
        (rows(1), rows(1), None),
        (rows(1), rows(1 + 5e-5), None),
        (rows(1), rows(1.001), "output 'y' differs"),
        (np.array([3]), np.array([4]), "output 'y' differs"),
        (np.array([b"a"], STRING), np.array([b"a"], STRING), None),
        (np.array([b"a"], STRING), np.array([b"b"], STRING), "output 'y' differs"),
        (np.zeros((1, 3)), np.zeros((1, 2)), "shape [1, 3] from a batch and [1, 2] alone"),
    ],
)
def test_difference_names_the_output(batched: Array, alone: Array, text: str | None) -> None:
    found = difference(("y",), [batched], [alone])
    assert found is None if text is None else text in (found or "")


def test_rounding_may_go_further_where_it_is_said_so() -> None:
    alone, moved = np.array([[0.5, 0.1]], np.float32), np.array([[0.5004, 0.1]], np.float32)
    assert difference(("y",), [moved], [alone]) is not None
    assert difference(("y",), [moved], [alone], OF_PROVEN) is None
    assert difference(("y",), [moved + 0.002], [alone], OF_PROVEN) is not None


def test_large_row_of_a_call_hides_nothing_of_a_small_one() -> None:
    alone = np.array([[1.0, 2.0], [1e6, 2e6]], np.float32)
    other = np.array([[2.0, 2.0], [1e6, 2e6]], np.float32)
    assert difference(("y",), [alone], [other]) is not None
    rounded = alone + np.array([[1e-6, 0], [1.0, 0]], np.float32)
    assert difference(("y",), [alone], [rounded]) is None


@pytest.mark.parametrize(
    "values",
    [[b"a", b"bc"], [1.0, 2.0], [1, 2], [True, False], [1 + 2j, 3]],
    ids=["texts", "floats", "integers", "bools", "complex"],
)
@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 2)])
def test_rows_of_every_kind_are_compared(values: list[Any], shape: tuple[int, ...]) -> None:
    dtype = object if isinstance(values[0], bytes) else None
    one = np.array(values, dtype).reshape(shape)
    other = np.array(values[::-1], dtype).reshape(shape)
    assert difference(("y",), [one], [one.copy()]) is None
    assert difference(("y",), [other], [one]) is not None


PROVEN = Judgement(Verdict.PROVEN, {"y": OutputJudgement(Verdict.PROVEN)}, "")
UNKNOWN = Judgement(Verdict.UNKNOWN, {"y": OutputJudgement(Verdict.UNKNOWN)}, "it pads")
FREE = signature(inputs={"x": (None, None)}, outputs={"y": (None, None)})
PADDED = joining_of(FREE, padding_of(FREE, {"x.1": 0}, {"y.1": "x.1"}))


@pytest.mark.parametrize(
    ("proof", "joining", "settings", "compared"),
    [
        (PROVEN, Joining(), BatchSettings(), 1),
        (PROVEN, Joining(buckets=(1, 64)), BatchSettings(), 1),
        (UNKNOWN, Joining(), BatchSettings(), FIRST),
        (None, Joining(), BatchSettings(), FIRST),
        (PROVEN, PADDED, BatchSettings(), FIRST),
        (UNKNOWN, Joining(), BatchSettings(batching="always"), 1),
    ],
    ids=["proven", "filled up", "unknown", "nobody has looked", "padded by setting", "the owner's word"],
)
def test_first_joined_calls_are_all_compared_unless_proof_or_owner_stands_for_them(
    proof: Judgement | None, joining: Joining, settings: BatchSettings, compared: int
) -> None:
    proofs = {} if proof is None else {FREE.name: proof}
    trust = trust_in({FREE.name: FREE}, {FREE.name: None}, proofs, {FREE.name: joining}, settings, {})
    due = [len(trust[FREE.name].take(1, 0.0).before) for _ in range(3)]
    assert due == ([1, 1, 0] if compared == 1 else [1, 1, 1])


def test_what_is_not_joined_or_writes_or_nobody_wants_checked_has_no_trust() -> None:
    signatures = {
        "joined": signature("joined"),
        "alone": signature("alone"),
        "write": signature("write", writes=True),
    }
    alone = {"joined": None, "alone": "the settings say so", "write": None}
    learnt = {"joined": Learnt(500)}
    trust = trust_in(signatures, alone, {}, {}, BatchSettings(), learnt)
    assert {name: one.joined for name, one in trust.items()} == {"joined": 500}
    assert trust_in(signatures, alone, {}, {}, BatchSettings(verify_one_in=0), learnt) == {}


def test_difference_stops_joining_unless_the_owner_says_otherwise() -> None:
    assert stops(BatchSettings(), "s")
    assert not stops(BatchSettings(on_difference="warn"), "s")
    assert not stops(BatchSettings(batching_by_signature={"s": "always"}), "s")
