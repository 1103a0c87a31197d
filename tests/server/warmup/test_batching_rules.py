from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hotgraph_server.batching.joining import whole_outputs
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.signatures import Part, Shape, Signature, TensorSpec
from hotgraph_server.tensors import STRING
from hotgraph_server.warmup.batching_rules import has_rows, joined_because, why_unbatched

from ..fakes import signature


def test_signature_with_free_rows_in_and_out_may_be_tried() -> None:
    assert why_unbatched(signature(inputs={"a": (None,), "b": (None, 3)}, outputs={"y": (None, 5)})) is None


def test_free_inner_shape_may_follow_that_of_an_input() -> None:
    assert why_unbatched(signature(inputs={"a": (None, None)}, outputs={"y": (None, None, 3)})) is None


def test_free_inner_shape_that_follows_no_input_comes_from_values_and_runs_alone() -> None:
    """A bag of words is as wide as the greatest id among the neighbours."""
    reason = why_unbatched(signature(inputs={"ids": (None, 4)}, outputs={"counts": (None, None)}))
    assert reason is not None
    assert "inner shape of output 'counts'" in reason


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (signature(writes=True), "change the state"),
        (signature(inputs={}), "no inputs"),
        (signature(inputs={"a": (), "b": ()}), "all its inputs are scalars"),
    ],
    ids=["writes", "no inputs", "only scalars"],
)
@pytest.mark.parametrize("batching", ["tried", "always"])
def test_what_has_no_rows_or_writes_runs_alone_whatever_its_owner_says(
    one: Signature, reason: str, batching: str
) -> None:
    assert reason in (why_unbatched(one, batching) or "")


@pytest.mark.parametrize("batching", ["tried", "always"])
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_parts_of_a_tensor_have_no_rows_to_join_whatever_their_owner_says(side: str, batching: str) -> None:
    part = TensorSpec("p/values", "p:0", np.dtype(np.float32), (None,), Part("p", "values"))
    one = signature(inputs={"a": (None,)}, outputs={"y": (None,)})
    if side == "inputs":
        one = replace(one, inputs=(*one.inputs, part))
    else:
        one = replace(one, outputs=(*one.outputs, part))
    assert "'p' is a tensor of several parts" in (why_unbatched(one, batching) or "")


@pytest.mark.parametrize("shape", [(1, 2), (0, 2), None], ids=["one row", "no row", "any rank"])
def test_every_input_but_a_scalar_needs_a_free_dimension_0(shape: Shape | None) -> None:
    one = signature(inputs={"a": (None, 2), "b": shape})
    for batching in ("tried", "always"):
        assert "input 'b'" in (why_unbatched(one, batching) or "")


@pytest.mark.parametrize("shape", [(), (1, 2), (0, 2), None], ids=["scalar", "one row", "no row", "any rank"])
def test_output_without_a_free_dimension_0_needs_its_owners_word(shape: Shape | None) -> None:
    one = signature(outputs={"y": (None, 2), "z": shape})
    assert "output 'z'" in (why_unbatched(one) or "")
    assert why_unbatched(one, "always") is None


def test_scalar_inputs_may_be_tried_unless_they_are_strings() -> None:
    number = signature(inputs={"x": (None, 2), "factor": ()})
    assert why_unbatched(number) is None
    word = signature(inputs={"x": (None, 2), "mode": ()}, dtype=STRING)
    assert "values cannot be tried" in (why_unbatched(word) or "")
    assert why_unbatched(word, "always") is None


def test_strings_are_for_the_trial_to_judge() -> None:
    assert why_unbatched(signature(dtype=STRING)) is None
    numbers, words = signature(), signature(dtype=STRING)
    assert why_unbatched(Signature("classes", numbers.inputs, words.outputs)) is None


def test_owner_who_says_never_is_obeyed() -> None:
    assert "settings" in (why_unbatched(signature(), "never") or "")


def test_outputs_without_rows_are_known_and_those_of_unknown_rank_are_taken_for_batched() -> None:
    shapes: dict[str, Shape | None] = {"rows": (None, 2), "count": (), "square": (3, 3), "any": None}
    specs = tuple(TensorSpec(alias, alias, np.dtype(np.float32), shape) for alias, shape in shapes.items())
    assert whole_outputs(Signature("s", (), specs)) == {"count", "square"}


def test_proven_only_joins_nothing_that_is_not_proven() -> None:
    one = signature()
    assert "it is not proven" in (why_unbatched(one, "proven-only") or "")
    for verdict in (Verdict.UNKNOWN, Verdict.PROVEN):
        outputs = {"y": OutputJudgement(verdict)}
        reason = why_unbatched(
            one, "proven-only", proof=Judgement(verdict, outputs, "f (Unique) is no op we know")
        )
        assert (reason is None) == (verdict is Verdict.PROVEN)
        assert reason is None or "f (Unique)" in reason


@pytest.mark.parametrize(
    ("batching", "verdict", "words"),
    [
        ("tried", Verdict.PROVEN, "proven by structure"),
        ("always", Verdict.PROVEN, "proven by structure"),
        ("tried", Verdict.UNKNOWN, "tried, not proven"),
        ("always", Verdict.UNKNOWN, "not proven, on its owner's word"),
    ],
)
def test_it_is_said_what_sharing_batches_rests_on(batching: str, verdict: Verdict, words: str) -> None:
    proof = Judgement(verdict, {"y": OutputJudgement(verdict)}, "")
    assert joined_because(signature(), batching, proof) == words


@pytest.mark.parametrize(
    ("inputs", "verdict", "expected"),
    [
        ({"a": (None, 2), "k": ()}, None, True),
        ({"a": None}, None, True),
        ({"a": (None,)}, Verdict.UNKNOWN, True),
        ({"a": (None,)}, Verdict.REFUTED, False),
        ({"a": (16000,)}, None, False),
        ({"a": (None, 2), "table": (7, 2)}, None, False),
    ],
)
def test_dimension_0_is_rows_unless_it_is_fixed_or_the_graph_shows_that_it_is_not(
    inputs: dict[str, Shape | None], verdict: Verdict | None, expected: bool
) -> None:
    proof = None if verdict is None else Judgement(verdict, {}, "")
    assert has_rows(signature(inputs=inputs), proof) is expected


def test_dimension_0_of_a_part_is_no_rows() -> None:
    part = TensorSpec("p/values", "p:0", np.dtype(np.float32), (None,), Part("p", "values"))
    assert not has_rows(replace(signature(), inputs=(part,)), None)
