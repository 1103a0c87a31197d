"""Where trust begins, and how long the first joined calls are all compared. What the checks do with calls is
tested with the runner."""

from __future__ import annotations

import pytest

from hotgraph_server.batching.joining import Joining, joining_of
from hotgraph_server.batching.padding import padding_of
from hotgraph_server.batching.trust import FIRST
from hotgraph_server.execution.verifier import stops, trust_in
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.settings import BatchSettings
from hotgraph_server.state.learnt import Learnt

from ..fakes import signature

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
