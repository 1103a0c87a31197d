from __future__ import annotations

import pytest

from hotgraph_server.batching.rules import why_alone
from hotgraph_server.signatures import Shape, Signature
from hotgraph_server.tensors import STRING

from ..fakes import signature


def test_signature_with_free_rows_in_and_out_may_be_tried() -> None:
    assert why_alone(signature(inputs={"a": (None,), "b": (None, 3)}, outputs={"y": (None, 5)})) is None


def test_free_inner_shape_may_follow_that_of_an_input() -> None:
    assert why_alone(signature(inputs={"a": (None, None)}, outputs={"y": (None, None, 3)})) is None


def test_free_inner_shape_that_follows_no_input_comes_from_values_and_runs_alone() -> None:
    """A bag of words is as wide as the greatest id among the neighbours."""
    reason = why_alone(signature(inputs={"ids": (None, 4)}, outputs={"counts": (None, None)}))
    assert reason is not None
    assert "inner shape of output 'counts'" in reason


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (signature(writes=True), "change the state"),
        (signature(inputs={}), "no inputs"),
        (signature(dtype=STRING), "'x' holds strings"),
    ],
    ids=["writes", "no inputs", "strings"],
)
def test_signature_runs_alone_when_joining_could_change_an_answer(one: Signature, reason: str) -> None:
    assert reason in (why_alone(one) or "")


@pytest.mark.parametrize("shape", [(), (1, 2), (0, 2), None], ids=["scalar", "one row", "no row", "any rank"])
def test_every_input_and_output_needs_a_free_dimension_0(shape: Shape | None) -> None:
    assert "input 'b'" in (why_alone(signature(inputs={"a": (None, 2), "b": shape})) or "")
    assert "output 'z'" in (why_alone(signature(outputs={"y": (None, 2), "z": shape})) or "")


def test_strings_that_only_come_out_are_no_reason_to_run_alone() -> None:
    numbers, words = signature(), signature(dtype=STRING)
    assert why_alone(Signature("classes", numbers.inputs, words.outputs)) is None
