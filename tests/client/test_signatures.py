"""signatures.py: what a signature takes, and errors that list what there is."""

from __future__ import annotations

import pytest

from hotgraph_client.descriptions import ModelMetadata, TensorMetadata
from hotgraph_client.errors import NotFound
from hotgraph_client.signatures import did_you_mean, inputs_of, listed, not_an_input

X, Z = TensorMetadata("x", "FP32", (-1,)), TensorMetadata("z", "INT64", ())


def metadata(default: str | None = None, **signatures: tuple[TensorMetadata, ...]) -> ModelMetadata:
    properties = {} if default is None and not signatures else {"signatures": ",".join(signatures)}
    if default is not None:
        properties["default_signature"] = default
    return ModelMetadata("m", ("1",), "", (X,), (), properties, signatures)


def test_default_signature_is_the_models_own_face() -> None:
    assert inputs_of(metadata("d", d=(Z,)), None, "m") == (X,)
    assert inputs_of(metadata("d", d=(Z,)), "d", "m") == (X,)
    assert inputs_of(metadata(), None, "m") == (X,)


def test_others_are_what_the_server_says_or_unknown() -> None:
    assert inputs_of(metadata("d", d=(X,), other=(Z,)), "other", "m") == (Z,)
    assert inputs_of(metadata(), "other", "m") is None
    assert inputs_of(metadata(), "serving_default", "m") == (X,)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (None, "'m' has no default signature: choose one of first, second"),
        ("secnd", "'m' has no signature 'secnd'; there are first, second; did you mean 'second'?"),
        ("other", "'m' has no signature 'other'; there are first, second"),
    ],
)
def test_signature_that_is_not_there_is_told_with_those_that_are(signature: str | None, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        inputs_of(metadata(first=(X,), second=(Z,)), signature, "m")
    assert caught.value.details == said


def test_names_are_compared_with_those_that_there_are() -> None:
    assert did_you_mean("imgae", ["image", "text"]) == "; did you mean 'image'?"
    assert did_you_mean("q", ["image", "text"]) == ""
    assert (
        not_an_input("y", (X, Z), "m").details
        == "no input 'y'; the inputs of 'm': x (FP32 [-1]), z (INT64 [])"
    )
    assert listed(()) == "none"
